"""Scoring against the plain way: dense scores, argmax, one image after the other."""

from functools import partial

import cv2
import numpy as np
import pytest
import torch
from cheap import FeatureModel, ScoreModel
from test_segment import SLIDE, Small

from segfit.data.loader import EvalSample
from segfit.evaluation.boundary import BoundaryCounts, boundary_counts
from segfit.evaluation.confusion import confusion_matrix
from segfit.evaluation.engine import Evaluation, evaluate_model
from segfit.evaluation.records import Records
from segfit.evaluation.segment import Segmentation
from segfit.evaluation.windows import Cut, whole
from segfit.labels import IGNORE, LabelTable, distinct_colors, select
from segfit.losses.cross_entropy import CrossEntropy
from segfit.models import Segmenter
from segfit.training.parallel import Ranks

CPU = torch.device("cpu")
LABELS = select(LabelTable(ids=(1, 2, 3), names=("a", "b", "c"), colors=distinct_colors(3), ratios=(0.5, 0.3, 0.2)))


class Groups(list[list[EvalSample]]):
    """Stands for a loader."""

    batch = 2
    ahead = 2

    @property
    def ids(self) -> list[str]:
        return sorted(sample.id for group in self for sample in group)


def samples() -> list[EvalSample]:
    rng = np.random.default_rng(0)
    found = []
    for number, (inner, size) in enumerate(
        [((16, 16), (20, 20)), ((16, 16), (9, 9)), ((16, 30), (32, 60)), ((30, 16), (30, 16))]
    ):
        mask = rng.integers(0, 3, size, dtype=np.uint8)
        mask[rng.random(size) < 0.2] = IGNORE
        image = rng.integers(0, 256, (*inner, 3), dtype=np.uint8)
        found.append(EvalSample(id=f"s{number}", images=(image,), mask=mask))
    return found


def evaluated(model: Segmenter, cut: Cut = whole, batch: int = 2, **options) -> Evaluation:
    segment = Segmentation(model, cut=cut, batch=batch, device=CPU, precision="fp32", say=lambda line: None)
    all_samples = samples()
    loader = Groups([all_samples[:2], all_samples[2:]])
    return evaluate_model(segment, loader, LABELS, ranks=Ranks(device=CPU), **options)


def model_of(make: type[Segmenter]) -> Segmenter:
    torch.manual_seed(3)
    return make(3)


@pytest.mark.parametrize("make", [ScoreModel, FeatureModel])
def test_equals_the_plain_way(make) -> None:
    model, loss, predictions = model_of(make), CrossEntropy(3), {}
    result = evaluated(model, loss=loss, on_image=predictions.__setitem__)
    total, weighted, weight = np.zeros((3, 3), dtype=np.int64), 0.0, 0.0
    for sample, record in zip(samples(), result.records, strict=True):
        with torch.inference_mode():
            output = model(torch.from_numpy(sample.images[0])[None].permute(0, 3, 1, 2))
            expected = output.dense(sample.mask.shape).argmax(1)[0]
            scores = output.dense(sample.images[0].shape[:2])
        assert predictions[sample.id].dtype == np.uint8
        assert np.array_equal(predictions[sample.id], expected.numpy())
        confusion = confusion_matrix(torch.from_numpy(sample.mask), expected, 3).numpy()
        total += confusion
        assert (record.id, record.height, record.width) == (sample.id, *sample.mask.shape)
        assert record.seconds > 0
        assert record.confusion.count.sum() == (sample.mask != IGNORE).sum() == confusion.sum()
        height, width = sample.images[0].shape[:2]
        target = torch.from_numpy(cv2.resize(sample.mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT))
        count = (target != IGNORE).sum().item()
        weighted += torch.nn.functional.cross_entropy(scores, target[None].long(), ignore_index=IGNORE).item() * count
        weight += count
    assert np.array_equal(result.confusion, total)
    assert result.loss == pytest.approx(weighted / weight, rel=1e-5)


def test_the_loss_of_windows_is_the_mean_over_what_the_model_saw() -> None:
    model = model_of(FeatureModel)
    result = evaluated(model, partial(SLIDE, overlap=0.0), loss=CrossEntropy(3))
    weighted = weight = 0.0
    for sample in samples():
        height, width = sample.images[0].shape[:2]
        mask = cv2.resize(sample.mask, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)
        for rows, columns in SLIDE((height, width), overlap=0.0).boxes():
            with torch.inference_mode():
                scores = model(torch.from_numpy(sample.images[0][rows, columns])[None].permute(0, 3, 1, 2)).dense(
                    (16, 16)
                )
            target = torch.from_numpy(mask[rows, columns])[None].long()
            count = (target != IGNORE).sum().item()
            loss = torch.nn.functional.cross_entropy(scores, target, ignore_index=IGNORE)
            weighted, weight = weighted + loss.item() * count, weight + count
    assert result.loss == pytest.approx(weighted / weight, rel=1e-5)


@pytest.mark.parametrize("cut", [whole, SLIDE], ids=["whole", "sliding"])
@pytest.mark.parametrize("make", [ScoreModel, FeatureModel])
def test_the_batch_does_not_change_the_numbers(cut, make) -> None:
    one, four = (evaluated(model_of(make), cut, batch, loss=CrossEntropy(3)) for batch in (1, 4))
    assert np.array_equal(one.confusion, four.confusion)
    assert one.loss == pytest.approx(four.loss, rel=1e-6)
    assert [record.id for record in one.records] == [record.id for record in four.records] == ["s0", "s1", "s2", "s3"]


@pytest.mark.parametrize("cut", [whole, SLIDE], ids=["whole", "sliding"])
def test_full_memory_does_not_change_the_numbers(cut) -> None:
    torch.manual_seed(5)
    roomy = Small()
    torch.manual_seed(5)
    small = Small(pixels=16 * 30)
    expected, found = evaluated(roomy, cut, loss=CrossEntropy(3)), evaluated(small, cut, loss=CrossEntropy(3))
    assert 2 in small.seen
    assert np.array_equal(found.confusion, expected.confusion)
    assert found.loss == pytest.approx(expected.loss, rel=1e-6)


@pytest.mark.parametrize("training", [False, True])
def test_the_model_is_left_as_it_was(training) -> None:
    model = model_of(ScoreModel).train(training)

    def stop() -> None:
        assert not model.training
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        evaluated(model, between=stop)
    assert model.training == training


def test_looking_closer_adds_boundaries_and_confidences_and_changes_nothing_else() -> None:
    model, predictions = model_of(FeatureModel), {}
    plain = evaluated(model)
    result = evaluated(model, boundary=0.1, on_image=predictions.__setitem__)
    assert np.array_equal(plain.confusion, result.confusion)
    assert plain.boundary is None
    assert plain.calibration is None
    assert result.boundary is not None
    assert result.calibration is not None
    boundary, pixels, right = BoundaryCounts.none(3, 0.1), 0, 0
    for sample in samples():
        boundary += boundary_counts(sample.mask, predictions[sample.id], 3, 0.1)
        seen = sample.mask[::4, ::4] != IGNORE
        pixels += seen.sum()
        right += (sample.mask == predictions[sample.id])[::4, ::4][seen].sum()
    assert np.array_equal(result.boundary.region_hits, boundary.region_hits)
    assert np.array_equal(result.boundary.contour_prediction_hits, boundary.contour_prediction_hits)
    assert (result.calibration.pixels.sum(), result.calibration.right.sum()) == (pixels, right)
    for record in result.records:
        assert record.boundary is not None
        assert record.confidence is not None
        assert 1 / 3 <= record.confidence <= 1
    kept = Records.of(result.records, 3).boundary_counts()
    assert kept is not None
    assert np.array_equal(kept.total().region_hits, boundary.region_hits)
