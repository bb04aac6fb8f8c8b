"""A run that has too little memory for its micro-batches ends as the run that began with smaller ones."""

import json
import os
import re
import subprocess
import sys

import pytest
from safetensors.torch import load_file

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs a limit on the address space")

PROGRAM = '''
"""segfit with one more model, and with little memory for each training step if it is told how much."""
import os
import resource
import sys

import torch
from torch import nn

from segfit.cli import run_command
from segfit.models import MODELS, FeatureOutput, Normalize, Segmenter
from segfit.training import loop


@MODELS.register("mixer")
class Mixer(Segmenter):
    """1x1 convolutions without normalisation: micro-batches give what the batch gives."""

    def __init__(self, classes: int, *, normalize: Normalize = "unit") -> None:
        super().__init__(normalize)
        channels = [3] + [16] * 6
        self.layers = nn.Sequential(
            *(layer for a, b in zip(channels, channels[1:]) for layer in (nn.Conv2d(a, b, 1), nn.Tanh()))
        )
        self.classifier = nn.Conv2d(16, classes, 1)

    def predict(self, x):
        return FeatureOutput(self.layers(x), self.classifier)


loop.LOG_SECONDS = 0.0  # every step tells its loss
room = int(os.environ.get("ROOM", "0"))
make_step = loop.Trainer._train_step


def limited(trainer, batch):
    limit = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize() + room
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.RLIM_INFINITY))
    try:
        return make_step(trainer, batch)
    finally:
        resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


if room:
    loop.Trainer._train_step = limited
sys.exit(run_command(sys.argv[1:]))
'''

MB = 10**6
ROOM = 90 * MB
"""Six layers keep 17 MB each of a step of 4 images of 256 x 256, the way back needs more, and so does the loss."""

ALLOCATOR = {"MALLOC_ARENA_MAX": "1", "MALLOC_MMAP_THRESHOLD_": str(MB)}
"""What is freed goes back to the system at once: a step has the same room whatever the ones before it left."""


@pytest.fixture(scope="module")
def segfit(tiny, tmp_path_factory):
    """Run the program above with a recipe of its model; returns the finished process and the run's folder."""
    folder = tmp_path_factory.mktemp("room")
    (folder / "program.py").write_text(PROGRAM)
    # Few classes: what the loss keeps must not be most of it.
    tree = {
        **tiny,
        "labels": {"top": 4},
        "model": {"name": "mixer"},
        "augment": {"preset": "paper", "size": [256, 256]},
        "evaluate": {"batch": 1, "examples": 0},
    }
    (folder / "recipe.json").write_text(json.dumps(tree))

    def run(name, *arguments, room=0, check=0):
        done = subprocess.run(
            [
                sys.executable,
                folder / "program.py",
                *(arguments or ("train", folder / "recipe.json")),
                "--out",
                folder / name,
            ],
            capture_output=True,
            text=True,
            env={**os.environ, **ALLOCATOR, "OMP_NUM_THREADS": "1", "ROOM": str(room)},
            timeout=400,
        )
        assert done.returncode == check, done.stderr
        return done, folder / name

    run.recipe = folder / "recipe.json"
    return run


def events(run, kind):
    return [
        event for event in map(json.loads, (run / "events.jsonl").read_text().splitlines()) if event["event"] == kind
    ]


@pytest.mark.slow
def test_the_run_ends_as_if_it_had_begun_with_smaller_micro_batches(segfit):
    done, tight = segfit("tight", room=ROOM)
    told = events(tight, "out_of_memory")
    assert told
    assert (told[0]["step"], told[0]["from"]) == (0, 1)
    assert told[-1]["to"] in {2, 4}
    assert told[0]["memory"] > 50 * MB
    assert told[0]["planned"] == json.loads((tight / "plan.json").read_text())["memory"]["peak"]
    assert not told[0]["batch_norm"]
    said = [line for line in done.stderr.splitlines() if "out of memory" in line]
    assert len(said) == len(told)
    assert re.fullmatch(
        r"tiny  out of memory in step 1 at [\d.]+ [MG]B \(planned: [\d.]+ [MG]B\): "
        r"makes it again with [24] micro-batches instead of [12]; to begin so, set train\.accumulate=[24]",
        said[-1],
    )
    _, begun = segfit("begun", "train", segfit.recipe, f"train.accumulate={told[-1]['to']}")
    curves = [[event["loss"] for event in events(run, "step")] for run in (tight, begun)]
    assert curves[0] == curves[1]
    assert len(curves[0]) == 6
    one, other = (load_file(run / "checkpoints" / "last.safetensors") for run in (tight, begun))
    assert all(value.equal(other[key]) for key, value in one.items())


def test_a_run_that_cannot_fit_ends_with_one_line(segfit):
    done, run = segfit("none", room=20 * MB, check=2)
    *_, last = done.stderr.splitlines()
    assert re.fullmatch(
        rf"segfit: {re.escape(str(run))}: out of memory in step 1 at [\d.]+ [MG]B, with one image per micro-batch: "
        r"make augment\.size smaller or set train\.checkpointing=blocks; checkpoints stay as they are",
        last,
    )
    assert [event["to"] for event in events(run, "out_of_memory")] == [2, 4]
    assert "Traceback" not in done.stderr
