"""DeepLabV3 against torchvision's networks, and its ways to get weights."""

from pathlib import Path

import pytest
import torch
import torchvision
from safetensors.torch import save_file
from torch import Tensor, nn

from segfit.errors import RecipeError
from segfit.models.deeplabv3 import DeepLabV3, load_backbone_weights, load_segmentation_weights

CLASSES = 4


@pytest.fixture(scope="module")
def mobilenet() -> nn.Module:
    torch.manual_seed(0)
    network = torchvision.models.mobilenet_v2(weights=None)
    # With fresh statistics the features fade to nothing, and everything would equal everything.
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = None
    with torch.no_grad():
        network(torch.randn(4, 3, 96, 96))
    return network.eval()


@pytest.fixture(scope="module")
def torchvision_deeplab() -> nn.Module:
    torch.manual_seed(0)
    return torchvision.models.segmentation.deeplabv3_resnet50(
        weights=None, weights_backbone=None, num_classes=CLASSES, aux_loss=True
    ).eval()


def mobile(**options: object) -> DeepLabV3:
    return DeepLabV3(CLASSES, backbone="mobilenet_v2", **options)  # type: ignore[arg-type]


def normalised(images: Tensor) -> Tensor:
    mean, std = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    return (images / 255 - torch.tensor(mean).view(3, 1, 1)) / torch.tensor(std).view(3, 1, 1)


def test_equals_torchvision_on_the_same_weights(torchvision_deeplab: nn.Module) -> None:
    model = DeepLabV3(CLASSES).eval()
    load_segmentation_weights(model, torchvision_deeplab.state_dict())
    images = torch.randint(0, 256, (1, 3, 65, 47), dtype=torch.uint8)
    with torch.no_grad():
        expected = torchvision_deeplab(normalised(images))["out"]
        output = model(images)
    assert expected.std() > 1e-3
    assert output.native.shape == (1, CLASSES, 9, 6)
    torch.testing.assert_close(output.dense((65, 47)), expected)


def test_resnet101_has_torchvisions_keys() -> None:
    with torch.device("meta"):
        reference = torchvision.models.segmentation.deeplabv3_resnet101(weights=None, weights_backbone=None)
        model = DeepLabV3(21, backbone="resnet101")
    expected = {key: value.shape for key, value in reference.state_dict().items()}
    assert {key: value.shape for key, value in model.state_dict().items()} == expected


@pytest.mark.parametrize("backbone", ["resnet50", "mobilenet_v2"])
@pytest.mark.parametrize("stride", [8, 16])
def test_output_stride(backbone: str, stride: int) -> None:
    with torch.device("meta"):
        model = DeepLabV3(CLASSES, backbone=backbone, output_stride=stride).eval()  # type: ignore[arg-type]
        assert model(torch.zeros(1, 3, 64, 96, dtype=torch.uint8)).native.shape == (1, 4, 64 // stride, 96 // stride)


@pytest.mark.parametrize("stride", [8, 16])
def test_dilation_keeps_mobilenets_function(mobilenet: nn.Module, stride: int) -> None:
    # Every position of the dilated features that the undilated network also computes has the same value
    # (Chen et al. 2017, figure 3): seen here where no padding is in reach, at the centre of a large image.
    model = mobile(output_stride=stride)
    load_backbone_weights(model, mobilenet.state_dict())
    x = torch.randn(1, 3, 544, 544)
    with torch.no_grad():
        coarse = mobilenet.features[:-1](x)  # 491 pixels are in reach of each value, from 11 to 501 of the middle one
        fine = model.eval().backbone(x)[:, :, :: 32 // stride, :: 32 // stride]
    assert coarse.std() > 0.1
    torch.testing.assert_close(fine[:, :, 8, 8], coarse[:, :, 8, 8])


def test_backbone_file_in_half_precision(mobilenet: nn.Module, tmp_path: Path) -> None:
    half = {key: value.half() if value.is_floating_point() else value for key, value in mobilenet.state_dict().items()}
    save_file(half, tmp_path / "half.safetensors")
    model = mobile(pretrained=str(tmp_path / "half.safetensors"))
    state = model.backbone.state_dict()
    assert {value.dtype for value in state.values()} == {torch.float32, torch.int64}
    for key, value in state.items():
        assert torch.equal(value, half[key].to(value.dtype)), key
    assert [id(p) for p in model.backbone_parameters()] == [id(p) for p in model.backbone.parameters()]


def test_scratch_has_no_pretrained_parameters() -> None:
    assert list(mobile().backbone_parameters()) == []


def test_imagenet_weights_come_from_torchvisions_cache(
    mobilenet: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    name = torchvision.models.MobileNet_V2_Weights.IMAGENET1K_V1.url.rpartition("/")[2]
    torch.save(mobilenet.state_dict(), cache / name)
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    model = mobile(pretrained="imagenet")
    assert torch.equal(model.backbone.state_dict()["features.0.0.weight"], mobilenet.features[0][0].weight)


def test_coco_keeps_the_new_classifier(
    torchvision_deeplab: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache = tmp_path / "hub" / "checkpoints"
    cache.mkdir(parents=True)
    weights = torchvision.models.segmentation.DeepLabV3_ResNet50_Weights.COCO_WITH_VOC_LABELS_V1
    torch.save(torchvision_deeplab.state_dict(), cache / weights.url.rpartition("/")[2])
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    model = DeepLabV3(CLASSES + 1, pretrained="coco")
    published = torchvision_deeplab.state_dict()
    for key, value in model.state_dict().items():
        if key.startswith("classifier.4."):
            assert value.shape[0] == CLASSES + 1
        else:
            assert torch.equal(value, published[key]), key


def one_line(model: type[DeepLabV3] | None = None, **options: object) -> str:
    with pytest.raises(RecipeError) as error:
        mobile(**options)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    for variable in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(variable, "http://127.0.0.1:9")
    message = one_line(pretrained="imagenet")
    assert message.startswith("model.pretrained: MobileNet_V2_Weights.IMAGENET1K_V1 cannot be downloaded (")
    assert "give the path of a file with these weights" in message
    assert capsys.readouterr().out == ""


def test_coco_is_for_resnets() -> None:
    assert one_line(pretrained="coco") == "model.pretrained: coco weights exist for the ResNets only: use imagenet"


def test_files_that_do_not_fit(mobilenet: nn.Module, tmp_path: Path) -> None:
    file = tmp_path / "weights.safetensors"
    assert "is not a file: give imagenet, coco or the path" in one_line(pretrained=str(file))
    file.write_text("no weights")
    assert "is not a safetensors file" in one_line(pretrained=str(file))
    good = mobilenet.state_dict()
    key = "features.1.conv.1.weight"
    for state, fault in (
        ({k: v for k, v in good.items() if k != key}, f"1 of the weights are missing, first '{key}'"),
        ({**good, "stem.weight": torch.zeros(1)}, "1 of the weights are unknown, first 'stem.weight'"),
        ({**good, key: torch.zeros(3)}, f"1 of the weights are of another shape, first '{key}'"),
    ):
        save_file(state, file)
        message = one_line(pretrained=str(file))
        assert fault in message
        assert str(file) in message


def test_wrong_number_of_classes(torchvision_deeplab: nn.Module) -> None:
    with pytest.raises(RecipeError, match=r"2 of the weights are of another shape, first 'classifier\.4\.weight'"):
        load_segmentation_weights(DeepLabV3(CLASSES + 1), torchvision_deeplab.state_dict())
