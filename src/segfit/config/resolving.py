"""Completing a recipe: the one place where values are derived."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from segfit.config.gpus import fit_target
from segfit.config.protocols import PROTOCOLS
from segfit.config.sections import AugmentConfig, Component, EvaluateConfig, Recipe, TrainConfig
from segfit.errors import RecipeError
from segfit.registry import Registry

__all__ = ["PRESETS", "Hardware", "resolve"]


@dataclass(frozen=True, kw_only=True)
class Hardware:
    """What `resolve` needs to know of the machine.

    Attributes:
        precisions: of each usable device (``"cpu"``, ``"cuda"``) the arithmetic that is native there, not emulated, the
            fastest first.
        cores: CPU cores for this rank.
        cache: folder for generated data.
    """

    precisions: Mapping[str, Sequence[str]]
    cores: int
    cache: Path

    @property
    def device(self) -> str:
        """The best device."""
        return "cuda" if "cuda" in self.precisions else "cpu"


OFF: dict[str, Any] = {
    "scale": None,
    "cat_max_ratio": 1.0,
    **dict.fromkeys(("flip", "vertical_flip", "rotate"), 0.0),
    **dict.fromkeys(("brightness", "contrast", "saturation", "hue"), 0.0),
    **dict.fromkeys(("blur", "noise", "cutout", "class_mix", "copy_paste"), 0.0),
}
"""No augmentation; `scale: null` is the squash to `size`."""

STANDARD: dict[str, Any] = {
    **OFF,
    "scale": (0.5, 2.0),
    "cat_max_ratio": 0.75,
    "flip": 0.5,
    "brightness": 0.125,  # 32 of 255
    "contrast": 0.5,
    "saturation": 0.5,
    "hue": 0.1,  # 18 of the 180 steps in which OpenCV counts the circle
}
"""mmsegmentation's protocol on ADE20K, so that scores can be compared."""

PRESETS: dict[str, dict[str, Any]] = {
    "paper": OFF,
    "standard": STANDARD,
    "strong": {
        **STANDARD,
        "rotate": 10.0,
        "blur": 0.2,
        "noise": 0.2,
        "cutout": 0.2,
        "class_mix": 0.25,
        "copy_paste": 0.25,
    },
}
"""What an augmentation preset means."""


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
        "model": _resolve_model(recipe.model, registries["model"]),
        "loss": _with_options(recipe.loss, registries["loss"]),
        "augment": _resolve_augment(recipe.augment),
        "train": _resolve_train(recipe.train, hardware),
        "evaluate": _resolve_evaluate(recipe),
    }
    return Recipe.model_validate({**recipe.model_dump(), **{k: v.model_dump() for k, v in sections.items()}})


def _with_options(component: Component, registry: Registry[Any]) -> Component:
    """Return the component with its options checked and completed."""
    return component.model_copy(update=registry.options(component.name, component.options))


def _resolve_model(model: Component, registry: Registry[Any]) -> Component:
    resolved = _with_options(model, registry)
    weights = resolved.options.get("pretrained")
    if isinstance(weights, str) and Path(weights).suffix:
        # The stored recipe must mean the same file from any folder.
        return resolved.model_copy(update={"pretrained": str(Path(weights).expanduser().absolute())})
    return resolved


def _resolve_data(recipe: Recipe, registry: Registry[Any], hardware: Hardware) -> Component:
    data = recipe.data
    options = registry.options(data.name, data.options)
    root = data.root
    if root is None:
        if data.name != "scenes":
            raise RecipeError(f"data.root: say where the {data.name} dataset is, for example data.root=/path/to/it")
        # Other options are other images: each set of them has its own folder.
        root = hardware.cache / "-".join(["scenes", *(f"{key}{value}" for key, value in sorted(options.items()))])
    root = root.expanduser().absolute()
    changes: dict[str, Any] = {"root": root, "cache": data.cache and data.cache.expanduser().absolute()}
    for field in ("train", "validation"):
        split = Path(getattr(data, field))
        # A list file beside the dataset comes first; the stored recipe must mean the same file from any folder.
        if split.suffix == ".txt" and not (root / split).is_file() and split.is_file():
            changes[field] = str(split.absolute())
    return data.model_copy(update={**options, **changes})


def _resolve_augment(augment: AugmentConfig) -> AugmentConfig:
    preset = PRESETS[augment.preset]
    chosen = {key: value for key in preset if (value := getattr(augment, key)) is not None}
    if augment.preset == "paper" and chosen.get("scale"):
        raise RecipeError(
            "augment.scale: the preset paper squashes every image to its size: leave it out (augment.scale=null), or "
            "use preset: standard"
        )
    if augment.preset == "paper" and chosen.get("cat_max_ratio", 1) < 1:
        raise RecipeError("augment.cat_max_ratio: the preset paper has no crop to choose: use preset: standard")
    resolved = augment.model_copy(update={**preset, **chosen})
    if resolved.scale is not None and resolved.scale[0] > resolved.scale[1]:
        raise RecipeError(f"augment.scale: {resolved.scale[0]} is larger than {resolved.scale[1]}")
    mixed = (resolved.class_mix or 0) + (resolved.copy_paste or 0)
    if mixed > 1:
        raise RecipeError(
            f"augment.class_mix, augment.copy_paste: an image is mixed in one way only, and {mixed:g} is more than all"
        )
    return resolved


def _resolve_train(train: TrainConfig, hardware: Hardware) -> TrainConfig:
    device = hardware.device if train.device == "auto" else train.device
    if device not in hardware.precisions:
        raise RecipeError("train.device: no CUDA GPU is usable here: set train.device=cpu")
    native = hardware.precisions[device]
    precision = native[0] if train.precision == "auto" else train.precision
    if precision not in native:
        raise RecipeError(
            f"train.precision: this {device.upper()} would only emulate {precision}, many times slower: "
            f"use {' or '.join(native)}"
        )
    if train.fit is not None:
        fit_target(train.fit)  # raises
    workers = min(8, hardware.cores - 1) if train.workers is None else train.workers
    return train.model_copy(update={"device": device, "precision": precision, "workers": workers})


def _resolve_evaluate(recipe: Recipe) -> EvaluateConfig:
    settings, train = recipe.evaluate, recipe.train
    locked = PROTOCOLS[settings.protocol].locked
    for field, value in locked.items():
        if getattr(settings, field) not in (None, value):
            raise RecipeError(
                f"evaluate.{field}: the protocol {settings.protocol} fixes it to {value}: leave it out, or use "
                "evaluate.protocol=original"
            )
    usual = "squash" if recipe.augment.preset == "paper" else "short-side"
    resize = settings.resize or locked.get("resize", usual)
    batch = settings.batch
    if batch is None and train.batch != "auto":
        batch = max(1, train.batch // train.accumulate)
    return settings.model_copy(update={"resize": resize, "batch": batch})
