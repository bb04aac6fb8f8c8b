"""What every registered model must satisfy; a model is found by its registration."""

from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from segfit.models import MODELS, Output, Segmenter

TINY: dict[str, dict[str, Any]] = {
    "unet": {"width": 4},
    "attention_unet": {"width": 4},
    "deeplabv3": {"backbone": "mobilenet_v2"},
}
"""Options that keep the tests fast; a model that is not listed is tested with its defaults."""

CLASSES = 5
SIZES = [(1, 1), (7, 33), (32, 32), (65, 47)]

pytestmark = pytest.mark.parametrize("name", MODELS.names())


@pytest.fixture(autouse=True)
def _one_thread() -> Any:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def build(name: str) -> Segmenter:
    torch.manual_seed(0)
    return MODELS.build(name, CLASSES, **TINY.get(name, {}))


def build_settled(name: str) -> Segmenter:
    """Return a model for evaluation whose running statistics come from data: with fresh ones, scores may fade to 0."""
    model = build(name).train()
    for module in model.modules():
        if isinstance(module, torch.nn.modules.batchnorm._BatchNorm):
            module.momentum = None
    with torch.no_grad():
        model(batch((64, 64), 4))
    return model.eval()


def batch(size: tuple[int, int], count: int = 2) -> Tensor:
    generator = torch.Generator().manual_seed(3)
    return torch.randint(0, 256, (count, 3, *size), dtype=torch.uint8, generator=generator)


def learn(model: Segmenter, images: Tensor) -> Tensor:
    """Run one training step's forward and backward pass; return the dense scores."""
    scores = model(images).dense((images.shape[-2], images.shape[-1]))
    target = torch.arange(scores[:, 0].numel()).view(scores[:, 0].shape) % CLASSES
    torch.nn.functional.cross_entropy(scores.float(), target).backward()
    return scores


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("size", SIZES)
def test_trains_at_any_size(name: str, size: tuple[int, int], count: int) -> None:
    model = build(name).train()
    scores = learn(model, batch(size, count))
    assert scores.shape == (count, CLASSES, *size)
    assert scores.isfinite().all()
    for parameter, value in model.named_parameters():
        if value.requires_grad:
            assert value.grad is not None, parameter
            assert value.grad.isfinite().all(), parameter


def test_every_weight_matters(name: str) -> None:
    # Biases in front of a normalisation have no effect by design; matrices and kernels must have one.
    model = build(name).train()
    learn(model, batch((65, 47)))
    dead = [k for k, v in model.named_parameters() if v.ndim > 1 and v.requires_grad and not v.grad.any()]
    assert not dead


@pytest.mark.parametrize("size", [(32, 32), (7, 33)])
@pytest.mark.parametrize("wanted", [(1, 1), (20, 50), (64, 64)])
def test_dense_scores_for_any_size(name: str, size: tuple[int, int], wanted: tuple[int, int]) -> None:
    with torch.no_grad():
        output = build_settled(name)(batch(size))
    assert isinstance(output, Output)
    assert output.dense(wanted).shape == (2, CLASSES, *wanted)
    assert output.dense(size).shape == (2, CLASSES, *size)


def test_output_of_one_image_is_its_part_of_the_batch(name: str) -> None:
    with torch.no_grad():
        output = build_settled(name)(batch((33, 40), 3))
        scores = output.dense((20, 50))
        for index in range(3):
            alone = output.image(index).dense((20, 50))
            torch.testing.assert_close(alone, scores[index : index + 1], rtol=1e-5, atol=1e-5)


def test_saved_weights_score_equally(name: str, tmp_path: Path) -> None:
    model = build_settled(name)
    save_file(model.state_dict(), tmp_path / "model.safetensors")
    torch.manual_seed(99)
    other = MODELS.build(name, CLASSES, **TINY.get(name, {}))
    images = batch((33, 40))
    with torch.no_grad():
        expected = model(images).dense((33, 40))
        assert not torch.equal(other.eval()(images).dense((33, 40)), expected)
        other.load_state_dict(load_file(tmp_path / "model.safetensors"))
        assert torch.equal(other(images).dense((33, 40)), expected)


def test_evaluation_is_deterministic_and_image_by_image(name: str) -> None:
    model = build_settled(name)
    images = batch((33, 40))
    with torch.no_grad():
        first = model(images).dense((33, 40))
        assert torch.equal(model(images).dense((33, 40)), first)
        alone = torch.cat([model(image[None]).dense((33, 40)) for image in images])
    torch.testing.assert_close(alone, first, rtol=1e-4, atol=1e-4)


def test_memory_format_does_not_matter(name: str) -> None:
    model = build_settled(name)
    images = batch((33, 40))
    with torch.no_grad():
        expected = model(images).dense((33, 40))
        model.to(memory_format=torch.channels_last)
        scores = model(images.contiguous(memory_format=torch.channels_last)).dense((33, 40))
    torch.testing.assert_close(scores, expected, rtol=1e-4, atol=1e-4)


def test_bf16_autocast(name: str) -> None:
    model = build(name).train()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        scores = learn(model, batch((17, 32)))
    assert scores.isfinite().all()
    assert all(v.grad is not None and v.grad.isfinite().all() for v in model.parameters() if v.requires_grad)


def test_brightness_changes_the_scores(name: str) -> None:
    # uint8 values are scaled, not wrapped or truncated: black, grey and white differ from one another.
    model = build_settled(name)
    with torch.no_grad():
        scores = [model(torch.full((1, 3, 32, 32), v, dtype=torch.uint8)).dense((32, 32)) for v in (0, 128, 255)]
    assert not torch.allclose(scores[0], scores[1])
    assert not torch.allclose(scores[1], scores[2])
