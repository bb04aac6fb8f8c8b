"""Samples of one shape come together, each once, and what shares a batch depends on few samples."""

import weakref
from collections import Counter
from collections.abc import Iterator

from hypothesis import given
from hypothesis import strategies as st

from segfit.evaluation.batching import by_shape

GROUPS = st.lists(st.lists(st.sampled_from("aaabbcdefghij"), max_size=6), max_size=40)


def numbered(groups: list[list[str]]) -> list[list[tuple[str, int]]]:
    numbers = iter(range(1000))
    return [[(shape, next(numbers)) for shape in group] for group in groups]


def shape_of(sample: tuple[str, int]) -> str:
    return sample[0]


@given(groups=GROUPS, batch=st.integers(1, 5), ahead=st.integers(1, 4))
def test_every_sample_comes_once_among_its_like(groups, batch, ahead) -> None:
    samples = numbered(groups)
    batches = list(by_shape(samples, batch, shape_of, ahead=ahead))
    assert all(1 <= len(found) <= batch and len(set(map(shape_of, found))) == 1 for found in batches)
    for shape in "abcdefghij":
        expected = [sample for group in samples for sample in group if sample[0] == shape]
        assert [sample for found in batches for sample in found if sample[0] == shape] == expected


@given(groups=GROUPS, batch=st.integers(1, 5), ahead=st.integers(1, 4))
def test_no_more_than_so_many_groups_are_held(groups, batch, ahead) -> None:
    read = done = 0

    def watched() -> Iterator[list[tuple[str, int]]]:
        nonlocal read, done
        for number, group in enumerate(numbered(groups)):
            if number % ahead == 0:
                assert done == read
            read += len(group)
            yield group

    for found in by_shape(watched(), batch, shape_of, ahead=ahead):
        done += len(found)
    assert done == read


class Sample:
    """Something that can be watched as long as it lives."""

    def __init__(self, shape: str) -> None:
        self.shape = shape


@given(
    shapes=st.lists(st.sampled_from("aaab"), min_size=1, max_size=80), batch=st.integers(1, 5), ahead=st.integers(1, 4)
)
def test_what_was_given_away_is_not_kept(shapes, batch, ahead) -> None:
    alive: set[int] = set()

    def watched() -> Iterator[list[Sample]]:
        for number, start in enumerate(range(0, len(shapes), batch)):
            group = [Sample(shape) for shape in shapes[start : start + batch]]
            for sample in group:
                alive.add(id(sample))
                weakref.finalize(sample, alive.discard, id(sample))
            del sample
            # Groups of this block, and the batch that the loop below still holds.
            assert len(alive) <= (number % ahead + 1) * batch + batch
            yield group
            del group

    for _ in by_shape(watched(), batch, lambda sample: sample.shape, ahead=ahead):
        pass


@given(groups=GROUPS, batch=st.integers(1, 5), ahead=st.integers(1, 4), world=st.integers(1, 3))
def test_ranks_that_share_blocks_make_the_same_batches(groups, batch, ahead, world) -> None:
    samples = numbered(groups)
    blocks = [samples[i : i + ahead] for i in range(0, len(samples), ahead)]
    alone = list(by_shape(samples, batch, shape_of, ahead=ahead))
    shares = [[group for block in blocks[rank::world] for group in block] for rank in range(world)]
    together = [found for share in shares for found in by_shape(share, batch, shape_of, ahead=ahead)]
    assert sorted(together) == sorted(alone)


@given(shapes=st.lists(st.sampled_from("abcd"), max_size=60), batch=st.integers(1, 4))
def test_within_a_block_there_are_as_few_batches_as_can_be(shapes, batch) -> None:
    batches = list(by_shape(numbered([shapes]), batch, shape_of, ahead=1))
    assert len(batches) == sum(-(-count // batch) for count in Counter(shapes).values())
