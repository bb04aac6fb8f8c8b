"""Per-image records: an exact round trip, and sums that equal those of dense matrices."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segfit.errors import RunError
from segfit.evaluation.metrics import class_counts, per_image_dice
from segfit.evaluation.records import ImageRecord, SparseConfusion, read_records, write_records


@st.composite
def record_lists(draw: st.DrawFn) -> tuple[list[ImageRecord], NDArray[np.int64]]:
    """Draw records and the dense matrices that they came from."""
    classes = draw(st.integers(1, 5) | st.just(254))
    ids = draw(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), unique=True, max_size=4))
    dense = np.zeros((len(ids), classes, classes), dtype=np.int64)
    records = []
    for matrix, image_id in zip(dense, ids, strict=True):
        for _ in range(draw(st.integers(0, 4))):
            row, column = draw(st.integers(0, classes - 1)), draw(st.integers(0, classes - 1))
            matrix[row, column] = draw(st.integers(0, 2**40))
        records.append(
            ImageRecord(
                id=image_id,
                height=draw(st.integers(1, 2**31 - 1)),
                width=draw(st.integers(1, 2**31 - 1)),
                seconds=draw(st.floats(0, 1e6, width=32)),
                confusion=SparseConfusion.of(matrix),
            )
        )
    return records, dense


def write_and_read(folder: Path, records: list[ImageRecord], classes: int):
    write_records(folder / "per_image.parquet", records, classes)
    return read_records(folder / "per_image.parquet")


def random_records(count: int, classes: int, seed: int = 0) -> tuple[list[ImageRecord], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    dense = rng.integers(1, 900, (count, classes, classes)) * (rng.random((count, classes, classes)) < 0.1)
    records = [
        ImageRecord(id=f"{i:04}", height=i + 1, width=7, seconds=0.5, confusion=SparseConfusion.of(matrix))
        for i, matrix in enumerate(dense)
    ]
    return records, dense


@given(drawn=record_lists())
@settings(max_examples=60)
def test_round_trip_is_exact(tmp_path_factory: pytest.TempPathFactory, drawn) -> None:
    records, dense = drawn
    result = write_and_read(tmp_path_factory.mktemp("run"), records, dense.shape[1])
    assert result.classes == dense.shape[1]
    assert len(result) == len(records)
    for i, record in enumerate(records):
        again = result[i]
        assert (again.id, again.height, again.width, again.seconds) == (
            record.id,
            record.height,
            record.width,
            record.seconds,
        )
        for name in ("target", "prediction", "count"):
            written, read = getattr(record.confusion, name), getattr(again.confusion, name)
            assert read.dtype == written.dtype
            assert np.array_equal(read, written)
    assert np.array_equal(result.confusions(range(len(records))), dense)
    assert np.array_equal(result.total(), dense.sum(axis=0))


def test_sums_equal_those_of_dense_matrices(tmp_path: Path) -> None:
    records, dense = random_records(20, 12)
    result = write_and_read(tmp_path, records, 12)
    expected = class_counts(dense)
    ours = result.class_counts()
    for name in ("hits", "target", "prediction"):
        assert np.array_equal(getattr(ours, name), getattr(expected, name))
    assert result.per_image_dice() == per_image_dice(expected)


@pytest.mark.parametrize("indices", [[], [3], [5, 0, 5, -1], np.arange(6)[::-1]], ids=str)
def test_chosen_images_come_in_the_order_asked_for(tmp_path: Path, indices) -> None:
    records, dense = random_records(6, 4, seed=1)
    result = write_and_read(tmp_path, records, 4)
    assert np.array_equal(result.confusions(indices), dense[np.asarray(indices, dtype=int)])
    assert [record.id for record in result] == [record.id for record in records]
    assert result[-1].id == records[-1].id
    assert np.array_equal(result[-1].confusion.count, records[-1].confusion.count)


def test_no_dense_array_of_all_images_is_made(tmp_path: Path) -> None:
    """2,000 images of 150 classes would take 360 MB; the sums must do with a small part of it."""
    import tracemalloc

    rng = np.random.default_rng(2)
    records = []
    for i in range(2000):
        cells = np.unravel_index(rng.choice(150 * 150, 40, replace=False), (150, 150))
        sparse = SparseConfusion(
            target=cells[0].astype(np.uint8), prediction=cells[1].astype(np.uint8), count=rng.integers(1, 9999, 40)
        )
        records.append(ImageRecord(id=str(i), height=5, width=5, seconds=0.0, confusion=sparse))
    result = write_and_read(tmp_path, records, 150)
    tracemalloc.start()
    try:
        total = result.total()
        result.per_image_dice()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert total.sum() == sum(int(record.confusion.count.sum()) for record in records)
    assert peak < 40e6


def test_other_tools_can_read_the_file(tmp_path: Path) -> None:
    records, _ = random_records(3, 4)
    write_and_read(tmp_path, records, 4)
    table = pq.read_table(tmp_path / "per_image.parquet")
    assert table.column_names == ["id", "height", "width", "seconds", "target", "prediction", "count"]
    assert table.column("count").to_pylist() == [record.confusion.count.tolist() for record in records]


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    records, dense = random_records(3, 4)
    path = tmp_path / "per_image.parquet"
    write_records(path, records, 4)
    too_big = ImageRecord(id="x", height=2**40, width=1, seconds=0.0, confusion=records[0].confusion)
    with pytest.raises((pa.ArrowException, OverflowError)):
        write_records(path, [too_big], 4)
    assert np.array_equal(read_records(path).total(), dense.sum(axis=0))
    assert list(tmp_path.iterdir()) == [path]


def test_one_record_per_image(tmp_path: Path) -> None:
    records, _ = random_records(1, 2)
    with pytest.raises(AssertionError, match="one record per image"):
        write_records(tmp_path / "per_image.parquet", records * 2, 2)


# --- damage ----------------------------------------------------------------------------------------------------------


def test_missing_and_foreign_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(RunError, match="no such file: evaluate the run first"):
        read_records(tmp_path / "none.parquet")
    text = tmp_path / "text.parquet"
    text.write_text("id,height\n")
    with pytest.raises(RunError, match="cannot be read"):
        read_records(text)
    foreign = tmp_path / "foreign.parquet"
    pq.write_table(pa.table({"id": ["a"], "count": [1]}), foreign)
    with pytest.raises(RunError, match="not the per-image records"):
        read_records(foreign)


def test_every_changed_byte_is_noticed_or_harmless(tmp_path: Path) -> None:
    """Never other numbers: a changed byte is an error, or it lies where nothing is read from."""
    records, dense = random_records(5, 6)
    path = tmp_path / "per_image.parquet"
    write_records(path, records, 6)
    whole = path.read_bytes()
    refused = 0
    for position in range(4, len(whole) - 8, max(1, len(whole) // 150)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0x55]) + whole[position + 1 :])
        try:
            result = read_records(path)
        except RunError as error:
            assert str(path) in str(error)
            refused += 1
        else:
            assert np.array_equal(result.total(), dense.sum(axis=0))
    assert refused > 20


@pytest.mark.parametrize("kept", [0.0, 0.3, 0.7, 0.99])
def test_a_truncated_file_is_refused(tmp_path: Path, kept: float) -> None:
    records, _ = random_records(5, 6)
    path = tmp_path / "per_image.parquet"
    write_records(path, records, 6)
    path.write_bytes(path.read_bytes()[: int(kept * path.stat().st_size)])
    with pytest.raises(RunError, match="cannot be read"):
        read_records(path)


@pytest.mark.parametrize(
    ("column", "values"),
    [
        ("target", [[2], [0]]),
        ("prediction", [[0], [200]]),
        ("count", [[-1], [1]]),
        ("count", [[1, 2], []]),
        ("id", ["a", "a"]),
    ],
    ids=["row", "column", "negative", "lengths", "id twice"],
)
def test_entries_that_contradict_each_other_are_refused(tmp_path: Path, column: str, values: list) -> None:
    path = tmp_path / "per_image.parquet"
    entry = SparseConfusion.of(np.array([[5, 0], [0, 0]]))
    write_records(
        path, [ImageRecord(id=i, height=1, width=5, seconds=0.0, confusion=entry) for i in ("a", "b")], classes=2
    )
    table = pq.read_table(path)
    index = table.column_names.index(column)
    field = table.schema.field(index)
    pq.write_table(table.set_column(index, field, pa.chunked_array([pa.array(values, field.type)])), path)
    with pytest.raises(RunError, match="contradict each other"):
        read_records(path)
