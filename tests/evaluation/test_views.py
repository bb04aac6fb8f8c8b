"""Several looks at an image against mmsegmentation's way: dense scores, softmax, turned back, mean, argmax."""

from collections.abc import Sequence
from functools import partial

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from cheap import FeatureModel, ScoreModel, peak_bytes
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from test_labelling import check_map
from test_segment import SLIDE, Small, pictures
from test_sliding import model_of, plain
from torch import Tensor
from typing_extensions import override

from segfit.errors import RunError
from segfit.evaluation.labelling import confident, noted
from segfit.evaluation.segment import Segmentation
from segfit.evaluation.sliding import Weigh, gaussian, uniform
from segfit.evaluation.views import Look, Outputs, View, image_map, in_order, looks_at
from segfit.evaluation.windows import Cut, sliding, whole
from segfit.models import FeatureOutput, Output, ScoreOutput, Segmenter

CPU = torch.device("cpu")
SIDE = st.integers(2, 24)
Picture = NDArray[np.uint8]


def segmentation(model: Segmenter, cut: Cut = whole, batch: int = 1, **more) -> Segmentation:
    return Segmentation(model.eval(), cut=cut, batch=batch, device=CPU, precision="fp32", **more)


def mean_probabilities(
    model: Segmenter, some: Sequence[Picture], size: tuple[int, int], cut: Cut, weigh: Weigh, *, flip: bool
) -> Tensor:
    """Return the probabilities `(1, K, H, W)` as ``aug_test`` makes them of one image at several scales."""
    total, count = torch.zeros(()), 0
    for picture in some:
        for mirrored in (False, True)[: 1 + flip]:
            image = torch.from_numpy(picture)[None].permute(0, 3, 1, 2)
            image = image.flip(3) if mirrored else image
            grid = cut(picture.shape[:2])
            if len(grid) == 1:
                with torch.inference_mode():
                    scores = model(image).dense(size)
            else:
                scores = plain(model, image, grid, size, weigh)
            probabilities = F.softmax(scores.float(), dim=1)
            total = total + (probabilities.flip(3) if mirrored else probabilities)
            count += 1
    return total / count


@given(
    kind=st.sampled_from(["scores", "features"]),
    classes=st.integers(2, 12),
    inner=st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=3),
    size=st.tuples(SIDE, SIDE),
    cut=st.sampled_from([whole, SLIDE, partial(sliding, window=(7, 9), overlap=0.5)]),
    weigh=st.sampled_from([uniform, gaussian]),
    flip=st.booleans(),
    batch=st.integers(1, 5),
    rows=st.sampled_from([1, 3, 1000]),
    every=st.integers(1, 5),
)
@settings(max_examples=80, deadline=None)
def test_equals_the_mean_of_dense_probabilities(
    kind, classes, inner, size, cut, weigh, flip, batch, rows, every
) -> None:
    model = model_of(kind, classes)
    some = pictures(*inner)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Output, "rows_at_once", lambda output, width: rows)
        found = segmentation(model, cut, batch, weigh=weigh, flip=flip)([some], [size], every=every)
    expected = mean_probabilities(model, some, size, cut, weigh, flip=flip)
    check_map(found.maps[0][None], expected)
    (confidence,) = found.confidence
    assert confidence.dtype == torch.float32
    torch.testing.assert_close(confidence, expected.amax(1)[0, ::every, ::every], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("cut", [whole, SLIDE], ids=["whole", "sliding"])
@pytest.mark.parametrize("kind", ["scores", "features"])
def test_images_do_not_depend_on_their_company(cut, kind) -> None:
    model = model_of(kind, 5)
    inner = [[(16, 24), (24, 36)], [(16, 24), (24, 36)], [(24, 16)], [(16, 24), (24, 36)], [(9, 7), (40, 30), (9, 7)]]
    images = [pictures(*sizes) for sizes in inner]
    sizes = [(20, 30), (10, 10), (24, 16), (80, 32), (9, 7)]
    together = segmentation(model, cut, batch=5, flip=True)(images, sizes, every=4)
    alone = segmentation(model, cut, flip=True)
    for i, (image, size) in enumerate(zip(images, sizes, strict=True)):
        found = alone([image], [size], every=4)
        assert (found.maps[0] != together.maps[i]).float().mean() < 0.01
        torch.testing.assert_close(found.confidence[0], together.confidence[i], rtol=1e-4, atol=1e-5)
    assert min(together.seconds) > 0


def test_one_picture_needs_no_list_and_nothing_is_noted_unasked() -> None:
    (image,) = pictures((16, 24))
    model = model_of("scores", 5)
    bare, listed = (segmentation(model)([given], [(20, 30)]) for given in (image, [image]))
    assert torch.equal(bare.maps[0], listed.maps[0])
    assert bare.confidence == listed.confidence == []


# --- what the model sees ---------------------------------------------------------------------------------------------


class Mirror(ScoreModel):
    """Gives back what it sees."""

    def __init__(self) -> None:
        super().__init__(3)

    @override
    def predict(self, x: Tensor) -> Output:
        return ScoreOutput(x)


@pytest.mark.parametrize("cut", [whole, SLIDE], ids=["whole", "sliding"])
def test_a_view_shows_what_the_model_saw(cut) -> None:
    images = [pictures((16, 26), (24, 39)), pictures((30, 20), (45, 30))]
    seen: list[View] = []

    def measure(output: Output, views: Sequence[View]) -> Tensor:
        for part, view in zip(output.native, views, strict=True):
            picture = images[view.image][view.look.picture]
            assert view.size == picture.shape[:2]
            expected = torch.from_numpy(view.of(picture).copy()).permute(2, 0, 1).float() / 255
            torch.testing.assert_close(part, expected)
            # A mask is cut as the image is.
            assert np.array_equal(view.of(picture[..., 0]), view.of(picture)[..., 0])
        seen.extend(views)
        return torch.zeros(())

    segmentation(Mirror(), cut, batch=3, flip=True)(images, [(9, 9), (9, 9)], measure)
    assert len(seen) == len(set(map(str, seen)))
    for number, image in enumerate(images):
        expected = [(p, m) for p, some in enumerate(image) for m in (False, True) for _ in cut(some.shape[:2]).boxes()]
        assert sorted((v.look.picture, v.look.mirrored) for v in seen if v.image == number) == expected


@given(size=st.tuples(st.integers(1, 60), st.integers(1, 60)), tenths=st.integers(0, 9))
def test_mirrored_windows_are_those_of_the_mirrored_image(size, tenths) -> None:
    grid = sliding(size, window=(16, 20), overlap=tenths / 10)
    picture = np.arange(size[0] * size[1]).reshape(size)
    mirrored = sorted(picture[:, ::-1][box].tolist() for box in grid.boxes())
    assert sorted(picture[box][:, ::-1].tolist() for box in grid.mirrored.boxes()) == mirrored
    assert grid.mirrored.mirrored == grid
    assert grid.mirrored.wide == grid.wide


def test_the_largest_look_comes_first() -> None:
    looks = looks_at([(8, 8), (20, 20), (16, 16)], whole, flip=True)
    assert [(look.picture, look.mirrored) for look in looks] == [
        *((1, False), (1, True)),
        *((2, False), (2, True)),
        *((0, False), (0, True)),
    ]
    assert len(looks_at([(8, 8)], whole, flip=False)) == 1


def test_looks_of_a_size_fill_a_pass_together() -> None:
    model = Small()
    images = [pictures((8, 8), (16, 16)) for _ in range(3)]
    segmentation(model, batch=4, flip=True)(images, [(8, 8)] * 3)
    # Two images, both ways, at the larger size, then at the smaller one; then the third image.
    assert model.seen == [4, 4, 2, 2]


def test_windows_come_when_their_share_of_the_image_is_due() -> None:
    looks = looks_at([(16, 64), (16, 32)], partial(sliding, window=(16, 16), overlap=0.0), flip=False)
    views = list(in_order([looks], 4))
    assert [(view.look.picture, view.columns.start) for view in views] == [
        *((0, 0), (1, 0)),
        (0, 16),
        *((0, 32), (1, 16)),
        (0, 48),
    ]


@given(
    inner=st.lists(st.lists(st.tuples(SIDE, SIDE), min_size=1, max_size=3), min_size=1, max_size=4),
    cut=st.sampled_from([whole, SLIDE]),
    flip=st.booleans(),
    batch=st.integers(1, 5),
)
@settings(deadline=None)
def test_each_look_gets_exactly_its_own_outputs(inner, cut, flip, batch) -> None:
    images = [looks_at(sizes, cut, flip=flip) for sizes in inner]
    passes: list[list[View]] = []

    def forward(views: list[View]) -> Output:
        passes.append(views)
        marks = torch.tensor([[view.image, view.rows.start, view.columns.start] for view in views])
        return ScoreOutput(marks[:, :, None, None].float())

    outputs = Outputs(images, batch, forward)
    for number, looks in enumerate(images):
        turned = looks[0].grid.wide
        streams = [outputs.of(number, look) for look in looks]
        # In turns, as strips of all looks are made.
        found = [
            [next(stream, None) for _ in range(len(look.grid) + 1)] for look, stream in zip(looks, streams, strict=True)
        ]
        for look, own in zip(looks, found, strict=True):
            assert own.pop() is None
            marks = [output.native.flatten().int().tolist() for output in own]
            assert marks == [[number, y.start, x.start] for y, x in look.grid.boxes(turned)]
    assert all(
        len(views) <= batch and len({view.of(np.zeros(view.size)).shape for view in views}) == 1 for views in passes
    )
    assert sum(map(len, passes)) == sum(len(look.grid) for looks in images for look in looks)


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("classes", [3, 40])
def test_outputs_that_wait_are_small_and_own_their_memory(classes) -> None:
    looks = [looks_at([(8, 8)], whole, flip=True) for _ in range(2)]
    model = FeatureModel(classes, width=16).eval()
    with torch.inference_mode():
        batch = model(torch.zeros(4, 3, 8, 8, dtype=torch.uint8))
        outputs = Outputs(looks, 4, lambda views: batch)
        for number in range(2):
            for look in looks[number]:
                (output,) = outputs.of(number, look)
                assert isinstance(output, ScoreOutput if classes < 16 else FeatureOutput)
                assert output.native.shape[1] == min(classes, 16)
                assert output.native.untyped_storage().nbytes() == 4 * output.native.numel()


@pytest.mark.parametrize("kind", ["scores", "features"])
def test_the_scores_of_all_classes_are_never_there(kind) -> None:
    model = ScoreModel(150).eval() if kind == "scores" else FeatureModel(150, width=4).eval()
    some = [np.zeros((side, side, 3), np.uint8) for side in (128, 192)]
    work = partial(segmentation(model, flip=True), [some], [(1024, 1024)], every=4)
    # Without strips, one look at a time: its scores, its probabilities and their sum take 3 * 629 MB.
    assert peak_bytes(work) < 50e6


def test_confidence_takes_a_sixteenth_of_a_strip() -> None:
    model = ScoreModel(150).eval()
    (image,) = pictures((64, 64))
    segment = segmentation(model)
    without, noting = (peak_bytes(partial(segment, [image], [(512, 512)], every=every)) for every in (None, 4))
    assert noting - without < 1.5e6  # a strip takes 8 MB


def test_too_many_looks_are_split_until_they_fit() -> None:
    torch.manual_seed(1)
    roomy = Small()
    torch.manual_seed(1)
    model, said = Small(pixels=2 * 256), []
    images, sizes = [pictures((8, 8), (16, 16)) for _ in range(5)], [(16, 16)] * 5
    found = segmentation(model, batch=8, flip=True, say=said.append)(images, sizes, every=4)
    expected = segmentation(roomy, batch=8, flip=True)(images, sizes, every=4)
    assert all(torch.equal(a, b) for a, b in zip(found.maps, expected.maps, strict=True))
    assert len(found.confidence) == 5
    assert model.seen == [8, 4, *[2] * 10]
    assert said == ["out of memory with 8 images per forward pass: goes on with 2; to begin so, set evaluate.batch=2"]


def test_a_scale_that_does_not_fit_is_named() -> None:
    with pytest.raises(
        RunError, match=r"an image of 30 x 20 pixels alone .*: leave out the largest of evaluate.scales, "
    ):
        segmentation(Small(pixels=200), batch=4, flip=True)([pictures((10, 15), (20, 30))], [(10, 15)])


# --- confidence ------------------------------------------------------------------------------------------------------


@given(height=st.integers(1, 40), every=st.integers(1, 6), rows=st.integers(1, 12))
@settings(deadline=None)
def test_noted_rows_are_every_nth_whatever_the_strips(height, every, rows) -> None:
    scores = torch.randn(2, 3, height, 7, generator=torch.Generator().manual_seed(height)) * 5
    parts = ((slice(i, min(i + rows, height)), scores[:, :, i : i + rows]) for i in range(0, height, rows))
    notes: list[Tensor] = []
    passed = [strip for _, strip in noted(parts, every, confident, notes)]
    assert torch.equal(torch.cat(passed, 2), scores)
    torch.testing.assert_close(torch.cat(notes, 1), scores.softmax(1).amax(1)[:, ::every, ::every])


def test_half_precision_is_made_sure_in_float32() -> None:
    scores = torch.randn(1, 150, 4, 4).bfloat16()
    torch.testing.assert_close(confident(scores), scores.float().softmax(1).amax(1))
    labels, confidence = image_map([Look(0, whole((4, 4)))], [iter([ScoreOutput(scores)])], (4, 4), every=2)
    assert labels.shape == (4, 4)
    assert confidence is not None
    assert confidence.dtype == torch.float32
    assert confidence.shape == (2, 2)
