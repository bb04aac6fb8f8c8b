"""The sections of a recipe: what can be said, of which type, with which default."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from segfit.config.protocols import ProtocolName

__all__ = [
    "AugmentConfig",
    "CheckpointName",
    "Component",
    "DataConfig",
    "EvaluateConfig",
    "LabelsConfig",
    "LossConfig",
    "ModelConfig",
    "OptimConfig",
    "Recipe",
    "Rest",
    "Section",
    "TrainConfig",
]

CheckpointName = Literal["best", "last"]
"""Which weights of a run: those that scored best, or those of its end."""

Rest = Literal["ignore", "other", "most-common"]
"""What becomes of the classes that are not selected: not scored, one extra class, or the most common class."""

Positive = Annotated[int, Field(gt=0)]
Size = tuple[Positive, Positive]
Share = Annotated[float, Field(ge=0, le=1)]


EPOCHS = 10
"""Length of a training that says nothing about it."""


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
    """Kind of dataset: scenes, ade20k, folder, hub, or a registered one."""
    root: Path | None = None
    """Folder of the dataset. Needed by every kind but scenes, which is written to the cache folder."""
    train: str = "training"
    """Training split: a folder name, or a list file with one image per line."""
    validation: str = "validation"
    """Split that is scored and that chooses the best checkpoint."""
    limit_train: Positive | None = None
    """Use only the first so many training images."""
    limit_validation: Positive | None = None
    """Use only the first so many validation images."""
    cache: Path | None = None
    """Folder that `segfit data prepare` wrote: training images and masks are read from it, already decoded."""
    sampling: Literal["uniform", "rare"] = "uniform"
    """Order of an epoch: every image once, or images with rare classes more often."""


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

    preset: Literal["paper", "standard", "strong"] = "standard"
    """paper: squash to `size`, nothing else. standard: the usual protocol on ADE20K: random scale, crop, flip, colour.
    strong: standard with rotation, blur, noise, cut-out and mixing."""
    size: Size = (512, 512)
    """Height and width of the training batch."""
    scale: tuple[Annotated[float, Field(gt=0)], Annotated[float, Field(gt=0)]] | None = None
    """Range of the random scale before the crop; at 1 the image's short side equals the shorter one of `size`, unless
    the long side would be more than 4 times that."""
    cat_max_ratio: Annotated[float, Field(gt=0, le=1)] | None = None
    """Largest share of a crop that one class should have; up to 10 crops are looked at. 1: any crop will do."""
    flip: Share | None = None
    """Probability of a horizontal flip."""
    vertical_flip: Share | None = None
    """Probability of a vertical flip."""
    rotate: Annotated[float, Field(ge=0, le=180)] | None = None
    """Largest angle of the random rotation, in degrees."""
    brightness: Share | None = None
    """Most that is added to all values, as a share of white; like each of the four colour changes in half of the
    samples."""
    contrast: Share | None = None
    """Strength of the random contrast: all values are multiplied with 1 - contrast to 1 + contrast."""
    saturation: Share | None = None
    """Strength of the random saturation: a factor of 1 - saturation to 1 + saturation."""
    hue: Annotated[float, Field(ge=0, le=0.5)] | None = None
    """Largest turn of the hue, as a share of the circle."""
    blur: Share | None = None
    """Probability of a Gaussian blur."""
    noise: Share | None = None
    """Probability of Gaussian noise."""
    cutout: Share | None = None
    """Probability that a rectangle is blackened and ignored."""
    class_mix: Share | None = None
    """Probability that half of the classes of another image are pasted in."""
    copy_paste: Share | None = None
    """Probability that regions of up to three classes of another image are pasted in, instead of class_mix."""


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
    fused: bool = True
    """Update all parameters in one kernel, which needs no temporary memory."""


class TrainConfig(Section):
    """The loop."""

    epochs: Positive | None = None
    """Passes over the training images (or give steps); by default 10."""
    steps: Positive | None = None
    """Optimizer steps (or give epochs)."""
    batch: Positive | Literal["auto"] = 8
    """Images per optimizer step, over all ranks and micro-batches; auto: as many as fit into memory."""
    accumulate: Positive = 1
    """Micro-batches per optimizer step."""
    fit: str | None = None
    """Memory of each device that the run has to fit in: 16GB, or a GPU's name (t4); precision, checkpointing and
    accumulate are chosen for it before training, in this order."""
    checkpointing: Literal["none", "norms", "blocks"] = "none"
    """Activations that the backward pass computes again instead of keeping them: norms (normalisations and what
    follows them, about half of the memory for little time) or blocks (all within each block of the model)."""
    autotune: bool = False
    """Measure before training which memory format, compilation and optimizer kernel make this model's steps fastest."""
    compile: bool = False
    """Compile the model with torch.compile."""
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
    ema: Annotated[float, Field(gt=0, lt=1)] | None = None
    """Decay per step of a moving average of the weights (0.999 forgets within some 1,000 steps), which then is what is
    validated, scored and used; by default there is none."""
    validate_every: Positive = 1
    """Epochs between validations; the last epoch is always validated."""
    continue_from: str | None = None
    """Start from the last checkpoint of this run: a folder, or the name of a run beside this one."""

    @model_validator(mode="before")
    @classmethod
    def _some_length(cls, given: Any) -> Any:
        if isinstance(given, dict) and given.get("epochs") is None and given.get("steps") is None:
            return {**given, "epochs": EPOCHS}
        return given

    @model_validator(mode="after")
    def _one_length(self) -> "TrainConfig":
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give either epochs or steps")
        if self.batch != "auto" and self.batch % self.accumulate:
            raise ValueError(f"batch {self.batch} is not a multiple of accumulate {self.accumulate}")
        return self

    @property
    def images(self) -> int:
        """Images per optimizer step, once the batch is settled."""
        assert self.batch != "auto", "planning settles it before the parts are built"
        return self.batch


class EvaluateConfig(Section):
    """How a model is scored."""

    protocol: ProtocolName = "original"
    """What is locked so that scores can be compared: original (input as trained, scored at each image's original size),
    mmseg (short side 512, scored at the original size) or paper (squashed to the training size and scored there)."""
    resize: Literal["squash", "short-side"] | None = None
    """Input of the model: squashed to the training size, or its short side brought to it; by default as trained."""
    batch: Positive | None = None
    """Images per forward pass, where their sizes agree; by default one micro-batch of training."""
    window: Literal["whole", "sliding"] = "whole"
    """Forward passes over the whole image, or over overlapping windows of the training size."""
    overlap: Annotated[float, Field(ge=0, lt=1)] = 1 / 3
    """Least share of a sliding window that its neighbour covers, too."""
    weighting: Literal["uniform", "gaussian"] = "uniform"
    """What overlapping windows count: everywhere the same, or more in their middle than at their borders."""
    scales: Annotated[tuple[Annotated[float, Field(ge=0.1, le=8)], ...], Field(min_length=1, max_length=16)] = (1.0,)
    """Test-time augmentation: the input is also seen at these sizes, and the probabilities are averaged."""
    flip: bool = False
    """Test-time augmentation: the mirrored input is seen, too."""
    score: Literal["dice", "miou"] = "dice"
    """Which metric chooses the best checkpoint and sorts tables: macro Dice or mean IoU over the classes that occur."""
    checkpoint: CheckpointName = "best"
    """Which checkpoint is scored when training ends (the paper scored the last one)."""
    boundary: Annotated[float, Field(gt=0, le=0.5)] = 0.02
    """Distance within which boundary IoU and boundary F are measured, as a share of the image's diagonal; 2 % is what
    Cheng et al. (2021) take."""
    examples: Annotated[int, Field(ge=0)] | None = None
    """How many validation images keep their predicted mask in the run folder, for reports; by default all of them."""

    @model_validator(mode="after")
    def _every_look_counts(self) -> "EvaluateConfig":
        if len(set(self.scales)) < len(self.scales):
            raise ValueError(f"scales names one twice: {', '.join(f'{scale:g}' for scale in self.scales)}")
        if self.weighting == "gaussian" and self.window == "whole":
            raise ValueError("weighting is of windows: say window: sliding, or leave it out")
        return self


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
    train: TrainConfig = TrainConfig()
    evaluate: EvaluateConfig = EvaluateConfig()
