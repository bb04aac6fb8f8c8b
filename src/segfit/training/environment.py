"""Where and on what a run was made: versions, device, code state and a fingerprint of the data."""

import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torchvision

from segfit import __version__
from segfit.data import Record
from segfit.data.fingerprint import fingerprint
from segfit.training.device import device_name, hardware
from segfit.training.parallel import Ranks

__all__ = ["describe"]


def describe(group: Ranks, splits: Mapping[str, Sequence[Record]]) -> dict[str, Any]:
    """Return the facts that make a run comparable, JSON-ready.

    Args:
        group: the ranks and their device.
        splits: the records used, by what for.
    """
    return {
        "segfit": __version__,
        "python": platform.python_version(),
        "torch": torch.__version__,
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
        "opencv": cv2.__version__,
        "device": group.device.type,
        "device_name": device_name(group.device),
        "cores": hardware().cores,
        "ranks": group.world,
        "git": _git_state(),
        "platform": platform.platform(),
        "started": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]),
        "dataset": {
            **{name: len(records) for name, records in splits.items()},
            "fingerprint": fingerprint([record for records in splits.values() for record in records]),
        },
    }


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
