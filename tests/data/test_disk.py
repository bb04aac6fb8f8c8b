"""Folders in place, one writer at a time, and room for them."""

import shutil
import threading
import time
from collections import namedtuple
from pathlib import Path

import pytest

from segfit.data.disk import cache_folder, folder_in_place, lock_of, one_at_a_time, require_room, writable_parent
from segfit.errors import DataError


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_is_there_when_the_block_has_ended(tmp_path):
    with folder_in_place(tmp_path / "a" / "out") as folder:
        (folder / "file").write_text("x")
        assert not (tmp_path / "a" / "out").exists()
    assert names(tmp_path / "a") == ["out"]
    assert names(tmp_path / "a" / "out") == ["file"]


@pytest.mark.parametrize("error", [DataError, KeyboardInterrupt])
def test_a_folder_that_was_not_finished_vanishes(tmp_path, error):
    with pytest.raises(error), folder_in_place(tmp_path / "out") as folder:
        (folder / "file").write_text("x")
        raise error
    assert names(tmp_path) == []


def test_a_folder_that_was_filled_meanwhile_is_not_replaced(tmp_path):
    with pytest.raises(OSError, match="not empty"), folder_in_place(tmp_path / "out"):
        (tmp_path / "out").mkdir()
        (tmp_path / "out" / "mine").write_text("precious")
    assert (tmp_path / "out" / "mine").read_text() == "precious"
    assert names(tmp_path) == ["out"]


def test_never_two_at_a_time(tmp_path):
    inside, most, order = 0, 0, []

    def work(number: int) -> None:
        nonlocal inside, most
        for _ in range(20):
            with one_at_a_time(tmp_path / "out", wait=True):
                inside += 1
                most = max(most, inside)
                time.sleep(0.0005)
                inside -= 1
                order.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (most, len(order)) == (1, 80)
    assert names(tmp_path) == []


def test_who_does_not_wait_is_refused(tmp_path):
    with (
        one_at_a_time(tmp_path / "out", wait=False),
        pytest.raises(DataError, match="another process"),
        one_at_a_time(tmp_path / "out", wait=False),
    ):
        pass
    with one_at_a_time(tmp_path / "out", wait=False):
        pass


def test_the_current_folder_is_locked_by_its_name(tmp_path, monkeypatch):
    here = tmp_path / "here"
    here.mkdir()
    monkeypatch.chdir(here)
    assert lock_of(Path()) == lock_of(here) == tmp_path / ".here.lock"
    with (
        one_at_a_time(Path(), wait=False),
        pytest.raises(DataError, match="another process"),
        one_at_a_time(here, wait=False),
    ):
        pass
    with pytest.raises(DataError), folder_in_place(Path()) as folder:
        assert folder == tmp_path / ".here.unfinished"
        raise DataError
    assert names(tmp_path) == ["here"]


def test_room(tmp_path, monkeypatch):
    require_room(tmp_path / "not" / "there", 1, "a test")
    usage = namedtuple("usage", "total used free")  # noqa: PYI024
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: usage(0, 0, 10**9))
    with pytest.raises(DataError, match=r"a test needs 2\.0 GB of disk space, 0\.9 GB are free, 1\.1 GB too little"):
        require_room(tmp_path / "not" / "there", 2 * 10**9, "a test")


def test_folders_that_cannot_be_made_are_named(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(DataError, match="file: cannot be created|file: cannot be written"):
        writable_parent(tmp_path / "file" / "out")


def test_the_cache_is_where_the_user_wants_it(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "segfit"
    monkeypatch.delenv("XDG_CACHE_HOME")
    assert cache_folder() == Path.home() / ".cache" / "segfit"
