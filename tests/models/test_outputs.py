"""Strips of the scores: together they are the dense scores, and each is made of its own few native rows."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from segfit.models import FeatureOutput, Output, ScoreOutput
from segfit.models.outputs import _neighbours, _position

LENGTHS = st.integers(1, 23)


def output(kind: str, shape: tuple[int, int], *, align: bool = False, dtype: torch.dtype = torch.float64) -> Output:
    """Return an output of two images with five classes."""
    generator = torch.Generator().manual_seed(0)
    if kind == "scores":
        return ScoreOutput(torch.randn(2, 5, *shape, generator=generator, dtype=dtype), align)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        classifier = nn.Conv2d(3, 5, 1, bias=kind == "features", dtype=dtype)
    return FeatureOutput(torch.randn(2, 3, *shape, generator=generator, dtype=dtype), classifier)


KINDS = ["scores", "features", "features without bias"]


@settings(max_examples=150)
@given(
    kind=st.sampled_from(KINDS),
    native=st.tuples(LENGTHS, LENGTHS),
    full=st.one_of(st.none(), st.tuples(LENGTHS, LENGTHS)),
    align=st.booleans(),
    height=st.integers(1, 25),
)
def test_strips_make_up_the_dense_scores(kind, native, full, align, height):
    given = output(kind, native, align=align)
    size = full or native
    with torch.no_grad():
        strips = list(given.strips(size, height))
        scores = [given.rows(strip) for strip in strips]
        torch.testing.assert_close(torch.cat(scores, 2), given.dense(size), rtol=1e-12, atol=1e-12)
    assert [strip.height for strip in strips] == [rows.shape[2] for rows in scores]
    assert strips[0].rows.start == 0
    assert strips[-1].rows.stop == size[0]
    assert all(first.rows.stop == second.rows.start for first, second in pairwise(strips))
    assert all(0 <= strip.halo.start < strip.halo.stop <= native[0] for strip in strips)


@settings(max_examples=60)
@given(native=st.integers(1, 300), full=st.integers(1, 2100), align=st.booleans())
def test_rows_lie_exactly_where_halos_expect_them(native, full, align):
    above, below, share = _neighbours(full, native, align, torch.device("cpu"))
    positions = [_position(row, full, native, align) for row in range(full)]
    assert above.tolist() == [min(int(position), native - 1) for position in positions]
    assert (above + share).tolist() == positions
    assert torch.equal(below, (above + 1).clamp(max=native - 1))


@settings(max_examples=60)
@given(native=LENGTHS, full=LENGTHS, align=st.booleans(), height=st.integers(1, 9))
def test_a_strip_is_made_of_its_halo_alone(native, full, align, height):
    """Rows outside the halo may be anything, and no row inside is there for nothing."""
    whole = output("scores", (native, 3), align=align)
    for strip in whole.strips((full, 4), height):
        before = whole.rows(strip)
        spoilt = whole.native.clone()
        spoilt[:, :, : strip.halo.start] = torch.nan
        spoilt[:, :, strip.halo.stop :] = torch.nan
        assert torch.equal(ScoreOutput(spoilt, align).rows(strip), before)
        assert strip.halo.stop - strip.halo.start <= strip.height * max(native / full, 1) + 2


@pytest.mark.parametrize("align", [False, True])
def test_a_row_does_not_depend_on_the_strip_it_is_in(align):
    scores = output("scores", (9, 7), align=align, dtype=torch.float32)
    whole = scores.rows(next(scores.strips((40, 31), 40)))
    for height in (1, 3, 7):
        assert torch.equal(torch.cat([scores.rows(strip) for strip in scores.strips((40, 31), height)], 2), whole)


def test_strips_are_as_high_as_suits_their_size():
    few, many = (ScoreOutput(torch.zeros(1, classes, 8, 8)) for classes in (1, 150))
    assert next(few.strips((64, 64))).height == 64
    high = next(many.strips((2048, 2048))).height
    assert high == (8 << 20) // (4 * 150 * 2048)
    assert next(many.strips((4, 10**9))).height == 1


def test_half_precision_scores_are_enlarged_in_float32():
    scores = output("scores", (4, 4), dtype=torch.bfloat16)
    rows = scores.rows(next(scores.strips((9, 9), 9)))
    assert rows.dtype == torch.float32
    torch.testing.assert_close(rows, ScoreOutput(scores.native.float()).dense((9, 9)))


@pytest.mark.parametrize(("dtype", "result"), [(torch.bfloat16, torch.bfloat16), (torch.float16, torch.float32)])
def test_the_classifier_under_autocast(dtype, result):
    """Float16 cannot hold the sum of a strip's gradients: its classifier works in float32."""
    features = output("features", (4, 4), dtype=torch.float32)
    strip = next(features.strips((4, 4)))
    plain = features.rows(strip)
    with torch.autocast("cpu", dtype=dtype):
        assert features.rows(strip).dtype == result
    torch.testing.assert_close(features.rows(strip), plain)


@pytest.mark.parametrize("kind", KINDS)
def test_one_image_of_the_batch(kind):
    whole = output(kind, (5, 4))
    for index in range(2):
        assert torch.equal(whole.image(index).dense((9, 9)), whole.dense((9, 9))[index : index + 1])
