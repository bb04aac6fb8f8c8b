"""The recipe: everything that decides what a run does, as frozen pydantic models.

A recipe is written as YAML or JSON, named by a path or by a shipped name (``paper/unet-10``), changed by dotted
overrides (``train.epochs=3``), and completed by `resolve`, the one place where values are derived. The resolved recipe
is what a run stores and what trains again identically.
"""

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from segfit.errors import RecipeError, did_you_mean
from segfit.registry import Registry

__all__ = [
    "AugmentConfig",
    "Component",
    "DataConfig",
    "EvaluateConfig",
    "Hardware",
    "LabelsConfig",
    "LossConfig",
    "ModelConfig",
    "OptimConfig",
    "Recipe",
    "Rest",
    "Section",
    "TrainConfig",
    "load_recipe",
    "load_study",
    "resolve",
    "shipped",
]

Rest = Literal["ignore", "other", "most-common"]
"""What becomes of the classes that are not selected: not scored, one extra class, or the most common class."""

Positive = Annotated[int, Field(gt=0)]
Size = tuple[Positive, Positive]
Share = Annotated[float, Field(ge=0, le=1)]


class Section(BaseModel):
    """A part of a recipe: frozen, by keyword, without unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Component(Section):
    """A part that names a registered builder; its further keys are the builder's options.

    The options are kept as they come and checked against the builder's signature in `resolve`, so that an unknown one
    is refused there.
    """

    model_config = ConfigDict(extra="allow")

    name: str
    """Registered name of the builder."""

    @property
    def options(self) -> dict[str, Any]:
        """The builder's options."""
        return dict(self.model_extra or {})


class DataConfig(Component):
    """Where the images and masks come from."""

    name: str = "scenes"
    """Kind of dataset: scenes, ade20k, folder, or a registered one."""
    root: Path | None = None
    """Folder of the dataset. Needed by every kind but scenes, which is written to the cache folder."""
    train: str = "training"
    """Training split: a folder name, or for the kind `folder` also a list file."""
    validation: str = "validation"
    """Split that is scored and that chooses the best checkpoint."""
    limit_train: Positive | None = None
    """Use only the first so many training images."""
    limit_validation: Positive | None = None
    """Use only the first so many validation images."""


class LabelsConfig(Section):
    """Which classes are learnt."""

    top: Positive | None = None
    """Keep only the K most common classes."""
    classes: tuple[str, ...] | None = None
    """Keep only these classes, by name (not together with top)."""
    rest: Rest = "ignore"
    """What becomes of the other classes: ignore, other (one extra class) or most-common (the paper's substitution)."""
    ratios: Literal["published", "dataset"] = "published"
    """Choose the most common classes by the published pixel ratios or by counting the training masks."""


class AugmentConfig(Section):
    """How an image and its mask are brought to the training size; values left out come from the preset."""

    preset: Literal["paper", "standard"] = "standard"
    """paper: squash to `size`, nothing else. standard: random scale, crop, flip and colour."""
    size: Size = (512, 512)
    """Height and width of the training batch."""
    scale: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = None
    """Range of the random scale before the crop; relative to the image whose short side equals `size`."""
    flip: Share | None = None
    """Probability of a horizontal flip."""
    color: Share | None = None
    """Strength of the random brightness, contrast, saturation and hue changes."""


class ModelConfig(Component):
    """The model."""

    name: str = "unet"
    """Model family: unet, attention_unet, deeplabv3, or a registered one."""


class LossConfig(Component):
    """The loss."""

    name: str = "cross_entropy"
    """Loss: cross_entropy, or a registered one."""


class OptimConfig(Section):
    """The optimizer and its schedule."""

    name: Literal["adam", "adamw", "sgd"] = "adamw"
    """Optimizer."""
    lr: Annotated[float, Field(gt=0)] = 1e-3
    """Peak learning rate."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.0
    """Weight decay; decoupled for adamw."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of sgd."""
    betas: tuple[Share, Share] = (0.9, 0.999)
    """Moment decay rates of adam and adamw."""
    backbone_lr: Annotated[float, Field(ge=0)] = 1.0
    """Factor on the learning rate of pretrained backbone parameters."""
    schedule: Literal["constant", "poly", "cosine"] = "poly"
    """Shape of the learning rate after the warm-up."""
    power: Annotated[float, Field(gt=0)] = 0.9
    """Exponent of the poly schedule."""
    warmup: Annotated[int, Field(ge=0)] = 0
    """Optimizer steps of linear warm-up."""
    min_lr: Share = 0.0
    """The schedule's end, as a share of the peak."""
    clip_norm: Annotated[float, Field(gt=0)] | None = None
    """Largest norm of the gradient."""


class TrainConfig(Section):
    """The loop."""

    epochs: Positive | None = None
    """Passes over the training images (or give steps)."""
    steps: Positive | None = None
    """Optimizer steps (or give epochs)."""
    batch: Positive = 8
    """Images per optimizer step, over all ranks and micro-batches."""
    accumulate: Positive = 1
    """Micro-batches per optimizer step."""
    precision: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Arithmetic of the forward pass; auto is bf16 or fp16 where the hardware has it, else fp32."""
    channels_last: bool = True
    """Keep tensors in NHWC order."""
    device: Literal["auto", "cpu", "cuda"] = "auto"
    """Where to train; auto takes a GPU when there is one."""
    seed: Annotated[int, Field(ge=0)] = 0
    """Decides initial weights, order, augmentation and dropout."""
    workers: Annotated[int, Field(ge=0)] | None = None
    """Loader processes per rank; by default the cores that are left, at most 8."""
    validate_every: Positive = 1
    """Epochs between validations; the last epoch is always validated."""
    continue_from: str | None = None
    """Start from the last checkpoint of this run: a folder, or the name of a run beside this one."""

    @model_validator(mode="after")
    def _one_length(self) -> "TrainConfig":
        if (self.epochs is None) == (self.steps is None):
            raise ValueError("give either epochs or steps")
        if self.batch % self.accumulate:
            raise ValueError(f"batch {self.batch} is not a multiple of accumulate {self.accumulate}")
        return self


class EvaluateConfig(Section):
    """How a model is scored: always at the original size of each image."""

    resize: Literal["squash", "short-side"] | None = None
    """Input of the model: squashed to the training size, or its short side brought to it; by default as trained."""
    batch: Positive | None = None
    """Images per forward pass, where their sizes agree; by default the training batch per rank."""
    score: Literal["dice", "miou"] = "dice"
    """Which metric chooses the best checkpoint and sorts tables: macro Dice or mean IoU over the classes that occur."""
    examples: Annotated[int, Field(ge=0)] = 8
    """How many validation images keep their predicted mask in the run folder, for reports."""


class Recipe(Section):
    """All of a run. `resolve` fills what is left out."""

    name: str = "custom"
    """What the run is called in tables and, unless told otherwise, its folder."""
    data: DataConfig = DataConfig()
    labels: LabelsConfig = LabelsConfig()
    augment: AugmentConfig = AugmentConfig()
    model: ModelConfig = ModelConfig()
    loss: LossConfig = LossConfig()
    optim: OptimConfig = OptimConfig()
    train: TrainConfig = TrainConfig(epochs=10)
    evaluate: EvaluateConfig = EvaluateConfig()


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What `resolve` needs to know of the machine.

    Attributes:
        device: ``"cuda"`` or ``"cpu"``, the best there is.
        bf16: bfloat16 arithmetic is native, not emulated.
        fp16: the same for float16.
        cores: CPU cores for this rank.
        cache: folder for generated data.
    """

    device: Literal["cpu", "cuda"]
    bf16: bool
    fp16: bool
    cores: int
    cache: Path


# --- reading ---------------------------------------------------------------------------------------------------------


def shipped(kind: Literal["recipe", "study"]) -> list[str]:
    """Return the names of the recipes (``paper/unet-10``) or studies (``paper``) that come with segfit."""
    root = files("segfit.recipes")
    if kind == "study":
        return sorted(p.name.removesuffix(".yaml") for p in root.iterdir() if p.name.endswith(".yaml"))
    return sorted(
        f"{folder.name}/{p.name.removesuffix('.yaml')}"
        for folder in root.iterdir()
        if folder.is_dir()
        for p in folder.iterdir()
        if p.name.endswith(".yaml")
    )


def load_recipe(spec: str | Path, overrides: Sequence[str] = ()) -> Recipe:
    """Read a recipe.

    Args:
        spec: path of a YAML or JSON file, a run folder (its stored recipe), or a shipped name (``paper/unet-10``).
        overrides: ``section.key=value`` with YAML values, applied in order.

    Raises:
        RecipeError: nothing there, not readable, an unknown key or a wrong value.
    """
    return build_recipe(_tree(spec), overrides, where=str(spec))


def build_recipe(tree: Mapping[str, Any], overrides: Sequence[str] = (), *, where: str = "recipe") -> Recipe:
    """Build a recipe from nested dictionaries; see `load_recipe`."""
    merged = merge({}, tree)
    for override in overrides:
        merged = merge(merged, _parse_override(override))
    try:
        return Recipe.model_validate(merged)
    except ValidationError as error:
        raise RecipeError(f"{where}: {_explain(error)}") from None


def load_study(spec: str | Path, overrides: Sequence[str] = ()) -> list[Recipe]:
    """Read a study: a YAML list of recipes, each a name or ``{recipe: NAME, name: …, section: {key: value}}``.

    Args:
        spec: path of the list, or a shipped name (``demo``).
        overrides: applied to every recipe, after its own.

    Raises:
        RecipeError: not a list, an entry without a recipe, two runs of one name, or what `load_recipe` raises.
    """
    path, entries = _read(spec, "study")
    if not isinstance(entries, list) or not entries:
        raise RecipeError(f"{spec}: a study is a list of recipes, one '- NAME' or '- recipe: NAME' each")
    recipes = []
    for number, given in enumerate(entries, 1):
        where = f"{spec}, entry {number}"
        entry = {"recipe": given} if isinstance(given, str) else given
        if not isinstance(entry, dict) or not isinstance(entry.get("recipe"), str):
            raise RecipeError(f"{where}: write the recipe's name or 'recipe: NAME' with overrides")
        tree = _tree(entry["recipe"], beside=path.parent)
        own = {key: value for key, value in entry.items() if key != "recipe"}
        recipes.append(build_recipe(merge(tree, own), overrides, where=where))
    names = [recipe.name for recipe in recipes]
    for name in names:
        if names.count(name) > 1:
            raise RecipeError(f"{spec}: two runs are called {name!r}: give one of them another name")
    return recipes


def merge(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Return `base` with `over` laid on top, section by section; dotted keys in `over` reach into sections.

    Naming another component (``model.name``) drops the options of the one it replaces.
    """
    result = dict(base)
    for dotted, given in over.items():
        key, _, rest = str(dotted).partition(".")
        value = {rest: given} if rest else given
        if isinstance(value, Mapping) and isinstance(result.get(key, {}), Mapping):
            section = result.get(key, {})
            if "name" in value and value["name"] != section.get("name", value["name"]):
                section = {}
            result[key] = merge(section, value)
        else:
            result[key] = value
    return result


def _tree(spec: str | Path, *, beside: Path | None = None, seen: tuple[str, ...] = ()) -> dict[str, Any]:
    """Return the dictionaries of a recipe file, with what it extends beneath."""
    path, tree = _read(spec, "recipe", beside)
    if not isinstance(tree, dict):
        raise RecipeError(f"{spec}: a recipe is a mapping of sections, not {type(tree).__name__}")
    tree = {"name": path.parent.name if path.name == "recipe.json" else path.stem, **tree}
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    if str(path) in seen:
        raise RecipeError(f"{spec}: the recipes extend one another in a circle")
    return merge(_tree(str(parent), beside=path.parent, seen=(*seen, str(path))), tree)


def _read(spec: str | Path, kind: Literal["recipe", "study"], beside: Path | None = None) -> tuple[Path, Any]:
    """Find the file that `spec` means and parse it."""
    path = _find(spec, kind, beside)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"{path}: cannot be read: {error}") from None
    try:
        if path.suffix == ".json":
            return path, json.loads(text)
        return path, yaml.load(text, Loader=_UniqueKeyLoader)  # noqa: S506 (a SafeLoader)
    except (yaml.YAMLError, json.JSONDecodeError) as error:
        raise RecipeError(f"{path}: not valid {path.suffix.lstrip('.')}: {' '.join(str(error).split())}") from None


def _find(spec: str | Path, kind: Literal["recipe", "study"], beside: Path | None) -> Path:
    for base in (Path(), beside):
        path = (base or Path()) / spec
        if (path / "recipe.json").is_file() and kind == "recipe":
            return path / "recipe.json"
        if path.is_file():
            if path.suffix not in {".yaml", ".yml", ".json"}:
                raise RecipeError(f"{path}: a {kind} ends in .yaml, .yml or .json")
            return path
    inside = Path(str(files("segfit.recipes"))) / f"{spec}.yaml"
    if inside.is_file() and str(spec) in shipped(kind):
        return inside
    # A shipped name never has a suffix, so a name with one was meant as a path.
    if Path(spec).suffix in {".yaml", ".yml", ".json"}:
        raise RecipeError(f"{spec}: no such file")
    raise RecipeError(f"no {kind} is called {str(spec)!r}{did_you_mean(str(spec), shipped(kind))}")


class _UniqueKeyLoader(yaml.SafeLoader):
    """A safe loader that refuses a key given twice (YAML itself keeps the last one silently)."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        keys = [self.construct_object(key, deep=deep) for key, _ in node.value]
        for key in keys:
            if keys.count(key) > 1:
                raise yaml.constructor.ConstructorError(None, None, f"key {key!r} is given twice", node.start_mark)
        return super().construct_mapping(node, deep=deep)


def _parse_override(text: str) -> dict[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not re.fullmatch(r"[a-z_][\w-]*(\.[a-z_][\w-]*)*", key.strip()):
        raise RecipeError(f"{text!r} is not an override: write section.key=value, for example train.epochs=3")
    try:
        return {key.strip(): yaml.safe_load(value)}
    except yaml.YAMLError:
        raise RecipeError(f"{text!r}: the value is not valid YAML: put quotes around it") from None


def _explain(error: ValidationError) -> str:
    """Return one line for the first thing that is wrong."""
    first = error.errors()[0]
    location = [str(part) for part in first["loc"]]
    dotted = ".".join(location)
    if first["type"] == "extra_forbidden":
        return f"unknown key {dotted!r}{did_you_mean(location[-1], _fields(location[:-1]))}"
    message = first["msg"].removeprefix("Value error, ")
    given = first.get("input")
    shown = f" (got {given!r})" if isinstance(given, (str, int, float, bool)) else ""
    return f"{dotted}: {message[0].lower()}{message[1:]}{shown}"


def _fields(location: Iterable[str]) -> list[str]:
    """Return the keys of the section at `location`."""
    section: type[BaseModel] = Recipe
    for part in location:
        annotation = section.model_fields[part].annotation if part in section.model_fields else None
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        section = annotation
    return list(section.model_fields)


# --- completing ------------------------------------------------------------------------------------------------------

PRESETS: dict[str, dict[str, Any]] = {
    "paper": {"scale": None, "flip": 0.0, "color": 0.0},
    "standard": {"scale": (0.5, 2.0), "flip": 0.5, "color": 0.4},
}
"""What an augmentation preset means; `scale: null` is the squash to `size`."""


def resolve(recipe: Recipe, registries: Mapping[str, Registry[Any]], hardware: Hardware) -> Recipe:
    """Fill in everything a recipe leaves open: the one place where values are derived.

    Resolving a resolved recipe changes nothing. A recipe that another machine resolved keeps its choices and is refused
    where this machine cannot honour them.

    Args:
        recipe: as read.
        registries: the registry of each component section (``"model"``, ``"loss"``, ``"data"``).
        hardware: what the machine has.

    Raises:
        RecipeError: an unknown component or option, or something that this machine lacks.
    """
    sections: dict[str, Any] = {
        "data": _resolve_data(recipe, registries["data"], hardware),
        "model": _with_options(recipe.model, registries["model"]),
        "loss": _with_options(recipe.loss, registries["loss"]),
        "augment": _resolve_augment(recipe.augment),
        "train": _resolve_train(recipe.train, hardware),
        "evaluate": _resolve_evaluate(recipe),
    }
    return Recipe.model_validate({**recipe.model_dump(), **{k: v.model_dump() for k, v in sections.items()}})


def _with_options(component: Component, registry: Registry[Any]) -> Component:
    """Return the component with its options checked and completed."""
    return component.model_copy(update=registry.options(component.name, component.options))


def _resolve_data(recipe: Recipe, registry: Registry[Any], hardware: Hardware) -> Component:
    data = recipe.data
    options = registry.options(data.name, data.options)
    root = data.root
    if root is None:
        if data.name != "scenes":
            raise RecipeError(f"data.root: say where the {data.name} dataset is, for example data.root=/path/to/it")
        # Other options are other images: each set of them has its own folder.
        root = hardware.cache / "-".join(["scenes", *(f"{key}{value}" for key, value in sorted(options.items()))])
    return data.model_copy(update={**options, "root": root.expanduser().absolute()})


def _resolve_augment(augment: AugmentConfig) -> AugmentConfig:
    preset = PRESETS[augment.preset]
    chosen = {key: value for key in preset if (value := getattr(augment, key)) is not None}
    if augment.preset == "paper" and chosen.get("scale"):
        raise RecipeError("augment.scale: the preset paper squashes every image to its size: use preset: standard")
    resolved = augment.model_copy(update={**preset, **chosen})
    if resolved.scale is not None and resolved.scale[0] > resolved.scale[1]:
        raise RecipeError(f"augment.scale: {resolved.scale[0]} is larger than {resolved.scale[1]}")
    return resolved


def _resolve_train(train: TrainConfig, hardware: Hardware) -> TrainConfig:
    device = hardware.device if train.device == "auto" else train.device
    if device == "cuda" and hardware.device != "cuda":
        raise RecipeError("train.device: no CUDA GPU is usable here: set train.device=cpu")
    precision = train.precision
    if precision == "auto":
        precision = "bf16" if hardware.bf16 else "fp16" if device == "cuda" and hardware.fp16 else "fp32"
    if precision == "bf16" and not hardware.bf16:
        instead = "fp16 or fp32" if hardware.fp16 else "fp32"
        raise RecipeError(f"train.precision: bf16 would be emulated on this hardware: use {instead}")
    if precision == "fp16" and device == "cpu":
        raise RecipeError("train.precision: fp16 needs a GPU: use bf16 or fp32")
    workers = min(8, hardware.cores - 1) if train.workers is None else train.workers
    return train.model_copy(update={"device": device, "precision": precision, "workers": workers})


def _resolve_evaluate(recipe: Recipe) -> EvaluateConfig:
    resize = recipe.evaluate.resize or ("squash" if recipe.augment.preset == "paper" else "short-side")
    batch = recipe.evaluate.batch or max(1, recipe.train.batch // recipe.train.accumulate)
    return recipe.evaluate.model_copy(update={"resize": resize, "batch": batch})
