import shutil
from pathlib import Path

import pytest

from segfit.curation.opening import open_dataset
from segfit.errors import DataError
from segfit.folder import RunFolder


@pytest.fixture
def folder(scenes: Path, tmp_path: Path) -> Path:
    """The scenes as a folder dataset with splits of unusual names."""
    for kind, name in (("images", "images"), ("annotations", "masks")):
        shutil.copytree(scenes / kind / "training", tmp_path / name / "holdout")
        shutil.copytree(scenes / kind / "validation", tmp_path / name / "train")
    (tmp_path / "classes.txt").write_text("\n".join(f"class {i}" for i in range(151)))
    return tmp_path


def test_a_folder_in_the_layout_of_ade20k(scenes: Path) -> None:
    opened = open_dataset(scenes)
    assert opened.recipe.data.name == "ade20k"
    assert opened.splits == ("training", "validation")
    assert (opened.recipe.data.train, opened.recipe.data.validation) == opened.splits


def test_a_folder_of_images_and_masks(folder: Path) -> None:
    opened = open_dataset(folder, ["data.first=0"])
    assert opened.recipe.data.name == "folder"
    assert opened.splits == ("holdout", "train")
    assert opened.recipe.data.train == "train"
    assert len(opened.source.records("holdout")) == 12


def test_chosen_splits_are_the_ones_that_count(folder: Path) -> None:
    opened = open_dataset(folder, ["data.validation=holdout"])
    assert opened.splits == ("train", "holdout")


def test_the_kind_can_be_said(folder: Path) -> None:
    (folder / "masks").rename(folder / "annotations")
    opened = open_dataset(folder, ["data.name=folder", "data.masks=annotations"])
    assert opened.recipe.data.name == "folder"
    assert opened.source.splits() == ["holdout", "train"]


def test_a_run_means_what_it_was_trained_on(trained: Path, scenes: Path) -> None:
    opened = open_dataset(trained)
    assert opened.recipe.data == RunFolder(trained).recipe().data
    assert opened.recipe.data.root == scenes
    assert opened.splits == ("training", "validation")


def test_a_recipe_with_overrides(scenes: Path) -> None:
    opened = open_dataset("paper/unet-10", [f"data.root={scenes}"])
    assert opened.recipe.augment.preset == "paper"
    assert len(opened.source.records("validation")) == 5


def test_a_list_file_of_the_present_folder_is_kept_by_its_full_path(
    scenes: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "few.txt").write_text("ADE_train_00000002\nADE_train_00000005.jpg\n")
    monkeypatch.chdir(tmp_path)
    opened = open_dataset(scenes, ["data.train=few.txt"])
    assert opened.recipe.data.train == str(tmp_path / "few.txt")
    assert [record.id for record in opened.source.records(opened.recipe.data.train)] == [
        "training/ADE_train_00000002",
        "training/ADE_train_00000005",
    ]


def test_what_is_no_dataset_is_said(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"not a dataset .*data\.name=folder"):
        open_dataset(tmp_path)
    with pytest.raises(DataError, match="no such folder, run or recipe .did you mean 'paper/unet-10'"):
        open_dataset("paper/unet-11")
    with pytest.raises(DataError, match="no dataset is named"):
        open_dataset("")


def test_an_override_of_training_needs_no_more_than_itself(scenes: Path) -> None:
    opened = open_dataset(scenes, ["train.seed=3"])
    assert (opened.recipe.train.seed, opened.recipe.train.epochs) == (3, 10)
    assert open_dataset(scenes, ["train.steps=7"]).recipe.train.epochs is None


def test_the_limits_of_the_recipe_hold_for_its_splits(scenes: Path) -> None:
    opened = open_dataset(scenes, ["data.limit_train=3", "data.limit_validation=2"])
    both = [opened.records(split) for split in opened.splits]
    assert both == [opened.source.records("training")[:3], opened.source.records("validation")[:2]]
    assert opened.used() == both[0] + both[1]
    # Of one split for both, what is looked at is what is learnt.
    same = open_dataset(scenes, ["data.validation=training", "data.limit_train=3", "data.limit_validation=2"])
    assert len(same.records("training")) == 3
    assert len(same.used()) == 5
    assert len(same.records("validation")) == 5


def test_a_split_without_images_is_refused(scenes: Path, tmp_path: Path) -> None:
    (tmp_path / "none.txt").write_text("")
    opened = open_dataset(scenes)
    with pytest.raises(DataError):
        opened.records(str(tmp_path / "none.txt"))
    with pytest.raises(DataError, match="no split"):
        opened.records("nowhere")
