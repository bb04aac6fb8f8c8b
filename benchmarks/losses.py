"""Time and memory of each loss beside its plain form: dense scores, dense probabilities, a one-hot target, autograd.

Value and gradients are equal, which is tested; what is timed is one forward and backward pass from the output's native
part on, in float32 and one thread. Time is the processor's, so that other work on the machine does not count; memory is
the highest level of the CPU allocator above what is there before.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segfit.labels import IGNORE
from segfit.losses import LOSSES
from segfit.models import FeatureOutput, Output, ScoreOutput

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "losses"))
from plain_losses import PLAIN, peak_memory


def make_target(images: int, size: int, classes: int, present: int) -> Tensor:
    """Return scenes of `present` smooth regions each, 5 % of the pixels ignored."""
    regions = F.interpolate(torch.randn(images, present, 6, 6), size=(size, size), mode="bicubic").argmax(1)
    names = torch.stack([torch.randperm(classes)[:present] for _ in range(images)])
    target = names.gather(1, regions.flatten(1)).view(regions.shape)
    target[torch.rand(target.shape) < 0.05] = IGNORE
    return target


def make_output(kind: str, target: Tensor, classes: int, right: float) -> Output:
    """Return random scores at an eighth of the size, or 64 features with a classifier.

    `right` is added to the scores of the right classes.
    """
    images, height, width = target.shape
    if kind == "features":
        features = torch.randn(images, 64, height, width).requires_grad_()
        return FeatureOutput(features, nn.Conv2d(64, classes, 1))
    scores = torch.randn(images, classes, height // 8, width // 8)
    small = target[:, None, ::8, ::8]
    scores.scatter_add_(1, small.where(small != IGNORE, 0), right * (small != IGNORE))
    return ScoreOutput(scores.requires_grad_())


def measure(work: Callable[[], Tensor], output: Output, rounds: int) -> tuple[float, int]:
    """Return seconds (the least of the rounds) and bytes of a forward and backward pass."""

    def step() -> None:
        work().backward()  # type: ignore[no-untyped-call]

    def clear() -> None:
        for tensor in (output.native, *output.parameters):
            tensor.grad = None

    seconds = []
    for _ in range(rounds):
        clear()
        began = time.process_time()
        step()
        seconds.append(time.process_time() - began)
    clear()
    return min(seconds), peak_memory(step)


def main() -> None:
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--classes", type=int, default=150)
    parser.add_argument("--present", type=int, default=12, help="classes in an image")
    parser.add_argument("--images", type=int, default=2)
    parser.add_argument("--size", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--right", type=float, default=0.0, help="how much higher the scores of the right classes are")
    parser.add_argument("--kinds", nargs="+", default=["scores", "features"], choices=["scores", "features"])
    parser.add_argument("--losses", nargs="+", default=LOSSES.names(), choices=LOSSES.names())
    chosen = parser.parse_args()
    torch.set_num_threads(1)
    torch.manual_seed(0)
    target = make_target(chosen.images, chosen.size, chosen.classes, chosen.present)
    print(
        "| output | loss | segfit | plain | time | segfit | plain | memory |\n|---|---|---:|---:|---:|---:|---:|---:|"
    )
    for kind in chosen.kinds:
        output = make_output(kind, target, chosen.classes, chosen.right)
        for name in chosen.losses:
            loss, plain, size = LOSSES.build(name, chosen.classes), PLAIN[name], (chosen.size, chosen.size)
            ours = measure(lambda loss=loss: loss(output, target)["loss"], output, chosen.rounds)  # type: ignore[misc]  # noqa: B023
            theirs = measure(lambda plain=plain: plain(output.dense(size), target), output, chosen.rounds)  # type: ignore[misc]  # noqa: B023
            print(
                f"| {kind} | `{name}` | {ours[0]:.2f} s | {theirs[0]:.2f} s | {ours[0] / theirs[0]:.2f} "
                f"| {ours[1] / 1e6:.0f} MB | {theirs[1] / 1e6:.0f} MB | {ours[1] / theirs[1]:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
