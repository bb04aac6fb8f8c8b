"""Runs that vary the learning rate, trained for seconds."""

import pytest

import segfit
from segfit.config import build_recipe

CHANGES = ["labels.top=3", "labels.rest=other", "train.epochs=4", "evaluate.examples=1"]


@pytest.fixture(scope="session")
def bake(tiny, tmp_path_factory):
    """Train the tiny recipe, changed, in a folder of the given name."""
    folder = tmp_path_factory.mktemp("ingredients")

    def train(name, *changes):
        return segfit.train(build_recipe({**tiny, "name": name}, [*CHANGES, *changes]), folder / name)

    return train


@pytest.fixture(scope="session")
def runs(bake):
    """Three runs that began from the same weights; do not change them."""
    return [bake(name, f"optim.lr={lr}") for name, lr in (("slow", 0.003), ("middle", 0.01), ("fast", 0.02))]
