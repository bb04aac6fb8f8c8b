"""Segmenters that cost next to nothing, and the memory that torch takes."""

from collections.abc import Callable
from itertools import accumulate

from torch import Tensor, nn
from torch.profiler import ProfilerActivity, profile
from typing_extensions import override

from segfit.models import FeatureOutput, Output, ScoreOutput, Segmenter


class ScoreModel(Segmenter):
    """Scores at an eighth of the resolution (DeepLabV3, SegFormer)."""

    def __init__(self, classes: int, *, align_corners: bool = False, stride: int = 8) -> None:
        super().__init__("unit")
        self.stride, self.align_corners = stride, align_corners
        self.head = nn.Conv2d(3, classes, 1)

    @override
    def predict(self, x: Tensor) -> Output:
        size = [max(1, round(side / self.stride)) for side in x.shape[-2:]]
        small = nn.functional.interpolate(x, size=size)
        # What is seen depends on the whole window, as with any model that has context.
        return ScoreOutput(self.head(small + small.mean((2, 3), keepdim=True).sin()), self.align_corners)


class FeatureModel(Segmenter):
    """Features at full resolution with a 1x1 classifier (UNet)."""

    def __init__(self, classes: int, *, width: int = 8) -> None:
        super().__init__("unit")
        self.body = nn.Conv2d(3, width, 1)
        self.head = nn.Conv2d(width, classes, 1)

    @override
    def predict(self, x: Tensor) -> Output:
        return FeatureOutput(self.body(x + x.mean((2, 3), keepdim=True).sin()), self.head)


def peak_bytes(work: Callable[[], object]) -> int:
    """Return the most that torch's CPU allocator gave out at a time while `work` ran, beyond what it had before."""
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        work()
    changes = [event for event in record.profiler.kineto_results.events() if event.name() == "[memory]"]
    return max(accumulate((event.nbytes() for event in sorted(changes, key=lambda e: e.start_ns())), initial=0))
