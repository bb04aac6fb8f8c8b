"""What workers read from: records in one piece, and pairs that are the same from files and from a cache."""

import pickle
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from noted import write

from segfit.data import Record
from segfit.data.cache import Cache, prepare
from segfit.data.loader.reading import CachedPairs, FilePairs, PackedRecords
from segfit.labels import select

# Bytes that are no UTF-8 reach Python as lone surrogates.
names = st.one_of(st.text(), st.binary().map(lambda name: name.decode("utf-8", "surrogateescape")))
paths = names.map(Path)


@given(st.lists(st.builds(Record, id=names, image=paths, mask=paths), max_size=20))
def test_packed_records_are_the_records(records):
    packed = PackedRecords(records)
    assert list(packed) == records
    assert packed[:] == records
    assert packed[1:-1:2] == records[1:-1:2]
    assert list(pickle.loads(pickle.dumps(packed))) == records
    if records:
        assert packed[-1] == records[-1]
    for index in (len(records), -len(records) - 1):
        with pytest.raises(IndexError):
            packed[index]


def test_a_cache_gives_what_the_files_give(tmp_path):
    source = write(tmp_path / "data")
    records, labels = source.records("train"), select(source.labels, classes=["road", "car"])
    prepare(source, {"train": records}, tmp_path / "cache", short_side=64)
    some = records[::-2]
    files, cached = FilePairs(source, some, labels), CachedPairs(Cache.open(tmp_path / "cache", some), some, labels)
    for index, record in enumerate(some):
        a, b = files.read(index), cached.read(index)
        assert a.id == b.id == record.id
        np.testing.assert_array_equal(a.image, b.image)
        np.testing.assert_array_equal(a.mask, b.mask)
