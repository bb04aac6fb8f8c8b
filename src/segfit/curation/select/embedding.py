"""What a network sees in whole images: one vector per image, from any classification network or a trained run.

Of a classification network: what enters its last layer, averaged over space where it still has some (for ResNets,
MobileNets and their like these are the globally average-pooled features). Of a run: its widest feature map, averaged
over space. Vectors have length 1, so that distances compare directions and not contrast.

Shape suffixes: B batch, H W size, D features.
"""

import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
import torchvision
from numpy.typing import NDArray
from torch import Tensor, nn

from segfit import use
from segfit.console import waiting
from segfit.data import Image
from segfit.data.augment import Fit
from segfit.data.decode import read_image
from segfit.errors import RecipeError, did_you_mean
from segfit.folder import RunFolder
from segfit.models.weights import published_weights, read_weights

__all__ = ["Backbone", "embed", "open_backbone"]

PIXELS = 32 * 224 * 224
"""At most so many pixels of images are in a batch."""


@dataclass(frozen=True, kw_only=True)
class Backbone:
    """A network that turns images into vectors.

    Attributes:
        name: what the user called it.
        weights: the file with its weights, where the user named one.
        size: height and width of its input; whole images are squashed to it.
        device: where it is.
        features: `(B, 3, H, W)` uint8 RGB on the device -> `(B, D)`.
    """

    name: str
    weights: Path | None
    size: tuple[int, int]
    device: torch.device
    features: Callable[[Tensor], Tensor]


def open_backbone(name: str, weights: Path | None, device: str) -> Backbone:
    """Return a network with its trained weights.

    Args:
        name: one of torchvision's classification networks, or a run folder.
        weights: safetensors file with the weights of the network; None downloads torchvision's best, once.
        device: where it is to be.

    Raises:
        RecipeError: no such network, or weights that do not fit or cannot be downloaded.
        RunError: the run has no checkpoint.
    """
    if not RunFolder(name).exists():
        return _network(name, weights, torch.device(device))
    if weights is not None:
        raise RecipeError(f"--weights {weights}: the run {name} has its own weights: leave --weights out")
    predictor = use.load(name, overrides=[f"train.device={device}"])
    model = predictor.model
    return Backbone(
        name=name,
        weights=None,
        size=predictor.fit.size,
        device=predictor.segment.device,
        features=lambda images: _widest_map(model, images),
    )


@torch.inference_mode()
def embed(backbone: Backbone, images: Sequence[Path]) -> NDArray[np.float32]:
    """Return a vector of length 1 for every image, `(N, D)`.

    Raises:
        DataError: an image is unreadable.
        RecipeError: the network's features are not finite.
    """
    rows: list[Tensor] = []
    with waiting(f"looking at {len(images)} images with {backbone.name}") as progress:
        for batch in _batches(images, backbone.size):
            features = backbone.features(torch.from_numpy(batch).to(backbone.device).permute(0, 3, 1, 2))
            rows.append(F.normalize(features.float()).cpu())
            progress(sum(map(len, rows)), len(images))
    vectors = torch.cat(rows)
    if not vectors.isfinite().all():
        raise RecipeError(f"--diverse {backbone.name}: its features are not finite: its weights are damaged")
    return vectors.numpy()


def _batches(images: Sequence[Path], size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    """Yield the images as `(B, H, W, 3)`; the next batch is decoded meanwhile, and no more than that."""

    def read(path: Path) -> Image:
        return Fit(size, "squash")(read_image(path))

    count = max(1, PIXELS // (size[0] * size[1]))
    with ThreadPoolExecutor() as threads:
        ahead = [threads.submit(read, path) for path in images[:count]]
        for start in range(count, len(images) + count, count):
            now, ahead = ahead, [threads.submit(read, path) for path in images[start : start + count]]
            yield np.stack([future.result() for future in now])


def _widest_map(model: nn.Module, images: Tensor) -> Tensor:
    """Return the feature map with the most channels, the last of several, averaged over space `(B, D)`."""
    widest = torch.empty(0, 0, 0, 0)

    def look(_module: nn.Module, _inputs: object, output: object) -> None:
        nonlocal widest
        if isinstance(output, Tensor) and output.ndim == 4 and output.shape[1] >= widest.shape[1]:
            widest = output

    hooks = [module.register_forward_hook(look) for module in model.modules() if not list(module.children())]
    try:
        model(images)
    finally:
        for hook in hooks:
            hook.remove()
    return widest.mean(dim=(2, 3))


# --- torchvision's classification networks ---------------------------------------------------------------------------


def _network(name: str, weights: Path | None, device: torch.device) -> Backbone:
    known = torchvision.models.list_models(module=torchvision.models)
    if name not in known:
        raise RecipeError(f"--diverse {name}: neither a run folder nor a network of torchvision{_like(name, known)}")
    published = torchvision.models.get_model_weights(name).DEFAULT
    expected = published.transforms()
    size = expected.crop_size[0]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # how weights are drawn: they are replaced
        network = torchvision.models.get_model(name, **({"image_size": size} if name.startswith("vit_") else {}))
    if hasattr(network, "transform_input"):
        network.transform_input = True  # as torchvision does wherever it loads the weights of these networks
    head = [key for key, module in network.named_modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
    option = f"--diverse {name}"
    _load(network, _weights(option, weights, published), head, f"{option}: {weights or published}")
    network.to(device).eval()
    mean, std = (torch.tensor(v, device=device).view(1, 3, 1, 1) * 255 for v in (expected.mean, expected.std))
    last = network.get_submodule(head)
    return Backbone(
        name=name,
        weights=weights,
        size=(size, size),
        device=device,
        features=lambda images: _input_of(last, network, (images - mean) / std),
    )


def _like(name: str, known: Sequence[str]) -> str:
    # All eighty names would bury the message.
    return did_you_mean(name, known) if "did you mean" in did_you_mean(name, known) else " (for example resnet50)"


def _input_of(layer: nn.Module, network: nn.Module, x: Tensor) -> Tensor:
    """Return what enters `layer` when the network gets `x`, averaged over space where it has some: `(B, D)`."""
    seen: list[Tensor] = []
    hook = layer.register_forward_pre_hook(lambda _layer, inputs: seen.append(inputs[0]))
    try:
        network(x)
    finally:
        hook.remove()
    (features,) = seen
    return features.mean(dim=(2, 3)) if features.ndim == 4 else features


def _weights(option: str, file: Path | None, published: torchvision.models.WeightsEnum) -> Mapping[str, Tensor]:
    """Return the weights in the file that the user names, else torchvision's."""
    if file is None:
        return published_weights(published, option=option, instead="name a file with these weights (--weights FILE)")
    if not file.is_file():
        raise RecipeError(f"--weights {file}: no such file")
    return read_weights(file, option="--weights")


def _load(network: nn.Module, state: Mapping[str, Tensor], head: str, where: str) -> None:
    """Load all but the last layer, whose result nobody asks for: it may be missing or have other classes."""
    try:
        missing, unknown = network.load_state_dict(
            {key: value for key, value in state.items() if not key.startswith(f"{head}.")}, strict=False
        )
    except RuntimeError as error:
        raise RecipeError(f"{where}: weights of another network ({str(error).splitlines()[-1].strip()})") from None
    missing = [key for key in missing if not key.startswith(f"{head}.") and not key.endswith("num_batches_tracked")]
    if missing or unknown:
        first = repr((missing or unknown)[0])
        raise RecipeError(
            f"{where}: not the weights of this network under torchvision's names "
            f"({first} is {'missing' if missing else 'unknown'})"
        )
