"""The best class of every pixel against the argmax of scores that are all there at once."""

import pytest
import torch
from cheap import FeatureModel, ScoreModel, peak_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from segfit.evaluation.labelling import best_classes, label_map
from segfit.models import FeatureOutput, Output, ScoreOutput


def output(kind: str, classes: int, native: tuple[int, int], batch: int = 1, align_corners: bool = False) -> Output:
    generator = torch.Generator().manual_seed(classes)
    if kind == "scores":
        return ScoreOutput(torch.randn(batch, classes, *native, generator=generator), align_corners)
    torch.manual_seed(classes)
    return FeatureOutput(torch.randn(batch, 5, *native, generator=generator), nn.Conv2d(5, classes, 1))


def check_map(labels: Tensor, scores: Tensor) -> None:
    """Check that labels name best classes; another than argmax's only where scores tie within rounding."""
    expected = scores.argmax(1)
    assert labels.shape == expected.shape
    other = labels != expected
    chosen = scores.gather(1, labels.long()[:, None])[:, 0]
    assert (scores.amax(1)[other] - chosen[other] <= 1e-5 * scores.abs().max()).all()
    assert other.float().mean() < 0.01


SIZES = st.integers(1, 30)


@given(
    kind=st.sampled_from(["scores", "features"]),
    classes=st.integers(1, 9),
    batch=st.integers(1, 3),
    native=st.tuples(SIZES, SIZES),
    size=st.tuples(SIZES, SIZES),
    align_corners=st.booleans(),
)
@settings(max_examples=50, deadline=None)
def test_equals_argmax_of_the_dense_scores(kind, classes, batch, native, size, align_corners) -> None:
    parts = output(kind, classes, native, batch, align_corners)
    labels = label_map(parts, size)
    assert labels.dtype == torch.uint8
    with torch.no_grad():
        check_map(labels, parts.dense(size))


def test_many_strips_make_one_map() -> None:
    parts = output("scores", 150, (16, 16))
    assert len(list(parts.strips((256, 256)))) > 4
    check_map(label_map(parts, (256, 256)), parts.dense((256, 256)))


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last], ids=str)
@given(seed=st.integers(0, 2**31), classes=st.sampled_from([1, 2, 3, 254, 300]))
@settings(max_examples=30, deadline=None)
def test_the_first_of_equal_scores_wins(layout, seed, classes) -> None:
    # Few values, so that most pixels tie; infinities are scores like others.
    generator = torch.Generator().manual_seed(seed)
    values = torch.tensor([-torch.inf, -1.0, 0.0, 2.0, torch.inf])
    scores = values[torch.randint(5, (2, classes, 4, 3), generator=generator)].contiguous(memory_format=layout)
    labels = best_classes(scores)
    assert labels.dtype == (torch.uint8 if classes <= 256 else torch.int16)
    assert torch.equal(labels.long(), scores.argmax(1))


def test_half_precision_scores() -> None:
    parts = ScoreOutput(torch.randn(1, 3, 6, 6).bfloat16())
    assert torch.equal(label_map(parts, (6, 6)).long(), parts.dense((6, 6)).argmax(1))


@pytest.mark.parametrize("model", [ScoreModel, FeatureModel])
def test_memory_grows_neither_with_the_classes_nor_with_the_size(model) -> None:
    peaks = {}
    for classes, side in ((10, 1024), (150, 512), (150, 2048)):
        with torch.inference_mode():
            parts = model(classes).eval()(torch.zeros(1, 3, 256, 256, dtype=torch.uint8))
        peaks[classes, side] = peak_bytes(lambda parts=parts, side=side: label_map(parts, (side, side)))
    # The map itself has a byte per pixel; all scores would take 10 * 4 * 1024**2, or 150 * 4 * 2048**2 bytes = 2.5 GB.
    assert max(peak - side**2 for (_, side), peak in peaks.items()) < 32e6, peaks


def test_reduced_scores_are_made_in_strips_too() -> None:
    # All of them would take 4 * 150 * 512 * 512 bytes = 157 MB.
    parts = output("features", 150, (512, 512))
    with torch.no_grad():
        assert peak_bytes(lambda: label_map(parts, (20, 20))) < 40e6
