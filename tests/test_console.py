import os
import subprocess
import sys

import pytest

pty = pytest.importorskip("pty")

PROGRAM = """
import time
from segfit.console import waiting
from segfit.data.stderr import STDERR

with waiting("counting") as progress:
    with STDERR:  # as while a picture is decoded
        progress(1, 4)
        time.sleep(0.5)
"""


def test_progress_is_seen_while_pictures_are_decoded():
    ours, theirs = pty.openpty()
    subprocess.run([sys.executable, "-c", PROGRAM], stderr=theirs, check=True, timeout=60)
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(ours, 65536)
        except OSError:  # Linux's way to say that nobody has the other end any more
            break
        if not part:
            break
        shown += part
    os.close(ours)
    assert b"counting" in shown
    assert b"25%" in shown
