"""State dicts from files of any content."""

import random
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from segfit.errors import RecipeError
from segfit.models.weights import read_weights

STATE = {"a": torch.arange(3.0), "b.weight": torch.ones(2, 2, dtype=torch.float16)}


def test_what_was_written_is_read(tmp_path: Path) -> None:
    save_file(STATE, tmp_path / "weights")
    state = read_weights(tmp_path / "weights", option="--weights")
    assert state.keys() == STATE.keys()
    for key, value in state.items():
        assert value.dtype == STATE[key].dtype
        assert torch.equal(value, STATE[key])


def test_damage_ends_in_one_line_or_not_at_all(tmp_path: Path) -> None:
    path, dice, refused = tmp_path / "weights", random.Random(0), 0
    save_file(STATE, path)
    whole = path.read_bytes()
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


def test_a_pickle_is_refused(tmp_path: Path) -> None:
    torch.save(STATE, tmp_path / "pickle.pth")
    with pytest.raises(RecipeError, match=r"pickle\.pth is not a safetensors file .*save_file"):
        read_weights(tmp_path / "pickle.pth", option="--weights")
    with pytest.raises(RecipeError, match="cannot be read"):
        read_weights(tmp_path / "none.pth", option="--weights")
