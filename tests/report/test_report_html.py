import base64
import hashlib
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from report_pages import NASTY, Page, drawing, sample_report, sections, table

from run_folders import Fake, write_run
from segfit.comparison.comparing import compare
from segfit.comparison.headline import Headline
from segfit.report.blocks import Block, Bullets, Cell, Column, Command, Commands, Figures, Paragraph, Section, Table
from segfit.report.content import Part, Report, flat
from segfit.report.html import MANY, html, tied

NBSP = "\N{NO-BREAK SPACE}"


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Report:
    return sample_report(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def source(report: Report) -> str:
    return html(report)


def page_of(report: Report, *blocks: Block) -> Page:
    """Return a page with one section more."""
    return Page(html(replace(report, across=(Section(name="more", title="More", blocks=blocks),))))


@pytest.fixture(scope="module")
def page(source: str) -> Page:
    return Page(source)


def policy(page: Page) -> dict[str, str]:
    (content,) = [meta["content"] for meta in page.all("meta") if meta.get("http-equiv") == "Content-Security-Policy"]
    assert content is not None
    return {name: value for name, _, value in (rule.strip().partition(" ") for rule in content.split(";"))}


def test_only_the_pages_own_script_may_run(source: str, page: Page) -> None:
    (script,) = re.findall(r"<script>(.*?)</script>", source, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert policy(page) == {
        "default-src": "'none'",
        "img-src": "data:",
        "style-src": "'unsafe-inline'",
        "script-src": f"'sha256-{digest}'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }
    assert "innerHTML" not in script


def test_the_page_needs_nothing_else(source: str, page: Page) -> None:
    assert page.all("link") == page.all("iframe") == []
    assert len(page.all("script")) == 1
    assert all((image["src"] or "").startswith("data:image/") for image in page.all("img"))
    for _, attrs in page.tags:
        assert not any(key.startswith("on") for key in attrs)
        for key in ("href", "xlink:href"):
            assert (attrs.get(key) or "#").startswith("#")
    assert not re.search(r"url\((?!#|data:)|@import|https?://(?!www\.w3\.org/)", source)


def test_ids_are_unique_and_references_resolve(source: str, page: Page) -> None:
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))
    references = {(attrs.get(key) or "#")[1:] for _, attrs in page.tags for key in ("href", "xlink:href")} - {""}
    references |= {name for _, attrs in page.tags for key in ("aria-labelledby", "for") if (name := attrs.get(key))}
    references |= set(re.findall(r"url\(#([^)]+)\)", source))
    assert references <= set(ids)


@pytest.mark.parametrize("groups", [1, 2])
def test_headings_go_down_one_step_at_a_time(groups: int, tmp_path: Path) -> None:
    page = Page(html(sample_report(tmp_path, groups)))
    levels = [level for level, _ in page.headings]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(after <= before + 1 for before, after in pairwise(levels))
    # Contents, runs, and each group's sections with their pictures and commands.
    assert len(levels) == 1 + 2 + groups * (4 + 2 + 1) + (groups if groups > 1 else 0) + 1


def test_groups_are_told_apart(tmp_path: Path) -> None:
    page = Page(html(sample_report(tmp_path, 2)))
    assert "were not scored alike" in page.text
    assert {"numbers-1", "numbers-2", "published"} <= {attrs.get("id") for attrs in page.all("section")}
    ids = [attrs["id"] for _, attrs in page.tags if "id" in attrs]
    assert len(ids) == len(set(ids))


def test_names_are_no_markup(source: str, page: Page) -> None:
    assert source.count("<script") == 1
    for name in NASTY:
        # Run, headline, table, picture, command.
        assert page.text.replace(NBSP, " ").count(name) >= 2
    assert any(attrs.get("alt") == NASTY[0] for attrs in page.all("img"))
    assert f"{NASTY[0]} wins" in page.text


def test_every_kind_of_block_says_all_it_has(page: Page) -> None:
    for words in ("A note.", "[second] item", "Lines rise.", "A remark.", "# no heading", "The higher the better."):
        assert words in page.text, words
    assert "segfit train a 'b' --x=\"1\" `c`" in page.text
    assert len(page.all("img")) == 2 + 3
    assert len(page.all("details")) == 1
    assert {"An image", "The image", "The mask", "Another mask"} <= {image["alt"] for image in page.all("img")}


def test_cells_carry_what_they_are_sorted_by_and_whose_they_are(page: Page) -> None:
    cells = [attrs for name, attrs in page.tags if name in {"td", "th"}]
    values = [attrs["data-v"] for attrs in cells if "data-v" in attrs]
    assert {"0.5", "0.75", "100"} <= set(values)
    rows = [attrs.get("data-run") for attrs in page.all("tr")]
    assert [run for run in rows if run is not None] == ["0", "1", "2", "0", "1"]
    # The title and the cells of a run's column, its footer included.
    assert [attrs.get("data-run") for attrs in cells].count("1") == 1 + 5 + 1


def test_figures_are_described_and_take_the_colors_of_the_page(source: str, page: Page) -> None:
    figures = [svg for svg in page.all("svg") if svg.get("aria-hidden") != "true"]
    assert len(figures) == 2
    assert all(svg["aria-label"] == f"Lines of {' '.join(NASTY)}." and svg["role"] == "img" for svg in figures)
    drawn = "".join(re.findall(r'<svg[^>]*role="img".*?</svg>', source, re.DOTALL))
    assert "var(--run-0)" in drawn
    assert drawn.count('data-run="1"') == 2
    assert not re.search(r"#[0-9a-f]{6}\b", drawn)


@pytest.mark.parametrize(("count", "filtered"), [(MANY, False), (MANY + 1, True)])
def test_a_long_table_can_be_filtered(report: Report, count: int, filtered: bool) -> None:
    rows = [(f"class {number}", 0.5, number) for number in range(count)]
    page = page_of(report, replace(table(rows), filterable=False))
    fields = {attrs["id"] for attrs in page.all("input") if attrs.get("type") == "search"}
    assert ("more-scores-filter" in fields) == filtered


def test_the_sample_has_every_kind_of_block() -> None:
    from segfit.report import blocks

    kinds = {type(block).__name__ for section in sections() for block in [*section.blocks, *flat(section.blocks)]}
    assert kinds == {"Paragraph", "Bullets", "Table", "Figures", "Pictures", "Slider", "Commands", "Fold"}
    assert kinds == {kind.__name__ for kind in blocks.Block.__args__}
    assert drawing("x").name == "x"
    assert Table in {type(block) for block in flat(sections()[0].blocks)}


# --- what goes with a run --------------------------------------------------------------------------------------------


def test_a_figure_of_one_run_goes_with_it(report: Report) -> None:
    drawings = (replace(drawing("one"), runs=(2,)), replace(drawing("other"), runs=(1, 0)), drawing("none"))
    page = page_of(report, Figures(drawings=drawings))
    owners = {
        attrs["class"]: attrs.get("data-run") for attrs in page.all("figure") if "plot" in str(attrs.get("class"))
    }
    assert owners["plot one"] == "2"
    assert owners["plot other"] == "1 0"
    assert owners["plot none"] is None


def test_a_row_that_begins_with_two_runs_is_about_both(report: Report) -> None:
    rows = (
        (Cell("a", run=0), Cell("b", run=2), Cell("c")),
        (Cell("a", run=1), Cell("d"), Cell("b", run=2)),
        (Cell("d"), Cell("b", run=2), Cell("")),
    )
    columns = tuple(Column(title=title, number=False) for title in "ABC")
    page = page_of(report, Table(name="p", caption="", columns=columns, rows=rows))
    assert [row.get("data-run") for row in page.all("tr")][-3:] == ["0 2", "1", None]


# --- lines and lists -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "text", ["95 % interval", "1 h 32 min", "12 min 30 s", "4.6 GB", "31.0 M", "5 seeds", "0.04 %"]
)
def test_numbers_stay_with_their_units(text: str, report: Report) -> None:
    assert tied(f"x {text}, y") == f"x {text.replace(' ', NBSP)}, y"
    cell = Table(name="t", caption=text, columns=(Column(title=text),), rows=((Cell(text, 1.0),),))
    page = page_of(report, Paragraph(text), Bullets((text,)), cell)
    assert page.text.count(text.replace(" ", NBSP)) == 5


@pytest.mark.parametrize("text", ["8 classic", "4 hours", "2 B-trees", "6 sections", "5 minutes", "a 1 b"])
def test_other_words_are_parted(text: str) -> None:
    assert tied(text) == text


def test_commands_are_typed_with_spaces(report: Report) -> None:
    command = "segfit train x --note '5 min'"
    assert command in page_of(report, Commands((Command(title="a", command=command),))).text


def test_a_list_without_items_is_none(page: Page) -> None:
    lists = [attrs for attrs in page.all("ul") if attrs.get("class") == "facts"]
    assert len(lists) == 1


def test_the_contents_of_several_groups_are_short(tmp_path: Path) -> None:
    links = [attrs["href"] for attrs in Page(html(sample_report(tmp_path, 2))).all("a")]
    # At the side the groups and what is about all runs; each group's sections stand under its headline.
    own = [[f"#{name}-{part}" for name in ("numbers", "words", "images", "commands")] for part in (1, 2)]
    assert links == ["#content", "#part-1", "#part-2", "#published", *own[0], *own[1]]


def test_the_kicker_counts_those_that_compete(tmp_path: Path) -> None:
    fakes = [Fake(name=f"unet-{seed}", seed=seed, history=seed, images=6, epochs=2) for seed in range(3)]
    other = Fake(name="other", images=6, epochs=2, changes={"model.width": 16})
    paths = [write_run(tmp_path / fake.name, fake) for fake in [*fakes, other]]
    for runs, words in (
        (paths, "Comparison of 4 runs (2 entrants)"),
        (paths[:3], "Comparison of 3 runs (1 entrant)"),
        (paths[2:], "Comparison of 2 runs\n"),
        (paths[:1], "One run\n"),
    ):
        comparison = compare(runs)
        head = Headline(title="", sentences=())
        part = Part(number=1, analysis=comparison.analyses[0], headline=head, sections=())
        assert words in Page(html(Report(comparison=comparison, parts=(part,), across=()))).text
