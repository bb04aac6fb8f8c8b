"""UNet against the public network, written out as plain functional calls over its state dict."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from segfit.errors import RecipeError
from segfit.models import MODELS
from segfit.models.unet import UNet, crop_to, pad_to

SIZES = [(16, 16), (32, 48), (17, 31), (65, 47)]


def double_conv(state: dict[str, Tensor], prefix: str, x: Tensor) -> Tensor:
    for conv, norm in ((0, 1), (3, 4)):
        x = F.conv2d(x, state[f"{prefix}.{conv}.weight"], padding=1)
        bn = {k: state[f"{prefix}.{norm}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")}
        x = F.relu(F.batch_norm(x, **bn))
    return x


def public_unet(state: dict[str, Tensor], x: Tensor, bilinear: bool, depth: int = 4) -> Tensor:
    """Return the scores of the public Pytorch-UNet in evaluation."""
    x = double_conv(state, "inc.double_conv", x)
    skips = []
    for level in range(1, depth + 1):
        skips.append(x)
        x = double_conv(state, f"down{level}.maxpool_conv.1.double_conv", F.max_pool2d(x, 2))
    for level in range(1, depth + 1):
        skip = skips.pop()
        if bilinear:
            x = F.interpolate(x, scale_factor=2, mode="bilinear", align_corners=True)
        else:
            x = F.conv_transpose2d(x, state[f"up{level}.up.weight"], state[f"up{level}.up.bias"], stride=2)
        dy, dx = skip.shape[2] - x.shape[2], skip.shape[3] - x.shape[3]
        x = F.pad(x, [dx // 2, dx - dx // 2, dy // 2, dy - dy // 2])
        x = double_conv(state, f"up{level}.conv.double_conv", torch.cat([skip, x], 1))
    return F.conv2d(x, state["outc.conv.weight"], state["outc.conv.bias"])


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """Give every weight and statistic a value that a mistake cannot hide behind (no zero biases, no unit scales)."""
    generator = torch.Generator().manual_seed(1)
    for name, value in model.state_dict().items():
        if name.endswith("running_var") or (name.endswith("weight") and value.ndim == 1):
            value.copy_(torch.rand(value.shape, generator=generator) + 0.5)
        elif value.ndim <= 1 and value.is_floating_point():
            value.copy_(torch.randn(value.shape, generator=generator) * 0.1)
    return model.eval()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("bilinear", [False, True])
def test_equals_the_public_network(size: tuple[int, int], bilinear: bool) -> None:
    torch.manual_seed(0)
    model = randomised(UNet(5, width=4, bilinear=bilinear))
    images = torch.randint(0, 256, (2, 3, *size), dtype=torch.uint8)
    expected = public_unet(model.state_dict(), images / 255, bilinear)
    assert expected.std() > 1e-3
    torch.testing.assert_close(model(images).dense(size), expected)


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_depth_generalises_the_layout(depth: int) -> None:
    torch.manual_seed(0)
    model = randomised(UNet(3, width=2, depth=depth))
    images = torch.randint(0, 256, (1, 3, 35, 32), dtype=torch.uint8)
    assert {key.split(".")[0] for key in model.state_dict()} == {
        "inc",
        "outc",
        *(f"{way}{level}" for way in ("down", "up") for level in range(1, depth + 1)),
    }
    torch.testing.assert_close(
        model(images).dense((35, 32)), public_unet(model.state_dict(), images / 255, False, depth)
    )


@pytest.mark.parametrize(
    ("classes", "bilinear", "count"), [(2, False, 31037698), (1, False, 31037633), (1, True, 17262977)]
)
def test_classic_sizes(classes: int, bilinear: bool, count: int) -> None:
    with torch.device("meta"):
        model = UNet(classes, bilinear=bilinear)
    assert sum(p.numel() for p in model.parameters()) == count


def test_public_keys() -> None:
    with torch.device("meta"):
        shapes = {key: tuple(value.shape) for key, value in UNet(2).state_dict().items()}
    assert len(shapes) == 118  # 18 convolutions, each with 5 keys of its norm, 4 transposed ones, the classifier
    for key, shape in {
        "inc.double_conv.0.weight": (64, 3, 3, 3),
        "inc.double_conv.4.running_var": (64,),
        "down1.maxpool_conv.1.double_conv.0.weight": (128, 64, 3, 3),
        "down4.maxpool_conv.1.double_conv.3.weight": (1024, 1024, 3, 3),
        "up1.up.weight": (1024, 512, 2, 2),
        "up1.conv.double_conv.0.weight": (512, 1024, 3, 3),
        "up4.conv.double_conv.3.weight": (64, 64, 3, 3),
        "outc.conv.weight": (2, 64, 1, 1),
        "outc.conv.bias": (2,),
    }.items():
        assert shapes[key] == shape


def test_small_images_see_their_border_repeated() -> None:
    torch.manual_seed(0)
    model = randomised(UNet(3, width=4))
    image = torch.randint(0, 256, (1, 3, 5, 40), dtype=torch.uint8)
    enlarged = torch.cat([image, image[:, :, -1:].expand(-1, -1, 11, -1)], dim=2)
    torch.testing.assert_close(model(image).dense((5, 40)), model(enlarged).dense((16, 40))[:, :, :5])


def test_pad_and_crop_are_inverse() -> None:
    x = torch.randn(2, 3, 5, 7)
    padded = pad_to(x, (8, 9))
    assert padded.shape == (2, 3, 8, 9)
    assert torch.equal(padded[:, :, 7, 8], x[:, :, 4, 6])
    assert torch.equal(crop_to(padded, (5, 7)), x)


def test_dropout_acts_in_training_only() -> None:
    torch.manual_seed(0)
    model = UNet(2, width=4, depth=2, dropout=0.5)
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    assert not torch.equal(model(images).native, model(images).native)
    model.eval()
    assert torch.equal(model(images).native, model(images).native)


@pytest.mark.parametrize("name", ["unet", "attention_unet"])
@pytest.mark.parametrize(
    ("option", "value"), [("width", 0), ("depth", 0), ("depth", -1), ("dropout", 1.0), ("dropout", -0.1)]
)
def test_bad_options_are_named(name: str, option: str, value: float) -> None:
    with pytest.raises(RecipeError, match=rf"^model\.{option}: {value} .*: use ") as error:
        MODELS.build(name, 3, **{option: value})
    assert "\n" not in str(error.value)
