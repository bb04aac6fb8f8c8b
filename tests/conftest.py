"""Small real things that many tests share: scenes on disk, a trained run, the installed command."""

import os
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest
import torch
from hypothesis import settings

import segfit
from segfit.data.scenes import write_scenes

# An example may take long on a busy machine; that is no finding about the code.
settings.register_profile("segfit", deadline=None)
settings.load_profile("segfit")

TINY = {
    "augment": {"preset": "standard", "size": [48, 48], "scale": [0.8, 1.25]},
    "model": {"name": "unet", "width": 4, "depth": 2},
    "optim": {"name": "adam", "lr": 0.01},
    "train": {"epochs": 2, "batch": 4, "workers": 0, "device": "cpu", "precision": "fp32"},
    "evaluate": {"examples": 2},
}
"""A recipe that trains in seconds; `scenes` adds where the data is."""


@pytest.fixture(scope="session", autouse=True)
def _one_thread_per_test_process():
    # Two test processes with two threads each would fight over two cores.
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def scenes(tmp_path_factory) -> Path:
    """A folder with 12 training and 5 validation scenes in ADE20K's layout."""
    root = tmp_path_factory.mktemp("data") / "scenes"
    write_scenes(root, train_images=12, val_images=5, size=64, seed=1)
    return root


@pytest.fixture(scope="session")
def tiny(scenes) -> dict:
    """The tiny recipe on the scenes, as nested dictionaries."""
    return {"name": "tiny", "data": {"name": "ade20k", "root": str(scenes)}, **TINY}


@pytest.fixture(scope="session")
def tiny_recipe(tiny):
    from segfit.config import build_recipe

    return build_recipe(tiny)


@pytest.fixture(scope="session")
def trained(tiny_recipe, tmp_path_factory) -> Path:
    """A finished run; do not change it."""
    return segfit.train(tiny_recipe, tmp_path_factory.mktemp("runs") / "tiny")


@pytest.fixture(scope="session")
def command():
    """Run the installed command in a process of its own; returns the finished process with its text output."""

    def run(*arguments: object, check: int = 0, launcher: tuple[str, ...] = ()) -> subprocess.CompletedProcess[str]:
        words = [*launcher] if launcher else [str(Path(sys.executable).parent / "segfit")]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "200"}
        done = subprocess.run(
            [*words, *map(str, arguments)], capture_output=True, text=True, env=environment, timeout=400
        )
        assert done.returncode == check, f"{arguments}\n{done.stdout}\n{done.stderr}"
        return done

    return run


@pytest.fixture(scope="session")
def cli():
    """Run a command in this process, which saves the seconds that importing torch takes; returns as `command` does."""
    from segfit.cli import run_command

    def run(*arguments: object, check: int = 0) -> subprocess.CompletedProcess[str]:
        words = [str(argument) for argument in arguments]
        with redirect_stdout(StringIO()) as out, redirect_stderr(StringIO()) as err:
            code = run_command(words)
        assert code == check, f"{words}\n{out.getvalue()}\n{err.getvalue()}"
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    return run


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder of real images that SEGFIT_TEST_DATA names; the test is skipped without it."""
    folder = os.environ.get("SEGFIT_TEST_DATA")
    if not folder:
        pytest.skip("SEGFIT_TEST_DATA names no folder with real images")
    return Path(folder)
