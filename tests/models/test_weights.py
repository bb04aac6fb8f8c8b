"""State dicts from files of any content."""

import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import save

from segfit.errors import RecipeError
from segfit.models.weights import read_weights

STATE = {"a": torch.arange(3.0), "b.weight": torch.ones(2, 2, dtype=torch.float16)}


def written(path: Path) -> bytes:
    """Write the weights in the way that the name says."""
    if path.suffix == ".safetensors":
        path.write_bytes(save(STATE))
    else:
        torch.save(STATE, path, _use_new_zipfile_serialization=path.suffix == ".pth")
    return path.read_bytes()


@pytest.mark.parametrize("name", ["a.safetensors", "a.pth", "a.pickle"])
def test_what_was_written_is_read(tmp_path: Path, name: str) -> None:
    written(tmp_path / name)
    (tmp_path / name).rename(tmp_path / "weights")  # the name does not matter
    state = read_weights(tmp_path / "weights", option="--weights")
    assert state.keys() == STATE.keys()
    for key, value in state.items():
        assert value.dtype == STATE[key].dtype
        assert torch.equal(value, STATE[key])


@pytest.mark.filterwarnings("ignore")  # torch warns of pickles that it cannot know
@pytest.mark.parametrize("name", ["a.safetensors", "a.pth", "a.pickle"])
def test_damage_ends_in_one_line_or_not_at_all(tmp_path: Path, name: str) -> None:
    path, dice, refused = tmp_path / name, random.Random(0), 0
    whole = written(path)
    for _ in range(150):
        data = bytearray(whole)
        for _ in range(dice.choice([1, 3, 20])):
            data[dice.randrange(len(data))] = dice.randrange(256)
        path.write_bytes(data[: dice.choice([len(data), dice.randrange(len(data))])])
        try:
            read_weights(path, option="--weights")
        except RecipeError as error:
            refused += 1
            assert str(error).startswith(f"--weights: {path} ")
            assert "\n" not in str(error)
    assert refused > 75


def test_what_is_no_state_dict_is_refused(tmp_path: Path) -> None:
    torch.save([torch.zeros(1)], tmp_path / "list.pth")
    with pytest.raises(RecipeError, match=r"list\.pth is neither a safetensors file nor a state dict"):
        read_weights(tmp_path / "list.pth", option="--weights")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_weights(tmp_path / "none.pth", option="--weights")
