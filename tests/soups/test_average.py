"""The mean of checkpoints."""

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from torch import nn

from segfit.errors import RunError
from segfit.soups.average import average
from segfit.training.checkpoint import open_weights, save_checkpoint, save_weights

FLOATS = st.floats(-1e6, 1e6, width=32)


class Numbers(nn.Module):
    """A state dict of every kind of tensor."""

    def __init__(self, values, seen):
        super().__init__()
        self.weight = nn.Parameter(torch.from_numpy(values))
        self.register_buffer("coarse", torch.from_numpy(values).to(torch.bfloat16))
        self.register_buffer("seen", torch.tensor(seen))


def is_nearest(found, exact, within=1e-12):
    """Whether no other number of the type is nearer; in the middle between two, about `within`, either is right."""
    up, down = (torch.nextafter(found, torch.full_like(found, end)).double() for end in (torch.inf, -torch.inf))
    error, slack = (found.double() - exact).abs(), within * exact.abs() + 1e-30
    return bool(((error <= (up - exact).abs() + slack) & (error <= (down - exact).abs() + slack)).all())


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(arrays(np.float32, (2, 3), elements=FLOATS), min_size=1, max_size=4),
    raw=st.lists(st.integers(0, 9), min_size=4, max_size=4),
)
def test_it_is_the_mean_in_float64_rounded_once(tmp_path, values, raw):
    raw = [*raw[: len(values) - 1], 1]
    weights = [share / sum(raw) for share in raw[-len(values) :]]
    files = [tmp_path / f"{i}.safetensors" for i in range(len(values))]
    for number, (file, value) in enumerate(zip(files, values, strict=True)):
        save_weights(file, Numbers(value, number), {})
    found = average(files, weights)
    assert is_nearest(
        found["weight"], sum(w * torch.from_numpy(v).double() for w, v in zip(weights, values, strict=True))
    )
    halves = [torch.from_numpy(v).to(torch.bfloat16).double() for v in values]
    # torch goes from float64 to bfloat16 by way of float32.
    assert is_nearest(found["coarse"], sum(w * h for w, h in zip(weights, halves, strict=True)), within=1e-7)
    assert found["seen"].item() == weights.index(max(weights))
    assert found["seen"].dtype == torch.int64


def test_one_checkpoint_alone_is_itself_and_the_others_are_not_read(tmp_path):
    odd = np.array([[1e-45, -0.0, np.float32(1 / 3)], [np.inf, 3e38, 7]], dtype=np.float32)
    model = Numbers(odd, 5)
    save_checkpoint(tmp_path / "a", model, torch.optim.Adam(model.parameters()), {})
    (tmp_path / "b").write_bytes(b"broken")
    found = average([tmp_path / "a", tmp_path / "b"], [1.0, 0.0])
    assert found.keys() == model.state_dict().keys()
    assert found["weight"].numpy().view(np.int32).tolist() == (odd + 0.0).view(np.int32).tolist()
    with pytest.raises(RunError, match="b: not a readable checkpoint"):
        average([tmp_path / "a", tmp_path / "b"], [0.5, 0.5])


def test_stored_weights_say_what_they_are_without_the_optimizers(tmp_path):
    model = Numbers(np.ones((2, 3), np.float32), 0)
    optimizer = torch.optim.Adam(model.parameters())
    model.weight.sum().backward()
    optimizer.step()
    save_checkpoint(tmp_path / "a", model, optimizer, {"epoch": 3})
    with open_weights(tmp_path / "a") as stored:
        assert sorted(stored.names) == ["coarse", "seen", "weight"]
        assert [stored.kind(name) for name in ("weight", "coarse", "seen")] == ["(2, 3) F32", "(2, 3) BF16", "() I64"]
        assert stored.facts["epoch"] == 3
        assert torch.equal(stored.tensor("weight"), model.weight)
    with pytest.raises(RunError, match="no such checkpoint"), open_weights(tmp_path / "none"):
        pass
