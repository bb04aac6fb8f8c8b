"""Names, folders and pairs; duplicates; the part that training does by itself; the documentation."""

import re
import time
from pathlib import Path

import numpy as np
import pytest
from corpus import Corpus, encoded, labels, picture, turned

import segfit
from segfit.config import build_recipe
from segfit.data.ade20k import Ade20k
from segfit.data.check import CODES, check_dataset, quick_check
from segfit.data.check.duplicates import NEAR, _near_pairs, details
from segfit.data.folder import Folder
from segfit.errors import DataError

DOCS = Path(__file__).parents[3] / "docs/data/check.md"


@pytest.fixture
def corpus(tmp_path: Path) -> Corpus:
    return Corpus(tmp_path / "data")


def faults(corpus: Corpus, *splits: str, **options: object) -> set[tuple[str, str]]:
    result = check_dataset(Folder(corpus.root, **options), corpus.root, splits or ["train"])
    return {(fault.code, fault.path.name) for fault in result.faults}


# --- names and folders -----------------------------------------------------------------------------------------------


def test_a_suffix_that_would_pair_the_masks_is_named(corpus: Corpus) -> None:
    for name in "abc":
        corpus.add(f"{name}.jpg")
        corpus.mask(f"{name}_mask.png")
    result = check_dataset(Folder(corpus.root), corpus.root, ["train"])
    assert {fault.code for fault in result.faults} == {"mask-missing", "image-missing"}
    assert {fault.detail for fault in result.faults} == {"data.suffix=_mask would pair 3"}
    assert faults(corpus, suffix="_mask") == set()


def test_an_unreadable_split_does_not_end_the_check(corpus: Corpus) -> None:
    corpus.pair("a.jpg")
    (corpus.root / "lost.txt").write_text("b\n")
    corpus.pair("cut.jpg", encoded(picture(0))[:-9], split="val")
    expected = {("split-unreadable", "lost.txt"), ("file-truncated", "cut.jpg")}
    assert faults(corpus, "lost.txt", "val") == expected


def test_a_closed_folder_is_named(corpus: Corpus, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus.pair("a.jpg")
    inside = corpus.root / "images/train/closed"
    inside.mkdir()
    # The superuser may enter every folder, so the system's refusal is played.
    import os

    enter = os.scandir
    monkeypatch.setattr(os, "scandir", lambda path: _refuse() if Path(path) == inside else enter(path))
    assert faults(corpus) == {("folder-unreadable", "closed"), ("split-unreadable", "train")}


def _refuse() -> None:
    raise PermissionError(13, "Permission denied")


def test_one_image_in_two_lists_is_a_leak(corpus: Corpus) -> None:
    for name in "abc":
        corpus.pair(f"{name}.jpg")
    (corpus.root / "one.txt").write_text("a\nb\n")
    (corpus.root / "two.txt").write_text("b\nc\n")
    corpus.add("later.heic", b"\0\0\0\x18ftypheic")
    result = check_dataset(Folder(corpus.root), corpus.root, ["one.txt", "two.txt"])
    found = [(fault.code, fault.path.name, fault.split) for fault in result.faults]
    assert found == [("file-unsupported", "later.heic", ""), ("duplicate-leak", "b.jpg", "two.txt")]


def test_plain_images_are_duplicates_only_if_equal(corpus: Corpus) -> None:
    for name, value in (("a", 100), ("b", 100), ("c", 101)):
        plain = np.full((72, 96, 3), value, np.uint8)
        corpus.pair(f"{name}.png", encoded(plain, "PNG", compress_level=ord(name) % 9), mask=encoded(labels(0), "PNG"))
    sky = np.linspace(200, 250, 72).astype(np.uint8)[:, None, None].repeat(96, 1).repeat(3, 2)
    for name in "def":
        noisy = sky + np.random.default_rng(ord(name)).integers(0, 3, sky.shape, dtype=np.uint8)
        corpus.pair(f"{name}.png", encoded(noisy, "PNG"))
    assert faults(corpus) == {("duplicate", "b.png")}


# --- duplicates ------------------------------------------------------------------------------------------------------


def test_near_pairs_agree_with_brute_force() -> None:
    rng = np.random.default_rng(0)
    vectors = np.stack([details(rng.integers(0, 256, (16, 16), dtype=np.uint8)) for _ in range(60)])
    vectors[40:] = vectors[:20] + 0.2 * rng.standard_normal((20, 256)).astype(np.float32) / 16
    vectors[50:] = vectors[50:].reshape(-1, 16, 16)[:, :, ::-1].reshape(-1, 256)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    splits = rng.integers(0, 2, 60)
    found = {match.index: match for match in _near_pairs(vectors, splits, lambda _done, _total: None)}
    assert found.keys() == set(range(40, 60))
    for index, match in found.items():
        assert match.before == index - 40
        assert match.mirrored == (index >= 50)
        assert NEAR < match.likeness <= 1


def test_near_pairs_do_not_depend_on_the_tiles(monkeypatch: pytest.MonkeyPatch) -> None:
    rng = np.random.default_rng(1)
    base = rng.standard_normal((10, 256)).astype(np.float32)
    vectors = base[rng.integers(0, 10, 50)] + 0.1 * rng.standard_normal((50, 256)).astype(np.float32)
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    splits = rng.integers(0, 3, 50)
    whole = list(_near_pairs(vectors, splits, lambda _done, _total: None))
    monkeypatch.setattr("segfit.data.check.duplicates.TILE", 7)
    tiled = list(_near_pairs(vectors, splits, lambda _done, _total: None))
    assert [(m.index, m.before, m.mirrored) for m in whole] == [(m.index, m.before, m.mirrored) for m in tiled]


# --- real images -----------------------------------------------------------------------------------------------------


def test_real_datasets_are_clean(real_data: Path) -> None:
    root = real_data / "ade20k-mini"
    result = check_dataset(Ade20k(root), root, ["validation"])
    assert {fault.code for fault in result.faults} == {"image-grey"}
    assert len(result.faults) == result.pairs == 152
    root = real_data / "ade20k-sample/ADEChallengeData2016"
    assert check_dataset(Ade20k(root), root, ["validation"]).faults == ()
    root = real_data / "camvid"
    camvid = check_dataset(Folder(root, ignore=(11,)), root, ["val"])
    # The frames are of a video.
    assert {fault.code for fault in camvid.faults} == {"near-duplicate"}
    assert 0 < len(camvid.faults) < 101


# --- what training does ----------------------------------------------------------------------------------------------

QUICK = {
    "gone": (lambda image, mask: mask.unlink(), r"masks/train/b\.png: No such file.* \[file-unreadable\]"),
    "empty": (
        lambda image, mask: image.write_bytes(b""),
        r"images/train/b\.jpg: 0 bytes \[file-empty\]: fetch it again",
    ),
    "size": (
        lambda image, mask: mask.write_bytes(encoded(labels(0, 50, 40), "PNG")),
        r"b\.png: image 96 x 72, mask 50 x 40 \[size-mismatch\]",
    ),
    "exif": (lambda image, mask: image.write_bytes(turned(picture(0), 6)), r"b\.png: image 72 x 96.*\[exif-mismatch\]"),
    "colors": (
        lambda image, mask: mask.write_bytes(encoded(picture(0), "PNG")),
        r"b\.png: a mask with colours \(RGB\) \[mask-colors\].*data\.colors",
    ),
    "lossy": (lambda image, mask: mask.write_bytes(encoded(labels(0))), r"b\.png: a JPEG, called \.png \[mask-lossy\]"),
    "html": (lambda image, mask: image.write_bytes(b"<html>"), r"b\.jpg: a page of text.*\[not-an-image\]"),
    "closed": (lambda image, mask: image.chmod(0), r"b\.jpg: nobody may read it \(mode 000\) \[file-unreadable\]"),
}


@pytest.mark.parametrize("fault", QUICK)
def test_training_refuses_what_would_end_it(corpus: Corpus, fault: str) -> None:
    for name in "abc":
        corpus.pair(f"{name}.jpg")
    source = Folder(corpus.root)
    records = source.records("train")
    quick_check(source, records)
    spoil, message = QUICK[fault]
    spoil(records[1].image, records[1].mask)
    with pytest.raises(DataError, match=message) as refusal:
        quick_check(source, records)
    assert "segfit data check" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_training_does_the_quick_check_before_anything_is_written(corpus: Corpus, tiny: dict, tmp_path: Path) -> None:
    for split in ("train", "val"):
        corpus.pair("a.jpg", split=split)
        corpus.pair("b.jpg", split=split)
    (corpus.root / "images/val/b.jpg").write_bytes(b"")
    data = {"name": "folder", "root": str(corpus.root), "train": "train", "validation": "val"}
    with pytest.raises(DataError, match=r"val/b\.jpg: 0 bytes \[file-empty\]"):
        segfit.train(build_recipe({**tiny, "data": data}), tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_the_quick_check_of_20_000_pairs_takes_less_than_a_second(scenes: Path) -> None:
    source = Ade20k(scenes)
    records = source.records("training") * 1667
    quick_check(source, records[:12])
    began = time.process_time()
    quick_check(source, records)
    assert time.process_time() - began < 1


# --- documentation ---------------------------------------------------------------------------------------------------


def test_every_code_is_documented_with_its_mend() -> None:
    entries = dict(re.findall(r"^### `([a-z0-9-]+)`(.*?)(?=^##|\Z)", DOCS.read_text(), re.MULTILINE | re.DOTALL))
    assert entries.keys() == CODES.keys()
    for name, code in CODES.items():
        assert f"({code.severity})" in entries[name].splitlines()[0], name
        assert len(entries[name].split()) > 8, name
