"""What every kind of dataset promises (`segfit.data.Source`); a new kind needs one entry in `SMALL`."""

import io
import pickle
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from segfit.data import SOURCES, Source
from segfit.data.census import take_census
from segfit.data.decode import read_image
from segfit.data.fingerprint import fingerprint
from segfit.errors import DataError


def folder(root: Path) -> Source:
    for split in ("train", "val"):
        for kind, shape in (("images", (9, 7, 3)), ("masks", (9, 7))):
            (root / kind / split).mkdir(parents=True)
            for i in range(3):
                Image.fromarray(np.full(shape, i % 2, np.uint8)).save(root / kind / split / f"{i}.png")
    (root / "classes.txt").write_text("sky\nroad\n")
    return SOURCES.build("folder", root)


def ade20k(root: Path) -> Source:
    return SOURCES.build("scenes", root, train_images=3, val_images=2, size=32)


def hub(root: Path) -> Source:
    def encoded(array: np.ndarray) -> dict[str, object]:
        file = io.BytesIO()
        Image.fromarray(array).save(file, "PNG")
        return {"bytes": file.getvalue(), "path": None}

    for split in ("train", "validation"):
        images = [encoded(np.full((9, 7, 3), i, np.uint8)) for i in range(3)]
        masks = [encoded(np.full((9, 7), i % 2, np.uint8)) for i in range(3)]
        pq.write_table(pa.table({"image": images, "label": masks}), root / f"{split}-00000-of-00001.parquet")
    (root / "id2label.json").write_text('{"0": "sky", "1": "road"}')
    return SOURCES.build("hub", root, unpacked=root / "unpacked")


SMALL: dict[str, Callable[[Path], Source]] = {"folder": folder, "ade20k": ade20k, "scenes": ade20k, "hub": hub}
"""A small dataset of every kind, written into an empty folder."""


@pytest.fixture(params=sorted(SOURCES.names()))
def source(request: pytest.FixtureRequest, tmp_path: Path) -> Source:
    return SMALL[request.param](tmp_path)


def test_records_are_sorted_unique_pairs_of_files(source: Source) -> None:
    splits = source.splits()
    assert len(splits) == len(set(splits)) >= 2
    for split in splits:
        ids = [record.id for record in source.records(split)]
        assert ids == sorted(set(ids))
        assert all(record.image.is_file() and record.mask.is_file() for record in source.records(split))


def test_a_listing_holds_exactly_the_files_of_the_records(source: Source) -> None:
    for split in source.splits():
        records, listing = source.records(split), source.listing(split)
        assert sorted(listing.images) == [(record.id, record.image) for record in records]
        assert sorted(listing.masks) == [(record.id, record.mask) for record in records]


def test_masks_fit_their_images_and_hold_known_ids_only(source: Source) -> None:
    known = {*source.labels.ids, *source.labels.ignored}
    for record in source.records(source.splits()[0]):
        mask = source.read_mask(record)
        assert mask.shape == read_image(record.image).shape[:2]
        assert set(np.unique(mask).tolist()) <= known


def test_a_census_counts_every_pixel_once(source: Source) -> None:
    census = take_census(source, source.records(source.splits()[0]))
    assert (census.unlabelled() >= 0).all()
    assert census.pixels.sum() + census.unlabelled().sum() == census.sizes.prod(1).sum()


def test_a_source_can_be_sent_to_a_worker(source: Source) -> None:
    copy = pickle.loads(pickle.dumps(source))
    for split in source.splits():
        assert copy.records(split) == source.records(split)
        assert fingerprint(copy.records(split)) == fingerprint(source.records(split))
    record = source.records(source.splits()[0])[0]
    np.testing.assert_array_equal(copy.read_mask(record), source.read_mask(record))


def test_an_unknown_split_is_refused(source: Source) -> None:
    for ask in (source.records, source.listing):
        with pytest.raises(DataError, match=r"no split folder 'nowhere'"):
            ask("nowhere")
