"""Recipes and studies from files, names and overrides."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from segfit.config import build_recipe, load_recipe, load_study, merge, shipped, to_yaml
from segfit.errors import RecipeError

TABLE_I = {
    "paper/unet-150": (10, 8, None),
    "paper/unet-10": (50, 16, 10),
    "paper/attention-unet-10": (50, 32, 10),
    "paper/attention-unet-10-125": (125, 32, 10),
    "paper/attention-unet-10-200": (200, 32, 10),
    "paper/deeplabv3-10-scratch": (10, 10, 10),
    "paper/deeplabv3-10-pretrained": (50, 20, 10),
}


@pytest.mark.parametrize(("name", "row"), TABLE_I.items())
def test_paper_recipes_are_the_papers(name, row):
    recipe = load_recipe(name)
    assert (recipe.train.epochs, recipe.train.batch, recipe.labels.top) == row
    assert recipe.augment.size == (512, 512)
    assert recipe.augment.preset == "paper"
    assert (recipe.optim.name, recipe.optim.lr, recipe.optim.schedule) == ("adam", 1e-3, "constant")
    assert recipe.loss.name == "cross_entropy"
    assert recipe.model.options["normalize"] == "unit"


def test_the_paper_study_is_all_paper_recipes():
    assert [recipe.name for recipe in load_study("paper")] == [name.partition("/")[2] for name in TABLE_I]


@pytest.mark.parametrize("name", shipped("recipe"))
def test_shipped_recipes_survive_yaml(name, tmp_path):
    recipe = load_recipe(name)
    (tmp_path / "again.yaml").write_text(to_yaml(recipe))
    assert load_recipe(tmp_path / "again.yaml") == recipe


@pytest.mark.parametrize("name", shipped("study"))
def test_shipped_studies_load(name):
    assert len(load_study(name)) >= 3


def test_overrides_are_applied_in_order_with_yaml_values():
    recipe = load_recipe(
        "paper/unet-10",
        ["train.epochs=3", "optim.lr=3e-4", "train.epochs=4", "augment.size=[64, 32]", "labels.top=null"],
    )
    assert recipe.train.epochs == 4
    assert recipe.optim.lr == 3e-4
    assert recipe.augment.size == (64, 32)
    assert recipe.labels.top is None


def test_another_component_drops_the_options_of_the_one_it_replaces():
    recipe = load_recipe("paper/attention-unet-10", ["model.name=unet"])
    assert recipe.model.options == {}


def test_options_given_with_another_component_are_its_own_in_any_order():
    for overrides in (["model.name=unet", "model.width=8"], ["model.width=8", "model.name=unet"]):
        assert load_recipe("paper/attention-unet-10", overrides).model.options == {"width": 8}


def test_sections_that_are_no_components_keep_their_values_under_another_name():
    recipe = load_recipe("paper/unet-10", ["optim.name=sgd"])
    assert (recipe.optim.name, recipe.optim.schedule) == ("sgd", "constant")


def test_another_dataset_keeps_the_fields_that_all_datasets_have():
    recipe = build_recipe(
        {"data": {"name": "folder", "root": "/d", "train": "t", "suffix": "_m"}}, ["data.name=ade20k"]
    )
    assert (str(recipe.data.root), recipe.data.train, recipe.data.options) == ("/d", "t", {})


def test_steps_replace_epochs_only_when_both_are_said():
    recipe = load_recipe("paper/unet-10", ["train.epochs=null", "train.steps=7"])
    assert (recipe.train.epochs, recipe.train.steps) == (None, 7)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["train.epoch=3"], r"unknown key 'train\.epoch' \(did you mean 'epochs'\?\)"),
        (["trian.epochs=3"], r"unknown key 'trian' \(did you mean 'train'\?\)"),
        (["train.epochs"], r"'train\.epochs' is not an override: write section\.key=value"),
        (["train.epochs=0"], r"train\.epochs: input should be greater than 0 \(got 0\)"),
        (["optim.name=adm"], r"optim\.name: input should be 'adam', 'adamw' or 'sgd' \(got 'adm'\)"),
        (["train.steps=5"], r"train: give either epochs or steps"),
        (["train.accumulate=3"], r"train: batch 16 is not a multiple of accumulate 3"),
        (["augment.size=[1"], "the value is not valid YAML"),
    ],
)
def test_wrong_overrides_are_explained_in_one_line(overrides, message):
    with pytest.raises(RecipeError, match=message) as caught:
        load_recipe("paper/unet-10", overrides)
    assert "\n" not in str(caught.value)


def write(path, text):
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- a\n", "a recipe is a mapping of sections, not list"),
        ("train: {epochs: 3", "not valid yaml"),
        ("train: {epochs: 3, epochs: 4}\n", "key 'epochs' is given twice"),
        ("extends: paper/unet-12\n", r"no recipe is called 'paper/unet-12' \(did you mean 'paper/unet-10'\?\)"),
        ("extends: self.yaml\n", "extend one another in a circle"),
        ("!!python/object/apply:os.system ['true']\n", "not valid yaml"),
    ],
)
def test_wrong_files_are_explained(tmp_path, text, message):
    path = write(tmp_path / "self.yaml", text)
    with pytest.raises(RecipeError, match=message):
        load_recipe(path)


def test_missing_and_foreign_files(tmp_path):
    with pytest.raises(RecipeError, match=r"nowhere\.yaml: no such file"):
        load_recipe(tmp_path / "nowhere.yaml")
    with pytest.raises(RecipeError, match=r"a recipe ends in \.yaml, \.yml or \.json"):
        load_recipe(write(tmp_path / "recipe.txt", "{}"))
    (tmp_path / "binary.yaml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(RecipeError, match="cannot be read"):
        load_recipe(tmp_path / "binary.yaml")


def test_json_and_run_folders_are_recipes_too(tmp_path):
    recipe = load_recipe("paper/unet-10")
    (tmp_path / "recipe.json").write_text(json.dumps(recipe.model_dump(mode="json")))
    assert load_recipe(tmp_path / "recipe.json") == recipe
    assert load_recipe(tmp_path) == recipe


def test_a_study_lists_names_and_overrides(tmp_path):
    write(tmp_path / "base.yaml", "train: {epochs: 2}\n")
    study = write(
        tmp_path / "study.yaml",
        "- base.yaml\n- {recipe: base.yaml, name: longer, train.epochs: 5}\n"
        "- {recipe: paper/unet-10, train: {batch: 4}}\n",
    )
    runs = load_study(study, ["train.seed=3"])
    assert [(run.name, run.train.epochs) for run in runs] == [("base", 2), ("longer", 5), ("unet-10", 50)]
    assert runs[2].train.batch == 4
    assert {run.train.seed for run in runs} == {3}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe: paper/unet-10\n", "a study is a list of recipes"),
        ("[]\n", "a study is a list of recipes"),
        ("- {name: x}\n", "entry 1: write the recipe's name"),
        ("- paper/unet-10\n- paper/unet-10\n", "two runs are called 'unet-10'"),
        ("- {recipe: paper/unet-10, train: {epoch: 1}}\n", "entry 1: unknown key 'train.epoch'"),
    ],
)
def test_wrong_studies_are_explained(tmp_path, text, message):
    with pytest.raises(RecipeError, match=message):
        load_study(write(tmp_path / "study.yaml", text))


keys = st.sampled_from(["a", "b", "c"])
trees = st.recursive(st.integers(), lambda inner: st.dictionaries(keys, inner, max_size=3), max_leaves=6)
mappings = st.dictionaries(keys, trees, max_size=3)


@given(mappings, mappings)
def test_merge_keeps_what_is_not_overridden_and_takes_what_is(base, over):
    merged = merge(base, over)
    assert merge(merged, over) == merged
    assert merged.keys() == base.keys() | over.keys()
    assert merge(base, {}) == base
    assert all(merged[key] == value for key, value in base.items() if key not in over)


def test_building_from_dictionaries_equals_reading(tmp_path):
    tree = {"name": "x", "train": {"epochs": 2, "batch": 4}}
    write(tmp_path / "x.yaml", yaml.safe_dump(tree))
    assert build_recipe(tree) == load_recipe(tmp_path / "x.yaml")
