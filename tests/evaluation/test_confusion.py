"""The confusion matrix against a count by hand and against torchmetrics."""

from collections.abc import Callable
from random import Random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torchmetrics.functional.classification import multiclass_confusion_matrix

from segfit.evaluation.confusion import _count_on_cpu, _count_on_gpu, confusion_matrix
from segfit.labels import IGNORE

Count = Callable[[torch.Tensor, torch.Tensor, int], torch.Tensor]


@st.composite
def pairs(draw: st.DrawFn, most: int = 6) -> tuple[torch.Tensor, torch.Tensor, int]:
    """Draw a target with ignored pixels, a prediction and the number of classes."""
    classes = draw(st.integers(1, most))
    pixels = draw(st.integers(0, 40))
    ids = st.integers(0, classes - 1)
    target = draw(st.lists(ids | st.just(IGNORE), min_size=pixels, max_size=pixels))
    prediction = draw(st.lists(ids, min_size=pixels, max_size=pixels))
    return torch.tensor(target, dtype=torch.uint8), torch.tensor(prediction, dtype=torch.int64), classes


@given(pairs())
def test_counts_every_valid_pixel_once(drawn: tuple[torch.Tensor, torch.Tensor, int]) -> None:
    target, prediction, classes = drawn
    expected = [[0] * classes for _ in range(classes)]
    for true, predicted in zip(target.tolist(), prediction.tolist(), strict=True):
        if true != IGNORE:
            expected[true][predicted] += 1
    result = confusion_matrix(target, prediction, classes)
    assert result.dtype == torch.int64
    assert result.tolist() == expected


@pytest.mark.parametrize("classes", [2, 150, 254])
def test_equals_torchmetrics(classes: int) -> None:
    generator = torch.Generator().manual_seed(classes)
    target = torch.randint(classes, (2, 37, 41), generator=generator)
    prediction = torch.randint(classes, (2, 37, 41), generator=generator)
    target[torch.rand(target.shape, generator=generator) < 0.2] = IGNORE
    expected = multiclass_confusion_matrix(prediction, target, classes, ignore_index=IGNORE)
    assert torch.equal(confusion_matrix(target, prediction, classes), expected)


@given(pairs(), st.randoms(use_true_random=False))
@settings(max_examples=50)
def test_shards_in_any_order_add_up(drawn: tuple[torch.Tensor, torch.Tensor, int], random: Random) -> None:
    target, prediction, classes = drawn
    order = list(range(len(target)))
    random.shuffle(order)
    half = len(order) // 2
    shards = (torch.tensor(part, dtype=torch.int64) for part in (order[:half], order[half:]))
    total = sum(confusion_matrix(target[own], prediction[own], classes) for own in shards)
    assert torch.equal(torch.as_tensor(total), confusion_matrix(target, prediction, classes))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int16, torch.int32, torch.int64, torch.uint16], ids=str)
def test_takes_every_integer_type_and_strided_tensors(dtype: torch.dtype) -> None:
    target = torch.tensor([[0, 1], [IGNORE, 1], [0, 0]]).T
    prediction = torch.tensor([[0, 0], [1, 1], [0, 1]]).T
    expected = [[2, 1], [1, 1]]
    assert confusion_matrix(target.to(dtype), prediction.to(dtype), 2).tolist() == expected


def test_what_is_predicted_on_ignored_pixels_does_not_matter() -> None:
    target = torch.full((3, 3), IGNORE, dtype=torch.uint8)
    assert confusion_matrix(target, torch.arange(9).view(3, 3), 9).sum() == 0


# Those beyond a byte would be ids of classes if their upper bits were cut off: 256 is 0, 2^32 + 1 is 1.
OUT_OF_RANGE = (2, 3, 254, 256, 257, 511, 2**32, 2**32 + 1, -1, -255, -256)


@pytest.mark.parametrize("count", [_count_on_cpu, _count_on_gpu], ids=["cpu", "gpu"])
@pytest.mark.parametrize("wrong", OUT_OF_RANGE)
def test_an_id_out_of_range_is_never_counted_elsewhere(wrong: int, count: Count) -> None:
    right = torch.tensor([0, 1])
    with pytest.raises(AssertionError, match="train ids"):
        count(torch.tensor([0, wrong]), right, 2)
    for prediction in (wrong, IGNORE):
        with pytest.raises(AssertionError, match="train ids"):
            count(right, torch.tensor([0, prediction]), 2)
    ignored = torch.tensor([0, IGNORE])
    assert count(ignored, torch.tensor([0, wrong]), 2).tolist() == [[1, 0], [0, 0]]


@pytest.mark.parametrize("wrong", [2, 3, 254, IGNORE])
def test_a_byte_out_of_range_is_never_counted_elsewhere(wrong: int) -> None:
    right, other = torch.tensor([[0, 1], [0, wrong]], dtype=torch.uint8)
    for target, prediction in ((right, other), (other, right)):
        if target is other and wrong == IGNORE:
            continue
        with pytest.raises(AssertionError, match="train ids"):
            confusion_matrix(target, prediction, 2)


@given(pairs())
def test_both_ways_count_alike(drawn: tuple[torch.Tensor, torch.Tensor, int]) -> None:
    assert torch.equal(_count_on_gpu(*drawn), _count_on_cpu(*drawn))


def test_counts_beyond_float32_stay_exact() -> None:
    """OpenCV counts in float32, which stops at 2^24 pixels: more than that are counted strip by strip."""
    pixels = (1 << 24) + 5
    target = torch.full((pixels,), 7, dtype=torch.uint8)
    target[-1] = IGNORE
    result = confusion_matrix(target, torch.full_like(target, 7), 8)
    assert result[7, 7] == result.sum() == pixels - 1


def test_the_most_classes_a_byte_can_hold() -> None:
    ids = torch.arange(IGNORE, dtype=torch.uint8)
    assert torch.equal(confusion_matrix(ids, ids.flip(0), IGNORE), torch.eye(IGNORE, dtype=torch.int64).flip(0))


def test_no_pixels_are_no_counts() -> None:
    nothing = torch.zeros(0, 5, dtype=torch.int64)
    assert confusion_matrix(nothing, nothing, 3).tolist() == [[0] * 3] * 3


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_equal_on_the_gpu() -> None:
    target = torch.randint(150, (64, 64))
    prediction = torch.randint(150, (64, 64))
    on_gpu = confusion_matrix(target.cuda(), prediction.cuda(), 150)
    assert on_gpu.is_cuda
    assert torch.equal(on_gpu.cpu(), confusion_matrix(target, prediction, 150))
