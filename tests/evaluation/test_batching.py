"""Samples of one shape come together, each once, and few wait."""

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


@given(groups=GROUPS, batch=st.integers(1, 5), ahead=st.integers(0, 4))
def test_every_sample_comes_once_among_its_like(groups, batch, ahead) -> None:
    samples = numbered(groups)
    batches = list(by_shape(samples, batch, shape_of, ahead=ahead))
    assert all(1 <= len(found) <= batch and len(set(map(shape_of, found))) == 1 for found in batches)
    for shape in "abcdefghij":
        expected = [sample for group in samples for sample in group if sample[0] == shape]
        assert [sample for found in batches for sample in found if sample[0] == shape] == expected


@given(groups=GROUPS, batch=st.integers(1, 5), ahead=st.integers(0, 4))
def test_what_waits_is_bounded(groups, batch, ahead) -> None:
    read = 0

    def watched() -> Iterator[list[tuple[str, int]]]:
        nonlocal read
        for group in numbered(groups):
            read += len(group)
            # What is asked for after this has waited: all that came before fits.
            assert read - len(group) - given_out <= ahead * batch
            yield group

    given_out = 0
    for found in by_shape(watched(), batch, shape_of, ahead=ahead):
        given_out += len(found)
    assert given_out == read


@given(shapes=st.lists(st.sampled_from("abcd"), max_size=60), batch=st.integers(1, 4))
def test_where_all_may_wait_there_are_as_few_batches_as_can_be(shapes, batch) -> None:
    batches = list(by_shape(numbered([shapes]), batch, shape_of, ahead=100))
    assert len(batches) == sum(-(-count // batch) for count in Counter(shapes).values())


def test_full_batches_do_not_wait_and_rare_shapes_do() -> None:
    batches = by_shape(numbered([list("abaacba")]), 2, shape_of, ahead=4)
    assert ["".join(map(shape_of, found)) for found in batches] == ["aa", "bb", "aa", "c"]


def test_what_has_waited_longest_goes_first() -> None:
    batches = by_shape(numbered([list("abbcdef")]), 3, shape_of, ahead=1)
    assert ["".join(map(shape_of, found)) for found in batches] == ["a", "bb", "c", "d", "e", "f"]
