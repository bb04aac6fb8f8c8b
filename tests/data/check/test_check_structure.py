"""Files one by one: truncated anywhere, damaged anywhere, disguised, unreachable."""

import os
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from corpus import bomb, encoded, gap, indexed, labels, picture, turned
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from segfit.data.check.probe import ImageFacts, complaint, probe_image, probe_mask
from segfit.data.check.structure import Limits, Unusable, identify, read_header, require_whole, stat_file
from segfit.data.decode import read_image
from segfit.data.stderr import STDERR

LIMITS = Limits()


def preview(data: bytes) -> bytes:
    """A JPEG with a second whole JPEG in its EXIF segment, as cameras store it."""
    small = b"Exif\0\0" + encoded(picture(1, 32, 24))
    return data[:2] + b"\xff\xe1" + (len(small) + 2).to_bytes(2) + small + data[2:]


def webp() -> bytes:
    return encoded(picture(4), "WEBP", quality=80)


FILES = {
    "jpeg": encoded(picture(0)),
    "progressive": encoded(picture(1), progressive=True, optimize=True),
    "preview": preview(encoded(picture(2))),
    "png": encoded(picture(3), "PNG"),
    "palette": indexed(labels(0)),
    "webp": webp(),
    "tiff": encoded(picture(5), "TIFF"),
    "bmp": encoded(picture(6), "BMP"),
}


def look(data: bytes, folder: Path) -> ImageFacts:
    path = folder / "a.jpg"
    path.write_bytes(data)
    facts = probe_image(path, LIMITS)
    facts.faults = [fault for fault in facts.faults if fault[0] != "wrong-extension"]
    return facts


@pytest.mark.parametrize("kind", FILES)
def test_a_whole_file_has_no_faults_and_its_size(kind: str, tmp_path: Path) -> None:
    facts = look(FILES[kind], tmp_path)
    assert (facts.faults, facts.size, facts.suspect) == ([], (96, 72), False)


@pytest.mark.filterwarnings("ignore")  # as `check_dataset` does
@settings(max_examples=150)
@given(st.sampled_from(sorted(FILES)), st.data())
def test_a_file_cut_anywhere_is_found(tmp_path_factory: pytest.TempPathFactory, kind: str, data: st.DataObject) -> None:
    whole = FILES[kind]
    end = data.draw(st.integers(0, len(whole) - 1))
    (code, _detail), *more = look(whole[:end], tmp_path_factory.getbasetemp()).faults
    assert code in {"file-truncated", "file-damaged", "file-empty", "not-an-image"}
    assert not more


@settings(max_examples=60)
@given(st.integers(33, len(FILES["png"]) - 13), st.integers(0, 7))
def test_a_changed_bit_of_a_png_is_found(tmp_path_factory: pytest.TempPathFactory, position: int, bit: int) -> None:
    changed = bytearray(FILES["png"])
    changed[position] ^= 1 << bit
    assert look(bytes(changed), tmp_path_factory.getbasetemp()).faults


@STDERR.listening()
def test_a_jpeg_that_lost_pixels_is_suspected_and_confirmed(tmp_path: Path) -> None:
    assert look(gap(FILES["jpeg"]), tmp_path).suspect
    assert complaint(tmp_path / "a.jpg", LIMITS).startswith("Corrupt JPEG data")
    half = FILES["jpeg"][: len(FILES["jpeg"]) // 2] + b"\xff\xd9"  # as tools "repair" what was cut
    assert look(half, tmp_path).suspect
    assert "premature end" in complaint(tmp_path / "a.jpg", LIMITS)


def test_decoders_are_silent(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    look(gap(FILES["jpeg"]), tmp_path)
    assert capfd.readouterr().err == ""
    os.write(2, b"afterwards stderr is back\n")
    assert "back" in capfd.readouterr().err


@pytest.mark.parametrize("orientation", range(1, 9))
def test_the_size_is_that_of_the_decoded_image(tmp_path: Path, orientation: int) -> None:
    facts = look(turned(picture(7), orientation), tmp_path)
    height, width = read_image(tmp_path / "a.jpg").shape[:2]
    assert facts.size == (width, height)
    assert [code for code, _ in facts.faults] == ["image-rotated"] * (orientation > 1)


@pytest.mark.parametrize(
    ("start", "what"),
    [
        (b"GIF89a", "a GIF"),
        (b"\0\0\0\x18ftypheic", "a HEIC picture or a video"),
        (b"\0\0\0\x20ftypavif", "an AVIF"),
        (b"\n <html>", "a page of text (HTML or XML), perhaps a download's error message"),
        (b"hello world", "begins with b'hello wo'"),
    ],
)
def test_what_is_not_an_image_is_named(start: bytes, what: str) -> None:
    with pytest.raises(Unusable) as refusal:
        identify(start)
    assert (refusal.value.code, refusal.value.detail) == ("not-an-image", what)


def test_a_bomb_is_not_decoded(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(bomb(65_000, 65_000))
    for probe in (probe_image(tmp_path / "a.png", LIMITS), probe_mask(tmp_path / "a.png", LIMITS, colored=False)):
        assert [code for code, _ in probe.faults] == ["too-many-pixels"]


def test_headers_agree_with_pillow() -> None:
    for data in FILES.values():
        require_whole(data, identify(data))
        header = read_header(data, identify(data))
        with Image.open(BytesIO(data)) as opened:
            assert (header.format, header.width, header.height, header.mode) == (
                opened.format,
                *opened.size,
                opened.mode,
            )
        assert (header.depth <= 8, header.frames, header.orientation) == (True, 1, 1)


def test_a_link_to_itself_and_a_folder_with_an_images_name(tmp_path: Path) -> None:
    loop, folder = tmp_path / "loop.jpg", tmp_path / "folder.jpg"
    loop.symlink_to(loop)
    folder.mkdir()
    for path, code in ((loop, "link-loop"), (folder, "not-a-file"), (tmp_path / "none.jpg", "file-unreadable")):
        with pytest.raises(Unusable) as refusal:
            stat_file(path)
        assert refusal.value.code == code
        assert probe_image(path, LIMITS).faults[0][0] == code


@pytest.mark.skipif(os.name != "posix" or os.geteuid() == 0, reason="the superuser may read everything")
def test_a_file_that_only_others_may_read(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"x")
    path.chmod(0o044)
    with pytest.raises(Unusable) as refusal:
        stat_file(path)
    assert refusal.value.code == "file-unreadable"


def test_an_index_mask_is_read_as_training_reads_it(tmp_path: Path) -> None:
    from segfit.data.decode import read_index_mask

    mask = labels(0)
    path = tmp_path / "a.png"
    files = [encoded(mask, "PNG"), indexed(mask), encoded(mask.astype(np.uint16), "PNG"), encoded(mask > 1, "PNG")]
    for bits in (2, 4):
        image = BytesIO()
        Image.fromarray(mask).save(image, "PNG", bits=bits)
        files.append(image.getvalue())
    for data in files:
        path.write_bytes(data)
        content = probe_mask(path, LIMITS, colored=False).content
        assert content is not None
        values, counts = np.unique(read_index_mask(path), return_counts=True)
        np.testing.assert_array_equal(content.values, values)
        np.testing.assert_array_equal(content.counts, counts)
