"""Two ranks train as one does."""

import json
import re
import shutil
import sys

import pytest
import torch
from torch import nn

from segfit.models import MODELS
from segfit.training.parallel import HostSyncBatchNorm, Ranks, distribute

TWO_RANKS = (sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "segfit")


def losses(run, kind):
    lines = (run / "events.jsonl").read_text().splitlines()
    return [event["loss"] for event in map(json.loads, lines) if event["event"] == kind]


@pytest.fixture(scope="module")
def runs(tiny, command, tmp_path_factory):
    """The same recipe trained by one rank and by two, as the first run of a study that has a second one.

    Scales far below 1 pad the crops, so that the ranks have different numbers of valid pixels.
    """
    folder = tmp_path_factory.mktemp("ranks")
    tree = {**tiny, "augment": {**tiny["augment"], "scale": [0.3, 1.25]}}
    (folder / "base.json").write_text(json.dumps(tree))
    study = folder / "study.yaml"
    study.write_text(
        "- {recipe: base.json, name: whole}\n- {recipe: base.json, name: parts, train: {epochs: 1, accumulate: 2}}\n"
    )
    command("study", study, "--out", folder / "one")
    command("study", study, "--out", folder / "two", launcher=TWO_RANKS)
    return folder / "one" / "whole", folder / "two" / "whole"


def test_the_loss_curves_agree_within_rounding(runs):
    one, two = runs
    assert losses(two, "epoch") == pytest.approx(losses(one, "epoch"), rel=1e-3)
    assert losses(two, "validation") == pytest.approx(losses(one, "validation"), rel=2e-3)
    assert len(losses(two, "epoch")) == 2


def test_ranks_that_accumulate_train_as_one(runs):
    # Micro-batches are normalised by themselves, and their images differ with the ranks: hence the wider tolerance.
    one, two = (run.parent / "parts" for run in runs)
    assert losses(two, "epoch") == pytest.approx(losses(one, "epoch"), rel=0.1)


@pytest.mark.slow
def test_bad_data_in_any_rank_is_named(tiny, command, scenes, tmp_path):
    root = tmp_path / "data"
    shutil.copytree(scenes, root)
    for path in sorted((root / "images" / "training").iterdir())[::2]:
        path.write_bytes(path.read_bytes()[:300])
    (tmp_path / "r.json").write_text(json.dumps({**tiny, "data": {"name": "ade20k", "root": str(root)}}))
    done = command("train", tmp_path / "r.json", "--out", tmp_path / "run", launcher=TWO_RANKS, check=1)
    assert re.search(r"segfit(, rank 1)?: .*ADE_train_\d+\.jpg", done.stderr)


def test_two_ranks_write_one_run(runs):
    _, two = runs
    assert json.loads((two / "environment.json").read_text())["ranks"] == 2
    assert json.loads((two / "metrics.json").read_text())["training"]["steps"] == 6


def test_scores_of_one_model_are_exactly_equal_for_one_rank_and_two(runs, command):
    one, _ = runs
    alone = json.loads(command("evaluate", one, "--json").stdout)
    together = json.loads(command("evaluate", one, "--json", launcher=TWO_RANKS).stdout)
    for key in ("scores", "baseline", "per_class", "images"):
        assert alone[key] == together[key]
    assert alone["scores"] == json.loads((one / "metrics.json").read_text())["evaluation"]["scores"]


def _normalise(rank, folder):
    import torch.distributed as dist

    dist.init_process_group("gloo", init_method=f"file://{folder}/store", rank=rank, world_size=2)
    layer = _layer(HostSyncBatchNorm)
    x = _input()[rank * 2 : rank * 2 + 2].clone().requires_grad_()
    y = layer(x)
    (y * _weights()[rank * 2 : rank * 2 + 2]).sum().backward()
    torch.save(
        {
            "y": y.detach(),
            "grad": x.grad,
            "weight": layer.weight.grad,
            "bias": layer.bias.grad,
            "mean": layer.running_mean,
            "var": layer.running_var,
            "models": [_train(kind, rank, 2) for kind in ("none", "norms", "blocks")],
        },
        f"{folder}/{rank}",
    )
    dist.destroy_process_group()


def _train(kind, rank, world):
    """Return what one step of a small model leaves behind in a rank that has its share of four images."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    model = MODELS.build("attention_unet", 3, width=4, depth=2).train()
    model.checkpoint(kind)
    module = distribute(model, Ranks(rank=rank, world=world, device=torch.device("cpu")))
    images = torch.randint(0, 256, (4, 3, 24, 20), dtype=torch.uint8, generator=torch.Generator().manual_seed(4))
    share = slice(rank * 4 // world, (rank + 1) * 4 // world)
    target = torch.arange(24 * 20).view(1, 24, 20).expand(4, -1, -1) % 3
    scores = module(images[share]).dense((24, 20))
    nn.functional.cross_entropy(scores, target[share]).backward()
    gradients = {f"gradient {key}": value.grad.clone() for key, value in model.named_parameters()}
    return {"scores": scores.detach(), **gradients, **model.state_dict()}


def _layer(kind):
    layer = kind(3)
    nn.init.uniform_(layer.weight, generator=torch.Generator().manual_seed(1))
    return layer


def _input():
    return torch.randn(4, 3, 5, 7, generator=torch.Generator().manual_seed(2)) * 3 + 50


def _weights():
    return torch.randn(4, 3, 5, 7, generator=torch.Generator().manual_seed(3))


@pytest.fixture(scope="module")
def ranks(tmp_path_factory):
    """What each of two ranks found."""
    folder = tmp_path_factory.mktemp("spawned")
    torch.multiprocessing.spawn(_normalise, args=(str(folder),), nprocs=2)
    return [torch.load(folder / str(rank), weights_only=True) for rank in range(2)]


def test_batch_normalisation_sees_all_ranks(ranks):
    layer = _layer(nn.BatchNorm2d)
    x = _input().requires_grad_()
    y = layer(x)
    (y * _weights()).sum().backward()
    torch.testing.assert_close(torch.cat([part["y"] for part in ranks]), y.detach(), rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(torch.cat([part["grad"] for part in ranks]), x.grad, rtol=1e-4, atol=1e-5)
    # Each rank has the gradients of its own share; whoever owns the parameters adds them up.
    torch.testing.assert_close(ranks[0]["weight"] + ranks[1]["weight"], layer.weight.grad, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(ranks[0]["bias"] + ranks[1]["bias"], layer.bias.grad, rtol=1e-4, atol=1e-4)
    for part in ranks:
        torch.testing.assert_close(part["mean"], layer.running_mean)
        torch.testing.assert_close(part["var"], layer.running_var)


def test_a_model_of_two_ranks_learns_as_one(ranks):
    whole = _train("none", 0, 1)
    for part in ranks:
        plain, *recomputed = part["models"]
        for key, expected in whole.items():
            if key != "scores":
                torch.testing.assert_close(plain[key], expected, rtol=1e-3, atol=2e-5, msg=key)
        # What is computed again is the same, and the other ranks are not asked again.
        for found in recomputed:
            assert [key for key in plain if not torch.equal(found[key], plain[key])] == []
    scores = torch.cat([part["models"][0]["scores"] for part in ranks])
    torch.testing.assert_close(scores, whole["scores"], rtol=1e-3, atol=1e-4)
