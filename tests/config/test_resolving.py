"""What follows from a recipe and a machine."""

import json
from importlib.resources import files
from pathlib import Path

import pytest

from segfit.config import Hardware, Recipe, TrainConfig, build_recipe, json_schema, load_recipe, resolve, shipped
from segfit.errors import RecipeError
from segfit.parts import REGISTRIES


def machine(cores=4, **precisions):
    return Hardware(precisions={"cpu": ["fp32"], **precisions}, cores=cores, cache=Path("/cache"))


CPU = machine()
OLD_GPU = machine(cuda=["fp16", "fp32"])
NEW_GPU = machine(cuda=["bf16", "fp16", "fp32"])


def resolved(tree, hardware=CPU):
    return resolve(build_recipe({"train": {"epochs": 1}, **tree}), REGISTRIES, hardware)


@pytest.mark.parametrize("name", shipped("recipe"))
@pytest.mark.parametrize("hardware", [CPU, OLD_GPU, NEW_GPU], ids=["cpu", "old gpu", "new gpu"])
def test_resolving_twice_changes_nothing(name, hardware):
    once = resolve(load_recipe(name, ["data.root=/data"]), REGISTRIES, hardware)
    assert resolve(once, REGISTRIES, hardware) == once
    assert Recipe.model_validate_json(once.model_dump_json()) == once


@pytest.mark.parametrize(("hardware", "precision"), [(CPU, "fp32"), (OLD_GPU, "fp16"), (NEW_GPU, "bf16")])
def test_auto_precision_is_what_the_hardware_has(hardware, precision):
    assert resolved({}, hardware).train.precision == precision


@pytest.mark.parametrize(
    ("tree", "hardware", "message"),
    [
        ({"train": {"epochs": 1, "device": "cuda"}}, CPU, "no CUDA GPU is usable here: set train.device=cpu"),
        ({"train": {"epochs": 1, "precision": "bf16"}}, CPU, "would only emulate bf16.*use fp32"),
        ({"train": {"epochs": 1, "precision": "bf16"}}, OLD_GPU, "would only emulate bf16.*use fp16 or fp32"),
        ({"train": {"epochs": 1, "precision": "fp16"}}, CPU, "would only emulate fp16.*use fp32"),
        ({"train": {"epochs": 1, "precision": "bf16", "device": "cpu"}}, NEW_GPU, "this CPU would only emulate bf16"),
        ({"data": {"name": "ade20k"}}, CPU, "data.root: say where the ade20k dataset is"),
        ({"data": {"name": "ade21k"}}, CPU, r"no data is called 'ade21k' \(did you mean 'ade20k'\?\)"),
        ({"model": {"name": "unte"}}, CPU, r"no model is called 'unte' \(did you mean 'unet'\?\)"),
        ({"model": {"name": "unet", "widht": 3}}, CPU, r"model\.widht: .*did you mean 'width'"),
        ({"augment": {"preset": "paper", "scale": [0.5, 2]}}, CPU, "augment.scale: the preset paper squashes"),
        ({"augment": {"preset": "paper", "cat_max_ratio": 0.8}}, CPU, "augment.cat_max_ratio: the preset paper has no"),
        ({"augment": {"scale": [2, 0.5]}}, CPU, "augment.scale: 2.0 is larger than 0.5"),
        ({"augment": {"class_mix": 0.7, "copy_paste": 0.4}}, CPU, "augment.class_mix, augment.copy_paste: .* 1.1 is"),
    ],
)
def test_what_a_machine_or_a_component_lacks_is_refused(tree, hardware, message):
    with pytest.raises(RecipeError, match=message):
        resolved(tree, hardware)


def test_the_cpu_of_a_gpu_machine_is_judged_by_itself():
    assert resolved({"train": {"epochs": 1, "device": "cpu"}}, NEW_GPU).train.precision == "fp32"


def test_a_weights_file_is_stored_so_that_it_is_found_from_any_folder():
    tree = {"model": {"name": "deeplabv3", "pretrained": "weights/resnet.safetensors"}}
    assert resolved(tree).model.options["pretrained"] == str(Path("weights/resnet.safetensors").absolute())
    tree["model"]["pretrained"] = "imagenet"
    assert resolved(tree).model.options["pretrained"] == "imagenet"


def test_presets_fill_only_what_is_left_open():
    assert resolved({"augment": {"preset": "standard", "flip": 0.0}}).augment.flip == 0.0
    assert resolved({"augment": {"preset": "standard"}}).augment.scale == (0.5, 2.0)
    assert resolved({"augment": {"preset": "paper"}}).augment.scale is None
    assert resolved({"augment": {"preset": "paper", "rotate": 5}}).augment.rotate == 5


@pytest.mark.parametrize("preset", ["paper", "standard", "strong"])
def test_presets_leave_nothing_open(preset):
    augment = resolved({"augment": {"preset": preset}}).augment.model_dump()
    assert {key for key, value in augment.items() if value is None} <= ({"scale"} if preset == "paper" else set())


def test_paper_only_squashes_and_standard_is_the_protocol():
    paper, standard = (resolved({"augment": {"preset": name}}).augment.model_dump() for name in ("paper", "standard"))
    off = dict.fromkeys(("vertical_flip", "rotate", "blur", "noise", "cutout", "class_mix", "copy_paste"), 0.0)
    color = {"brightness": 0.125, "contrast": 0.5, "saturation": 0.5, "hue": 0.1}
    shared = {"size": (512, 512), **off}
    assert paper == {
        "preset": "paper", "scale": None, "cat_max_ratio": 1.0, "flip": 0.0, **dict.fromkeys(color, 0.0), **shared
    }  # fmt: skip
    assert standard == {
        "preset": "standard", "scale": (0.5, 2.0), "cat_max_ratio": 0.75, "flip": 0.5, **color, **shared
    }  # fmt: skip


def test_evaluation_follows_training():
    paper = resolved({"augment": {"preset": "paper"}, "train": {"epochs": 1, "batch": 12, "accumulate": 3}})
    assert (paper.evaluate.resize, paper.evaluate.batch) == ("squash", 4)
    assert resolved({"augment": {"preset": "standard"}}).evaluate.resize == "short-side"


def test_generated_data_of_other_options_has_another_folder():
    small, large = resolved({"data": {"train_images": 5}}), resolved({"data": {"train_images": 6}})
    assert small.data.root != large.data.root
    assert small.data.root.is_relative_to("/cache")


def test_workers_leave_a_core_for_training():
    assert resolved({}, machine(cores=1)).train.workers == 0
    assert resolved({}, machine(cores=64)).train.workers == 8
    assert resolved({"train": TrainConfig(epochs=1, workers=3).model_dump()}).train.workers == 3


def test_shipped_schema_is_current():
    shipped_schema = json.loads(files("segfit.recipes").joinpath("recipe.schema.json").read_text())
    assert shipped_schema == json_schema(REGISTRIES), "run: make schema"


def test_schema_describes_every_component():
    text = json.dumps(json_schema(REGISTRIES))
    for registry in REGISTRIES.values():
        for name in registry.names():
            assert f'"const": "{name}"' in text
            assert all(f'"{option}"' in text for option in registry.signature(name))
