import csv
import errno
import io
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image as Pillow
from report_pages import SCORES, Page, sample_report

from run_folders import STUDY, Fake, edit_json, write_run, write_study
from segfit import run
from segfit.cli import training
from segfit.comparison import comparing
from segfit.comparison.analysis import Analysis
from segfit.comparison.comparing import Comparison, compare
from segfit.comparison.formats import latex_text
from segfit.errors import DataError, RunError
from segfit.report import content, write
from segfit.report.blocks import Cell, Column, Section, Table
from segfit.report.content import build_report
from segfit.report.sections import Entry
from segfit.report.sections.again import again
from segfit.report.sections.classes import classes
from segfit.report.sections.measured import measured
from segfit.report.sections.results import results as results_section
from segfit.report.write import write_report, write_results, write_tables


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    # They differ in one field: what that did is a section, too.
    fakes = [replace(fake, images=12, batch=16) for fake in STUDY[:2]]
    return write_study(tmp_path_factory.mktemp("study"), fakes, count=3, size=(60, 80))


@pytest.fixture(scope="module")
def results(study: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the page and all that is written beside it."""
    folder = tmp_path_factory.mktemp("out") / "deeper"
    assert write_report(study, folder / "report.html", folder / "tables") == folder / "report.html"
    return folder


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with what is written of the report that has every kind of block, for two groups."""
    folder = tmp_path_factory.mktemp("sample")
    return write._write_files(write._files(sample_report(folder / "runs", 2)), folder / "out")


# --- the page --------------------------------------------------------------------------------------------------------


def test_the_page_says_what_matters(results: Path, study: list[Path]) -> None:
    page = Page((results / "report.html").read_text())
    assert page.headings[0][0] == 1
    assert "attention-unet-8" in page.headings[0][1]
    assert "majority class" in page.text
    assert "Dice = 2TP / (2TP + FP + FN)" in page.text
    for fake in STUDY[:2]:
        assert f"segfit train paper/{fake.name} data.root=ade20k train.seed=0" in page.text
    titles = [text for _, text in page.headings]
    assert {"Results", "How they learnt", "How it was measured", "How to run it again"} <= set(titles)


def test_the_same_runs_give_the_same_page(results: Path, study: list[Path], tmp_path: Path) -> None:
    assert write_report(study, tmp_path / "again.html").read_bytes() == (results / "report.html").read_bytes()


@pytest.mark.parametrize(("name", "example"), [("report", "report/report.html"), ("a.txt", "a.html")])
def test_a_report_is_html(tmp_path: Path, name: str, example: str) -> None:
    with pytest.raises(RunError, match=r"ends in \.html") as error:
        write_report([tmp_path], tmp_path / name)
    assert str(error.value).endswith(f"for example {tmp_path / example}")


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    path = write_run(tmp_path / "run", Fake(images=3))
    for made in (
        lambda: write_report([path], tmp_path / "file" / "r.html"),
        lambda: write_tables([path], tmp_path / "file"),
    ):
        with pytest.raises(RunError, match="cannot be written"):
            made()


def test_a_section_that_cannot_be_made_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def gone(_: Analysis) -> Section | None:
        raise DataError("the dataset is not there any more")

    def nothing(_: Analysis) -> Section | None:
        return None

    kept = content.SECTIONS[0]
    monkeypatch.setattr(content, "SECTIONS", (kept, Entry("What is gone", gone), Entry("What is nothing", nothing)))
    monkeypatch.setattr(content, "SMALL_PRINT", 1)
    monkeypatch.setattr(content, "ACROSS", ())
    report = build_report([write_run(tmp_path / "run", Fake(images=3))])
    (part,) = report.parts
    assert [section.title for section in part.sections] == ["Results", "What is gone"]
    (block,) = part.sections[1].blocks
    assert block.text == "This could not be shown: the dataset is not there any more."
    assert block.note


def test_what_is_about_all_runs_stands_before_the_small_print(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def all_runs(_: Comparison) -> Section | None:
        return Section(name="all", title="All runs")

    monkeypatch.setattr(content, "SECTIONS", tuple(Entry("", build) for build in (results_section, measured, again)))
    monkeypatch.setattr(content, "ACROSS", (Entry("", all_runs),))
    paths = [write_run(tmp_path / name, Fake(name=name, images=count)) for name, count in (("a", 3), ("b", 4))]
    (part,) = build_report(paths[:1]).parts
    assert [section.name for section in part.sections] == ["results", "all", "measured", "again"]
    report = build_report(paths)
    assert [len(part.sections) for part in report.parts] == [3, 3]
    assert [section.name for section in report.across] == ["all"]


def test_a_mistake_of_ours_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(_: Analysis) -> Section | None:
        raise KeyError("a bug")

    monkeypatch.setattr(content, "SECTIONS", (Entry("Broken", broken),))
    with pytest.raises(KeyError, match="a bug"):
        build_report([write_run(tmp_path / "run", Fake(images=3))])


def test_runs_without_records_or_events_still_have_a_report(tmp_path: Path) -> None:
    path = write_run(tmp_path / "run", Fake(images=3))
    (path / "per_image.parquet").unlink()
    (path / "events.jsonl").write_text('{"event": "end"}\n')
    page = Page(write_report([path], tmp_path / "report.html").read_text())
    assert "Results" in page.text
    assert "How they learnt" not in page.text


# --- the folder ------------------------------------------------------------------------------------------------------


def links(folder: Path) -> set[str]:
    return set(re.findall(r"\]\(([^)]+)\)", (folder / "report.md").read_text()))


@pytest.mark.parametrize("which", ["results", "sample"])
def test_every_link_leads_to_a_file(which: str, request: pytest.FixtureRequest) -> None:
    folder = request.getfixturevalue(which)
    folder = folder / "tables" if which == "results" else folder
    linked = {link for link in links(folder) if link.startswith(("figures/", "pictures/"))}
    included = set(re.findall(r"\\includegraphics\[[^]]*\]\{([^}]+)\}", (folder / "report.tex").read_text()))
    assert linked
    assert all((folder / name).is_file() for name in linked | included)
    there = {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file()}
    tables = {name for name in there if name.startswith("tables/")}
    fixed = {"report.md", "report.tex", *(f"table.{suffix}" for suffix in ("md", "csv", "tex", "json"))}
    assert there == linked | included | tables | fixed


def test_the_table_is_that_of_compare(results: Path, study: list[Path]) -> None:
    comparison = compare(study)
    for suffix, text in (
        ("md", comparison.to_markdown()),
        ("csv", comparison.to_csv()),
        ("tex", comparison.to_latex()),
        ("json", comparison.to_json()),
    ):
        assert (results / "tables" / f"table.{suffix}").read_text() == text


def test_a_study_keeps_its_page_and_the_table(results: Path, study: list[Path], tmp_path: Path) -> None:
    assert write_results(build_report(study), tmp_path / "study") == tmp_path / "study" / "report.html"
    names = sorted(path.name for path in (tmp_path / "study").iterdir())
    assert names == ["report.html", "table.csv", "table.json", "table.md", "table.tex"]
    for name in names:
        folder = results if name == "report.html" else results / "tables"
        assert (tmp_path / "study" / name).read_bytes() == (folder / name).read_bytes()


def test_a_study_is_compared_once(study: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wanted, compared = compare(study).to_json(), []

    def counted(paths: Sequence[str | Path], *, evaluation: str | None = None) -> Comparison:
        compared.append(paths)
        return compare(paths, evaluation=evaluation)

    monkeypatch.setattr(run, "study", lambda *_, **__: study)
    monkeypatch.setattr(content, "compare", counted)
    monkeypatch.setattr(comparing, "compare", counted)
    result = CliRunner().invoke(training.study, ["demo", "--out", str(tmp_path / "out"), "--json"])
    assert result.exit_code == 0
    assert result.stdout.strip() == wanted.strip()
    assert compared == [study]
    assert (tmp_path / "out" / "table.json").read_text() == wanted
    assert (tmp_path / "out" / "report.html").is_file()


def test_the_protocol_is_printed_with_the_table(results: Path, study: list[Path]) -> None:
    (group,) = compare(study).groups
    for name in ("table.tex", "tables/results-runs.tex"):
        lines = (results / "tables" / name).read_text().splitlines()
        assert [line for line in lines if latex_text(group.protocol.describe()) in line and not line.startswith("%")]


def test_nothing_says_where_it_was_written(results: Path) -> None:
    for file in (results / "tables").rglob("*"):
        if file.suffix in {".md", ".csv", ".tex", ".json", ".svg"}:
            assert str(results) not in file.read_text(), file


def test_tables_keep_raw_numbers(sample: Path) -> None:
    rows = list(csv.reader(io.StringIO((sample / "tables/numbers-scores.csv").read_text())))
    assert rows[0][:3] == ["Class", "Score", "Count"]
    for (name, score, count), row in zip(SCORES, rows[1:], strict=False):
        assert row[:3] == [name, "\u2013" if score is None else str(score), str(count)]
    value = json.loads((sample / "tables/numbers-scores.json").read_text())
    assert value["columns"] == rows[0]
    assert value["rows"][0][:3] == ["alpha", 0.5, 2]
    assert value["rows"][-1][0] == "all"
    assert len(value["rows"]) == len(SCORES) + 1
    assert (sample / "tables/numbers-inner.tex").is_file(), "tables that are folded away are written, too"


def test_intervals_have_columns_of_their_own() -> None:
    table = Table(
        name="t",
        caption="",
        columns=(Column(title="Run", number=False), Column(title="Score"), Column(title="Interval")),
        rows=(
            (Cell("a", run=0), Cell("0.50 (0.40-0.60)", 0.5, (0.4, 0.6)), Cell("0.1 to 0.2", interval=(0.1, 0.2))),
            (Cell("b", run=1), Cell("0.3", 0.3), Cell("\u2013")),
        ),
        footer=(Cell("all"), Cell("0.4", 0.4), Cell("")),
    )
    titles = ["Run", "Score", "Score low", "Score high", "Interval low", "Interval high"]
    values = [["a", 0.5, 0.4, 0.6, 0.1, 0.2], ["b", 0.3, None, None, None, None], ["all", 0.4, None, None, None, None]]
    assert json.loads(write._json(table)) == {"caption": "", "columns": titles, "rows": values}
    texts = [["" if value is None else str(value) for value in row] for row in values]
    assert list(csv.reader(io.StringIO(write._csv(table)))) == [titles, *texts]
    assert [cell.key for cell in table.rows[0]] == [None, 0.5, 0.1]


def test_a_run_may_be_called_as_another_column_is() -> None:
    columns = (Column(title="Class", number=False), Column(title="Pixels"), Column(title="Pixels", run=0))
    table = Table(name="t", caption="", columns=columns, rows=((Cell("sky"), Cell("9 %", 0.09), Cell("0.5", 0.5)),))
    value = json.loads(write._json(table))
    assert value["columns"] == ["Class", "Pixels", "Pixels"]
    assert value["rows"] == [["sky", 0.09, 0.5]]


def test_every_interval_of_a_report_is_kept(results: Path) -> None:
    for name, columns in (
        ("results-runs", ["95 % interval"]),
        ("statistics-scores", ["Dice", "mIoU", "Pixel acc."]),
        ("statistics-against-best", ["95 % interval"]),
        ("statistics-class-differences", ["95 % interval"]),
        ("ablation-ablation", ["95 % interval"]),
    ):
        rows = list(csv.DictReader(io.StringIO((results / "tables" / "tables" / f"{name}.csv").read_text())))
        for column in columns:
            known = [row for row in rows if row[f"{column} low"]]
            assert known, (name, column)
            assert all(float(row[f"{column} low"]) <= float(row[f"{column} high"]) for row in known)
            assert len({row[f"{column} low"] for row in known} & {row[f"{column} high"] for row in known}) == 0


def test_a_second_group_has_files_of_its_own(sample: Path) -> None:
    names = {str(path.relative_to(sample)) for path in sample.rglob("*") if path.is_file()}
    assert {
        "figures/lines.svg",
        "figures/lines.pdf",
        "figures/2/lines.svg",
        "tables/2/numbers-scores.csv",
        "pictures/2/images-view-1.jpg",
    } <= names


def test_layers_lie_over_their_photograph(sample: Path) -> None:
    layer = np.asarray(Pillow.open(sample / "pictures/images-view-2.jpg").convert("RGB")).astype(int)
    assert layer.shape == (60, 80, 3)
    # The first 40 columns of the layer are transparent: there the photograph is seen, elsewhere the mask.
    assert np.abs(layer[:, :36] - [0, 90, 0]).max() < 16
    assert np.abs(layer[:, 44:] - [200, 30, 30]).max() < 16


def test_figures_have_a_ground_to_be_read_on(sample: Path) -> None:
    svg = (sample / "figures/lines.svg").read_text()
    assert "#fefefe" in svg
    assert svg.count('data-run="0"') == 1
    assert (sample / "figures/lines.pdf").read_bytes().startswith(b"%PDF")


# --- all or nothing --------------------------------------------------------------------------------------------------


def contents(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture
def one(tmp_path: Path) -> Path:
    return write_run(tmp_path / "runs" / "unet", Fake(images=3))


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have reports of few sections, one of them with figures: it is about places, not about what stands there."""
    builds = (results_section, classes, measured, again)
    monkeypatch.setattr(content, "SECTIONS", tuple(Entry("", build) for build in builds))
    monkeypatch.setattr(content, "ACROSS", ())


def no_file(tables: Path, _: Path) -> None:
    tables.write_text("mine")


def no_run(tables: Path, one: Path) -> None:
    one.rename(tables)


def no_figures_of_others(tables: Path, _: Path) -> None:
    (tables / "figures").mkdir(parents=True)
    (tables / "figures" / "mine.svg").write_text("mine")
    (tables / "report.md").write_text("mine, too")


def no_paper_of_others(tables: Path, _: Path) -> None:
    tables.mkdir()
    (tables / "report.tex").write_text("my thesis")


@pytest.mark.parametrize(
    ("prepare", "reason"),
    [
        (no_file, "is a file"),
        (no_run, "is a run"),
        (no_figures_of_others, "not of an earlier report"),
        (no_paper_of_others, "report.tex: is not of an earlier report"),
    ],
)
def test_a_place_for_tables_that_will_not_do_leaves_no_page(
    tmp_path: Path, one: Path, prepare: Callable[[Path, Path], None], reason: str
) -> None:
    prepare(tmp_path / "tables", one)
    before = contents(tmp_path)
    # The place is looked at first: that this is no run is not said.
    for made in (
        lambda: write_report([tmp_path / "none"], tmp_path / "out" / "report.html", tmp_path / "tables"),
        lambda: write_tables([tmp_path / "none"], tmp_path / "tables"),
    ):
        with pytest.raises(RunError, match=reason):
            made()
    assert contents(tmp_path) == before
    assert not (tmp_path / "out").exists()


def test_places_that_cannot_be_are_named(tmp_path: Path) -> None:
    (tmp_path / "folder.html").mkdir()
    with pytest.raises(RunError, match="is a folder"):
        write_report([tmp_path], tmp_path / "folder.html")
    with pytest.raises(RunError, match="different names"):
        write_report([tmp_path], tmp_path / "one.html", tmp_path / "one.html")
    with pytest.raises(RunError, match="cannot be written"):
        write_tables([tmp_path], tmp_path / ("long" * 100))


FULL = 10
"""How many files the disk has room for."""


@pytest.mark.parametrize("there", [False, True])
@pytest.mark.usefixtures("short")
def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, one: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    out, tables = tmp_path / "report.html", tmp_path / "tables"
    if there:
        write_report([one], out, tables)
        edit_json(one / "metrics.json", "evaluation", "loss", value=0.5)
    before = contents(tmp_path)
    written, write_bytes = [], Path.write_bytes

    def full(path: Path, content: bytes) -> int:
        written.append(path)
        if len(written) > FULL:
            raise OSError(errno.ENOSPC, "No space left on device")
        return write_bytes(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(RunError, match="No space left on device"):
        write_report([one], out, tables)
    assert len(written) == FULL + 1
    assert contents(tmp_path) == before


@pytest.mark.parametrize(
    ("names", "free"),
    [
        ((), True),
        (("main.tex",), True),
        (("report.tex",), False),
        (("report.md",), False),
        (("table.csv",), False),
        (("table.md", "table.csv", "table.tex", "table.json"), False),
        (("table.md", "table.csv", "table.tex", "table.json", "report.html"), True),
        (("table.md", "table.csv", "table.json", "report.html"), False),
        (("table.md", "table.csv", "table.tex", "table.json", "report.html", "figures/mine.svg"), False),
        (("report.md", "report.tex", "table.md", "table.csv", "table.tex", "table.json"), True),
        (("report.md", "report.tex", "table.md", "table.csv", "table.tex", "table.json", "figures"), False),
    ],
)
def test_files_of_others_are_not_replaced(tmp_path: Path, names: tuple[str, ...], free: bool) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("mine")
    if free:
        assert write._folder(tmp_path) == tmp_path
    else:
        with pytest.raises(RunError, match="is not of an earlier report and would be replaced") as error:
            write._folder(tmp_path)
        assert str(tmp_path / names[0]) in str(error.value) or "table.md" in str(error.value)


@pytest.mark.usefixtures("short")
def test_a_second_report_replaces_the_first_and_nothing_else(tmp_path: Path, one: Path) -> None:
    other = write_run(tmp_path / "runs" / "other", Fake(name="other", images=4))
    folder = write_tables([one, other], tmp_path / "paper")
    assert (folder / "tables" / "2").is_dir()
    (folder / "main.tex").write_text("a paper")
    write_tables([one], folder)
    alone = contents(write_tables([one], tmp_path / "alone"))
    assert contents(folder) == {**alone, "main.tex": b"a paper"}


def test_a_table_with_a_value_that_is_no_number_is_refused() -> None:
    columns = (Column(title="Score"),)
    table = Table(name="t", caption="", columns=columns, rows=((Cell("nan", float("nan")),),))
    with pytest.raises(ValueError, match="JSON"):
        write._json(table)
