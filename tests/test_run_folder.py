"""Files of a run are written whole or not at all."""

import os
from pathlib import Path

import pytest

from segfit.folder import replacing, write_json


def test_a_file_takes_its_place_when_it_is_whole(tmp_path: Path) -> None:
    file = tmp_path / "new" / "facts.json"
    write_json(file, {"a": 1})
    assert file.read_text() == '{\n  "a": 1\n}\n'
    assert [path.name for path in file.parent.iterdir()] == ["facts.json"]


def test_what_breaks_off_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    file = tmp_path / "facts.json"
    write_json(file, {"a": 1})
    with pytest.raises(ValueError, match="JSON"):
        write_json(file, {"a": float("nan")})

    def half() -> None:
        with replacing(file) as temporary:
            temporary.write_text("half")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        half()
    assert "1" in file.read_text()
    assert [path.name for path in tmp_path.iterdir()] == ["facts.json"]


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o644), (0o027, 0o640), (0o077, 0o600)])
def test_who_may_read_is_for_the_umask_to_say(tmp_path: Path, umask: int, mode: int) -> None:
    before = os.umask(umask)
    try:
        write_json(tmp_path / "facts.json", {})
    finally:
        os.umask(before)
    assert (tmp_path / "facts.json").stat().st_mode & 0o777 == mode
