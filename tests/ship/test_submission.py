"""Submission files: round trips, errors with their row, and scores that no wrong pixel escapes."""

import csv
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from numpy.typing import NDArray

from segfit.errors import DataError, SubmissionError
from segfit.evaluation.confusion import confusion_matrix
from segfit.evaluation.metrics import scores
from segfit.labels import LabelSpace, LabelTable, distinct_colors, select
from segfit.ship.submission import Code, read_submission, score_submission, write_submission

CODES: tuple[Code, ...] = ("pairs", "kaggle")
Masks = dict[str, NDArray[np.integer]]


def table(classes: int = 5) -> LabelTable:
    """Source ids 1..n, 0 not annotated, as ADE20K has them; class 1 is the most common."""
    return LabelTable(
        ids=tuple(range(1, classes + 1)),
        names=tuple("abcdefgh"[:classes]),
        colors=distinct_colors(classes),
        ratios=tuple((classes - i) / 100 for i in range(classes)),
        ignored=(0,),
    )


IDS = st.text(st.characters(exclude_categories=["C", "Z"]), min_size=1, max_size=6) | st.sampled_from(
    ["ADE_val_00000001", 'a "quoted", id', "#x"]
)
SHAPES = st.tuples(st.integers(1, 6), st.integers(1, 6))


def mask_strategy(highest: int = 65535) -> st.SearchStrategy[NDArray[np.uint16]]:
    return SHAPES.flatmap(lambda shape: hnp.arrays(np.uint16, shape, elements=st.integers(0, highest)))


# --- writing and reading ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("code", CODES)
@given(masks=st.dictionaries(IDS, mask_strategy(4) | mask_strategy(), max_size=4))
@settings(max_examples=40)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, code: Code, masks: Masks) -> None:
    path = tmp_path_factory.mktemp("submission") / "predictions.csv"
    assert write_submission(path, masks.items(), code) == len(masks)
    submission = read_submission(path)
    assert submission.code == code
    assert list(submission) == list(masks)
    for image_id, mask in masks.items():
        assert submission.shape(image_id) == mask.shape
        assert np.array_equal(submission[image_id], mask)


def test_files_look_as_documented(tmp_path: Path) -> None:
    items = [("one", np.array([[3, 3], [0, 3]])), ("two, too", np.zeros((1, 4), dtype=np.uint8))]
    write_submission(tmp_path / "pairs.csv", items, "pairs")
    write_submission(tmp_path / "kaggle.csv", items, "kaggle")
    assert (tmp_path / "pairs.csv").read_bytes() == (b'id,height,width,rle\none,2,2,3 2 0 1 3 1\n"two, too",1,4,0 4\n')
    assert (tmp_path / "kaggle.csv").read_bytes() == (
        b'id,class,height,width,rle\none,0,2,2,2 1\none,3,2,2,1 1 3 2\n"two, too",0,1,4,1 4\n'
    )


def test_kaggle_rows_come_in_any_order_and_may_be_empty(tmp_path: Path) -> None:
    path = tmp_path / "kaggle.csv"
    path.write_text("id,class,height,width,rle\nx,2,2,2,4 1\ny,1,1,1,\nx,1,2,2,1 2\nx,7,2,2,\n\n")
    submission = read_submission(path)
    assert submission["x"].tolist() == [[1, 0], [1, 2]]
    assert submission["y"].tolist() == [[0]]


def test_spreadsheets_are_understood(tmp_path: Path) -> None:
    """They put a byte-order mark in front and end lines with CR LF."""
    path = tmp_path / "pairs.csv"
    path.write_bytes(b'\xef\xbb\xbfid,height,width,rle\r\n"x",1,2,"5 2"\r\n\r\n')
    assert read_submission(path)["x"].tolist() == [[5, 5]]


def test_cells_may_be_longer_than_the_csv_modules_limit(tmp_path: Path) -> None:
    mask = np.random.default_rng(0).integers(0, 150, (400, 400)).astype(np.uint8)
    limit = csv.field_size_limit()
    write_submission(tmp_path / "big.csv", [("x", mask)], "pairs")
    assert (tmp_path / "big.csv").stat().st_size > 2 * limit
    assert np.array_equal(read_submission(tmp_path / "big.csv")["x"], mask)
    assert csv.field_size_limit() == limit


def test_images_are_written_one_at_a_time(tmp_path: Path) -> None:
    path = tmp_path / "predictions.csv"
    alive = []

    def items() -> Iterator[tuple[str, NDArray[np.uint8]]]:
        import weakref

        for i in range(5):
            assert not path.exists(), "the file appears when it is complete"
            mask = np.full((64, 64), i, dtype=np.uint8)
            alive.append(weakref.ref(mask))
            yield str(i), mask
            del mask
            # The writer may hold the last mask, never those before.
            assert sum(reference() is not None for reference in alive[:-1]) == 0

    assert write_submission(path, items(), "pairs") == 5
    assert path.is_file()


@pytest.mark.parametrize("code", CODES)
def test_a_failure_half_way_leaves_the_old_file(tmp_path: Path, code: Code) -> None:
    path = tmp_path / "predictions.csv"
    write_submission(path, [("old", np.ones((2, 2), dtype=np.uint8))], code)

    def items() -> Iterator[tuple[str, NDArray[np.uint8]]]:
        yield "new", np.zeros((2, 2), dtype=np.uint8)
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_submission(path, items(), code)
    assert list(read_submission(path)) == ["old"]
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize(
    ("ids", "message"),
    [(["a", "a"], "two images have the id 'a'"), ([""], "empty or holds"), (["a\nb"], "empty or holds line breaks")],
    ids=["twice", "empty", "line break"],
)
def test_ids_that_cannot_be_written(tmp_path: Path, ids: list[str], message: str) -> None:
    with pytest.raises(SubmissionError, match=message):
        write_submission(tmp_path / "p.csv", [(i, np.zeros((1, 1), dtype=np.uint8)) for i in ids], "pairs")
    assert list(tmp_path.iterdir()) == []


# --- errors of the file ----------------------------------------------------------------------------------------------

PAIRS = "id,height,width,rle\n"
KAGGLE = "id,class,height,width,rle\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "row 1: column 'id' is missing: the header is 'id,height,width,rle' or 'id,class,height,width,rle'"),
        ("id,height,width\n", "row 1: column 'rle' is missing"),
        ("id,class,height,rle\n", "row 1: column 'width' is missing"),
        ("ImageId,height,width,rle\n", "row 1: column 'id' is missing"),
        ("id,width,height,rle\n", "row 1: unknown header 'id,width,height,rle'"),
        ("id,height,width,rle,score\n", "row 1: unknown header"),
        (PAIRS + "x,1,1,0 1\n\nx,1,1,0 1\n", "row 4: id 'x' repeats row 2"),
        (KAGGLE + "x,1,1,1,\nx,2,1,1,\nx,1,1,1,\n", "row 4: id 'x' repeats row 2"),
        (KAGGLE + "x,1,1,2,\nx,2,2,1,\n", "row 3: id 'x' is 2 x 1 here and 1 x 2 in row 2"),
        (PAIRS + "x,1,1\n", "row 2: 3 cells instead of 4"),
        (PAIRS + "x,1,1,0 1,\n", "row 2: 5 cells instead of 4"),
        (PAIRS + ",1,1,0 1\n", "row 2: the image id is empty"),
        (PAIRS + "x,one,1,0 1\n", "row 2: height 'one' is not a whole number"),
        (PAIRS + "x,1,-1,0 1\n", "row 2: width '-1' is not a whole number"),
        (PAIRS + "x,1,1.0,0 1\n", "row 2: width '1.0' is not a whole number"),
        (PAIRS + "x,0,1,\n", "row 2: the size 0 x 1 is not between 1 and"),
        (PAIRS + "x,999999999,999999999,0 1\n", "row 2: the size 999999999 x 999999999 is not between 1 and"),
        (KAGGLE + "x,c,1,1,\n", "row 2: class 'c' is not a whole number"),
        (KAGGLE + "x,65536,1,1,\n", "row 2: class 65536 is not between 0 and 65535"),
        (PAIRS + '"x,1,1,0 1\n', "cannot be read as UTF-8 CSV"),
        (PAIRS + "é,1,1,0 1\n", "cannot be read as UTF-8 CSV"),
    ],
)
def test_errors_name_the_file_and_the_row(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(SubmissionError) as caught:
        read_submission(path)
    assert str(caught.value).startswith(str(path))
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PAIRS + "ok,1,1,0 1\nx,2,2,1 3\n", "row 3: the run lengths add up to 3"),
        (PAIRS + "ok,1,1,0 1\nx,2,2,1 3 1\n", "row 3: 3 numbers do not make pairs"),
        (KAGGLE + "ok,1,1,1,\nx,1,2,2,1 1\nx,2,2,2,1 x\n", "row 4: 'x' is not a whole number"),
        (KAGGLE + "ok,1,1,1,\nx,1,2,2,1 1\nx,2,2,2,4 2\n", "row 4: the run '4 2' leaves the image"),
        (KAGGLE + "ok,1,1,1,\nx,1,2,2,1 2\nx,2,2,2,2 2\n", "row 3, 4: runs of class 1 and 2 overlap at pixel 2"),
    ],
)
def test_a_bad_code_is_an_error_of_its_image_only(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "bad.csv"
    path.write_text(text)
    submission = read_submission(path)
    assert submission["ok"].tolist() == [[0]]
    with pytest.raises(SubmissionError) as caught:
        submission["x"]
    assert str(caught.value).startswith(f"{path}, {message}")


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(SubmissionError, match="No such file"):
        read_submission(tmp_path / "none.csv")


# --- scoring ---------------------------------------------------------------------------------------------------------


def score(folder: Path, predicted: Masks, truth: Masks, labels: LabelSpace, code: Code = "pairs"):
    path = folder / "predictions.csv"
    write_submission(path, predicted.items(), code)
    return score_submission(read_submission(path), truth, labels)


@pytest.mark.parametrize("code", CODES)
@given(data=st.data())
@settings(max_examples=25)
def test_scores_equal_those_of_the_confusion_matrix(
    tmp_path_factory: pytest.TempPathFactory, code: Code, data: st.DataObject
) -> None:
    """Where every prediction is a class, the file changes nothing: the same scores as from the tensors."""
    labels = select(table())
    truth, predicted, total = {}, {}, np.zeros((5, 5), dtype=np.int64)
    for image_id in ("x", "y"):
        shape = data.draw(SHAPES)
        truth[image_id] = data.draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 5)))
        truth[image_id][0, 0] = 1
        train = data.draw(hnp.arrays(np.uint8, shape, elements=st.integers(0, 4)))
        predicted[image_id] = labels.decode(train)
        total += confusion_matrix(torch.from_numpy(labels.encode(truth[image_id])), torch.from_numpy(train), 5).numpy()
    assert score(tmp_path_factory.mktemp("s"), predicted, truth, labels, code) == scores(total)


def test_the_truth_itself_scores_one_whatever_its_ignored_pixels_become(tmp_path: Path) -> None:
    truth = np.random.default_rng(1).integers(0, 6, (20, 30)).astype(np.uint8)
    filled = np.where(truth == 0, 3, truth)
    for prediction in (truth, filled):
        result = score(tmp_path, {"x": prediction}, {"x": truth}, select(table()))
        assert result.dice == result.miou == result.pixel_accuracy == 1.0


@pytest.mark.parametrize("wrong", [0, 4, 5, 6, 60000], ids=["other", "left out", "left out too", "unknown", "huge"])
def test_a_prediction_that_is_no_class_is_wrong_not_dropped(tmp_path: Path, wrong: int) -> None:
    """Else a submission could raise its score by not answering where it is unsure."""
    labels = select(table(), top=2)
    truth = np.array([[1, 1, 2, 2]])
    result = score(tmp_path, {"x": np.array([[1, wrong, 2, 2]])}, {"x": truth}, labels)
    assert result.class_accuracy == (0.5, 1.0)
    assert result.class_iou == (0.5, 1.0)
    assert result.class_precision == (1.0, 1.0)
    assert result.pixel_accuracy == 0.75


def test_zero_and_left_out_classes_mean_other_where_it_is_a_class(tmp_path: Path) -> None:
    labels = select(table(), top=2, rest="other")
    truth = np.array([[1, 2, 3, 4, 5, 0]])
    for prediction in (labels.decode(np.array([[0, 1, 2, 2, 2, 2]])), np.array([[1, 2, 4, 5, 3, 1]])):
        result = score(tmp_path, {"x": prediction}, {"x": truth}, labels)
        assert result.class_dice == (1.0, 1.0, 1.0)
        assert result.class_pixels == (1, 1, 3)


def test_the_most_common_class_stands_for_the_rest(tmp_path: Path) -> None:
    labels = select(table(), top=2, rest="most-common")
    result = score(tmp_path, {"x": np.array([[5, 1, 2]])}, {"x": np.array([[1, 4, 2]])}, labels)
    assert result.dice == 1.0


def test_a_class_numbered_zero_is_a_class(tmp_path: Path) -> None:
    labels = select(LabelTable(ids=(0, 1), names=("a", "b"), colors=distinct_colors(2)))
    assert score(tmp_path, {"x": np.array([[0, 1]])}, {"x": np.array([[0, 1]])}, labels, "kaggle").dice == 1.0


IMAGE = np.ones((2, 3), dtype=np.uint8)


@pytest.mark.parametrize(
    ("predicted", "truth", "message"),
    [
        ({"b": IMAGE}, {"a": IMAGE, "b": IMAGE, "c": IMAGE}, "2 of 3 images are missing, the first is 'a'"),
        ({"a": IMAGE, "z": IMAGE, "y": IMAGE}, {"a": IMAGE}, "2 images are not in the ground truth, the first is 'y'"),
        ({"a": IMAGE}, {"a": IMAGE.T}, "id 'a' is 2 x 3, but its ground truth 3 x 2"),
    ],
)
def test_a_submission_must_fit_its_ground_truth(tmp_path: Path, predicted: Masks, truth: Masks, message: str) -> None:
    with pytest.raises(SubmissionError, match=message) as caught:
        score(tmp_path, predicted, truth, select(table()))
    assert str(tmp_path / "predictions.csv") in str(caught.value)


def test_ground_truth_errors_are_the_datasets(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="x: label id 9 is not in the label space"):
        score(tmp_path, {"x": IMAGE}, {"x": IMAGE * 9}, select(table()))
    with pytest.raises(DataError, match="every pixel of the ground truth is ignored"):
        score(tmp_path, {"x": IMAGE}, {"x": IMAGE * 0}, select(table()))
