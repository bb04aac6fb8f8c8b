"""Two ranks make the soup that one makes."""

import json
import sys

import pytest
import torch
from safetensors.torch import load_file

import segfit

TWO_RANKS = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "segfit")


@pytest.mark.slow
def test_the_soup_of_two_ranks_is_that_of_one(runs, command, tmp_path):
    one, two = segfit.soup(runs, tmp_path / "one", how="learned"), tmp_path / "two"
    command("soup", *runs, "--how", "learned", "--out", two, launcher=TWO_RANKS)
    mine, theirs = map(segfit.soup_facts, (one, two))
    # The mean of all is the same but for rounding; so is what is learnt, after fifty steps of it.
    for mixture, other in zip(mine["tried"], theirs["tried"], strict=True):
        assert mixture["weights"] == pytest.approx(other["weights"], abs=1e-3)
        assert mixture["scores"]["loss"] == pytest.approx(other["scores"]["loss"], rel=2e-3)
    assert mine["tried"][0]["scores"]["loss"] == pytest.approx(theirs["tried"][0]["scores"]["loss"], rel=1e-5)
    assert mine["batch_norm"] == theirs["batch_norm"]
    measured = [load_file(run / "checkpoints" / "best.safetensors") for run in (one, two)]
    for name, value in measured[0].items():
        if name.endswith(("running_mean", "running_var")):
            torch.testing.assert_close(value, measured[1][name], rtol=1e-2, atol=1e-3, msg=name)
    assert json.loads((two / "environment.json").read_text())["ranks"] == 2
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]
