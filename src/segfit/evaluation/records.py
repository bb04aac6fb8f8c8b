"""What a model did to each image, kept in ``per_image.parquet`` so that statistics need no second pass of the model.

One row per image; its confusion matrix is stored sparsely (an image of ADE20K holds some ten of 150 classes):
``target[i], prediction[i], count[i]`` list the entries that are not zero. The file's metadata names the format and the
number of classes K.

Shape suffixes: N images, E entries of all images, K classes.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import ArrayLike, NDArray

from segfit.errors import RunError
from segfit.evaluation.metrics import ClassCounts, per_image_dice
from segfit.folder import replacing

__all__ = ["ImageRecord", "Records", "SparseConfusion", "read_records", "write_records"]

FORMAT = b"segfit per-image records 1"
SCHEMA = pa.schema(
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


@dataclass(frozen=True, kw_only=True, eq=False)
class SparseConfusion:
    """The entries of a confusion matrix that are not zero, row by row.

    Attributes:
        target: `(n,)` uint8 train ids, the rows.
        prediction: `(n,)` uint8 train ids, the columns.
        count: `(n,)` int64 pixels.
    """

    target: NDArray[np.uint8]
    prediction: NDArray[np.uint8]
    count: NDArray[np.int64]

    @classmethod
    def of(cls, confusion: NDArray[np.int64]) -> "SparseConfusion":
        """Take the entries of a `(K, K)` matrix."""
        rows, columns = np.nonzero(confusion)
        return cls(target=rows.astype(np.uint8), prediction=columns.astype(np.uint8), count=confusion[rows, columns])


@dataclass(frozen=True, kw_only=True)
class ImageRecord:
    """One scored image.

    Attributes:
        id: the image's id in its dataset.
        height: pixels of the ground truth.
        width: pixels of the ground truth.
        seconds: inference time; kept as float32.
        confusion: what was predicted where.
    """

    id: str
    height: int
    width: int
    seconds: float
    confusion: SparseConfusion


@dataclass(frozen=True, kw_only=True, eq=False)
class Records:
    """The records of all images, as columns.

    Attributes:
        ids: N image ids.
        classes: K.
        height: `(N,)` int32 pixels.
        width: `(N,)` int32 pixels.
        seconds: `(N,)` float32 inference time.
        offsets: `(N + 1,)` int64; image i owns the entries ``offsets[i]:offsets[i + 1]``.
        entries: the `(E,)` entries of all images, one after the other.
    """

    ids: tuple[str, ...]
    classes: int
    height: NDArray[np.int32]
    width: NDArray[np.int32]
    seconds: NDArray[np.float32]
    offsets: NDArray[np.int64]
    entries: SparseConfusion

    @classmethod
    def of(cls, records: Sequence[ImageRecord], classes: int) -> "Records":
        """Take records in the order given; `classes` is K."""
        parts = [record.confusion for record in records]
        lengths = [len(part.count) for part in parts]
        return cls(
            ids=tuple(record.id for record in records),
            classes=classes,
            height=np.array([record.height for record in records], dtype=np.int32),
            width=np.array([record.width for record in records], dtype=np.int32),
            seconds=np.array([record.seconds for record in records], dtype=np.float32),
            offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
            entries=SparseConfusion(
                target=np.concatenate([part.target for part in parts]),
                prediction=np.concatenate([part.prediction for part in parts]),
                count=np.concatenate([part.count for part in parts]),
            ),
        )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, index: int) -> ImageRecord:
        own = slice(self.offsets[:-1][index], self.offsets[1:][index])
        entries = self.entries
        return ImageRecord(
            id=self.ids[index],
            height=int(self.height[index]),
            width=int(self.width[index]),
            seconds=float(self.seconds[index]),
            confusion=SparseConfusion(
                target=entries.target[own], prediction=entries.prediction[own], count=entries.count[own]
            ),
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
        dense = np.zeros((len(chosen), self.classes, self.classes), dtype=np.int64)
        entries = self.entries
        np.add.at(dense, (owners, entries.target[positions], entries.prediction[positions]), entries.count[positions])
        return dense

    def total(self) -> NDArray[np.int64]:
        """Return the `(K, K)` confusion matrix over all images."""
        dense = np.zeros((self.classes, self.classes), dtype=np.int64)
        np.add.at(dense, (self.entries.target, self.entries.prediction), self.entries.count)
        return dense

    def class_counts(self) -> ClassCounts:
        """Return the `(N, K)` counts per image and class: enough for every metric of any sample of the images."""
        entries = self.entries
        owners = np.repeat(np.arange(len(self)), np.diff(self.offsets))
        hit = entries.target == entries.prediction
        shape = (len(self), self.classes)
        counts = ClassCounts(
            hits=np.zeros(shape, dtype=np.int64),
            target=np.zeros(shape, dtype=np.int64),
            prediction=np.zeros(shape, dtype=np.int64),
        )
        np.add.at(counts.hits, (owners[hit], entries.target[hit]), entries.count[hit])
        np.add.at(counts.target, (owners, entries.target), entries.count)
        np.add.at(counts.prediction, (owners, entries.prediction), entries.count)
        return counts

    def per_image_dice(self) -> float:
        """Return the mean over images of each image's macro Dice; see `metrics.per_image_dice`."""
        return per_image_dice(self.class_counts())


def write_records(path: Path, records: Sequence[ImageRecord], classes: int) -> None:
    """Write records in the order given, all of them or nothing.

    Args:
        path: the file; one that is there is replaced.
        records: one per image, ids unique.
        classes: K.
    """
    assert len({record.id for record in records}) == len(records), "one record per image"
    columns = {
        "id": [record.id for record in records],
        "height": [record.height for record in records],
        "width": [record.width for record in records],
        "seconds": [record.seconds for record in records],
        "target": [record.confusion.target for record in records],
        "prediction": [record.confusion.prediction for record in records],
        "count": [record.confusion.count for record in records],
    }
    schema = SCHEMA.with_metadata({b"format": FORMAT, b"classes": str(classes).encode()})
    with replacing(path) as temporary:
        table = pa.table(columns, schema=schema)
        pq.write_table(table, temporary, compression="zstd", write_page_checksum=True)


def read_records(path: Path) -> Records:
    """Read the file that `write_records` wrote.

    Raises:
        RunError: the file is missing, damaged or not such a file.
    """
    table, classes = _read_table(path)
    lists = {name: table.column(name).combine_chunks() for name in ("target", "prediction", "count")}
    lengths = {name: column.value_lengths().to_numpy(zero_copy_only=False) for name, column in lists.items()}
    entries = SparseConfusion(**{name: column.flatten().to_numpy() for name, column in lists.items()})
    consistent = (
        np.array_equal(lengths["target"], lengths["prediction"])
        and np.array_equal(lengths["target"], lengths["count"])
        and max(entries.target.max(initial=0), entries.prediction.max(initial=0)) < max(classes, 1)
        and entries.count.min(initial=0) >= 0
        and len(set(table.column("id").to_pylist())) == len(table)
    )
    if not consistent:
        raise RunError(f"{path}: its confusion entries contradict each other: evaluate the run again")
    return Records(
        ids=tuple(table.column("id").to_pylist()),
        classes=classes,
        height=table.column("height").to_numpy(),
        width=table.column("width").to_numpy(),
        seconds=table.column("seconds").to_numpy(),
        offsets=np.concatenate([[0], np.cumsum(lengths["target"], dtype=np.int64)]),
        entries=entries,
    )


def _read_table(path: Path) -> tuple[Any, int]:
    """Return the checked table and K."""
    if not path.is_file():
        raise RunError(f"{path}: no such file: evaluate the run first")
    try:
        file = pq.ParquetFile(path, page_checksum_verification=True)
        metadata = file.schema_arrow.metadata or {}
        classes = metadata.get(b"classes", b"")
        if metadata.get(b"format") != FORMAT or not file.schema_arrow.equals(SCHEMA) or not classes.isdigit():
            raise RunError(f"{path}: not the per-image records of this version of segfit: evaluate the run again")
        table = file.read()
        table.validate(full=True)
    except (pa.ArrowException, OSError) as error:
        raise RunError(f"{path}: cannot be read ({' '.join(str(error).split())}): evaluate the run again") from None
    return table, int(classes)
