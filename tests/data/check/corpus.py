"""Builds datasets in which each file has exactly one known fault, beside files that have none."""

import os
import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

VOC = (0, 0, 0, 128, 0, 0, 0, 128, 0, 128, 128, 0)
WIDTH, HEIGHT = 96, 72


def picture(seed: int, width: int = WIDTH, height: int = HEIGHT) -> np.ndarray:
    """A colourful picture `(height, width, 3)`, unlike that of every other seed."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 12, 3), dtype=np.uint8)
    return cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)


def labels(seed: int, width: int = WIDTH, height: int = HEIGHT, highest: int = 3) -> np.ndarray:
    """A mask `(height, width)` of blocks with ids 0..highest."""
    blocks = np.random.default_rng(1000 + seed).integers(0, highest + 1, (5, 7), dtype=np.uint8)
    return cv2.resize(blocks, (width, height), interpolation=cv2.INTER_NEAREST)


def encoded(array: np.ndarray, form: str = "JPEG", **options: Any) -> bytes:
    """The bytes of a picture file."""
    file = BytesIO()
    mode = options.pop("mode", None)
    image = Image.fromarray(array)
    if mode is not None:
        image = image.convert(mode)
    image.save(file, form, **options)
    return file.getvalue()


def turned(array: np.ndarray, orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return encoded(array, exif=exif)


def deep(array: np.ndarray) -> bytes:
    return cv2.imencode(".png", array.astype(np.uint16) * 257)[1].tobytes()


def wrong_checksum(data: bytes) -> bytes:
    """A PNG with one bit of its pixels changed."""
    changed = bytearray(data)
    changed[data.index(b"IDAT") + 40] ^= 1
    return bytes(changed)


def gap(data: bytes) -> bytes:
    """A JPEG with zeros in the middle of its pixels."""
    half = len(data) // 2
    return data[:half] + bytes(200) + data[half + 200 :]


def bomb(width: int, height: int) -> bytes:
    """A PNG with a header and an end, and hardly anything in between."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


def indexed(mask: np.ndarray, palette: tuple[int, ...] = VOC) -> bytes:
    """A palette PNG."""
    image = Image.fromarray(mask)
    image.putpalette(palette)
    file = BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


class Corpus:
    """A dataset on disk that knows its faults.

    Args:
        root: where it is written.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.faults: set[tuple[str, str]] = set()
        self.seeds = iter(range(10_000))
        root.mkdir(parents=True, exist_ok=True)
        (root / "classes.txt").write_text("one\ntwo\nthree\nfour\n")

    def add(self, name: str, data: bytes | None = None, *codes: str, split: str = "train") -> Path:
        """Write an image; a good one unless `data` is given."""
        data = encoded(picture(next(self.seeds))) if data is None else data
        return self._write(f"images/{split}/{name}", data, codes)

    def mask(self, name: str, data: bytes | None = None, *codes: str, split: str = "train") -> Path:
        """Write a mask; a good one unless `data` is given."""
        data = encoded(labels(next(self.seeds)), "PNG") if data is None else data
        return self._write(f"masks/{split}/{name}", data, codes)

    def pair(self, name: str, data: bytes | None = None, *codes: str, split: str = "train", **mask: Any) -> Path:
        """Write an image, with `codes`, and a good mask of the same size."""
        self.mask(f"{Path(name).stem}.png", mask.get("mask"), split=split)
        return self.add(name, data, *codes, split=split)

    def labelled(self, stem: str, mask: bytes, *codes: str) -> None:
        """Write a good image and a mask with `codes`."""
        self.add(f"{stem}.jpg")
        self.mask(f"{stem}.png", mask, *codes)

    def expect(self, code: str, path: Path) -> None:
        self.faults.add((code, path.relative_to(self.root).as_posix()))

    def _write(self, name: str, data: bytes, codes: tuple[str, ...]) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        for code in codes:
            self.expect(code, path)
        return path


def seed_files(corpus: Corpus) -> None:
    """Files that are damaged, disguised, closed or not there."""
    good = encoded(picture(next(corpus.seeds)))
    corpus.pair("cut.jpg", good[: len(good) * 2 // 3], "file-truncated")
    corpus.pair("gap.jpg", gap(encoded(picture(next(corpus.seeds)), quality=95)), "jpeg-damaged")
    corpus.pair("empty.jpg", b"", "file-empty")
    corpus.pair("error.jpg", b"<!DOCTYPE html><title>404</title>", "not-an-image")
    corpus.pair("pointer.jpg", b"version https://git-lfs.github.com/spec/v1\n", "not-an-image")
    corpus.pair("bit.png", wrong_checksum(encoded(picture(next(corpus.seeds)), "PNG")), "file-damaged")
    corpus.pair("png.jpg", encoded(picture(next(corpus.seeds)), "PNG"), "wrong-extension")
    corpus.pair("long.jpg", encoded(picture(next(corpus.seeds))) + bytes(70_000), "file-too-large")
    corpus.pair("bomb.png", bomb(60_000, 50_000), "too-many-pixels")
    pages = [Image.fromarray(picture(next(corpus.seeds))) for _ in range(2)]
    file = BytesIO()
    pages[0].save(file, "TIFF", save_all=True, append_images=pages[1:])
    corpus.pair("pages.tif", file.getvalue(), "multi-frame")
    corpus.pair("closed.jpg", None, "file-unreadable").chmod(0)
    for name, make in SPECIAL.items():
        path = corpus.pair(f"{name}.jpg", None, name)
        path.unlink()
        make(path)
    corpus.add("later.heic", b"\0\0\0\x18ftypheic", "file-unsupported")
    corpus.add("fetched.jpg.part", good[:50], "file-unsupported")
    corpus.add("unnamed", good, "file-unsupported")
    for harmless in ("notes.txt", "Thumbs.db", ".DS_Store", "LICENSE"):
        corpus.add(harmless, b"anything")
    corpus.mask("cut_mask.png", encoded(labels(0), "PNG")[:-20], "file-truncated")
    corpus.add("cut_mask.jpg")


SPECIAL: dict[str, Callable[[Path], None]] = {
    "link-broken": lambda path: path.symlink_to("nowhere.jpg"),
    "link-loop": lambda path: path.symlink_to(path.name),
    "not-a-file": os.mkfifo,
}


def seed_images(corpus: Corpus) -> None:
    """Images of unusual kinds."""
    corpus.pair("cmyk.jpg", encoded(picture(next(corpus.seeds)), mode="CMYK"), "image-cmyk")
    corpus.pair("deep.png", deep(picture(next(corpus.seeds))), "image-16bit")
    corpus.pair("grey.jpg", encoded(picture(next(corpus.seeds))[..., 0]), "image-grey")
    corpus.pair("alpha.png", encoded(picture(next(corpus.seeds)), "PNG", mode="RGBA"), "image-alpha")
    corpus.pair(
        "narrow.png",
        encoded(picture(next(corpus.seeds), 20, 240), "PNG"),
        "image-narrow",
        mask=encoded(labels(0, 20, 240), "PNG"),
    )
    corpus.pair("flipped.jpg", turned(picture(next(corpus.seeds)), 3), "image-rotated")
    upright = encoded(labels(next(corpus.seeds), HEIGHT, WIDTH), "PNG")
    corpus.pair("upright.jpg", turned(picture(next(corpus.seeds)), 6), "image-rotated", mask=upright)
    corpus.add("lying.jpg", turned(picture(next(corpus.seeds)), 8), "image-rotated")
    corpus.mask("lying.png", None, "exif-mismatch")


def seed_names(corpus: Corpus) -> None:
    """Names that confuse, and images and masks without their counterparts."""
    corpus.pair("twice.jpg")
    corpus.add("twice.png", encoded(picture(next(corpus.seeds)), "PNG"), "name-duplicate")
    corpus.pair("Case.jpg")
    corpus.add("case.jpg", None, "name-case")
    corpus.mask("case.png", None, "name-case")
    corpus.add("stra\u00dfe.jpg", None, "name-non-ascii")
    corpus.mask("stra\u00dfe.png", None, "name-non-ascii")
    corpus.add(" blank.jpg", None, "name-unprintable")
    corpus.mask(" blank.png", None, "name-unprintable")
    corpus.add("bell\a.jpg", None, "name-unprintable")
    corpus.mask("bell\a.png", None, "name-unprintable")
    corpus.add("lonely.jpg", None, "mask-missing")
    corpus.mask("orphan.png", None, "image-missing")
    loop = corpus.root / "images/val/again"
    loop.parent.mkdir(parents=True, exist_ok=True)
    loop.symlink_to(loop.parent)
    corpus.expect("folder-loop", loop)


def seed_masks(corpus: Corpus) -> None:
    """Masks that do not hold the dataset's labels."""
    mask = labels(next(corpus.seeds))
    corpus.labelled("scaled", encoded(labels(0, 64, 48), "PNG"), "size-mismatch")
    corpus.add("lossy.jpg")
    corpus.mask("lossy.jpg", encoded(mask), "mask-lossy")
    corpus.labelled("hidden", encoded(mask), "mask-lossy")
    corpus.labelled("colors", encoded(np.array(VOC, np.uint8).reshape(-1, 3)[mask], "PNG"), "mask-colors")
    corpus.labelled("ids", encoded(mask + np.uint8(4) * (mask == 3), "PNG"), "mask-unknown-ids")
    small = labels(next(corpus.seeds), 48, 36)
    smooth = cv2.resize(small * np.uint8(40), (WIDTH, HEIGHT), interpolation=cv2.INTER_LINEAR)
    corpus.labelled("smooth", encoded(smooth, "PNG"), "mask-blended")
    corpus.labelled("once-a-jpeg", encoded(np.asarray(Image.open(BytesIO(encoded(mask * np.uint8(9))))), "PNG"))
    corpus.faults.add(("mask-blended", "masks/train/once-a-jpeg.png"))
    corpus.labelled("binary", encoded((mask > 1) * np.uint8(255), "PNG"), "mask-binary")
    corpus.labelled("ignored", encoded(np.full_like(mask, 254), "PNG"), "mask-ignored")
    corpus.labelled("constant", encoded(np.full_like(mask, 2), "PNG"))
    for number in range(3):
        corpus.labelled(f"palette-{number}", indexed(labels(number)))
    corpus.labelled("palette-other", indexed(labels(3), VOC[3:] + VOC[:3]), "mask-palette-varies")


def seed_duplicates(corpus: Corpus) -> None:
    """Images that occur twice."""
    for number in range(7):
        corpus.pair(f"good-{number}.png", encoded(picture(next(corpus.seeds)), "PNG"))

    def again(number: int) -> np.ndarray:
        return np.asarray(Image.open(corpus.root / f"images/train/good-{number}.png"))

    def label(number: int) -> bytes:
        return (corpus.root / f"masks/train/good-{number}.png").read_bytes()

    corpus.pair("same-bytes.png", encoded(again(0), "PNG"), "duplicate", mask=label(0))
    corpus.pair("same-pixels.bmp", encoded(again(1), "BMP"), "duplicate", mask=label(1))
    corpus.pair("other-mask.png", encoded(again(2), "PNG"), "duplicate-conflict")
    larger = cv2.resize(again(3), (120, 90), interpolation=cv2.INTER_AREA)
    mask = encoded(labels(3, 120, 90), "PNG")
    corpus.pair("scaled-copy.jpg", encoded(larger, quality=60), "near-duplicate", mask=mask)
    corpus.pair("mirrored.png", encoded(again(4)[:, ::-1], "PNG"), "near-duplicate")
    corpus.pair("leak.jpg", (corpus.root / "images/train/good-5.png").read_bytes(), split="val")
    corpus.faults |= {("duplicate-leak", "images/val/leak.jpg"), ("wrong-extension", "images/val/leak.jpg")}
    corpus.pair("darker.jpg", encoded((again(6) * 0.8).astype(np.uint8)), "near-duplicate-leak", split="val")
    corpus.pair("good.jpg", split="val")
    for name in ("images", "masks"):
        (corpus.root / name / "test").mkdir(parents=True, exist_ok=True)
    corpus.expect("split-empty", corpus.root / "images/test")


SEEDS = (seed_files, seed_images, seed_names, seed_masks, seed_duplicates)
