"""The recipe: everything that decides what a run does, as frozen pydantic models.

A recipe is written as YAML or JSON, named by a path or by a shipped name (``paper/unet-10``), changed by dotted
overrides (``train.epochs=3``), and completed by `resolve`, the one place where values are derived. The resolved recipe
is what a run stores and what trains again identically.

``sections`` (what can be said) -> ``reading`` (from files and overrides) -> ``resolving`` (what follows from it).
"""

from segfit.config.protocols import PROTOCOLS, ProtocolName
from segfit.config.reading import build_recipe, load_recipe, load_study, merge, shipped, to_yaml
from segfit.config.resolving import PRESETS, Hardware, resolve
from segfit.config.sameness import adopt_settled, check_same
from segfit.config.schema import json_schema
from segfit.config.sections import (
    AugmentConfig,
    CheckpointName,
    Component,
    DataConfig,
    EvaluateConfig,
    LabelsConfig,
    LossConfig,
    ModelConfig,
    OptimConfig,
    Recipe,
    Rest,
    Section,
    TrainConfig,
)

__all__ = [
    "PRESETS",
    "PROTOCOLS",
    "AugmentConfig",
    "CheckpointName",
    "Component",
    "DataConfig",
    "EvaluateConfig",
    "Hardware",
    "LabelsConfig",
    "LossConfig",
    "ModelConfig",
    "OptimConfig",
    "ProtocolName",
    "Recipe",
    "Rest",
    "Section",
    "TrainConfig",
    "adopt_settled",
    "build_recipe",
    "check_same",
    "json_schema",
    "load_recipe",
    "load_study",
    "merge",
    "resolve",
    "shipped",
    "to_yaml",
]
