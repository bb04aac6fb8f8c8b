"""Label spaces: what is learnt, and how source ids become train ids."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from segfit.data.ade20k import published_labels
from segfit.errors import DataError, RecipeError
from segfit.labels import IGNORE, LabelTable, distinct_colors, select

TABLE = LabelTable(
    ids=(1, 2, 5, 9),
    names=("wall", "sky, heaven", "tree", "cat"),
    colors=distinct_colors(4),
    ratios=(0.2, 0.4, 0.3, 0.1),
    ignored=(0,),
)


def test_the_papers_coverage():
    assert round(select(published_labels(), top=10).coverage, 4) == 0.6087


def test_ade20k_has_150_classes_and_other_is_ignored():
    space = select(published_labels())
    assert len(space) == 150
    assert dict(space.to_train)[0] == IGNORE
    assert [dict(space.to_train)[source] for source in range(1, 151)] == list(range(150))


def test_top_takes_the_largest_ratios_in_the_datasets_order():
    assert select(TABLE, top=2).names == ("sky, heaven", "tree")


@pytest.mark.parametrize(
    ("rest", "expected"),
    [("ignore", [255, 0, 1, 255]), ("other", [2, 0, 1, 2]), ("most-common", [0, 0, 1, 0])],
)
def test_what_becomes_of_the_rest(rest, expected):
    space = select(TABLE, top=2, rest=rest)
    assert space.encode(np.array([[1, 2, 5, 9]])).tolist() == [expected]
    assert space.encode(np.array([[0]])).tolist() == [[IGNORE]], "what nobody annotated stays ignored"
    assert len(space) == (3 if rest == "other" else 2)
    assert len(space.colors) == len(space.names)


def test_rest_adds_nothing_when_nothing_is_left():
    assert select(TABLE, rest="other").names == TABLE.names


def test_classes_by_name_or_first_synonym():
    assert select(TABLE, classes=["tree", "sky"]).names == ("sky, heaven", "tree")


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"top": 2, "classes": ["tree"]}, "either top or classes"),
        ({"top": 5}, "5 is not between 1 and the dataset's 4"),
        ({"classes": ["tre"]}, r"no class is called 'tre' \(did you mean 'tree'\?\)"),
        ({"classes": ["tree", "tree"]}, "each only once"),
        ({"classes": []}, "at least one class"),
    ],
)
def test_impossible_choices(choice, message):
    with pytest.raises(RecipeError, match=message):
        select(TABLE, **choice)


def test_most_common_needs_the_most_common_class():
    with pytest.raises(RecipeError, match="paints the rest with 'sky, heaven', which labels.classes leaves out"):
        select(TABLE, classes=["tree", "cat"], rest="most-common")


def test_a_real_class_called_other_is_a_class_like_any():
    table = LabelTable(ids=(0, 7), names=("road", "other"), colors=distinct_colors(2))
    space = select(table)
    assert space.decode(np.array([[0, 1]])).tolist() == [[0, 7]]


def test_no_ratios_no_top():
    bare = LabelTable(ids=(0, 1), names=("a", "b"), colors=distinct_colors(2))
    with pytest.raises(RecipeError, match="labels.ratios=dataset"):
        select(bare, top=1)
    assert select(bare).coverage is None


@pytest.mark.parametrize("bad", [3, 10, 300, 60000])
def test_unknown_ids_are_named_with_their_file(bad):
    mask = np.array([[1, bad]], dtype=np.uint16)
    with pytest.raises(DataError, match=f"street.png: label id {bad} is not in the label space"):
        select(TABLE).encode(mask, where="street.png")


@given(
    st.lists(st.sampled_from([1, 2, 5, 9]), min_size=1, max_size=30),
    st.integers(1, 4),
    st.sampled_from(["ignore", "other", "most-common"]),
)
def test_kept_classes_survive_the_round_trip(ids, top, rest):
    space = select(TABLE, top=top, rest=rest)
    kept = {space.source_id(train) for train in range(len(space))} - {0}
    mask = np.array([ids])
    train = space.encode(mask)
    back = space.decode(np.where(train == IGNORE, 0, train))
    inside = np.isin(mask, list(kept))
    assert (back[inside] == mask[inside]).all()
    assert len(kept) == top


def test_other_has_no_id_where_zero_is_a_class():
    table = LabelTable(ids=(0, 1), names=("road", "car"), colors=distinct_colors(2), ratios=(0.9, 0.1))
    space = select(table, top=1, rest="other")
    with pytest.raises(DataError, match="has no id in this dataset"):
        space.decode(np.zeros((1, 1), dtype=np.uint8))


def test_colors_are_distinct_and_stable():
    colors = distinct_colors(150)
    assert len(set(colors)) == 150
    assert distinct_colors(20) == colors[:20]


@given(
    ids=st.lists(st.integers(0, 400), min_size=3, max_size=20, unique=True),
    dtype=st.sampled_from([np.uint8, np.uint16, np.int32]),
    data=st.data(),
)
def test_masks_of_any_type_are_encoded_pixel_by_pixel(ids, dtype, data):
    table = LabelTable(
        ids=tuple(ids[1:]), names=tuple(map(str, ids[1:])), colors=distinct_colors(len(ids) - 1), ignored=(ids[0],)
    )
    labels = select(table, classes=table.names[:2], rest=data.draw(st.sampled_from(["ignore", "other"])))
    known = [i for i in ids if i <= np.iinfo(dtype).max] or [0]
    mask = np.array(data.draw(st.lists(st.sampled_from([*known, 7]), min_size=6, max_size=6)), dtype).reshape(2, 3)
    train = dict(labels.to_train)
    unknown = sorted(set(mask.flat) - set(train))
    if unknown:
        with pytest.raises(DataError, match=f"here: label id {', '.join(map(str, unknown))} is not in the label space"):
            labels.encode(mask, where="here")
    else:
        encoded = labels.encode(mask, where="here")
        assert encoded.dtype == np.uint8
        assert encoded.tolist() == [[train[i] for i in row] for row in mask.tolist()]
