"""One file that holds a run's state, whole or not at all."""

import os

import pytest
import torch
from safetensors.torch import load_file

from segfit.errors import RunError
from segfit.models import MODELS
from segfit.training.checkpoint import load_checkpoint, load_weights, save_checkpoint, save_weights


def parts(name="adam", seed=0):
    torch.manual_seed(seed)
    model = MODELS.build("unet", 3, width=4, depth=2).to(memory_format=torch.channels_last)
    kinds = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}
    momentum = {"momentum": 0.9} if name == "sgd" else {}
    return model, kinds[name](model.parameters(), lr=0.01, **momentum)


def step(model, optimizer, seed):
    generator = torch.Generator().manual_seed(seed)
    images = torch.randint(0, 256, (2, 3, 16, 16), dtype=torch.uint8, generator=generator)
    model(images).dense((16, 16)).square().mean().backward()
    optimizer.step()
    optimizer.zero_grad()


@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_training_goes_on_bit_for_bit(tmp_path, name):
    model, optimizer = parts(name)
    for seed in range(3):
        step(model, optimizer, seed)
    save_checkpoint(tmp_path / "last.safetensors", model, optimizer, {"progress": {"step": 3}})
    step(model, optimizer, 3)

    other, other_optimizer = parts(name, seed=9)
    facts = load_checkpoint(tmp_path / "last.safetensors", other, other_optimizer)
    step(other, other_optimizer, 3)

    assert facts == {"progress": {"step": 3}}
    for key, value in model.state_dict().items():
        assert torch.equal(value, other.state_dict()[key]), key


@pytest.mark.filterwarnings("ignore:.*which is a no-op")
@pytest.mark.parametrize("fused", [None, True])
@pytest.mark.parametrize("name", ["adam", "adamw", "sgd"])
def test_states_go_where_their_optimizer_reads_them(tmp_path, name, fused):
    kind = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW, "sgd": torch.optim.SGD}[name]
    momentum = {"momentum": 0.9} if name == "sgd" else {}
    model, _ = parts()
    optimizer = kind(model.parameters(), lr=0.01, fused=fused, **momentum)
    step(model, optimizer, 0)
    save_checkpoint(tmp_path / "last.safetensors", model, optimizer, {})

    model.to("meta")  # stands for a GPU
    optimizer = kind(model.parameters(), lr=0.01, fused=fused, **momentum)
    load_checkpoint(tmp_path / "last.safetensors", model, optimizer)
    places = {(key, value.device.type) for state in optimizer.state.values() for key, value in state.items()}
    counted = {("step", "meta" if fused else "cpu")} if name != "sgd" else set()
    moments = {"momentum_buffer"} if name == "sgd" else {"exp_avg", "exp_avg_sq"}
    assert places == counted | {(key, "meta") for key in moments}


def test_weights_stand_under_their_plain_names(tmp_path):
    model, optimizer = parts()
    save_weights(tmp_path / "best.safetensors", model, {"epoch": 1})
    assert load_file(tmp_path / "best.safetensors").keys() == model.state_dict().keys()
    save_checkpoint(tmp_path / "last.safetensors", model, optimizer, {})
    assert load_file(tmp_path / "last.safetensors").keys() >= model.state_dict().keys()


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    model, _ = parts()
    save_weights(tmp_path / "best.safetensors", model, {})
    with pytest.raises(RunError, match=r"best\.safetensors: does not fit the model \(first difference: "):
        load_weights(tmp_path / "best.safetensors", MODELS.build("unet", 4, width=4, depth=2))


def test_missing_truncated_and_foreign_files_are_explained(tmp_path):
    model, _ = parts()
    path = tmp_path / "last.safetensors"
    with pytest.raises(RunError, match="no such checkpoint"):
        load_weights(path, model)
    save_weights(path, model, {})
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(RunError, match="not a readable checkpoint"):
        load_weights(path, model)
    from safetensors.torch import save_file

    save_file({name: value.contiguous() for name, value in model.state_dict().items()}, path)
    with pytest.raises(RunError, match="not a segfit checkpoint"):
        load_weights(path, model)


@pytest.mark.skipif(os.name != "posix", reason="a full disk is imitated by a limit on file sizes")
def test_a_full_disk_keeps_the_last_checkpoint(tmp_path):
    import resource
    import signal

    model, _ = parts()
    path = tmp_path / "last.safetensors"
    save_weights(path, model, {"epoch": 1})
    before = path.read_bytes()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    # Without a handler the kernel would end the process instead of failing the write.
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
        with pytest.raises(RunError, match="cannot be written.*what was there before is kept"):
            save_weights(path, model, {"epoch": 2})
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["last.safetensors"]
