import base64
import hashlib
import re
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from report_pages import NASTY, Page, drawing, sample_report, sections, table

from segfit.report.blocks import Section, Table
from segfit.report.content import flat
from segfit.report.html import MANY, html


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return html(sample_report(tmp_path_factory.mktemp("runs")))


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
        assert page.text.count(name) >= 2
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
    assert all(svg["aria-label"] == f"Lines of {NASTY[0]}." and svg["role"] == "img" for svg in figures)
    drawn = "".join(re.findall(r'<svg[^>]*role="img".*?</svg>', source, re.DOTALL))
    assert "var(--run-0)" in drawn
    assert drawn.count('data-run="1"') == 2
    assert not re.search(r"#[0-9a-f]{6}\b", drawn)


@pytest.mark.parametrize(("count", "filtered"), [(MANY, False), (MANY + 1, True)])
def test_a_long_table_can_be_filtered(tmp_path: Path, count: int, filtered: bool) -> None:
    rows = [(f"class {number}", 0.5, number) for number in range(count)]
    section = Section(name="long", title="Long", blocks=[replace(table(rows), filterable=False)])
    report = replace(sample_report(tmp_path), across=(section,))
    fields = {attrs["id"] for attrs in Page(html(report)).all("input") if attrs.get("type") == "search"}
    assert ("long-scores-filter" in fields) == filtered


def test_the_sample_has_every_kind_of_block() -> None:
    from segfit.report import blocks

    kinds = {type(block).__name__ for section in sections() for block in [*section.blocks, *flat(section.blocks)]}
    assert kinds == {"Paragraph", "Bullets", "Table", "Figures", "Pictures", "Slider", "Commands", "Fold"}
    assert kinds == {kind.__name__ for kind in blocks.Block.__args__}
    assert drawing("x").name == "x"
    assert Table in {type(block) for block in flat(sections()[0].blocks)}
