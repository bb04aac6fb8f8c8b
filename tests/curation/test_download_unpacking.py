"""Archives from strangers: what is unpacked is what was packed, and what is refused leaves no trace."""

import hashlib
import io
import stat
import struct
import zipfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from segfit.curation.download.unpacking import RefusedError, inspect, require_checksum, unpack
from segfit.errors import DataError


def member(name: str, **attributes: object) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo("placeholder")
    info.filename = info.orig_filename = name  # the constructor would mend the name
    for key, value in attributes.items():
        setattr(info, key, value)
    return info


def archive(path: Path, *members: tuple[zipfile.ZipInfo | str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as opened:
        for info, data in members:
            opened.writestr(info, data, zipfile.ZIP_DEFLATED)
    return path


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def refuse(path: Path, reason: str) -> None:
    """Assert that the archive is refused in one line and that nothing is left beside it."""
    before = sorted(path.parent.rglob("*"))
    with pytest.raises(RefusedError, match=reason) as caught:
        unpack(path, path.parent / "out")
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)
    assert sorted(path.parent.rglob("*")) == before


# --- what is unpacked ------------------------------------------------------------------------------------------------


def test_one_folder_around_everything_is_left_out_of_the_paths(tmp_path):
    path = archive(tmp_path / "a.zip", ("top/", b""), ("top/images/a.jpg", b"1"), ("top/b.txt", b"2"))
    unpack(path, tmp_path / "out")
    assert tree(tmp_path / "out") == {"images/a.jpg": b"1", "b.txt": b"2"}


@pytest.mark.parametrize("names", [("a/1", "b/2"), ("a/1", "2"), ("1",)])
def test_other_paths_stay_as_they_are(tmp_path, names):
    unpack(archive(tmp_path / "a.zip", *((name, name.encode()) for name in names)), tmp_path / "out")
    assert tree(tmp_path / "out") == {name: name.encode() for name in names}


def test_what_macos_adds_is_left_out(tmp_path):
    path = archive(tmp_path / "a.zip", ("top/a.jpg", b"1"), ("__MACOSX/top/._a.jpg", b"2"))
    contents = unpack(path, tmp_path / "out")
    assert tree(tmp_path / "out") == {"a.jpg": b"1"}
    assert (len(contents.files), contents.size) == (1, 1)


def test_modes_of_members_are_not_taken_over(tmp_path):
    info = member("a.sh", external_attr=(stat.S_IFREG | 0o4777) << 16)
    unpack(archive(tmp_path / "a.zip", (info, b"x")), tmp_path / "out")
    assert (tmp_path / "out" / "a.sh").stat().st_mode & 0o7111 == 0


def test_what_a_killed_process_left_is_cleared_and_an_empty_folder_is_filled(tmp_path):
    (tmp_path / ".out.unfinished").mkdir()
    (tmp_path / ".out.unfinished" / "old").write_text("old")
    (tmp_path / "out").mkdir()
    unpack(archive(tmp_path / "a.zip", ("a", b"1")), tmp_path / "out")
    assert tree(tmp_path / "out") == {"a": b"1"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.zip", "out"]


NAMES = st.from_regex(r"\A[a-zA-Z0-9_é]{1,6}(/[a-zA-Z0-9_é]{1,6}){0,2}\Z")


@settings(max_examples=50)
@given(files=st.dictionaries(NAMES, st.binary(max_size=2000), min_size=1, max_size=6))
def test_whatever_is_packed_comes_out_again_or_is_refused_for_its_names(tmp_path_factory, files):
    folder = tmp_path_factory.mktemp("zip")
    path = archive(folder / "a.zip", *files.items())
    try:
        unpack(path, folder / "out")
    except RefusedError as error:
        assert "case does not count" in str(error)
        assert not (folder / "out").exists()
        return
    top = {name.split("/")[0] for name in files}
    lone = len(top) == 1 and all("/" in name for name in files)
    assert tree(folder / "out") == {name.split("/", 1)[1] if lone else name: data for name, data in files.items()}


# --- what is refused -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("../a", "leads out"),
        ("a/../../b", "leads out"),
        ("a/./b", "leads out"),
        ("a//b", "leads out"),
        ("/etc/passwd", "not a relative path"),
        ("//server/share", "not a relative path"),
        ("C:/a", "not a relative path"),
        ("c:a", "not a relative path"),
        ("a\\..\\b", "not a relative path"),
        ("a\nb", "control characters"),
        ("a\x1b[2Jb", "control characters"),
    ],
)
def test_names_that_lead_astray_are_refused(tmp_path, name, reason):
    refuse(archive(tmp_path / "a.zip", ("good", b""), (member(name), b"x")), reason)


def test_a_null_byte_does_not_hide_a_name(tmp_path):
    path = archive(tmp_path / "a.zip", ("good__evil", b"x"))
    path.write_bytes(path.read_bytes().replace(b"good__evil", b"good\0\0evil"))
    refuse(path, "control characters")


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR, stat.S_IFBLK, stat.S_IFSOCK])
def test_links_and_devices_are_refused(tmp_path, kind):
    refuse(archive(tmp_path / "a.zip", (member("a", external_attr=(kind | 0o777) << 16), b"/etc")), "link or a device")


@pytest.mark.parametrize(
    "names", [("a.jpg", "A.JPG"), ("x/a", "X/b"), ("a", "A/b"), ("straße", "STRASSE"), ("e\u0301", "\u00e9")]
)
def test_names_that_only_some_systems_tell_apart_are_refused(tmp_path, names):
    refuse(archive(tmp_path / "a.zip", *((member(name), b"x") for name in names)), "where case does not count")


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_a_name_that_occurs_twice_is_refused(tmp_path):
    refuse(archive(tmp_path / "a.zip", ("a", b"1"), ("a", b"2")), "same name")


def test_encryption_is_refused(tmp_path):
    path = archive(tmp_path / "a.zip", ("a", b"1"))
    data = bytearray(path.read_bytes())
    data[6] |= 1
    data[data.index(b"PK\x01\x02") + 8] |= 1
    path.write_bytes(data)
    refuse(path, "encrypted")


@pytest.mark.parametrize("method", [zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_rare_methods_are_refused(tmp_path, method):
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as opened:
        opened.writestr("a", b"1" * 100)
    refuse(tmp_path / "a.zip", "method")


def test_a_bomb_is_refused_by_what_it_claims(tmp_path):
    refuse(archive(tmp_path / "a.zip", *((f"{i}", bytes(20_000_000)) for i in range(5))), "zip bomb")


def test_one_gigantic_member_is_refused(tmp_path):
    path = archive(tmp_path / "a.zip", ("a", b"1"))
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, 2**31)
    path.write_bytes(data)
    refuse(path, "more than any image")


def test_members_that_share_their_bytes_are_refused(tmp_path):
    # Many entries of the directory point to one compressed member (Fifield's bomb, without its finesse).
    path = archive(tmp_path / "a.zip", ("0", bytes(range(256)) * 4000))
    data = path.read_bytes()
    at, end = data.index(b"PK\x01\x02"), data.index(b"PK\x05\x06")
    entry = data[at:end]
    entries = b"".join(entry[:46] + bytes([48 + i]) + entry[47:] for i in range(10))
    tail = bytearray(data[end:])
    struct.pack_into("<HHI", tail, 8, 10, 10, len(entries))
    path.write_bytes(data[:at] + entries + tail)
    assert len(zipfile.ZipFile(path).infolist()) == 10
    refuse(path, "bomb|damaged")


@pytest.mark.parametrize("claimed", [10, 999_999])
def test_a_member_of_another_size_than_claimed_is_refused_and_never_longer(tmp_path, claimed):
    path = archive(tmp_path / "a.zip", ("a", bytes(500_000)))
    data = bytearray(path.read_bytes())
    struct.pack_into("<I", data, data.index(b"PK\x01\x02") + 24, claimed)
    path.write_bytes(data)
    refuse(path, "damaged")


def test_a_wrong_crc_is_refused(tmp_path):
    path = archive(tmp_path / "a.zip", ("good", b"1"), ("bad", b"2"))
    data = bytearray(path.read_bytes())
    data[data.rindex(b"PK\x01\x02") + 16] ^= 1
    path.write_bytes(data)
    refuse(path, "'bad' is damaged")


def test_an_empty_archive_is_refused(tmp_path):
    refuse(archive(tmp_path / "a.zip"), "no files")


def whole() -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as opened:
        for i in range(3):
            opened.writestr(f"top/{i}.txt", f"{i}" * 50)
    return file.getvalue()


WHOLE = whole()


@settings(max_examples=60)
@given(st.integers(0, len(WHOLE) - 1))
def test_truncated_archives_are_refused(tmp_path_factory, length):
    path = tmp_path_factory.mktemp("zip") / "a.zip"
    path.write_bytes(WHOLE[:length])
    with pytest.raises(RefusedError, match="not a zip archive|damaged"):
        unpack(path, path.parent / "out")
    assert not (path.parent / "out").exists()


@settings(max_examples=150)
@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.integers(1, 255)), min_size=1, max_size=3))
def test_any_damage_is_refused_or_harmless(tmp_path_factory, changes):
    folder = tmp_path_factory.mktemp("zip")
    data = bytearray(WHOLE)
    for at, value in changes:
        data[at] ^= value
    (folder / "a.zip").write_bytes(data)
    try:
        unpack(folder / "a.zip", folder / "out")
    except DataError:
        assert [p.name for p in folder.iterdir()] == ["a.zip"]
    else:  # times, attributes and names may change unnoticed; contents may not
        assert sorted(p.name for p in folder.iterdir()) == ["a.zip", "out"]
        assert set(tree(folder / "out").values()) <= {f"{i}".encode() * 50 for i in range(3)}


# --- checksums -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
def test_checksums(tmp_path, algorithm):
    (tmp_path / "a").write_bytes(b"abc" * 200_000)
    right = hashlib.new(algorithm, b"abc" * 200_000).hexdigest()
    calls: list[tuple[int, int]] = []
    require_checksum(tmp_path / "a", f"{algorithm}:{right.upper()}", progress=lambda *done: calls.append(done))
    assert calls[-1] == (600_000, 600_000)
    with pytest.raises(RefusedError, match=f"{algorithm} {right} instead of 00"):
        require_checksum(tmp_path / "a", f"{algorithm}:00")


def test_contents_are_known_without_unpacking(tmp_path):
    contents = inspect(archive(tmp_path / "a.zip", ("top/a", b"12"), ("top/b", b"345")))
    assert contents.size == 5
    assert [str(path) for _, path in contents.files] == ["a", "b"]
