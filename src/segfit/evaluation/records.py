"""What a model did to each image, kept in ``per_image.parquet`` so that statistics need no second pass of the model.

One row per image. Its confusion matrix and its boundary counts are stored without their zeros: ``target[i],
prediction[i], count[i]`` list the pixels of class ``target[i]`` that were given class ``prediction[i]``, and
``boundary_class[i], region_hits[i], ...`` list the counts of class ``boundary_class[i]`` (`boundary.BoundaryCounts`).
The file's metadata names the format, the number of classes K and, where boundaries were counted, at which distance.
Files of format 1, which know neither boundaries nor confidence, are read, too.

Shape suffixes: N images, E entries of all images, K classes.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from segfit.errors import RunError
from segfit.evaluation.boundary import COUNTS, BoundaryCounts
from segfit.evaluation.metrics import ClassCounts, per_image_dice
from segfit.evaluation.sparse import SparseBoundary, SparseConfusion
from segfit.folder import replacing

__all__ = ["ImageRecord", "Records", "SparseBoundary", "SparseConfusion", "read_records", "write_records"]

SCHEMA_1 = pa.schema(
    [
        pa.field("id", pa.string(), nullable=False),
        pa.field("height", pa.int32(), nullable=False),
        pa.field("width", pa.int32(), nullable=False),
        pa.field("seconds", pa.float32(), nullable=False),
        pa.field("target", pa.list_(pa.uint8()), nullable=False),
        pa.field("prediction", pa.list_(pa.uint8()), nullable=False),
        pa.field("count", pa.list_(pa.int64()), nullable=False),
    ]
)
SCHEMA = pa.schema(
    [
        *SCHEMA_1,
        pa.field("confidence", pa.float32()),
        pa.field("boundary_class", pa.list_(pa.uint8()), nullable=False),
        *(pa.field(name, pa.list_(pa.int64()), nullable=False) for name in COUNTS),
    ]
)
FORMAT = b"segfit per-image records 2"
FORMATS = {b"segfit per-image records 1": SCHEMA_1, FORMAT: SCHEMA}

_NOTHING = SparseBoundary.of(BoundaryCounts.none(0, 0.0))
"""The boundaries of an image whose boundaries were not counted, as a file has them."""


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """One scored image.

    Attributes:
        id: the image's id in its dataset.
        height: pixels of the ground truth.
        width: pixels of the ground truth.
        seconds: inference time; kept as float32.
        confusion: what was predicted where.
        boundary: how well outlines were met; None where they were not looked at.
        confidence: the mean over the pixels that were looked at, in [0, 1], kept as float32; None likewise.
    """

    id: str
    height: int
    width: int
    seconds: float
    confusion: SparseConfusion
    boundary: SparseBoundary | None = None
    confidence: float | None = None


@dataclass(frozen=True, kw_only=True, eq=False)
class Records:
    """The records of all images, as columns.

    Attributes:
        ids: N image ids.
        classes: K.
        height: `(N,)` int32 pixels.
        width: `(N,)` int32 pixels.
        seconds: `(N,)` float32 inference time.
        confidence: `(N,)` float32 mean confidence; NaN where it is not known.
        offsets: `(N + 1,)` int64; image i owns the entries ``offsets[i]:offsets[i + 1]``.
        entries: the `(E,)` entries of all images, one after the other.
        boundary_offsets: `(N + 1,)` int64; whose the entries of `boundary` are.
        boundary: the boundary counts of all images, one after the other; None where they were not counted.
    """

    ids: tuple[str, ...]
    classes: int
    height: NDArray[np.int32]
    width: NDArray[np.int32]
    seconds: NDArray[np.float32]
    confidence: NDArray[np.float32]
    offsets: NDArray[np.int64]
    entries: SparseConfusion
    boundary_offsets: NDArray[np.int64]
    boundary: SparseBoundary | None

    @classmethod
    def of(cls, records: Sequence[ImageRecord], classes: int) -> "Records":
        """Take records in the order given; `classes` is K."""
        parts = [record.confusion for record in records]
        boundaries = [record.boundary or _NOTHING for record in records]
        distance = _distance(records)
        return cls(
            ids=tuple(record.id for record in records),
            classes=classes,
            height=np.array([record.height for record in records], dtype=np.int32),
            width=np.array([record.width for record in records], dtype=np.int32),
            seconds=np.array([record.seconds for record in records], dtype=np.float32),
            # A None becomes NaN.
            confidence=np.array([record.confidence for record in records], dtype=np.float32),
            offsets=_offsets([len(part.count) for part in parts]),
            entries=SparseConfusion(
                target=np.concatenate([part.target for part in parts]),
                prediction=np.concatenate([part.prediction for part in parts]),
                count=np.concatenate([part.count for part in parts]),
            ),
            boundary_offsets=_offsets([len(part.classes) for part in boundaries]),
            boundary=None
            if distance is None
            else SparseBoundary(
                distance=distance,
                classes=np.concatenate([part.classes for part in boundaries]),
                counts=np.concatenate([part.counts for part in boundaries]),
            ),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> ImageRecord:
        own = slice(self.offsets[:-1][index], self.offsets[1:][index])
        edges = slice(self.boundary_offsets[:-1][index], self.boundary_offsets[1:][index])
        entries, boundary = self.entries, self.boundary
        return ImageRecord(
            id=self.ids[index],
            height=int(self.height[index]),
            width=int(self.width[index]),
            seconds=float(self.seconds[index]),
            confusion=SparseConfusion(
                target=entries.target[own], prediction=entries.prediction[own], count=entries.count[own]
            ),
            boundary=None
            if boundary is None
            else SparseBoundary(
                distance=boundary.distance, classes=boundary.classes[edges], counts=boundary.counts[edges]
            ),
            confidence=None if np.isnan(self.confidence[index]) else float(self.confidence[index]),
        )

    def confusions(self, indices: ArrayLike) -> NDArray[np.int64]:
        """Return the dense confusion matrices `(n, K, K)` of the images at `indices`, which may repeat.

        K = 150 takes 180 kB per image: for many images use `total` or `class_counts`.
        """
        chosen = np.asarray(indices, dtype=np.int64)
        starts = self.offsets[:-1][chosen]
        lengths = self.offsets[1:][chosen] - starts
        owners = np.repeat(np.arange(len(chosen)), lengths)
        first = np.cumsum(lengths) - lengths
        positions = np.arange(len(owners)) + (starts - first)[owners]
        cells = owners * self.classes**2 + self._cells()[positions]
        return _sums(cells, self.entries.count[positions], (len(chosen), self.classes, self.classes))

    def total(self) -> NDArray[np.int64]:
        """Return the `(K, K)` confusion matrix over all images."""
        return _sums(self._cells(), self.entries.count, (self.classes, self.classes))

    def class_counts(self) -> ClassCounts:
        """Return the `(N, K)` counts per image and class: enough for every metric of any sample of the images."""
        entries = self.entries
        first = np.repeat(np.arange(len(self)) * self.classes, np.diff(self.offsets))
        hit = entries.target == entries.prediction
        shape = (len(self), self.classes)
        return ClassCounts(
            hits=_sums(first[hit] + entries.target[hit], entries.count[hit], shape),
            target=_sums(first + entries.target, entries.count, shape),
            prediction=_sums(first + entries.prediction, entries.count, shape),
        )

    def boundary_counts(self) -> BoundaryCounts | None:
        """Return the `(N, K)` boundary counts per image and class; None where they were not counted."""
        boundary = self.boundary
        if boundary is None:
            return None
        cells = np.repeat(np.arange(len(self)) * self.classes, np.diff(self.boundary_offsets)) + boundary.classes
        shape = (len(self), self.classes)
        columns = {name: _sums(cells, boundary.counts[:, i], shape) for i, name in enumerate(COUNTS)}
        return BoundaryCounts(distance=boundary.distance, **columns)

    def per_image_dice(self) -> float:
        """Return the mean over images of each image's macro Dice; see `metrics.per_image_dice`."""
        return per_image_dice(self.class_counts())

    def _cells(self) -> NDArray[np.int64]:
        """Return which cell of a flat `(K, K)` matrix each entry belongs to."""
        return self.entries.target * np.int64(self.classes) + self.entries.prediction


def write_records(path: Path, records: Sequence[ImageRecord], classes: int) -> None:
    """Write records in the order given, all of them or nothing.

    Args:
        path: the file; one that is there is replaced.
        records: one per image, ids unique.
        classes: K.
    """
    assert len({record.id for record in records}) == len(records), "one record per image"
    distance = _distance(records)
    boundaries = [record.boundary or _NOTHING for record in records]
    columns = {
        "id": [record.id for record in records],
        "height": [record.height for record in records],
        "width": [record.width for record in records],
        "seconds": [record.seconds for record in records],
        "target": [record.confusion.target for record in records],
        "prediction": [record.confusion.prediction for record in records],
        "count": [record.confusion.count for record in records],
        "confidence": [record.confidence for record in records],
        "boundary_class": [part.classes for part in boundaries],
        **{name: [part.counts[:, i] for part in boundaries] for i, name in enumerate(COUNTS)},
    }
    metadata = {b"format": FORMAT, b"classes": str(classes).encode()}
    if distance is not None:
        metadata[b"distance"] = repr(distance).encode()
    with replacing(path) as temporary:
        table = pa.table(columns, schema=SCHEMA.with_metadata(metadata))
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read_records(path: Path) -> Records:
    """Read the file that `write_records` wrote.

    Raises:
        RunError: the file is missing, damaged or not such a file.
    """
    table, classes, distance = _read_table(path)
    lengths, (target, prediction, count) = _lists(table, ("target", "prediction", "count"), path)
    boundary_lengths, (boundary_classes, *counts) = _lists(table, ("boundary_class", *COUNTS), path)
    boundary = SparseBoundary(distance=distance or 0.0, classes=boundary_classes, counts=np.stack(counts, axis=-1))
    records = Records(
        ids=tuple(table.column("id").to_pylist()),
        classes=classes,
        height=table.column("height").to_numpy(),
        width=table.column("width").to_numpy(),
        seconds=table.column("seconds").to_numpy(),
        confidence=table.column("confidence").to_numpy(),
        offsets=_offsets(lengths),
        entries=SparseConfusion(target=target, prediction=prediction, count=count),
        boundary_offsets=_offsets(boundary_lengths),
        boundary=None if distance is None else boundary,
    )
    consistent = (
        len(set(records.ids)) == len(records)
        and _are_counts(records.entries, classes)
        and _are_boundaries(boundary, records.boundary_offsets, classes)
        and (distance is not None or len(boundary_classes) == 0)
        and all(value is None or 0 <= value <= 1 for value in table.column("confidence").to_pylist())
    )
    if not consistent:
        raise RunError(_contradiction(path))
    return records


def _are_counts(entries: SparseConfusion, classes: int) -> bool:
    """Say whether entries can be those of confusion matrices."""
    largest = max(entries.target.max(initial=0), entries.prediction.max(initial=0))
    return bool(largest < max(classes, 1) and entries.count.min(initial=0) >= 0)


def _are_boundaries(boundary: SparseBoundary, offsets: NDArray[np.int64], classes: int) -> bool:
    """Say whether entries can be boundary counts: each class once per image, and not more hits than pixels."""
    owners = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    named = dict(zip(COUNTS, boundary.counts.T, strict=True))
    return bool(
        boundary.classes.max(initial=0) < max(classes, 1)
        and (np.diff(owners * 256 + boundary.classes) > 0).all()
        and boundary.counts.min(initial=0) >= 0
        and (named["region_hits"] <= named["region_target"]).all()
        and (named["region_hits"] <= named["region_prediction"]).all()
        and (named["contour_target_hits"] <= named["contour_target"]).all()
        and (named["contour_prediction_hits"] <= named["contour_prediction"]).all()
    )


def _lists(table: Any, names: Sequence[str], path: Path) -> tuple[NDArray[np.int64], list[NDArray[Any]]]:
    """Return the lengths of the lists in some columns, the same in each, and the values of each column."""
    columns = [table.column(name).combine_chunks() for name in names]
    lengths: list[NDArray[np.int64]] = [column.value_lengths().to_numpy(zero_copy_only=False) for column in columns]
    if not all(np.array_equal(lengths[0], other) for other in lengths[1:]):
        raise RunError(_contradiction(path))
    return lengths[0], [column.flatten().to_numpy() for column in columns]


def _contradiction(path: Path) -> str:
    return f"{path}: its entries contradict each other: evaluate the run again"


def _read_table(path: Path) -> tuple[Any, int, float | None]:
    """Return the checked table, as format 2 has it, K, and the distance of boundaries."""
    if not path.is_file():
        raise RunError(f"{path}: no such file: write it with: segfit evaluate RUN --per-image {path}")
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        metadata = file.schema_arrow.metadata or {}
        schema = FORMATS.get(metadata.get(b"format", b""))
        classes, distance = metadata.get(b"classes", b""), metadata.get(b"distance")
        sound = classes.isdigit() and (distance is None or _is_distance(distance))
        if schema is None or not file.schema_arrow.equals(schema) or not sound:
            raise RunError(f"{path}: not the per-image records of this version of segfit: evaluate the run again")
        table = file.read()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{path}: cannot be read ({' '.join(str(error).split())}): evaluate the run again") from None
    for field in list(SCHEMA)[len(schema) :]:
        # What a file of format 1 has not: nothing is known of any image.
        nothing: list[int] | None = [] if pa.types.is_list(field.type) else None
        table = table.append_column(field, pa.array([nothing] * len(table), field.type))
    return table, int(classes), None if distance is None else float(distance)


def _is_distance(text: bytes) -> bool:
    """Say whether metadata holds a share of the diagonal."""
    try:
        return 0 < float(text) < np.inf
    except ValueError:
        return False


def _distance(records: Sequence[ImageRecord]) -> float | None:
    """Return the distance at which all records count boundaries; None where none of them does."""
    distances = {None if record.boundary is None else record.boundary.distance for record in records}
    assert len(distances) <= 1, "boundaries are counted in all images at one distance, or in none"
    return next(iter(distances), None)


def _offsets(lengths: ArrayLike) -> NDArray[np.int64]:
    """Return where each part of something that consists of parts begins, and the end."""
    return np.concatenate([[0], np.cumsum(lengths, dtype=np.int64)])


def _sums(cells: NDArray[np.int64], counts: NDArray[np.int64], shape: tuple[int, ...]) -> NDArray[np.int64]:
    """Add counts up by the flat cell of an array of a shape that each belongs to."""
    flat = np.zeros(math.prod(shape), dtype=np.int64)
    # With one index, NumPy does this fast, and in integers.
    np.add.at(flat, cells, counts)
    return flat.reshape(shape)
