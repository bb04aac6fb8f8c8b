"""Weights that follow the gradient."""

import json

import pytest
import torch
from torch.func import functional_call

import segfit
from segfit.folder import RunFolder
from segfit.parts import Parts
from segfit.soups import learned as learning
from segfit.soups.batch_norm import batch_statistics
from segfit.soups.ingredients import open_ingredients
from segfit.soups.kitchen import Kitchen
from segfit.training.checkpoint import open_weights
from segfit.training.parallel import Ranks


class Objective(torch.nn.Module):
    def __init__(self, model, loss):
        super().__init__()
        self.model, self.loss = model, loss

    def forward(self, images, target):
        return self.loss(self.model(images), target)["loss"]


@pytest.fixture
def kitchen(runs, tmp_path):
    ingredients = open_ingredients(runs)
    parts = Parts(ingredients[0].recipe, Ranks(device=torch.device("cpu")), ingredients[0].facts.labels)
    return Kitchen(ingredients, parts, RunFolder(tmp_path / "soup"))


def test_the_gradient_is_that_of_interpolating_inside_the_forward_pass(kitchen):
    parts = kitchen.parts
    batch = next(learning._crops(parts))
    weights = torch.tensor([0.5, 0.2, 0.3], dtype=torch.float64, requires_grad=True)
    kitchen.mix(weights.tolist())
    step = learning._objective(parts)
    with batch_statistics(parts.model):
        step.gradients(batch.images, batch.masks)
        found = learning.mixing_gradient(parts.model, kitchen)
        states = []
        for one in kitchen.ingredients:
            with open_weights(one.file) as file:
                states.append({name: file.tensor(name) for name, _ in parts.model.named_parameters()})
        mixed = {
            name: sum(w * s[name].double() for w, s in zip(weights, states, strict=True)).float() for name in states[0]
        }
        # The loss reads the classifier's weights, too, so it belongs inside.
        mixed = {f"model.{name}": value for name, value in mixed.items()}
        functional_call(Objective(parts.model, parts.loss), mixed, (batch.images, batch.masks.long())).backward()
    torch.testing.assert_close(found, weights.grad, rtol=1e-4, atol=1e-6)
    assert found.abs().max() > 1e-3


def test_learning_lowers_the_loss_that_it_follows(kitchen, monkeypatch):
    # An ingredient that is nothing but harm: it must lose its weight.
    parts = kitchen.parts
    ruined = kitchen.ingredients[1].file.parent.parent.parent / "ruined.safetensors"
    torch.manual_seed(5)
    kitchen.mix(kitchen.alone(1))
    with torch.no_grad():
        for parameter in parts.model.parameters():
            parameter.add_(torch.randn_like(parameter))
    from segfit.training.checkpoint import save_weights

    save_weights(ruined, parts.model, {})
    monkeypatch.setattr(type(kitchen.ingredients[1]), "file", property(lambda one: files[one.place]))
    files = {one.place: one.folder.best for one in kitchen.ingredients}
    files[kitchen.ingredients[1].place] = ruined
    weights = learning._learn(kitchen)
    assert weights[1] < 0.15
    assert sum(weights) == pytest.approx(1)
    assert min(weights) > 0


def test_it_is_never_below_the_uniform_one(runs, tmp_path):
    folders = [segfit.soup(runs, tmp_path / how, how=how) for how in ("uniform", "learned")]
    uniform, learned = (json.loads((folder / "metrics.json").read_text()) for folder in folders)
    assert learned["evaluation"]["scores"]["dice"] >= uniform["evaluation"]["scores"]["dice"]
    tried = segfit.soup_facts(folders[1])["tried"]
    assert [mixture["what"] for mixture in tried][::2] == ["mean of all", "learnt weights"]
    assert tried[1]["what"].endswith(":best alone, normalisation measured again")
    assert len(set(tried[2]["weights"])) == 3
    assert learned["evaluation"]["scores"]["dice"] == max(mixture["scores"]["dice"] for mixture in tried)
