"""DeepLabV3 with torchvision's layers, and with the backbones' and torchvision's segmentation weights.

Chen et al., "Rethinking Atrous Convolution for Semantic Image Segmentation" (2017). The state dict has torchvision's
keys, ``backbone.*`` and ``classifier.*``; its auxiliary classifier is left out.
"""

from collections import OrderedDict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torchvision
from torch import Tensor, nn
from torchvision.models import WeightsEnum
from torchvision.models.mobilenetv2 import InvertedResidual
from torchvision.models.resnet import Bottleneck
from torchvision.models.segmentation.deeplabv3 import ASPP, DeepLabHead
from typing_extensions import override

from segfit.errors import RecipeError
from segfit.models import MODELS, Normalize, ScoreOutput, Segmenter
from segfit.models.layers import tolerate_single_values
from segfit.models.weights import published_weights, read_weights

__all__ = ["Backbone", "DeepLabV3", "load_backbone_weights", "load_segmentation_weights"]

Backbone = Literal["resnet50", "resnet101", "mobilenet_v2"]
"""The classification networks that can compute the features."""

ATROUS_RATES = {8: (12, 24, 36), 16: (6, 12, 18)}
"""Dilation of the parallel convolutions for each output stride (section 4.1 of the paper: doubled for 8)."""

BLOCKS = (Bottleneck, InvertedResidual, ASPP)
"""What is recomputed as a whole: the residual blocks of the backbones and the pyramid pooling."""


@MODELS.register("deeplabv3")
class DeepLabV3(Segmenter):
    """DeepLabV3: a dilated classification network and atrous spatial pyramid pooling.

    The scores have 1/`output_stride` of the image's resolution and are enlarged bilinearly. At output stride 8 and with
    equal weights, the ResNets score as torchvision's models do.

    Args:
        classes: number of classes.
        backbone: the classification network; mobilenet_v2 ends with its 320 channels, before the last 1x1 convolution
            (Sandler et al. 2018, section 6.3).
        pretrained: where the first weights come from. None: nowhere, they are random. ``imagenet``: the backbone from
            torchvision (its version 1 weights, downloaded once). ``coco``: all but the classifier's last layer from
            torchvision's segmentation model (ResNets only). Otherwise the path of a file with the backbone's weights
            under torchvision's names (see `read_weights`).
        output_stride: ratio of the image's to the features' resolution; None is 8 for the ResNets and 16 for
            mobilenet_v2.
        normalize: how uint8 values become the model's input; pretrained weights expect ``imagenet``.

    Raises:
        RecipeError: the weights do not exist, cannot be fetched or do not fit.
    """

    def __init__(
        self,
        classes: int,
        *,
        backbone: Backbone = "resnet50",
        pretrained: str | None = None,
        output_stride: Literal[8, 16] | None = None,
        normalize: Normalize = "imagenet",
    ) -> None:
        super().__init__(normalize)
        kind = KINDS[backbone]
        stride = output_stride or kind.output_stride
        self.kind = kind
        self.pretrained = pretrained
        self.backbone: nn.Module = kind.build(stride)
        self.classifier: nn.Module = DeepLabHead(kind.channels, classes, ATROUS_RATES[stride])
        tolerate_single_values(self)
        if pretrained is not None:
            _load_pretrained(self, pretrained)

    @override
    def predict(self, x: Tensor) -> ScoreOutput:
        return ScoreOutput(self.classifier(self.backbone(x)))

    @override
    def backbone_parameters(self) -> Iterable[nn.Parameter]:
        return () if self.pretrained is None else self.backbone.parameters()

    @override
    def blocks(self) -> Iterable[nn.Module]:
        return (module for module in self.modules() if isinstance(module, BLOCKS))


# --- backbones -------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What is to be known about a backbone.

    Attributes:
        build: the output stride -> the network without its classification head.
        channels: of its features.
        output_stride: the usual one.
        head: key prefixes of the classification head, which is left out.
        imagenet: torchvision's classification weights.
        coco: torchvision's segmentation weights, where there are some.
    """

    build: Callable[[int], nn.Module]
    channels: int
    output_stride: int
    head: tuple[str, ...]
    imagenet: WeightsEnum
    coco: WeightsEnum | None = None


def _resnet50(stride: int) -> nn.Module:
    return _without_head(torchvision.models.resnet50(replace_stride_with_dilation=[False, stride == 8, True]))


def _resnet101(stride: int) -> nn.Module:
    return _without_head(torchvision.models.resnet101(replace_stride_with_dilation=[False, stride == 8, True]))


def _without_head(resnet: nn.Module) -> nn.Module:
    """Return the layers of a ResNet up to the last features, under their own names."""
    return nn.Sequential(OrderedDict((k, v) for k, v in resnet.named_children() if k not in ("avgpool", "fc")))


def _mobilenet_v2(stride: int) -> nn.Module:
    features = torchvision.models.mobilenet_v2().features[:-1]
    reached, dilation = 1, 1
    for convolution in features.modules():
        if not isinstance(convolution, nn.Conv2d) or convolution.kernel_size == (1, 1):
            continue
        # As in torchvision's ResNets, the convolution that loses its stride still has the dilation of those before.
        convolution.dilation = (dilation, dilation)
        convolution.padding = (dilation, dilation)
        if convolution.stride == (2, 2) and reached == stride:
            convolution.stride = (1, 1)
            dilation *= 2
        else:
            reached *= convolution.stride[0]
    for module in features.modules():
        if isinstance(module, nn.ReLU6):
            # In place, autograd would copy every input that it is about to overwrite.
            module.inplace = False
    return nn.Sequential(OrderedDict(features=features))


KINDS: dict[str, Kind] = {
    "resnet50": Kind(
        build=_resnet50,
        channels=2048,
        output_stride=8,
        head=("fc.",),
        imagenet=torchvision.models.ResNet50_Weights.IMAGENET1K_V1,
        coco=torchvision.models.segmentation.DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1,
    ),
    "resnet101": Kind(
        build=_resnet101,
        channels=2048,
        output_stride=8,
        head=("fc.",),
        imagenet=torchvision.models.ResNet101_Weights.IMAGENET1K_V1,
        coco=torchvision.models.segmentation.DeepLabV3_ResNet101_Weights.COCO_WITH_VOC_LABELS_V1,
    ),
    "mobilenet_v2": Kind(
        build=_mobilenet_v2,
        channels=320,
        output_stride=16,
        head=("classifier.", "features.18."),
        imagenet=torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1,
    ),
}
"""The backbones by name."""


# --- weights ---------------------------------------------------------------------------------------------------------


def load_backbone_weights(model: DeepLabV3, state: Mapping[str, Tensor], *, source: str = "state dict") -> None:
    """Load a classification network's weights into the backbone; its head is left out.

    Args:
        model: the model to change.
        state: the network's state dict with torchvision's keys, of any floating-point type.
        source: what the weights are, for the error message.

    Raises:
        RecipeError: a weight is missing, unknown or of another shape.
    """
    _load(model.backbone, {k: v for k, v in state.items() if not k.startswith(model.kind.head)}, source)


def load_segmentation_weights(model: DeepLabV3, state: Mapping[str, Tensor], *, source: str = "state dict") -> None:
    """Load the weights of a torchvision DeepLabV3 with as many classes; its auxiliary classifier is left out.

    Args:
        model: the model to change.
        state: the network's state dict, of any floating-point type.
        source: what the weights are, for the error message.

    Raises:
        RecipeError: a weight is missing, unknown or of another shape.
    """
    _load(model, {k: v for k, v in state.items() if not k.startswith("aux_classifier.")}, source)


def _load_pretrained(model: DeepLabV3, pretrained: str) -> None:
    if pretrained == "imagenet":
        load_backbone_weights(model, _published(model.kind.imagenet), source=pretrained)
    elif pretrained == "coco":
        if model.kind.coco is None:
            raise RecipeError("model.pretrained: coco weights exist for the ResNets only: use imagenet")
        # The classes are others: the last layer stays as it is.
        last = {k: v for k, v in model.state_dict().items() if k.startswith("classifier.4.")}
        load_segmentation_weights(model, {**_published(model.kind.coco), **last}, source=pretrained)
    else:
        load_backbone_weights(model, _read(Path(pretrained).expanduser()), source=pretrained)


def _published(weights: WeightsEnum) -> Mapping[str, Tensor]:
    return published_weights(weights, option="model.pretrained", instead="give the path of a file with these weights")


def _read(path: Path) -> Mapping[str, Tensor]:
    if not path.is_file():
        raise RecipeError(f"model.pretrained: {str(path)!r} is not a file: give imagenet, coco or the path of a file")
    return read_weights(path, option="model.pretrained")


def _load(module: nn.Module, state: Mapping[str, Tensor], source: str) -> None:
    """Load `state` into `module`, and refuse anything that does not fit exactly."""
    own = module.state_dict()
    # Batch normalisation counts its batches only to average with a momentum of None, which none has here.
    missing = [key for key in own if key not in state and not key.endswith("num_batches_tracked")]
    unknown = [key for key in state if key not in own]
    reshaped = [key for key in state if key in own and state[key].shape != own[key].shape]
    for keys, fault in ((missing, "missing"), (unknown, "unknown"), (reshaped, "of another shape")):
        if keys:
            raise RecipeError(
                f"model.pretrained: {source}: {len(keys)} of the weights are {fault}, first {keys[0]!r}: "
                "give the weights of this network under torchvision's names"
            )
    module.load_state_dict(dict(state), strict=False)
