"""The moving average over the checkpoints of a training."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segfit.errors import RunError
from segfit.soups.moving import DECAY, moving_weights


@given(st.permutations(range(1, 7)), st.integers(1, 6))
def test_the_weights_are_those_of_the_recurrence(epochs, count):
    epochs = epochs[:count]
    weights = moving_weights(epochs, [str(epoch) for epoch in epochs])
    average = None
    for epoch in sorted(epochs):
        value = 10.0**epoch
        average = value if average is None else DECAY * average + (1 - DECAY) * value
    assert sum(w * 10.0**epoch for w, epoch in zip(weights, epochs, strict=True)) == pytest.approx(average)
    assert sum(weights) == pytest.approx(1)


def test_two_checkpoints_of_one_epoch_have_no_order():
    with pytest.raises(RunError, match=r"b: is of epoch 4, as a is: .* --how uniform"):
        moving_weights([4, 2, 4], ["a", "c", "b"])
