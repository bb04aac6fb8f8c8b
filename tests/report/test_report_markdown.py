import re
from dataclasses import replace
from pathlib import Path

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token
from report_pages import NASTY, drawing, sample_report

from segfit.comparison.formats import markdown_text
from segfit.report.blocks import Figures, Section
from segfit.report.files import Place
from segfit.report.markdown import WRITERS, markdown


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    return markdown(sample_report(tmp_path_factory.mktemp("runs")))


def unescaped(text: str) -> str:
    return re.sub(r"\\([^A-Za-z0-9\s])", r"\1", text)


def cells(line: str) -> list[str]:
    """Split a row of a table at the bars that are not escaped."""
    return re.split(r"(?<!\\)\|", line.strip())[1:-1]


def test_sections_are_headings_in_order(text: str) -> None:
    headings = [(len(marks), unescaped(title)) for marks, title in re.findall(r"^(#+) (.*)$", text, re.MULTILINE)]
    assert headings == [
        (1, f"{NASTY[0]} wins"),
        (2, f"Numbers of {NASTY[0]}"),
        (2, "Words"),
        (2, "Images"),
        (3, "A row"),
        (3, "A view"),
        (2, "Commands"),
        (3, NASTY[0]),
        (2, "Published"),
    ]


def test_groups_are_one_step_below_the_report(tmp_path: Path) -> None:
    text = markdown(sample_report(tmp_path, 2))
    levels = [len(marks) for marks in re.findall(r"^(#+) ", text, re.MULTILINE)]
    assert levels.count(1) == 1
    assert levels.count(2) == 2 + 1
    assert levels.count(3) == 2 * 4
    assert "were not scored alike" in text
    assert "figures/lines.svg" in text
    assert "figures/2/lines.svg" in text


def test_tables_have_as_many_cells_in_every_row(text: str) -> None:
    blocks = [block.splitlines() for block in text.split("\n\n") if block.startswith("|")]
    assert len(blocks) == 4
    for block in blocks:
        assert len({len(cells(line)) for line in block}) == 1
        assert all(re.fullmatch(r" *-+:? *", cell) for cell in cells(block[1]))
    scores = [[unescaped(cell).strip() for cell in cells(line)] for line in blocks[0]]
    assert scores[0] == ["Class", "Score", "Count", NASTY[2]]
    assert scores[2] == ["alpha", "0.500", "2", "7"]
    assert scores[3] == ["beta", "\u2013", "10", "7"]
    assert scores[-1] == ["*all*", "*0.6*", "*122*", ""]


def test_names_are_no_markup(text: str) -> None:
    outside = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
    assert not re.search(r"(?<!\\)<(?!/?(details|summary)\b)", outside)
    for name in NASTY:
        assert markdown_text(name) in text
    assert "\\# no heading" in text


@pytest.mark.parametrize("name", [*NASTY, "a](b)", "![x](y)", "[a]: b", "]", "\\"])
def test_links_and_pictures_hold_any_name(name: str) -> None:
    link = Figures(drawings=(replace(drawing("lines"), alt=name),))
    place = Place(section=Section(name="s", title="S"), part=1, level=2)
    (image,) = [token for token in tokens(WRITERS[Figures](link, place)) if token.type == "image"]
    assert image.attrs["src"] == "figures/lines.svg"
    # A reader of Markdown renders the alternative text from the tokens in it.
    assert "".join(child.content for child in image.children or ()) == " ".join(name.split())
    assert all(child.type in {"text", "text_special"} for child in image.children or ())


def tokens(text: str) -> list[Token]:
    found = MarkdownIt("commonmark").enable("table").parse(text)
    return [child for token in found for child in (token.children or [token])]


def test_every_picture_is_one_to_a_reader_of_markdown(text: str) -> None:
    images = [token for token in tokens(text) if token.type == "image"]
    assert len(images) == 2 + 5
    assert [token for token in tokens(text) if token.type == "link_open"] == []


def test_folds_can_be_opened(text: str) -> None:
    assert text.count("<details>\n<summary>More of &lt;script&gt;") == 1
    assert text.count("</details>") == 1


def test_commands_are_typed_as_they_are(text: str) -> None:
    assert "```sh\nsegfit train a 'b' --x=\"1\" `c`\n```" in text


def test_pictures_are_linked_side_by_side(text: str) -> None:
    links = re.findall(r"!\[(.*?)\]\((pictures/[^)]+)\)", text)
    assert [link for _, link in links] == [
        "pictures/images-row-1.jpg",
        "pictures/images-row-2.png",
        "pictures/images-view-1.jpg",
        "pictures/images-view-2.jpg",
        "pictures/images-view-3.jpg",
    ]
    assert unescaped(links[1][0]) == NASTY[0]
    assert "(3 %)" in text
    assert "A remark." in text
