"""From images to label maps: batches, windows, and what happens when memory is full."""

import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch
from cheap import FeatureModel, ScoreModel
from numpy.typing import NDArray
from torch import Tensor
from typing_extensions import override

from segfit.errors import RunError
from segfit.evaluation.labelling import label_map
from segfit.evaluation.segment import Segmentation, Segmented, View
from segfit.evaluation.windows import Cut, sliding, whole
from segfit.models import Output, Segmenter

CPU = torch.device("cpu")
SLIDE = partial(sliding, window=(16, 16), overlap=1 / 3)


class Small(ScoreModel):
    """Has room for some pixels at a time only, and notes the batches that it is given."""

    def __init__(self, pixels: float = float("inf"), error: Callable[[], Exception] = torch.OutOfMemoryError) -> None:
        super().__init__(3)
        self.pixels, self.error = pixels, error
        self.seen: list[int] = []

    @override
    def predict(self, x: Tensor) -> Output:
        self.seen.append(len(x))
        if len(x) * x.shape[2] * x.shape[3] > self.pixels:
            raise self.error()
        return super().predict(x)


def segmentation(model: Segmenter, cut: Cut = whole, batch: int = 1, said: list[str] | None = None) -> Segmentation:
    lines = [] if said is None else said
    return Segmentation(model.eval(), cut=cut, batch=batch, device=CPU, precision="fp32", say=lines.append)


def pictures(*sizes: tuple[int, int]) -> list[NDArray[np.uint8]]:
    return [np.random.default_rng(i).integers(0, 256, (*size, 3), dtype=np.uint8) for i, size in enumerate(sizes)]


def same(one: Segmented, other: Segmented) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one.maps, other.maps, strict=True))


@pytest.mark.parametrize("cut", [whole, SLIDE], ids=["whole", "sliding"])
@pytest.mark.parametrize("make", [ScoreModel, FeatureModel])
def test_images_do_not_depend_on_their_company(cut, make) -> None:
    torch.manual_seed(0)
    model = make(5)
    images = pictures((16, 24), (16, 24), (24, 16), (40, 16), (9, 7), (16, 24))
    sizes = [(20, 30), (10, 10), (24, 16), (80, 32), (9, 7), (33, 50)]
    together = segmentation(model, cut, batch=4)(images, sizes)
    assert [tuple(labels.shape) for labels in together.maps] == sizes
    assert len(together.seconds) == 6
    assert min(together.seconds) > 0
    alone = segmentation(model, cut)
    for image, size, labels in zip(images, sizes, together.maps, strict=True):
        (found,) = alone([image], [size]).maps
        assert (found != labels).float().mean() < 0.01


def test_whole_images_are_labelled_as_their_output_says() -> None:
    model = ScoreModel(5).eval()
    (image,) = pictures((32, 40))
    with torch.inference_mode():
        output = model(torch.from_numpy(image)[None].permute(0, 3, 1, 2))
    found = segmentation(model)([image], [(50, 70)])
    assert torch.equal(found.maps[0], label_map(output, (50, 70))[0])


def test_images_of_one_size_share_a_pass() -> None:
    model = Small()
    segmentation(model, batch=3)(pictures(*[(8, 8)] * 5, (8, 9)), [(8, 8)] * 6)
    assert model.seen == [3, 2, 1]


def test_windows_of_several_images_share_a_pass() -> None:
    model = Small()
    result = segmentation(model, SLIDE, batch=4)(pictures((16, 26), (26, 16), (16, 26)), [(16, 26)] * 3)
    assert model.seen == [4, 2]
    assert min(result.seconds) > 0


def test_what_is_measured_is_what_the_model_saw() -> None:
    images = pictures((16, 26), (8, 8))
    views: list[View] = []

    def measure(output: Output, some: list[View]) -> Tensor:
        assert len(output.native) == len(some)
        views.extend(some)
        return torch.tensor(len(some))

    result = segmentation(ScoreModel(3), SLIDE, batch=8)(images, [(16, 26), (8, 8)], measure)
    assert [view[:3] for view in views] == [
        (0, slice(0, 16), slice(0, 16)),
        (0, slice(0, 16), slice(10, 26)),
        (1, slice(0, 8), slice(0, 8)),
    ]
    assert [view.size for view in views] == [(16, 26), (16, 26), (8, 8)]
    assert [int(count) for count in result.measured] == [2, 1]


# --- memory ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError, MemoryError, lambda: RuntimeError("DefaultCPUAllocator: can't allocate memory: 9 bytes")],
    ids=["gpu", "python", "cpu"],
)
def test_too_large_a_batch_is_split_until_it_fits(error) -> None:
    torch.manual_seed(1)
    roomy = Small()
    torch.manual_seed(1)
    model, said = Small(pixels=2 * 64, error=error), []
    images, sizes = pictures(*[(8, 8)] * 9), [(16, 16)] * 9
    segment = segmentation(model, batch=8, said=said)
    result = segment(images, sizes, lambda output, views: torch.tensor(len(views)))
    assert same(result, segmentation(roomy, batch=8)(images, sizes))
    assert model.seen == [8, 4, 2, 2, 2, 2, 1]
    # Of attempts that failed nothing is kept, and the change is said once.
    assert [int(count) for count in result.measured] == [2, 2, 2, 2, 1]
    assert said == ["out of memory with 8 images per forward pass: goes on with 2; to begin so, set evaluate.batch=2"]
    model.seen.clear()
    segment(images, sizes)
    assert model.seen == [2, 2, 2, 2, 1]
    assert len(said) == 1


def test_smaller_images_may_be_more_at_a_time() -> None:
    model = Small(pixels=2 * 64)
    segment = segmentation(model, batch=8)
    segment(pictures(*[(8, 8)] * 4), [(8, 8)] * 4)
    model.seen.clear()
    segment(pictures(*[(4, 4)] * 8), [(8, 8)] * 8)
    assert model.seen == [8]


def test_windows_are_split_too() -> None:
    torch.manual_seed(2)
    roomy = Small()
    torch.manual_seed(2)
    model, said = Small(pixels=16 * 16), []
    images, sizes = pictures((60, 16)), [(90, 30)]
    found = segmentation(model, SLIDE, batch=4, said=said)(images, sizes)
    assert same(found, segmentation(roomy, SLIDE, batch=4)(images, sizes))
    assert model.seen[:4] == [4, 2, 1, 1]
    assert said[0].startswith("out of memory with 4 windows per forward pass: goes on with 1;")


def test_memory_may_be_full_after_the_forward_pass() -> None:
    def measure(output: Output, views: list[View]) -> Tensor:
        if len(views) > 1:
            raise torch.OutOfMemoryError
        return torch.ones(())

    result = segmentation(ScoreModel(3), batch=2)(pictures((8, 8), (8, 8)), [(8, 8)] * 2, measure)
    assert len(result.measured) == 2


@pytest.mark.parametrize(
    ("cut", "message"),
    [
        (whole, "out of memory with an image of 20 x 40 pixels alone in a forward pass: set evaluate.window=sliding,"),
        (SLIDE, "out of memory with a window of 16 x 16 pixels alone in a forward pass: train with a smaller augment"),
    ],
)
def test_one_image_that_does_not_fit_is_one_line(cut, message) -> None:
    with pytest.raises(RunError) as raised:
        segmentation(Small(pixels=10), cut, batch=4)(pictures((40, 20), (40, 20)), [(40, 20)] * 2)
    assert str(raised.value).startswith(message)
    assert "train.precision" in str(raised.value)
    assert "\n" not in str(raised.value)
    assert raised.value.__context__ is None


def test_other_errors_are_not_taken_for_it() -> None:
    model = Small(pixels=10, error=lambda: RuntimeError("shapes do not match"))
    with pytest.raises(RuntimeError, match="shapes do not match"):
        segmentation(model, batch=4)(pictures((8, 8), (8, 8)), [(8, 8)] * 2)
    assert model.seen == [2]


FULL = """
import resource, sys
import numpy as np, torch
from segfit.evaluation.segment import Segmentation
from segfit.evaluation.windows import whole
from cheap import ScoreModel

class Heavy(ScoreModel):
    def predict(self, x):
        torch.ones(len(x) * 50_000_000, dtype=torch.uint8)
        return super().predict(x)

torch.set_num_threads(1)
segment = Segmentation(Heavy(3).eval(), cut=whole, batch=8, device=torch.device("cpu"), precision="fp32")
image = np.zeros((8, 8, 3), dtype=np.uint8)
segment([image], [(8, 8)])
taken = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
resource.setrlimit(resource.RLIMIT_AS, (taken + 300_000_000, -1))
assert len(segment([image] * 8, [(8, 8)] * 8).maps) == 8
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process's memory as Linux does")
def test_a_process_without_more_memory_goes_on() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FULL], capture_output=True, text=True, cwd=Path(__file__).parent, timeout=200
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.strip() == (
        "out of memory with 8 images per forward pass: goes on with 4; to begin so, set evaluate.batch=4"
    )
