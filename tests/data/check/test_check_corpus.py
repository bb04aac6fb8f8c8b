"""Every seeded fault is found, and nothing else."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import pytest
from corpus import SEEDS, Corpus, encoded, picture, seed_duplicates

from segfit.data.check import CODES, Limits, Result, check_dataset
from segfit.data.folder import Folder

LIMITS = Limits(pixels=1_000_000, bytes=65_000)
IGNORE = (254,)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Corpus]:
    corpus = Corpus(tmp_path_factory.mktemp("check") / "corpus")
    for seed in SEEDS:
        seed(corpus)
    yield corpus
    (corpus.root / "images/train/closed.jpg").chmod(0o644)


@pytest.fixture(scope="module")
def result(corpus: Corpus) -> Result:
    return check_dataset(Folder(corpus.root, ignore=IGNORE), corpus.root, ["train", "val", "test"], limits=LIMITS)


def found(result: Result) -> set[tuple[str, str]]:
    return {(fault.code, fault.path.relative_to(result.root).as_posix()) for fault in result.faults}


def test_every_fault_is_found_and_nothing_else(corpus: Corpus, result: Result) -> None:
    assert found(result) - corpus.faults == set()
    assert corpus.faults - found(result) == set()
    assert len(result.faults) == len(corpus.faults), "each is reported once"


def test_the_detail_says_what_it_is_about(result: Result) -> None:
    details = {fault.path.name: fault.detail for fault in result.faults}
    assert details["colors.png"] == "4 colours (RGB), which fit Pascal VOC"
    assert details["pointer.jpg"] == "a Git LFS pointer: run git lfs pull"
    assert details["lying.png"] == "image 72 x 96, mask 96 x 72 (EXIF orientation 8)"
    assert details["other-mask.png"] == "same bytes as good-2.png (train); their masks differ"
    assert details["mirrored.png"] == "100% like mirrored good-4.png (train)"
    assert details["palette-other.png"] == "(128, 0, 0) has the id 0 here, but 1 in most masks"


def test_nothing_is_written_and_the_result_does_not_depend_on_threads(corpus: Corpus, result: Result) -> None:
    before = {path: path.lstat().st_mtime_ns for path in corpus.root.rglob("*")}
    source = Folder(corpus.root, ignore=IGNORE)
    again = check_dataset(source, corpus.root, ["train", "val", "test"], limits=LIMITS, workers=7)
    assert again.faults == result.faults
    assert {path: path.lstat().st_mtime_ns for path in corpus.root.rglob("*")} == before


def test_codes_can_be_ignored(corpus: Corpus, result: Result) -> None:
    ignore = frozenset(code for code in CODES if code not in ("mask-missing", "file-empty"))
    few = check_dataset(Folder(corpus.root, ignore=IGNORE), corpus.root, ["train"], limits=LIMITS, ignore=ignore)
    assert {fault.code for fault in few.faults} == {"mask-missing", "file-empty"}


def test_duplicates_count_from_the_first_split(tmp_path: Path) -> None:
    corpus = Corpus(tmp_path)
    seed_duplicates(corpus)
    source = Folder(corpus.root, ignore=IGNORE)
    result = check_dataset(source, corpus.root, ["val", "train"])
    leaks = {(fault.path.name, fault.detail) for fault in result.faults if fault.code == "duplicate-leak"}
    assert leaks == {("good-5.png", "same bytes as leak.jpg (val)")}


# --- the command -----------------------------------------------------------------------------------------------------


def arguments(corpus: Corpus) -> list[object]:
    return [corpus.root, "data.ignore=[254]", "--max-pixels", LIMITS.pixels, "--max-bytes", LIMITS.bytes]


def test_the_command_prints_every_code_with_its_mend_and_fails(corpus: Corpus, result: Result, cli) -> None:
    done = cli("data", "check", *arguments(corpus), check=1)
    printed = " ".join(done.stdout.replace("\u2502", " ").split())
    for code in {fault.code for fault in result.faults}:
        assert code in printed
        assert CODES[code].mend.split()[0] in printed
    assert "28 errors, 30 warnings" in printed


def test_the_commands_facts_are_those_of_the_function(corpus: Corpus, result: Result, cli, tmp_path: Path) -> None:
    table = tmp_path / "faults.csv"
    done = cli("data", "check", *arguments(corpus), "--json", "--csv", table, check=1)
    facts = json.loads(done.stdout)
    assert facts["splits"]["val"] == {"images": 3, "masks": 3, "pairs": 3}
    assert {(fault["code"], os.path.relpath(fault["path"], corpus.root)) for fault in facts["faults"]} == corpus.faults
    counts = [code["count"] for code in facts["codes"].values()]
    assert facts["errors"] + facts["warnings"] == len(facts["faults"]) == sum(counts)
    assert facts["codes"]["mask-lossy"]["mend"] == CODES["mask-lossy"].mend
    assert len(table.read_text().splitlines()) == 1 + len(facts["faults"])


def test_all_files_are_listed_one_a_line(corpus: Corpus, result: Result, cli) -> None:
    lines = cli("data", "check", *arguments(corpus), "--all", check=1).stdout.splitlines()
    assert len(lines) == len(result.faults) + 1
    assert "error file-empty images/train/empty.jpg: 0 bytes" in lines
    assert "warning name-unprintable images/train/bell\\x07.jpg: 'bell\\x07'" in lines


def test_a_good_dataset_passes(scenes: Path, cli) -> None:
    assert "nothing wrong" in cli("data", "check", scenes, "--strict").stdout


@pytest.mark.parametrize("form", [(), ("--all",), ("--json",), ("--csv", "faults.csv")])
def test_names_that_are_not_utf8_can_be_printed(form, tmp_path: Path, cli, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    corpus = Corpus(tmp_path / "data")
    for split in ("train", "val"):
        corpus.pair(os.fsdecode(b"\xff[red]\x1b.jpg"), split=split)
    done = cli("data", "check", corpus.root, *form)
    printed = done.stdout + "".join(path.read_text("utf-8") for path in tmp_path.glob("*.csv"))
    assert "xff[red]" in printed
    assert "\x1b" not in done.stdout


def test_warnings_fail_only_when_asked(tmp_path: Path, cli) -> None:
    corpus = Corpus(tmp_path)
    for split in ("train", "val"):
        corpus.pair(f"{split}.jpg", split=split)
    corpus.pair("grey.jpg", encoded(picture(99)[..., 0]))
    assert "0 errors, 1 warning" in cli("data", "check", tmp_path).stdout
    assert "0 errors, 1 warning" in cli("data", "check", tmp_path, "--strict", check=1).stdout
    assert "nothing wrong" in cli("data", "check", tmp_path, "--strict", "--ignore", "image-grey").stdout
    assert "nothing wrong" in cli("data", "check", tmp_path, "--strict", "--split", "val").stdout


def test_wrong_input_is_refused_with_one_line(scenes: Path, cli) -> None:
    done = cli("data", "check", scenes, "--ignore", "file-emty", check=2)
    assert "did you mean 'file-empty'?" in done.stderr
    done = cli("data", "check", scenes, "--split", "trainning", check=2)
    assert done.stderr.splitlines()[-1] == ("segfit: --split: there is no split 'trainning' (did you mean 'training'?)")
    assert "not a dataset" in cli("data", "check", scenes / "images", check=2).stderr
