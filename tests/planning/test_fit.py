"""The search and the levers, on memory that is given by a formula; `test_plan.py` has them on traced models."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segfit.config import build_recipe
from segfit.errors import RecipeError
from segfit.planning.devices import Device
from segfit.planning.fit import Planner, largest_that_fits, sensible
from segfit.planning.footprint import Footprint, Memory

GB = 10**9
SHARE = {"none": 1.0, "norms": 0.6, "blocks": 0.3}


def device(room: int, precisions=("bf16", "fp16", "fp32")) -> Device:
    """Return a device with exactly this room."""
    size = int(room / 0.95 + 600_000_000) + 1
    made = Device(name="toy", kind="cuda", memory=size, precisions=precisions, speed=None)
    assert abs(made.room - room) <= 2
    return made


def recipe(**train):
    made = build_recipe({"train": {"batch": 16, "precision": "fp32", **train}})
    batch = None if made.train.batch == "auto" else made.train.batch // made.train.accumulate
    return made.model_copy(update={"evaluate": made.evaluate.model_copy(update={"batch": batch})})


class Toy:
    """1 GB of state; an image takes 1 GB, half of it in half precision, and less with checkpointing."""

    def __init__(self, world: int = 1) -> None:
        self.world, self.calls = world, 0

    def __call__(self, recipe) -> Footprint:
        self.calls += 1
        train = recipe.train
        images = train.images / (train.accumulate * self.world)
        per_image = SHARE[train.checkpointing] * (1.0 if train.precision == "fp32" else 0.5)
        training = Memory(
            parameters=GB // 4,
            gradients=GB // 4,
            optimizer=GB // 2,
            activations=int(images * per_image * GB),
            temporaries=0,
        )
        validation = Memory(
            parameters=GB // 4,
            gradients=0,
            optimizer=GB // 2,
            activations=0,
            temporaries=recipe.evaluate.batch * GB // 50,
        )
        return Footprint(training=training, validation=validation, operations=(), parameters=GB // 16)


def settings(option):
    train = option.recipe.train
    return train.batch, train.accumulate, train.precision, train.checkpointing


# --- the search ------------------------------------------------------------------------------------------------------


@given(
    lines=st.lists(st.tuples(st.integers(0, 1000), st.integers(0, 50)), min_size=1, max_size=4),
    room=st.integers(0, 3000),
    start=st.integers(1, 100),
    base=st.integers(0, 1000),
    most=st.integers(1, 400),
)
def test_the_search_finds_what_trying_every_number_finds(lines, room, start, base, most):
    def peak(images):
        return max(base + slope * images for base, slope in lines)

    expected = max((n for n in range(1, most + 1) if peak(n) <= room), default=0)
    assert largest_that_fits(peak, room, start=start, base=base, most=most) == expected


@given(
    base=st.integers(0, 10**9),
    slope=st.integers(10**6, 10**9),
    room=st.integers(10**9, 10**12),
    start=st.integers(1, 64),
)
def test_two_looks_are_enough_where_memory_grows_evenly(base, slope, room, start):
    looks = []

    def peak(images):
        looks.append(images)
        return base + slope * images

    expected = min(max(0, (room - base) // slope), 1 << 16)
    assert largest_that_fits(peak, room, start=start, base=base) == expected
    # Where fewer fit than the start, one more shows that the next does not.
    assert len(looks) <= 3
    assert len(set(looks)) == len(looks)


@given(st.integers(1, 10_000))
def test_a_sensible_number_is_not_larger_and_not_much_smaller(images):
    assert images * 2 / 3 <= sensible(images) <= images
    assert sensible(sensible(images)) == sensible(images)


# --- settling --------------------------------------------------------------------------------------------------------


def test_a_recipe_that_says_all_stays_as_it_is_whether_it_fits_or_not():
    toy = Toy()
    (option,) = Planner(device(3 * GB), 1, toy).settle(recipe(), 1000)
    assert settings(option) == (16, 1, "fp32", "none")
    assert option.peak == 17 * GB
    assert toy.calls == 1


@pytest.mark.parametrize(
    ("room", "expected"),
    [
        (17.1, (16, 1, "fp32", "none")),
        (9.1, (16, 1, "bf16", "none")),
        (5.9, (16, 1, "bf16", "norms")),
        (3.5, (16, 1, "bf16", "blocks")),
        (2.3, (16, 2, "bf16", "blocks")),
        (1.7, (16, 4, "bf16", "blocks")),
        (1.2, (16, 16, "bf16", "blocks")),
    ],
)
def test_levers_are_switched_on_one_by_one_and_accumulation_last(room, expected):
    planner = Planner(device(int(room * GB)), 1, Toy())
    tried = planner.settle(recipe(fit="16GB"), 1000)
    assert settings(tried[-1]) == expected
    assert planner.fits(tried[-1])
    # Each step of the way was necessary, and says what it did.
    assert not any(planner.fits(option) for option in tried[:-1])
    assert [option.lever is None for option in tried] == [True] + [False] * (len(tried) - 1)
    assert tried[-1].recipe.evaluate.batch == 16 // expected[1]


def test_only_arithmetic_that_the_device_has_is_a_lever():
    for precisions, chosen in ((("fp16", "fp32"), "fp16"), (("fp32",), "fp32")):
        tried = Planner(device(6 * GB, precisions), 1, Toy()).settle(recipe(fit="16GB", batch=8), 1000)
        assert tried[-1].recipe.train.precision == chosen


def test_precision_that_is_chosen_already_is_no_lever():
    planner = Planner(device(4 * GB), 1, Toy())
    changes = [option.lever.change for option in planner.levers(planner.option(recipe(precision="fp16")))]
    assert changes == ["train.checkpointing=norms", "train.checkpointing=blocks"]


def test_a_lever_that_saves_nothing_is_left_out():
    def without_blocks(recipe):
        train = recipe.train
        same = "norms" if train.checkpointing == "blocks" else train.checkpointing
        return Toy()(recipe.model_copy(update={"train": train.model_copy(update={"checkpointing": same})}))

    planner = Planner(device(GB), 1, without_blocks)
    changes = [option.lever.change for option in planner.levers(planner.option(recipe()))]
    assert changes == ["train.precision=bf16", "train.checkpointing=norms"]


@pytest.mark.parametrize("world", [1, 2, 4])
@pytest.mark.parametrize("accumulate", [1, 2])
def test_an_automatic_batch_is_the_largest_sensible_one(world, accumulate):
    planner = Planner(device(14 * GB), world, Toy(world))
    option = planner.settle(recipe(batch="auto", accumulate=accumulate), 10_000)[-1]
    assert option.recipe.train.batch == 12 * world * accumulate  # 13 fit
    assert option.recipe.evaluate.batch == min(12 * world, 16)
    assert planner.fits(option)


@given(images=st.integers(1, 500))
def test_an_automatic_batch_leaves_steps_in_an_epoch(images):
    option = Planner(device(10_000 * GB), 1, Toy()).settle(recipe(batch="auto"), images)[-1]
    batch = option.recipe.train.images
    assert batch <= images
    assert images // batch >= 16 or batch <= 8


def test_an_automatic_batch_switches_levers_on_only_where_not_one_image_fits():
    def settled(room, **train):
        return Planner(device(int(room * GB)), 1, Toy()).settle(recipe(batch="auto", **train), 1000)[-1]

    assert settings(settled(2.1, fit="16GB")) == (1, 1, "fp32", "none")
    assert settings(settled(1.4, fit="16GB")) == (1, 1, "bf16", "norms")
    with pytest.raises(RecipeError, match=r"train\.batch: one image at a time with fp32 .* needs 2\.0 GB, .* 1\.4 GB"):
        settled(1.4)


def test_what_can_never_fit_is_refused_with_the_least_that_it_needs():
    # 1 GB of state, and 0.15 GB for one image with everything switched on.
    for batch in (16, "auto"):
        with pytest.raises(
            RecipeError,
            match=r"train\.fit: one image .*blocks needs 1\.1 GB, .* 1\.1 GB beside what libraries take: shrink",
        ):
            Planner(device(int(1.1 * GB)), 1, Toy()).settle(recipe(batch=batch, fit="16GB"), 1000)


@pytest.mark.parametrize(("world", "accumulate"), [(3, 1), (2, 3), (32, 1)])
def test_a_batch_that_cannot_be_shared_is_refused(world, accumulate):
    # 48 is a multiple of each, 16 of none.
    made = recipe(batch=48, accumulate=accumulate)
    train = made.train.model_copy(update={"batch": 16})
    with pytest.raises(RecipeError, match=r"train\.batch: 16 is not a multiple of"):
        Planner(device(GB), world, Toy(world)).settle(made.model_copy(update={"train": train}), 1000)


@given(room=st.floats(1.2, 20), world=st.sampled_from([1, 2, 4]), batch=st.sampled_from([4, 8, 16, 40]))
def test_settling_what_is_settled_changes_nothing(room, world, batch):
    planner = Planner(device(int(room * GB)), world, Toy(world))
    wanted = recipe(batch=batch, fit="16GB")
    settled = planner.settle(wanted, 1000)[-1].recipe
    assert [option.recipe for option in planner.settle(settled, 1000)] == [settled]
    # And another planner comes to the same result.
    assert Planner(device(int(room * GB)), world, Toy(world)).settle(wanted, 1000)[-1].recipe == settled


def test_an_evaluation_batch_that_the_recipe_gives_is_kept():
    made = recipe(fit="16GB")
    made = made.model_copy(update={"evaluate": made.evaluate.model_copy(update={"batch": 3})})
    assert Planner(device(int(1.2 * GB)), 1, Toy()).settle(made, 1000)[-1].recipe.evaluate.batch == 3


def test_equal_memory_is_traced_once():
    toy = Toy()
    planner = Planner(device(GB), 1, toy)
    first = planner.option(recipe())
    other = first.recipe.model_copy(
        update={"name": "other", "train": first.recipe.train.model_copy(update={"seed": 7})}
    )
    assert planner.option(other).footprint is first.footprint
    assert toy.calls == 1
    planner.option(recipe(batch=8))
    assert toy.calls == 2


@pytest.mark.parametrize(
    "change", [{"scales": (0.5, 1.0)}, {"flip": True}, {"overlap": 0.5}, {"protocol": "mmseg"}], ids=str
)
def test_what_validation_sees_is_traced_anew(change):
    toy = Toy()
    planner = Planner(device(GB), 1, toy)
    made = recipe()
    planner.option(made)
    planner.option(made.model_copy(update={"evaluate": made.evaluate.model_copy(update=change)}))
    assert toy.calls == 2


def test_a_moving_average_is_traced_anew():
    toy = Toy()
    planner = Planner(device(GB), 1, toy)
    made = recipe()
    planner.option(made)
    planner.option(made.model_copy(update={"train": made.train.model_copy(update={"ema": 0.99})}))
    assert toy.calls == 2
