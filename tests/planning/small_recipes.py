"""A small recipe that is quickly planned and quickly run."""

from typing import Any

from segfit.config import Recipe, build_recipe

UNET = {"name": "unet", "width": 8, "depth": 1}


def recipe(
    model: dict[str, Any] = UNET,
    *,
    size: tuple[int, int] = (64, 48),
    batch: int = 4,
    optim: dict[str, Any] | None = None,
    loss: str = "cross_entropy",
    **train: Any,
) -> Recipe:
    return build_recipe(
        {
            "model": model,
            "augment": {"size": size},
            "loss": {"name": loss},
            "optim": optim or {"name": "adamw"},
            "evaluate": {"resize": "short-side", "batch": 2},
            "train": {"batch": batch, "precision": "fp32", "device": "cpu", **train},
        }
    )
