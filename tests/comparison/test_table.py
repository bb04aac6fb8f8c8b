import csv
import io
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from run_folders import STUDY, Fake, edit_json, write_run
from segfit import units
from segfit.comparison.comparing import Comparison, compare, grid
from segfit.comparison.table import BASELINE
from segfit.errors import RunError


def runs(folder: Path, *fakes: Fake) -> list[Path]:
    return [write_run(folder / str(number), fake) for number, fake in enumerate(fakes)]


@pytest.fixture
def study(tmp_path: Path) -> Comparison:
    return compare(runs(tmp_path, *STUDY))


def shown(comparison: Comparison, width: int = 160) -> str:
    console = Console(width=width, file=io.StringIO(), force_terminal=False)
    console.print(comparison.to_rich())
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert isinstance(text, str)
    return text


def test_rows_fall_by_score_and_keep_their_number(study: Comparison) -> None:
    (group,) = study.groups
    scores = [row.score("dice") for row in group.rows]
    assert scores == sorted(scores, reverse=True)
    assert [STUDY[row.number].name for row in group.rows] == [row.name for row in group.rows]
    assert group.baseline.name == BASELINE
    assert study.warning is None


def test_another_score_sorts_and_leads(tmp_path: Path) -> None:
    (analysis,) = compare(runs(tmp_path, *(replace(fake, score="miou") for fake in STUDY))).analyses
    titles = grid(analysis).titles
    assert titles.index("mIoU") < titles.index("Dice")
    assert grid(analysis).body[0][titles.index("mIoU")] == units.score(analysis.group.rows[0].scores.miou)


def test_equal_scores_sort_by_name(tmp_path: Path) -> None:
    folders = runs(tmp_path, Fake(name="b"), Fake(name="a"))
    shutil.copyfile(folders[0] / "metrics.json", folders[1] / "metrics.json")
    (group,) = compare(folders).groups
    assert [row.name for row in group.rows] == ["a", "b"]


@pytest.mark.parametrize(
    ("changed", "word"),
    [
        ({"resize": "short-side"}, "the input sizes"),
        ({"window": "sliding"}, "the windows"),
        ({"top": 4}, "the classes"),
        ({"top": 4, "rest": "other"}, "the treatment of the other classes"),
        ({"images": 199}, "the annotated pixels"),
        ({"score": "miou"}, "the sorting metrics"),
        ({"data": {"name": "ade20k", "root": "missing"}}, "the datasets"),
    ],
)
def test_runs_scored_differently_are_not_ranked_together(tmp_path: Path, changed: dict[str, object], word: str) -> None:
    other = replace(Fake(name="other", quality=0.9), **changed)  # type: ignore[arg-type]
    comparison = compare(runs(tmp_path, Fake(), Fake(name="again", quality=0.5), other))
    assert [len(group.rows) for group in comparison.groups] == [2, 1]
    assert comparison.warning is not None
    assert word in comparison.warning
    for text in (comparison.to_markdown(), comparison.to_latex(), comparison.to_json(), shown(comparison, 400)):
        assert comparison.warning in text


def test_costs_do_not_split_a_comparison_but_are_noted(tmp_path: Path) -> None:
    cpu = Fake(name="cpu", memory_kind="resident in RAM", device_name="EPYC", seed=1)
    (group,) = compare(runs(tmp_path, Fake(), cpu)).groups
    assert any("measured differently" in note and "resident in RAM" in note for note in group.notes)
    assert any("2 x EPYC, 2 x Tesla T4" in note for note in group.notes)


@pytest.mark.parametrize(
    ("top", "rest", "text"),
    [
        (None, "ignore", "8"),
        (4, "ignore", "4"),
        (4, "other", "4 + other"),
        (4, "most-common", "4 (rest merged)"),
        (None, "other", "8"),
    ],
)
def test_classes_cell(tmp_path: Path, top: int | None, rest: str, text: str) -> None:
    (analysis,) = compare(runs(tmp_path, Fake(top=top, rest=rest))).analyses
    shown_grid = grid(analysis)
    assert shown_grid.body[0][shown_grid.titles.index("Classes")] == text


def test_equal_names_are_told_apart_by_folder(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / a / b, Fake(seed=i)) for i, (a, b) in enumerate([("x", "r"), ("y", "r"), ("y", "s")])]
    (group,) = compare(paths).groups
    assert {row.name for row in group.rows} == {"unet-8 (x/r)", "unet-8 (y/r)", "unet-8 (s)"}


def test_csv_and_json_hold_raw_numbers(study: Comparison) -> None:
    rows = list(csv.DictReader(io.StringIO(study.to_csv())))
    assert [row["name"] for row in rows] == [*(row.name for row in study.groups[0].rows), BASELINE]
    assert rows[0]["rank"] == "1"
    assert rows[-1]["rank"] == ""
    best = study.groups[0].rows[0]
    assert best.run is not None
    assert int(rows[0]["memory"]) == best.run.training.memory
    assert float(rows[0]["seconds"]) == best.run.training.seconds
    assert float(rows[0]["dice"]) == best.scores.dice
    parsed = json.loads(study.to_json())
    assert [{key: "" if v is None else str(v) for key, v in row.items()} for row in parsed["groups"][0]["rows"]] == rows


def test_markdown_is_aligned_and_complete(study: Comparison) -> None:
    lines = [line for line in study.to_markdown().splitlines() if line.startswith("|")]
    assert len(lines) == 2 + len(STUDY) + 1
    assert len({len(line) for line in lines}) == 1
    assert len({line.count("|") for line in lines}) == 1
    assert BASELINE in lines[-1]
    assert "| 6 h 54 min |" in lines[2]


SPECIAL = r"a|b_c*d`<e>[f] & 100% #1 $x$ {y} ~ ^ \z"


def test_special_characters_survive_every_format(tmp_path: Path) -> None:
    comparison = compare(runs(tmp_path, Fake(name=SPECIAL)))
    row = next(line for line in comparison.to_markdown().splitlines() if r"a\|b" in line)
    assert re.sub(r"\\(.)", r"\1", re.split(r"(?<!\\)\|", row)[1].strip()) == SPECIAL
    latex = comparison.to_latex()
    assert r"a\textbar{}b\_c{*}d`\textless{}e\textgreater{}{[}f] \& 100\% \#1 \$x\$ \{y\}" in latex
    assert r"\textasciitilde{} \textasciicircum{} \textbackslash{}z" in latex
    assert SPECIAL in shown(comparison, 200)
    assert next(csv.DictReader(io.StringIO(comparison.to_csv())))["name"] == SPECIAL


def test_latex_rows_have_as_many_cells_as_columns(study: Comparison) -> None:
    latex = study.to_latex()
    columns = re.search(r"\\begin\{tabular\}\{([lr]+)\}", latex)
    assert columns is not None
    rows = [line for line in latex.splitlines() if line.endswith(r"\\")]
    assert {row.count(" & ") + 1 for row in rows} == {len(columns[1])}
    assert len(rows) == 1 + len(STUDY) + 1
    assert latex.count(r"\midrule") == 2


def test_a_narrow_terminal_keeps_the_numbers_and_says_what_it_leaves_out(study: Comparison) -> None:
    wide, narrow = shown(study, 160), shown(study, 80)
    assert "Params" in wide.splitlines()[2]
    assert "A wider terminal also shows 95 % interval, mIoU, Pixel acc., Params, Images/s." in narrow
    for row in grid(study.analyses[0]).body:
        assert all(text in narrow for text in row[:7])
    assert "…" not in narrow


def test_nothing_to_compare() -> None:
    with pytest.raises(RunError, match="name at least one"):
        compare([])


def test_a_run_named_twice(tmp_path: Path) -> None:
    (path,) = runs(tmp_path, Fake())
    with pytest.raises(RunError, match="named twice"):
        compare([path, tmp_path / "." / "0"])


def test_mixed_checkpoints_are_noted(tmp_path: Path) -> None:
    first, second = runs(tmp_path, Fake(), Fake(name="last", seed=2))
    edit_json(second / "metrics.json", "evaluation", "checkpoint", value="last")
    assert any("some at their last" in note for note in compare([first, second]).groups[0].notes)


# --- units -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        (units.memory(3_449_999_999), "3.4 GB"),
        (units.memory(32e9), "32.0 GB"),
        (units.memory(42_300_000), "42 MB"),
        (units.duration(4.21), "4.2 s"),
        (units.duration(9.99), "10 s"),
        (units.duration(59.6), "1 min 00 s"),
        (units.duration(3599.7), "1 h 00 min"),
        (units.duration(8 * 3600 + 5 * 60), "8 h 05 min"),
        (units.duration(129_590), "36 h 00 min"),
        (units.count(999), "999"),
        (units.count(999_960), "1.0 M"),
        (units.count(31_037_633), "31.0 M"),
        (units.rate(0.4213), "0.42"),
        (units.rate(9.996), "10.0"),
        (units.rate(99.96), "100"),
        (units.rate(1830.4), "1,830"),
        (units.share(0), "0 %"),
        (units.share(0.00001), "< 0.01 %"),
        (units.share(0.6087), "61 %"),
        (units.share(0.0995), "10 %"),
        (units.share(0.0318), "3.2 %"),
        (units.score(None), "\N{EN DASH}"),
    ],
)
def test_units(text: str, wanted: str) -> None:
    assert text == wanted


@given(seconds=st.floats(0, 1e6))
def test_durations_read_back(seconds: float) -> None:
    factors = {"h": 3600, "min": 60, "s": 1}
    parts = re.findall(r"([\d.,]+) (h|min|s)", units.duration(seconds))
    total = sum(float(number.replace(",", "")) * factors[unit] for number, unit in parts)
    assert abs(total - seconds) <= (30.5 if seconds >= 3599 else 0.51 if seconds >= 9.9 else 0.051)
    assert all(float(number) < 60 for number, unit in parts if unit != "h")


def test_intervals_and_the_verdict_stand_in_every_output(study: Comparison) -> None:
    statistics = study.analyses[0].statistics
    assert statistics is not None
    best = statistics.best.interval
    text = f"{units.score(best.low)}\N{EN DASH}{units.score(best.high)}"
    verdict = "Keep attention-unet-8: it is better than all 3 others"
    for output in (shown(study), study.to_markdown()):
        assert text in output
        assert verdict in output
    assert text.replace("\N{EN DASH}", "--") in study.to_latex()
    facts = json.loads(study.to_json())["groups"][0]
    assert facts["verdict"] == verdict
    assert facts["statistics"]["differences"][0]["better"] == "attention-unet-8"
    assert (facts["rows"][0]["low"], facts["rows"][0]["high"]) == (best.low, best.high)
    assert facts["rows"][-1]["low"] is None


def test_seeds_of_one_entrant_share_an_interval_and_a_note(tmp_path: Path) -> None:
    fakes = [Fake(name="a", seed=seed, history=seed) for seed in range(3)]
    comparison = compare(runs(tmp_path, *fakes, Fake(name="b", quality=0.3)))
    rows = json.loads(comparison.to_json())["groups"][0]["rows"]
    together = [row for row in rows if row["entrant"] == "a"]
    assert len(together) == 3
    assert len({(row["low"], row["high"]) for row in together}) == 1
    assert all(row["seed_spread"] > 0 for row in together)
    assert "a: 0." in shown(comparison)
    assert "on average over 3 seeds, 95 % interval" in shown(comparison)
    table = grid(comparison.analyses[0])
    column = table.titles.index("95 % interval")
    assert [row[column] == "" for row in table.body] == [True, True, True, False]


def test_without_records_there_is_a_reason_and_no_interval(tmp_path: Path) -> None:
    first, second = runs(tmp_path, Fake(name="a"), Fake(name="b", quality=0.3))
    (second / "per_image.parquet").unlink()
    comparison = compare([first, second])
    assert "95 % interval" not in grid(comparison.analyses[0]).titles
    assert "There are no intervals:" in shown(comparison)
    assert json.loads(comparison.to_json())["groups"][0]["statistics"] is None


def test_where_all_have_several_seeds_there_is_no_empty_column(tmp_path: Path) -> None:
    fakes = [Fake(name=f"{name}-{seed}", seed=seed, history=seed, batch=batch, images=30)
             for name, batch in (("a", 8), ("b", 16)) for seed in range(2)]  # fmt: skip
    comparison = compare(runs(tmp_path, *fakes))
    (analysis,) = comparison.analyses
    assert [len(entrant.rows) for entrant in analysis.entrants] == [2, 2]
    assert "95 % interval" not in grid(analysis).titles
    assert shown(comparison).count("on average over 2 seeds, 95 % interval") == 2
