"""AttentionUNet against MONAI's network, and the paper's gate against its equations."""

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from segfit.errors import RecipeError, RunError
from segfit.models.attention_unet import AttentionUNet, GatedOktayLevel, GridGate, OktayLevel, from_monai

monai_nets = pytest.importorskip("monai.networks.nets", reason="MONAI is the reference", exc_type=ImportError)


def monai_network(classes: int, width: int, depth: int, dropout: float = 0.0) -> nn.Module:
    torch.manual_seed(0)
    network = monai_nets.AttentionUnet(
        spatial_dims=2,
        in_channels=3,
        out_channels=classes,
        channels=[width * 2**level for level in range(depth + 1)],
        strides=[2] * depth,
        dropout=dropout,
    )
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for value in (module.weight, module.running_var):
                    value.copy_(torch.rand(value.shape) + 0.5)
                for value in (module.bias, module.running_mean):
                    value.copy_(torch.randn(value.shape) * 0.1)
    return network


def pair(classes: int = 5, width: int = 4, depth: int = 4) -> tuple[nn.Module, AttentionUNet]:
    theirs = monai_network(classes, width, depth)
    ours = AttentionUNet(classes, width=width, depth=depth)
    ours.load_state_dict(from_monai(theirs.state_dict()))
    return theirs, ours


@pytest.mark.parametrize("depth", [1, 2, 4])
@pytest.mark.parametrize("training", [False, True])
def test_equals_monai(depth: int, training: bool) -> None:
    theirs, ours = pair(depth=depth)
    images = torch.randint(0, 256, (2, 3, 32, 48), dtype=torch.uint8)
    expected = theirs.train(training)(images / 255)
    assert expected.std() > 1e-3
    torch.testing.assert_close(ours.train(training)(images).dense((32, 48)), expected)


def test_gradients_equal_monai() -> None:
    # float64: in float32 the normalisations after each convolution amplify rounding.
    theirs, ours = pair(depth=2)
    theirs.double()
    ours.double()
    x = torch.rand(2, 3, 16, 16, dtype=torch.float64)
    target = torch.randint(0, 5, (2, 16, 16))
    F.cross_entropy(theirs(x), target).backward()
    F.cross_entropy(ours.predict(x).dense((16, 16)), target).backward()
    expected = from_monai({name: p.grad for name, p in theirs.named_parameters()})
    assert expected.keys() == dict(ours.named_parameters()).keys()
    for name, parameter in ours.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name])


def test_dropout_sits_where_monai_has_it() -> None:
    # Both draw their masks in the same order from the same generator only if the layers agree one by one.
    theirs = monai_network(3, 4, 2, dropout=0.3)
    ours = AttentionUNet(3, width=4, depth=2, dropout=0.3)
    ours.load_state_dict(from_monai(theirs.state_dict()))
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8)
    torch.manual_seed(7)
    expected = theirs(images / 255)
    torch.manual_seed(7)
    torch.testing.assert_close(ours(images).dense((16, 16)), expected)


def test_from_monai_refuses_other_weights() -> None:
    with pytest.raises(RunError, match=r"'inc\.double_conv\.0\.weight' is not a weight of a MONAI AttentionUnet"):
        from_monai({"inc.double_conv.0.weight": torch.zeros(1)})
    with pytest.raises(RunError, match=r"model\.1\.residual"):
        from_monai({"model.1.residual.weight": torch.zeros(1)})


@pytest.mark.parametrize("variant", ["monai", "oktay"])
@pytest.mark.parametrize("size", [(1, 1), (9, 70), (33, 16)])
def test_other_sizes_see_their_border_repeated(variant: str, size: tuple[int, int]) -> None:
    torch.manual_seed(0)
    model = AttentionUNet(3, width=2, variant=variant).eval()
    image = torch.randint(0, 256, (1, 3, *size), dtype=torch.uint8)
    rows, columns = (torch.arange(-(-n // 16) * 16).clamp(max=n - 1) for n in size)
    enlarged = image[:, :, rows][:, :, :, columns]
    expected = model(enlarged).dense(enlarged.shape[-2:])[:, :, : size[0], : size[1]]
    torch.testing.assert_close(model(image).dense(size), expected)


def bilinear_matrix(coarse: int) -> Tensor:
    """Return the matrix that doubles a grid of `coarse` values linearly between pixel centres."""
    position = ((torch.arange(2 * coarse) + 0.5) / 2 - 0.5).clamp(0, coarse - 1)
    return (1 - (position[:, None] - torch.arange(coarse)).abs()).clamp(min=0)


def test_grid_gate_follows_the_equations() -> None:
    torch.manual_seed(0)
    gate = GridGate(6, 10)
    x, g = torch.randn(2, 6, 8, 12), torch.randn(2, 10, 4, 6)
    blocks = x.reshape(2, 6, 4, 2, 6, 2)
    q = torch.einsum("bcyixj,ocij->boyx", blocks, gate.theta.weight)
    q = q + torch.einsum("bcyx,oc->boyx", g, gate.phi.weight[..., 0, 0]) + gate.phi.bias[:, None, None]
    q = torch.einsum("boyx,o->byx", q.clamp(min=0), gate.psi.weight[0, :, 0, 0]) + gate.psi.bias
    alpha = 1 / (1 + torch.exp(-q))
    alpha = bilinear_matrix(4) @ alpha @ bilinear_matrix(6).T
    torch.testing.assert_close(gate(x, g), x * alpha[:, None])


def test_oktay_gates_all_but_the_first_skip() -> None:
    model = AttentionUNet(3, width=2, depth=3, variant="oktay")
    assert [type(level) for level in model.decoder] == [OktayLevel, GatedOktayLevel, GatedOktayLevel]


def test_closed_gate_cuts_the_skip_connection() -> None:
    torch.manual_seed(0)
    level = GatedOktayLevel(4, 8, 0.0).eval()
    nn.init.constant_(level.gate.psi.bias, -1e9)
    coarse, skip = torch.randn(1, 8, 4, 4), torch.randn(1, 4, 8, 8)
    assert torch.equal(level(coarse, skip), level(coarse, torch.zeros_like(skip)))
    nn.init.zeros_(level.gate.psi.bias)
    assert not torch.equal(level(coarse, skip), level(coarse, torch.zeros_like(skip)))


def test_oktay_needs_a_gate() -> None:
    with pytest.raises(RecipeError, match=r"^model\.depth: .*use at least 2"):
        AttentionUNet(3, depth=1, variant="oktay")
