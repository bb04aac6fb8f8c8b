"""Per-image records: an exact round trip, and sums that equal those of dense matrices."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from segfit.errors import RunError
from segfit.evaluation.boundary import COUNTS, BoundaryCounts
from segfit.evaluation.metrics import class_counts, per_image_dice
from segfit.evaluation.records import ImageRecord, Records, SparseBoundary, SparseConfusion, read_records, write_records


def random_boundary(rng: np.random.Generator, classes: int, share: float = 0.3) -> BoundaryCounts:
    """Return counts as they may come of an image; some classes have none."""
    there = rng.random(classes) < share
    hits = [np.where(there, rng.integers(0, 2**40, classes), 0) for _ in range(3)]
    rest = [np.where(there, rng.integers(0, 9, classes), 0) for _ in range(4)]
    return BoundaryCounts(
        distance=0.02,
        region_hits=hits[0],
        region_target=hits[0] + rest[0],
        region_prediction=hits[0] + rest[1],
        contour_target_hits=hits[1],
        contour_target=hits[1] + rest[2],
        contour_prediction_hits=hits[2],
        contour_prediction=hits[2] + rest[3],
    )


@st.composite
def record_lists(draw: st.DrawFn) -> tuple[list[ImageRecord], NDArray[np.int64], list[BoundaryCounts]]:
    """Draw records, the dense matrices that they came from, and the boundary counts, or none of these."""
    classes = draw(st.integers(1, 5) | st.just(254))
    ids = draw(st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=8), unique=True, max_size=4))
    dense = np.zeros((len(ids), classes, classes), dtype=np.int64)
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    boundaries = [random_boundary(rng, classes) for _ in ids] if draw(st.booleans()) else []
    records = []
    for i, (matrix, image_id) in enumerate(zip(dense, ids, strict=True)):
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
                boundary=SparseBoundary.of(boundaries[i]) if boundaries else None,
                confidence=draw(st.none() | st.floats(0, 1, width=32)),
            )
        )
    return records, dense, boundaries


def write_and_read(folder: Path, records: list[ImageRecord], classes: int):
    write_records(folder / "per_image.parquet", records, classes)
    return read_records(folder / "per_image.parquet")


def random_records(
    count: int, classes: int, seed: int = 0, *, boundaries: bool = False
) -> tuple[list[ImageRecord], NDArray[np.int64]]:
    rng = np.random.default_rng(seed)
    dense = rng.integers(1, 900, (count, classes, classes)) * (rng.random((count, classes, classes)) < 0.1)
    records = [
        ImageRecord(
            id=f"{i:04}",
            height=i + 1,
            width=7,
            seconds=0.5,
            confusion=SparseConfusion.of(matrix),
            boundary=SparseBoundary.of(random_boundary(rng, classes)) if boundaries else None,
            confidence=i / count if boundaries else None,
        )
        for i, matrix in enumerate(dense)
    ]
    return records, dense


def assert_same_boundaries(records: Records, expected: list[BoundaryCounts]) -> None:
    found = records.boundary_counts()
    assert found is not None
    assert found.distance == expected[0].distance
    for name in COUNTS:
        assert getattr(found, name).dtype == np.int64
        assert np.array_equal(getattr(found, name), [getattr(one, name) for one in expected])


@given(drawn=record_lists())
@settings(max_examples=60)
def test_round_trip_is_exact(tmp_path_factory: pytest.TempPathFactory, drawn) -> None:
    records, dense, boundaries = drawn
    result = write_and_read(tmp_path_factory.mktemp("run"), records, dense.shape[1])
    assert result.classes == dense.shape[1]
    assert len(result) == len(records)
    for i, record in enumerate(records):
        again = result[i]
        for name in ("id", "height", "width", "seconds", "confidence"):
            assert getattr(again, name) == getattr(record, name)
        for name in ("target", "prediction", "count"):
            written, read = getattr(record.confusion, name), getattr(again.confusion, name)
            assert read.dtype == written.dtype
            assert np.array_equal(read, written)
        if record.boundary is None:
            assert again.boundary is None
        else:
            assert again.boundary.distance == record.boundary.distance
            assert again.boundary.classes.dtype == np.uint8
            assert np.array_equal(again.boundary.classes, record.boundary.classes)
            assert np.array_equal(again.boundary.counts, record.boundary.counts)
    known = [record.confidence is not None for record in records]
    assert result.confidence.dtype == np.float32
    assert np.array_equal(~np.isnan(result.confidence), known)
    assert np.array_equal(result.confusions(range(len(records))), dense)
    assert np.array_equal(result.total(), dense.sum(axis=0))
    if boundaries:
        assert_same_boundaries(result, boundaries)
    else:
        assert result.boundary_counts() is None


@pytest.mark.parametrize("boundaries", [True, False])
def test_records_in_memory_are_those_of_the_file(tmp_path: Path, boundaries: bool) -> None:
    records, _ = random_records(5, 6, boundaries=boundaries)
    memory, file = Records.of(records, 6), write_and_read(tmp_path, records, 6)
    assert memory.ids == file.ids
    for name in ("height", "width", "seconds", "confidence", "offsets", "boundary_offsets"):
        ours, theirs = getattr(memory, name), getattr(file, name)
        assert ours.dtype == theirs.dtype
        assert np.array_equal(ours, theirs, equal_nan=name == "confidence")
    assert np.array_equal(memory.total(), file.total())
    assert (memory.boundary is None) == (file.boundary is None) == (not boundaries)
    if boundaries:
        assert memory.boundary.distance == file.boundary.distance
        assert np.array_equal(memory.boundary.classes, file.boundary.classes)
        assert np.array_equal(memory.boundary.counts, file.boundary.counts)


def test_boundaries_are_counted_in_all_images_or_in_none(tmp_path: Path) -> None:
    records = random_records(2, 4)[0][:1] + random_records(2, 4, boundaries=True)[0][1:]
    for make in (lambda: Records.of(records, 4), lambda: write_records(tmp_path / "per_image.parquet", records, 4)):
        with pytest.raises(AssertionError, match="in all images"):
            make()


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
    assert result[-1].boundary is None
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
    records, _ = random_records(3, 4, boundaries=True)
    write_and_read(tmp_path, records, 4)
    table = pq.read_table(tmp_path / "per_image.parquet")
    pixels = ["id", "height", "width", "seconds", "target", "prediction", "count"]
    assert table.column_names == [*pixels, "confidence", "boundary_class", *COUNTS]
    assert table.column("count").to_pylist() == [record.confusion.count.tolist() for record in records]
    assert table.column("boundary_class").to_pylist() == [record.boundary.classes.tolist() for record in records]
    last = table.column("contour_prediction").to_pylist()
    assert last == [record.boundary.counts[:, 6].tolist() for record in records]
    assert table.schema.metadata[b"distance"] == b"0.02"


def test_files_of_format_1_are_read(tmp_path: Path) -> None:
    path = tmp_path / "per_image.parquet"
    columns = {
        "id": pa.array(["a", "b"]),
        "height": pa.array([3, 4], pa.int32()),
        "width": pa.array([5, 5], pa.int32()),
        "seconds": pa.array([0.25, 0.5], pa.float32()),
        "target": pa.array([[0, 1], [1]], pa.list_(pa.uint8())),
        "prediction": pa.array([[0, 0], [1]], pa.list_(pa.uint8())),
        "count": pa.array([[10, 5], [20]], pa.list_(pa.int64())),
    }
    schema = pa.schema(
        [pa.field(name, column.type, nullable=False) for name, column in columns.items()],
        {b"format": b"segfit per-image records 1", b"classes": b"2"},
    )
    pq.write_table(pa.table(columns, schema=schema), path, compression="zstd", write_page_checksum=True)
    result = read_records(path)
    assert result.total().tolist() == [[10, 0], [5, 20]]
    assert result.boundary_counts() is None
    assert np.isnan(result.confidence).all()
    assert (result[1].id, result[1].boundary, result[1].confidence) == ("b", None, None)
    # What is read can be written again, in the format of today.
    write_records(path, list(result), 2)
    assert read_records(path).class_counts().target.tolist() == [[10, 5], [0, 20]]
    later = pq.read_table(path)
    pq.write_table(later.replace_schema_metadata({**later.schema.metadata, b"format": b"segfit 3"}), path)
    with pytest.raises(RunError, match="of this version of segfit"):
        read_records(path)


@pytest.mark.parametrize("distance", [b"near", b"-1", b"nan", b"0", b"inf", b""])
def test_a_distance_that_is_none_is_refused(tmp_path: Path, distance: bytes) -> None:
    path = tmp_path / "per_image.parquet"
    write_records(path, random_records(2, 4, boundaries=True)[0], 4)
    table = pq.read_table(path)
    pq.write_table(table.replace_schema_metadata({**table.schema.metadata, b"distance": distance}), path)
    with pytest.raises(RunError, match="not the per-image records"):
        read_records(path)


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
    with pytest.raises(RunError, match="no such file: write it with: segfit evaluate .* --per-image .*none.parquet"):
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
    records, dense = random_records(5, 6, boundaries=True)
    path = tmp_path / "per_image.parquet"
    write_records(path, records, 6)
    boundaries = Records.of(records, 6).boundary_counts().total()
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
            assert result.confidence.tolist() == [np.float32(record.confidence) for record in records]
            found = result.boundary_counts().total()
            assert all(np.array_equal(getattr(found, name), getattr(boundaries, name)) for name in COUNTS)
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
        ("confidence", [0.5, 1.5]),
        ("confidence", [float("nan"), 0.5]),
        ("boundary_class", [[0, 2], [0, 1]]),
        ("boundary_class", [[1, 1], [0, 1]]),
        ("boundary_class", [[0], [1, 0, 1]]),
        ("region_hits", [[5, 5], [5, 6]]),
        ("region_hits", [[5, 5], [5, -1]]),
        ("region_target", [[5, 5], [4, 5]]),
        ("region_prediction", [[5, 5], [5]]),
        ("contour_target", [[5, 5], [5, 4]]),
        ("contour_prediction_hits", [[6, 5], [5, 5]]),
    ],
)
def test_entries_that_contradict_each_other_are_refused(tmp_path: Path, column: str, values: list) -> None:
    path = tmp_path / "per_image.parquet"
    record = ImageRecord(
        id="a",
        height=1,
        width=5,
        seconds=0.0,
        confusion=SparseConfusion.of(np.array([[5, 0], [0, 0]])),
        boundary=SparseBoundary(distance=0.1, classes=np.array([0, 1], np.uint8), counts=np.full((2, 7), 5)),
        confidence=0.5,
    )
    write_records(path, [record, replace(record, id="b")], classes=2)
    assert len(read_records(path)) == 2
    table = pq.read_table(path)
    index = table.column_names.index(column)
    field = table.schema.field(index)
    pq.write_table(table.set_column(index, field, pa.chunked_array([pa.array(values, field.type)])), path)
    with pytest.raises(RunError, match="contradict each other"):
        read_records(path)


def test_boundaries_without_a_distance_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "per_image.parquet"
    write_records(path, random_records(2, 4, boundaries=True)[0], 4)
    table = pq.read_table(path)
    metadata = {key: value for key, value in table.schema.metadata.items() if key != b"distance"}
    pq.write_table(table.replace_schema_metadata(metadata), path)
    with pytest.raises(RunError, match="contradict each other"):
        read_records(path)
