"""Where and on what a run was made: versions, device, code state and what tells whether its data is still the same."""

import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch

from segfit import __version__
from segfit.data import Record
from segfit.data.cache.manifest import Manifest
from segfit.data.fingerprint import fingerprint
from segfit.errors import RunError
from segfit.folder import RunFolder
from segfit.training.device import convolutions, device_name, hardware
from segfit.training.parallel import Ranks

__all__ = ["check_data", "describe"]


def describe(group: Ranks, splits: Mapping[str, Sequence[Record]], cache: Path | None) -> dict[str, Any]:
    """Return the facts that make a run comparable, JSON-ready.

    Args:
        group: the ranks and their device.
        splits: the records used, by what for.
        cache: folder of decoded images and masks that training reads instead of the files.
    """
    return {
        "segfit": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": version("torchvision"),
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "device": group.device.type,
        "device_name": device_name(group.device),
        "cores": hardware().cores,
        "convolutions": convolutions(group.device),
        "ranks": group.world,
        "git": _git_state(),
        "platform": platform.platform(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": _command_line(),
        "dataset": {
            **{name: len(records) for name, records in splits.items()},
            "fingerprint": fingerprint([record for records in splits.values() for record in records]),
            "training_fingerprint": fingerprint(splits["training"]),
            "cache": None if cache is None else _decoded(cache),
        },
    }


def check_data(folder: RunFolder, dataset: Mapping[str, Any]) -> None:
    """Refuse to go on with a run on other files, or a cache of other pixels, than those it began with.

    Args:
        folder: of the run.
        dataset: what `describe` says of it now.

    Raises:
        RunError: they are others.
    """
    before = folder.read(folder.environment_file).get("dataset", {})
    if before.get("fingerprint") != dataset["fingerprint"]:
        raise RunError(
            f"{folder.path}: the images or masks have changed since the run began: restore them, or train anew in "
            "another folder"
        )
    # Runs of earlier versions do not say what their cache was like.
    if "cache" in before and before["cache"] != dataset["cache"]:
        raise RunError(
            f"{folder.path}: the run began with a cache of {_words(before['cache'])}, which now has "
            f"{_words(dataset['cache'])}: prepare it as it was, or train anew in another folder"
        )


def _words(settings: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={value}" for name, value in settings.items())


def _decoded(cache: Path) -> dict[str, int | None]:
    """Return what decides the pixels of a cache besides the files."""
    settings = Manifest.read(cache).settings
    return {"short_side": settings.short_side, "jpeg_quality": settings.jpeg_quality}


def _command_line() -> str:
    """Return the command that this process was started with, to be pasted."""
    program = Path(sys.argv[0]).name
    # torchrun starts the package as a module.
    return shlex.join(["segfit" if program == "__main__.py" else program, *sys.argv[1:]])


def _git_state() -> str | None:
    """Return the commit of the folder that the command was started in, with ``-dirty`` after local changes."""
    try:
        found = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--abbrev=12", "--exclude", "*"],  # noqa: S607 (git is on the PATH or absent)
            capture_output=True,
            text=True,
            timeout=10,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return found.stdout.strip() or None
