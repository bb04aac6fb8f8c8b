"""Batch normalisation is measured again, and nothing else changes."""

import copy

import pytest
import torch
from torch import nn
from torch.optim.swa_utils import update_bn

from segfit.models.layers import BatchNorm2d
from segfit.soups.batch_norm import batch_statistics, recalibrate


@pytest.fixture
def model():
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(3, 4, 3),
        BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout2d(0.5),
        nn.Conv2d(4, 5, 3),
        nn.BatchNorm2d(5, momentum=0.3),
        nn.InstanceNorm2d(5),
    )
    with torch.no_grad():
        for layer in (model[1], model[5]):
            layer.running_mean.normal_()
            layer.running_var.uniform_(0.5, 3)
            layer.weight.normal_()
    model[5].weight.requires_grad = False
    return model


def batches(count=4):
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2 + i % 2, 3, 9, 8, generator=generator) * (i + 1) for i in range(count)]


def test_it_equals_a_computation_from_scratch(model):
    first, second, count = model[1], model[5], 4
    reference = copy.deepcopy(model).double()
    assert recalibrate(model, batches(count)) == count
    sums = {layer: [0.0, 0.0] for layer in (1, 5)}
    for batch in batches(count):
        x = batch.double()
        for start, index in ((0, 1), (2, 5)):
            for layer in reference[start:index]:
                x = x if isinstance(layer, nn.Dropout2d) else layer(x)
            mean = x.mean((0, 2, 3))
            deviations = (x - mean.view(1, -1, 1, 1)).square().sum((0, 2, 3))
            values = x.numel() / x.shape[1]
            sums[index][0] += mean / count
            sums[index][1] += deviations / (values - 1) / count
            norm = reference[index]
            scale = norm.weight / (deviations / values + norm.eps).sqrt()
            x = (x - mean.view(1, -1, 1, 1)) * scale.view(1, -1, 1, 1) + norm.bias.view(1, -1, 1, 1)
    for layer, (mean, variance) in zip((first, second), sums.values(), strict=True):
        torch.testing.assert_close(layer.running_mean.double(), mean, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(layer.running_var.double(), variance, rtol=1e-5, atol=1e-6)


def test_without_dropout_it_is_what_torch_does(model):
    del model[3]
    other = copy.deepcopy(model)
    recalibrate(model, batches())
    update_bn(batches(), other)
    for (name, mine), theirs in zip(model.state_dict().items(), other.state_dict().values(), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-6, atol=1e-6, msg=name)


@pytest.mark.parametrize("training", [True, False])
def test_nothing_else_changes_even_when_it_fails(model, training):
    model.train(training)
    model[3].eval()

    def settings():
        modes = [(module.training, getattr(module, "momentum", None)) for module in model.modules()]
        return modes, [parameter.requires_grad for parameter in model.parameters()]

    def parameters():
        return [parameter.clone() for parameter in model.parameters()]

    before, weights = settings(), parameters()
    recalibrate(model, batches())
    assert settings() == before

    def failing():
        yield batches()[0]
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        recalibrate(model, failing())
    assert settings() == before
    assert all(torch.equal(old, new) for old, new in zip(weights, parameters(), strict=True))
    assert all(parameter.grad is None for parameter in model.parameters())


def test_it_is_the_same_every_time_whatever_the_statistics_were(model):
    recalibrate(model, batches())
    first = copy.deepcopy(model.state_dict())
    for layer in (model[1], model[5]):
        layer.running_mean.fill_(7)
        layer.running_var.fill_(7)
    recalibrate(model, batches())
    for name, value in model.state_dict().items():
        assert torch.equal(value, first[name]) or name.endswith("num_batches_tracked")


def test_a_layer_of_single_values_keeps_its_statistics():
    model = nn.Sequential(nn.AdaptiveAvgPool2d(1), BatchNorm2d(3))
    model[1].running_mean.copy_(torch.tensor([1.0, 2.0, 3.0]))
    assert recalibrate(model, [batch[:1] for batch in batches()]) == 4
    assert model[1].running_mean.tolist() == [1.0, 2.0, 3.0]


def test_a_model_without_batch_normalisation_reads_no_image():
    def unread():
        raise AssertionError
        yield

    model = nn.Sequential(nn.Conv2d(3, 3, 1), nn.InstanceNorm2d(3), nn.BatchNorm2d(3, track_running_stats=False))
    assert recalibrate(model, unread()) == 0
    with batch_statistics(model) as layers:
        assert layers == []
        assert not model[0].training
