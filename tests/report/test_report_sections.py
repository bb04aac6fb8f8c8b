"""The sections of results, circumstances and commands."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from run_folders import STUDY, Fake, edit_json, write_run
from segfit import units
from segfit.comparison.analysis import Analysis
from segfit.comparison.comparing import compare
from segfit.report.blocks import Bullets, Commands, Fold, Paragraph, Table
from segfit.report.sections.again import OPENED, again
from segfit.report.sections.measured import measured
from segfit.report.sections.results import results


def analysis_of(folder: Path, *fakes: Fake) -> Analysis:
    (group,) = compare([write_run(folder / fake.name, replace(fake, images=3)) for fake in fakes]).groups
    return Analysis(group)


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> Analysis:
    return analysis_of(tmp_path_factory.mktemp("study"), *STUDY)


def table_of(analysis: Analysis) -> Table:
    table = results(analysis).blocks[0]
    assert isinstance(table, Table)
    return table


def test_results_are_best_first_with_raw_values_beneath(study: Analysis) -> None:
    table = table_of(study)
    titles = [column.title for column in table.columns]
    assert len(table.rows) == len(STUDY)
    for row, cells in zip(study.group.rows, table.rows, strict=True):
        shown = dict(zip(titles, cells, strict=True))
        assert row.run is not None
        assert shown["Run"].text == row.name
        assert shown["Run"].run == row.number
        assert shown["Model"].text == row.run.recipe.model.name
        for title, value in {
            "Epochs": row.run.training.epochs,
            "Batch": row.run.training.batch,
            "Classes": 8,
            "Memory": row.run.training.memory,
            "Time": row.run.training.seconds,
            "Dice": row.scores.dice,
            "mIoU": row.scores.miou,
            "Pixel acc.": row.scores.pixel_accuracy,
            "Params": row.run.training.parameters,
            "Images/s": row.run.training.images_per_second,
        }.items():
            assert shown[title].value == value, title
        assert shown["Memory"].text == units.memory(row.run.training.memory)
    dice = titles.index("Dice")
    scores = [cells[dice].value for cells in table.rows]
    assert scores == sorted(scores, reverse=True)  # type: ignore[type-var]


def test_the_baseline_stands_apart_and_costs_nothing(study: Analysis) -> None:
    table = table_of(study)
    assert table.footer is not None
    footer = dict(zip([column.title for column in table.columns], table.footer, strict=True))
    assert footer["Run"].text == "majority class"
    assert footer["Dice"].value == study.group.baseline.scores.dice
    assert footer["Memory"] == footer["Time"] == replace(footer["Memory"], text="", value=None)


def test_the_caption_names_the_protocol_and_the_metric_that_sorts_comes_first(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, Fake(score="miou"))
    table = table_of(analysis)
    assert table.caption == analysis.group.protocol.describe()
    titles = [column.title for column in table.columns]
    assert titles.index("mIoU") + 1 == titles.index("Dice")


def test_boundaries_have_a_column_where_they_were_measured(study: Analysis, tmp_path: Path) -> None:
    assert "Boundary IoU" not in [column.title for column in table_of(study).columns]
    path = write_run(tmp_path / "run", Fake(images=3))
    edit_json(path / "metrics.json", "evaluation", "scores", "boundary_iou", value=0.25)
    (group,) = compare([path]).groups
    table = table_of(Analysis(group))
    place = [column.title for column in table.columns].index("Boundary IoU")
    assert table.rows[0][place].text == "0.250"


def test_only_circumstances_that_differ_are_listed(tmp_path: Path) -> None:
    paths = [write_run(tmp_path / name, Fake(name=name, images=3)) for name in "ab"]
    (group,) = compare(paths).groups
    (sentences,) = measured(Analysis(group)).blocks
    assert isinstance(sentences, Bullets)
    assert any("TP" in item for item in sentences.items)
    edit_json(paths[1] / "environment.json", "torch", value="2.11.0")
    edit_json(paths[1] / "environment.json", "dataset", "fingerprint", value="ffff")
    (group,) = compare(paths).groups
    _, table = measured(Analysis(group)).blocks
    assert isinstance(table, Table)
    assert [column.title for column in table.columns] == ["Run", "torch", "Data"]
    rows = {cells[0].text: [cell.text for cell in cells[1:]] for cells in table.rows}
    assert rows == {"a": ["2.15.0", "9b1c"], "b": ["2.11.0", "ffff"]}


def test_every_run_can_be_run_again(study: Analysis) -> None:
    (commands,) = again(study).blocks
    assert isinstance(commands, Commands)
    for row, command in zip(study.group.rows, commands.commands, strict=True):
        assert command.title == row.name
        assert command.run == row.number
        assert command.command == f"segfit train paper/{row.name} data.root=ade20k train.seed=0"
        for words in (
            "Seed 0",
            "800 training and 200 validation images",
            "fingerprint 9b1c",
            "torch 2.15.0",
            "1f2e3d4c",
        ):
            assert words in command.remark


def test_the_commands_of_many_runs_are_folded_away(tmp_path: Path) -> None:
    analysis = analysis_of(tmp_path, *(Fake(name=f"run-{i}", epochs=2) for i in range(OPENED + 1)))
    (fold,) = again(analysis).blocks
    assert isinstance(fold, Fold)
    assert isinstance(fold.blocks[0], Commands)
    assert len(fold.blocks[0].commands) == OPENED + 1


def test_what_the_means_over_seeds_are_of_is_said(tmp_path: Path) -> None:
    seeds = [Fake(name=f"unet-{seed}", seed=seed, history=seed, epochs=2) for seed in range(3)]
    paths = [write_run(tmp_path / fake.name, replace(fake, images=12)) for fake in [*seeds, Fake(name="other")]]
    (analysis,) = compare(paths[:3]).analyses
    notes = [block.text for block in results(analysis).blocks if isinstance(block, Paragraph)]
    (said,) = [note for note in notes if "on average over 3 seeds" in note]
    assert all(f"unet-{seed}" in said for seed in range(3))
    (analysis,) = compare(paths[:1]).analyses
    assert not any("on average" in str(block) for block in results(analysis).blocks)


@pytest.mark.parametrize(
    ("how", "split", "said"),
    [("greedy", "validation", True), ("learned", "validation", True), ("uniform", "validation", False),
     ("greedy", "training", False)],
)  # fmt: skip
def test_a_soup_that_was_chosen_on_these_images_is_named(tmp_path: Path, how: str, split: str, said: bool) -> None:
    paths = [write_run(tmp_path / name, Fake(name=name, images=3)) for name in ("soup", "unet")]
    (paths[0] / "soup.json").write_text(json.dumps({"how": how, "split": split}))
    (analysis,) = compare(paths).analyses
    bullets = measured(analysis).blocks[0]
    assert isinstance(bullets, Bullets)
    wanted = "soup is an average of trainings that was chosen on the same images that are scored here"
    assert any(item.startswith(wanted) for item in bullets.items) == said
