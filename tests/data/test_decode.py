import io
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from PIL import Image

from segfit.data import Record
from segfit.data.ade20k import Ade20k
from segfit.data.decode import read_color_mask, read_image, read_index_mask, read_pair, read_size
from segfit.errors import DataError

RNG = np.random.default_rng(0)
RGB = RNG.integers(0, 256, (21, 34, 3), dtype=np.uint8)


def smooth(height: int = 120, width: int = 160) -> np.ndarray:
    rows, columns = np.mgrid[0:height, 0:width]
    return np.stack([rows, columns, (rows + columns) // 2], axis=-1).astype(np.uint8)


def png(path: Path, array: np.ndarray, **options: object) -> Path:
    Image.fromarray(array).save(path, "PNG", **options)
    return path


# --- images ----------------------------------------------------------------------------------------------------------


def test_a_png_comes_back_as_rgb(tmp_path: Path) -> None:
    image = read_image(png(tmp_path / "a.png", RGB))
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, RGB)


def test_a_jpeg_agrees_with_pillow(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(smooth()).save(path, quality=95)
    with Image.open(path) as picture:
        reference = np.asarray(picture.convert("RGB")).astype(int)
    assert np.abs(read_image(path).astype(int) - reference).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_honoured(tmp_path: Path, orientation: int) -> None:
    from PIL import ImageOps

    path = tmp_path / "a.jpg"
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(smooth()).save(path, quality=95, exif=exif)
    with Image.open(path) as picture:
        turned = np.asarray(ImageOps.exif_transpose(picture)).astype(int)
    image = read_image(path)
    assert image.shape == turned.shape
    assert np.abs(image.astype(int) - turned).max() <= 4


def test_grey_alpha_and_16_bit_become_8_bit_rgb(tmp_path: Path) -> None:
    grey = RGB[..., 0]
    np.testing.assert_array_equal(read_image(png(tmp_path / "grey.png", grey)), np.repeat(grey[..., None], 3, 2))
    rgba = np.dstack([RGB, RGB[..., 1]])
    np.testing.assert_array_equal(read_image(png(tmp_path / "rgba.png", rgba)), RGB)
    deep = RNG.integers(0, 65536, (9, 7, 3), dtype=np.uint16)
    cv2.imwrite(str(tmp_path / "deep.png"), deep)
    np.testing.assert_array_equal(read_image(tmp_path / "deep.png"), (deep >> 8)[..., ::-1])


def test_metadata_behind_a_jpeg_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(smooth()).save(path)
    whole = read_image(path)
    path.write_bytes(path.read_bytes() + b"\0" * 5000)
    np.testing.assert_array_equal(read_image(path), whole)


# --- broken files ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("ending", ["jpg", "png"])
@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
@pytest.mark.parametrize("read", [read_image, read_index_mask, lambda path: read_color_mask(path, [(0, 0, 0)])])
def test_a_truncated_file_is_one_clear_error_without_noise(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], ending: str, share: float, read: object
) -> None:
    path = tmp_path / f"a.{ending}"
    Image.fromarray(RNG.integers(0, 256, (100, 100, 3), dtype=np.uint8)).save(path)
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError) as error:
        read(path)  # type: ignore[operator]
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("read", [read_image, read_index_mask, lambda path: read_color_mask(path, [(0, 0, 0)])])
def test_missing_empty_foreign_files_and_folders(tmp_path: Path, read: object) -> None:
    (tmp_path / "empty.png").touch()
    (tmp_path / "text.png").write_text("<html>404 not found</html>")
    for name, reason in (
        ("absent.png", "no such file"),
        ("empty.png", "empty"),
        ("text.png", "not an image"),
        (".", "cannot be read"),
    ):
        with pytest.raises(DataError, match=reason) as error:
            read(tmp_path / name)  # type: ignore[operator]
        assert "\n" not in str(error.value)


def test_damage_inside_a_png_is_an_error_and_stderr_works_afterwards(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    import os

    path = png(tmp_path / "a.png", RNG.integers(0, 256, (64, 64, 3), dtype=np.uint8))
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DataError, match="damaged"):
        read_image(path)
    os.write(2, b"still here")
    assert capfd.readouterr().err == "still here"


def test_damage_inside_a_jpeg_prints_nothing(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(RNG.integers(0, 256, (100, 100, 3), dtype=np.uint8)).save(path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2 : len(data) // 2 + 50] = b"\xff\xd1" * 25
    path.write_bytes(data)
    read_image(path)
    assert capfd.readouterr().err == ""


@pytest.mark.parametrize("share", [0.02, 0.3, 0.7, 0.97])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_a_truncated_grey_mask_is_one_clear_error_without_noise(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], share: float, dtype: type
) -> None:
    path = png(tmp_path / "m.png", RNG.integers(0, 256, (100, 100)).astype(dtype))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(DataError, match=r"m\.png: truncated, damaged") as error:
        read_index_mask(path)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


@settings(max_examples=60)
@given(data=st.data(), palette=st.booleans())
def test_one_flipped_byte_never_changes_a_mask_unnoticed(
    data: st.DataObject, palette: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    mask = RNG.integers(0, 200, (9, 14), dtype=np.uint8)
    picture = Image.fromarray(mask)
    if palette:
        picture.putpalette([value for i in range(256) for value in (255 - i, i, 7)])
    path = tmp_path_factory.mktemp("m") / "m.png"
    picture.save(path)
    content = bytearray(path.read_bytes())
    # The header's size and kind are left alone: a checksum guards them, too, but a huge size takes memory.
    content[data.draw(st.integers(29, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        found = read_index_mask(path)
    except DataError:
        return
    np.testing.assert_array_equal(found, mask)


# --- pairs and sizes -------------------------------------------------------------------------------------------------


def test_a_pair_has_one_size(scenes: Path) -> None:
    source = Ade20k(scenes)
    first, other = source.records("training")[:2]
    image, mask = read_pair(source, first)
    assert image.shape[:2] == mask.shape == read_size(first.image)
    np.testing.assert_array_equal(image, read_image(first.image))
    taller = next(record for record in source.records("training") if read_size(record.image) != mask.shape)
    with pytest.raises(DataError, match=rf"{taller.mask.name}.*both need one size"):
        read_pair(source, Record(id="x", image=other.image if other is taller else first.image, mask=taller.mask))


def test_a_size_needs_only_the_header(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.fromarray(smooth(50, 70)).save(path)
    path.write_bytes(path.read_bytes()[:700])
    assert read_size(path) == (50, 70)
    path.write_bytes(b"no image")
    for broken, reason in ((path, "not an image"), (tmp_path / "absent.png", "no such file")):
        with pytest.raises(DataError, match=reason):
            read_size(broken)


# --- index masks -----------------------------------------------------------------------------------------------------


@settings(max_examples=25)
@given(mask=arrays(np.uint8, st.tuples(st.integers(1, 9), st.integers(1, 9))))
def test_an_8_bit_mask_comes_back(mask: np.ndarray, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = png(tmp_path_factory.mktemp("m") / "m.png", mask)
    found = read_index_mask(path)
    assert found.dtype == np.uint8
    np.testing.assert_array_equal(found, mask)


def test_a_16_bit_mask_comes_back(tmp_path: Path) -> None:
    mask = RNG.integers(0, 65536, (13, 8), dtype=np.uint16)
    found = read_index_mask(png(tmp_path / "m.png", mask))
    assert found.dtype == np.uint16
    np.testing.assert_array_equal(found, mask)


def test_a_palette_mask_is_read_as_its_indices(tmp_path: Path) -> None:
    mask = RNG.integers(0, 20, (11, 6), dtype=np.uint8)
    picture = Image.fromarray(mask)
    picture.putpalette([value for i in range(256) for value in (255 - i, i, 7)])
    picture.save(tmp_path / "m.png")
    with Image.open(tmp_path / "m.png") as written:
        assert written.mode == "P"
    np.testing.assert_array_equal(read_index_mask(tmp_path / "m.png"), mask)


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("color_type", [0, 3])
def test_small_bit_depths_hold_indices_not_stretched_grey(tmp_path: Path, bits: int, color_type: int) -> None:
    mask = RNG.integers(0, 2**bits, (5, 16), dtype=np.uint8)
    path = tmp_path / "m.png"
    path.write_bytes(packed_png(mask, bits, color_type))
    np.testing.assert_array_equal(read_index_mask(path), mask)


def packed_png(mask: np.ndarray, bits: int, color_type: int) -> bytes:
    """Write a PNG of 1, 2 or 4 bits per pixel by hand, independently of the decoder's library."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    digits = ["".join(format(value, f"0{bits}b") for value in row) for row in mask.tolist()]
    lines = b"".join(b"\0" + int(row, 2).to_bytes(len(row) // 8, "big") for row in digits)
    header = struct.pack(">IIBBBBB", mask.shape[1], mask.shape[0], bits, color_type, 0, 0, 0)
    palette = chunk(b"PLTE", bytes(range(3 * 2**bits))) if color_type == 3 else b""
    image = chunk(b"IHDR", header) + palette + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + image


def test_masks_in_tiff_keep_their_values(tmp_path: Path) -> None:
    mask = RNG.integers(0, 65536, (5, 4)).astype(np.int32)
    Image.fromarray(mask).save(tmp_path / "m.tif")
    np.testing.assert_array_equal(read_index_mask(tmp_path / "m.tif"), mask)
    Image.fromarray(mask - 70000).save(tmp_path / "m.tif")
    with pytest.raises(DataError, match=r"label ids are 0\.\.65535"):
        read_index_mask(tmp_path / "m.tif")


def test_a_coloured_mask_asks_for_a_colour_table(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"m\.png.*RGB.*colour table"):
        read_index_mask(png(tmp_path / "m.png", RGB))


def test_a_jpeg_mask_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "m.png"
    stream = io.BytesIO()
    Image.fromarray(RGB[..., 0]).save(stream, "JPEG")
    path.write_bytes(stream.getvalue())
    for read in (read_index_mask, lambda p: read_color_mask(p, [(0, 0, 0)])):
        with pytest.raises(DataError, match="JPEG"):
            read(path)


# --- colour masks ----------------------------------------------------------------------------------------------------

colors = st.lists(st.tuples(*[st.integers(0, 255)] * 3), min_size=1, max_size=40, unique=True)


@settings(max_examples=40)
@given(table=colors, data=st.data())
def test_a_colour_mask_is_the_inverse_of_colouring(
    table: list[tuple[int, int, int]], data: st.DataObject, tmp_path_factory: pytest.TempPathFactory
) -> None:
    shape = st.tuples(st.integers(1, 8), st.integers(1, 8))
    mask = data.draw(arrays(np.uint8, shape, elements=st.integers(0, len(table) - 1)))
    path = png(tmp_path_factory.mktemp("c") / "c.png", np.array(table, dtype=np.uint8)[mask])
    np.testing.assert_array_equal(read_color_mask(path, table), mask)


def test_a_palette_counts_as_its_colours(tmp_path: Path) -> None:
    mask = RNG.integers(0, 3, (6, 6), dtype=np.uint8)
    picture = Image.fromarray(mask)
    picture.putpalette([10, 20, 30, 40, 50, 60, 70, 80, 90])
    picture.save(tmp_path / "c.png")
    found = read_color_mask(tmp_path / "c.png", [(70, 80, 90), (40, 50, 60), (10, 20, 30)])
    np.testing.assert_array_equal(found, 2 - mask)


@pytest.mark.parametrize("strange", [(1, 2, 4), (0, 0, 0), (255, 255, 255)])
def test_an_unknown_colour_is_named_with_its_place(tmp_path: Path, strange: tuple[int, int, int]) -> None:
    mask = np.full((4, 5, 3), (1, 2, 3), dtype=np.uint8)
    mask[2, 3] = strange
    path = png(tmp_path / "c.png", mask)
    with pytest.raises(DataError) as error:
        read_color_mask(path, [(1, 2, 3), (200, 2, 3)])
    assert f"{path}: colour {strange} at row 2, column 3 (1 unknown pixels" in str(error.value)
