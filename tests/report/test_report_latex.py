"""LaTeX as far as it can be checked without running it: braces, environments, columns, special characters."""

import re
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_pages import NASTY, sample_report, table

from segfit.comparison.formats import latex_row, latex_text
from segfit.report.latex import latex, latex_table

COMMANDS = {
    "textbackslash": "\\", "textasciitilde": "~", "textasciicircum": "^", "textless": "<", "textgreater": ">",
    "textbar": "|", "dots": "\u2026", "textperiodcentered": "\u00b7",
}  # fmt: skip
SUPERSCRIPTS = "\u2070\u00b9\u00b2\u00b3\u2074\u2075\u2076\u2077\u2078\u2079"


def typeset(source: str) -> str:
    """Return what a reader sees of escaped text."""
    source = re.sub(r"\\textsuperscript\{(\d)\}", lambda found: SUPERSCRIPTS[int(found[1])], source)
    source = re.sub(r"\\([a-zA-Z]+)\{\}", lambda found: COMMANDS[found[1]], source)
    source = source.replace("{[}", "[").replace("{*}", "*")
    return re.sub(r"\\([&%$#_{}])", r"\1", source)


def balanced(source: str) -> bool:
    depth = 0
    for char in re.sub(r"\\[{}\\%&$#_]", "", source):
        depth += (char == "{") - (char == "}")
        if depth < 0:
            return False
    return depth == 0


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> str:
    return latex(sample_report(tmp_path_factory.mktemp("runs")))


@given(st.text(alphabet=st.characters(max_codepoint=0x7E, min_codepoint=0x20), max_size=40))
def test_escaped_text_reads_as_it_was(text: str) -> None:
    source = latex_text(text)
    assert typeset(source) == " ".join(text.split())
    assert balanced(source)
    assert not re.search(r"(?<!\\)[&%$#_]", source)


def test_a_row_can_begin_with_a_bracket_or_a_star() -> None:
    # After the two backslashes of the row before, TeX would read either as an argument.
    for text in ("[1] net", "*best*"):
        assert latex_row((text, "")).strip()[0] == "{"


def test_braces_and_environments_are_closed(source: str) -> None:
    body = re.sub(r"^%.*$", "", source, flags=re.MULTILINE)
    assert balanced(body)
    opened: list[str] = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", body):
        if kind == "begin":
            opened.append(name)
        else:
            assert opened.pop() == name
    assert opened == []
    assert body.count(r"\begin{document}") == body.count(r"\end{document}") == 1


def test_tables_have_as_many_cells_in_every_row(source: str) -> None:
    tables = re.findall(r"\\begin\{longtable\}\{@\{\}([lr]+)@\{\}\}(.*?)\\end\{longtable\}", source, re.DOTALL)
    assert [layout for layout, _ in tables] == ["lrrr", "l"]
    for layout, body in tables:
        assert body.count(r"\toprule") == body.count(r"\bottomrule") == 1
        rows = [line for line in body.splitlines() if line.endswith(r"\\") and not line.strip().startswith(r"\caption")]
        assert len(rows) >= 2
        for row in rows:
            assert len(re.findall(r"(?<!\\)&", row)) == len(layout) - 1


def test_a_table_alone_can_be_put_into_a_paper() -> None:
    source = latex_table(table())
    assert source.startswith("% needs")
    assert r"\begin{tabular}{lrrr}" in source
    assert "  alpha & 0.500 & 2 & 7 \\\\" in source
    assert r"  beta & -- & 10 & 7 \\" in source
    assert "\n  all & 0.6 & 122 &  \\\\\n" in source
    assert source.endswith(f"\\end{{tabular}}\n\\par\\smallskip{{\\footnotesize {latex_text(table().caption)}\\par}}\n")
    assert table().caption


def test_all_names_are_there(source: str) -> None:
    for name in NASTY:
        assert latex_text(name) in source
    assert r"\title{" + latex_text(f"{NASTY[0]} wins") in source
    assert r"\item {}{[}second] item" in source


def test_commands_keep_their_dashes_and_quotes(source: str) -> None:
    quote, double, tick = r"\textquotesingle{}", r"\textquotedbl{}", r"\textasciigrave{}"
    assert f"segfit train a {quote}b{quote} {{-}}{{-}}x={double}1{double} {tick}c{tick}" in source


def test_figures_and_pictures_are_included(source: str) -> None:
    included = re.findall(r"\\includegraphics\[[^]]*\]\{([^}]+)\}", source)
    assert included == [
        "figures/lines.pdf",
        "figures/more-lines.pdf",
        "pictures/images-row-1.jpg",
        "pictures/images-row-2.png",
        *(f"pictures/images-view-{number}.jpg" for number in (1, 2, 3)),
    ]


def test_groups_are_one_step_below(tmp_path: Path) -> None:
    source = latex(sample_report(tmp_path, 2))
    assert source.count(r"\section*{") == 2 + 1
    assert source.count(r"\subsection*{") == 2 * 4
