"""LaTeX: braces, environments, columns and special characters, and that it compiles where there is a compiler."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from report_pages import NASTY, sample_report, table

from segfit.comparison.formats import latex_row, latex_text
from segfit.report.blocks import Cell, Column, Section, Table
from segfit.report.files import Place
from segfit.report.latex import WRITERS, latex, latex_table
from segfit.report.write import _files, _write_files

PDFLATEX = shutil.which("pdflatex")
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


def test_a_list_without_items_is_none(source: str) -> None:
    assert source.count(r"\begin{itemize}") == 1
    assert r"\begin{itemize}" + "\n" + r"\end{itemize}" not in source
    assert "\n\n\n" not in source


def test_pictures_fit_on_a_page(source: str) -> None:
    options = re.findall(r"\\includegraphics\[([^]]*)\]", source)
    assert options
    assert all("height=0.9\\textheight,keepaspectratio" in option for option in options)


# --- width -----------------------------------------------------------------------------------------------------------

POINTS = {"normalsize": 10, "small": 9, "footnotesize": 8, "scriptsize": 7}
LINE = (210 - 2 * 20) / 25.4 * 72.27
"""Width of the text, in TeX's points."""


def wide(columns: int, characters: int) -> Table:
    titles = tuple(f"{number}".rjust(characters, "x") for number in range(columns))
    cells = tuple(Cell(f"{number}".rjust(characters, "0"), number) for number in range(columns - 1))
    return Table(
        name="wide",
        caption="Wide",
        columns=tuple(Column(title=title, number=bool(place)) for place, title in enumerate(titles)),
        rows=((Cell("n" * characters), *cells),),
        footer=(Cell("all"), *(Cell("") for _ in cells)),
    )


def parts_of(block: Table) -> list[tuple[str, str, list[list[str]]]]:
    """Return type size, layout and rows of each table that a block became."""
    source = WRITERS[Table](block, Place(section=Section(name="s", title="S"), part=1, level=2))
    pattern = r"\{\\(\w+)\\setlength.*?\\begin\{longtable\}\{@\{\}(.+?)@\{\}\}\n(.*?)\\end\{longtable\}"
    found = re.findall(pattern, source, re.DOTALL)
    rows = [[line.strip()[:-3].split(" & ") for line in body.splitlines() if " & " in line] for _, _, body in found]
    return [(size, layout, own) for (size, layout, _), own in zip(found, rows, strict=True)]


@pytest.mark.parametrize(("columns", "characters"), [(3, 8), (8, 9), (10, 9), (12, 9), (14, 12), (26, 12), (4, 60)])
def test_no_table_is_wider_than_the_page(columns: int, characters: int) -> None:
    block = wide(columns, characters)
    parts = parts_of(block)
    for size, layout, rows in parts:
        em = POINTS[size]
        columns_of = list(zip(*rows, strict=True))
        wrapped = layout.count("p{21em}")
        assert len(re.sub(r">\{.*?\}p\{21em\}", "p", layout)) == len(columns_of)
        # Half an em a character, as wide as the digits of the type, and an em between columns.
        plain = sum(max(map(len, texts)) for texts in columns_of) if not wrapped else 0
        assert 0.5 * em * plain + 21 * em * wrapped + em * (len(columns_of) - 1) <= LINE
    # Nothing is lost, and every part says whose its rows are.
    assert all(rows[1][0] == "n" * characters for _, _, rows in parts)
    shown = [title for number, (_, _, rows) in enumerate(parts) for title in rows[0][bool(number) :]]
    assert shown == [column.title for column in block.columns]


@pytest.mark.skipif(PDFLATEX is None, reason="no pdflatex on PATH")
def test_latex_takes_it_and_nothing_is_too_wide(tmp_path: Path) -> None:
    report = sample_report(tmp_path / "runs")
    long = Cell("words that go on for more than a line " * 2)
    columns = tuple(Column(title=title, number=False) for title in "ABCD")
    tables = (
        *(replace(wide(*shape), name=f"t{place}") for place, shape in enumerate(((8, 8), (9, 11), (26, 12)))),
        Table(name="long", caption="Long", columns=columns, rows=((long, Cell("short"), long, long),)),
    )
    report = replace(report, across=(Section(name="more", title="More", blocks=tables),))
    folder = _write_files(_files(report), tmp_path / "paper")
    assert PDFLATEX is not None
    command = [PDFLATEX, "-interaction=nonstopmode", "-halt-on-error", "-no-shell-escape", "report.tex"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stdout[-2000:]
    assert (folder / "report.pdf").is_file()
    log = done.stdout
    assert "Overfull \\hbox" not in log, log[log.index("Overfull") :][:200]


def test_a_table_that_is_split_is_split_evenly() -> None:
    counts = [len(rows[0]) for _, _, rows in parts_of(wide(14, 9))]
    assert len(counts) == 2
    assert max(counts) - min(counts) <= 1


def test_a_narrow_table_is_large() -> None:
    ((size, layout, _),) = parts_of(wide(3, 8))
    assert (size, layout) == ("normalsize", "lrr")
    sizes = [parts_of(wide(*shape))[0][0] for shape in ((8, 8), (8, 9), (8, 11), (9, 11))]
    assert sizes == ["normalsize", "small", "footnotesize", "scriptsize"]


def test_groups_are_one_step_below(tmp_path: Path) -> None:
    source = latex(sample_report(tmp_path, 2))
    assert source.count(r"\section*{") == 2 + 1
    assert source.count(r"\subsection*{") == 2 * 4
