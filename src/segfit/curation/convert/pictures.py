"""Image and mask files of a conversion: looked at, put in place, reduced, written."""

import io
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image as Pillow

from segfit.curation.convert.contract import ClassMask, Size
from segfit.data.decode import BROKEN, read_image
from segfit.data.files import IMAGE_SUFFIXES
from segfit.errors import DataError

__all__ = ["IMAGES", "Images", "Picture", "inspect", "nearest", "place", "reduced", "write_mask"]

Images = Literal["link", "copy", "symlink"]
"""How images get to the new dataset."""

IMAGES: tuple[Images, ...] = get_args(Images)

JPEG_QUALITY = 95
ORIENTATION = 0x0112  # EXIF tag; from 5 on, the picture lies on its side
ON_ITS_SIDE = 5

SUFFIXES = {"JPEG": ".jpg", "PNG": ".png", "BMP": ".bmp", "TIFF": ".tif", "WEBP": ".webp"}
"""Endings of embedded images, by Pillow's name of the format."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """What is known of an image before it is decoded.

    Attributes:
        content: the file, or the bytes of an embedded image.
        name: what to call it in messages.
        suffix: ending of the new file.
        size: height and width when upright.
        turned: whether EXIF data says that the stored picture lies on its side.
    """

    content: Path | bytes
    name: str
    suffix: str
    size: Size
    turned: bool


def inspect(image: Path | Callable[[], bytes], where: str) -> Picture:
    """Look at the header of an image.

    Args:
        image: see `Item.image`.
        where: its annotation, for messages.

    Raises:
        DataError: the file is missing, not an image, of a kind that segfit does not read, or absurdly large.
    """
    content = image if isinstance(image, Path) else image()
    name = str(content) if isinstance(content, Path) else f"{where}: the image in it"
    if isinstance(content, Path) and content.suffix.lower() not in IMAGE_SUFFIXES:
        raise DataError(f"{name}: not a kind of image that can be trained on: use {', '.join(IMAGE_SUFFIXES)}")
    try:
        with Pillow.open(content if isinstance(content, Path) else io.BytesIO(content)) as picture:
            width, height = picture.size
            turned = picture.getexif().get(ORIENTATION, 1) >= ON_ITS_SIDE
            suffix = content.suffix if isinstance(content, Path) else SUFFIXES.get(str(picture.format), "")
    except FileNotFoundError:
        raise DataError(f"{name}: no such image: add it, or remove its annotation") from None
    except Pillow.DecompressionBombWarning:
        limit = (Pillow.MAX_IMAGE_PIXELS or 0) // 10**6
        raise DataError(f"{name}: more than {limit} megapixels: cut it into tiles") from None
    except BROKEN as error:
        raise DataError(f"{name}: damaged or not an image ({error}): fetch it again") from None
    if not suffix:
        raise DataError(f"{name}: not a kind of image that can be trained on: use {', '.join(SUFFIXES)}")
    return Picture(
        content=content,
        name=name,
        suffix=suffix,
        size=(width, height) if turned else (height, width),
        turned=turned,
    )


def place(picture: Picture, target: Path, images: Images, size: Size) -> str:
    """Put an image at `target` and return what was done.

    Args:
        picture: the image.
        target: path of the new file.
        images: how; without effect on images that are embedded or reduced.
        size: what the new file shall have.
    """
    if size != picture.size:
        _reduce(picture, target, size)
        return "resized"
    if isinstance(picture.content, bytes):
        target.write_bytes(picture.content)
        return "extracted"
    source = picture.content.resolve()
    if images == "symlink":
        target.symlink_to(source)
        return "symlinked"
    if images == "link":
        try:
            os.link(source, target)
        except OSError:  # another file system, or one without hard links
            pass
        else:
            return "linked"
    shutil.copyfile(source, target)
    return "copied"


def write_mask(path: Path, mask: NDArray[np.uint16] | NDArray[np.uint8], *, palette: bytes) -> None:
    """Write a mask as PNG: 8-bit ids with their colours, or 16-bit ids, which PNG stores without."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Pillow.fromarray(mask)
    if mask.dtype == np.uint8:
        picture.putpalette(palette)
    picture.save(path, "PNG")


# --- smaller ---------------------------------------------------------------------------------------------------------


def reduced(size: Size, short_side: int | None) -> Size:
    """Return the size that an image gets whose short side may be at most `short_side`.

    The long side is rounded half up, as for the images of the scene-parsing challenge.
    """
    short, long = sorted(size)
    if short_side is None or short <= short_side:
        return size
    other = (2 * long * short_side + short) // (2 * short)
    return (short_side, other) if size[0] == short else (other, short_side)


def nearest(mask: ClassMask, size: Size) -> ClassMask:
    """Return the mask in another size; every pixel takes the label at its centre.

    That is the rule of MATLAB's ``imresize(…, 'nearest')``, by which the challenge's masks were made.
    """
    rows, columns = (((2 * np.arange(new) + 1) * old) // (2 * new) for new, old in zip(size, mask.shape, strict=True))
    smaller: ClassMask = mask[rows[:, None], columns]
    return smaller


def _reduce(picture: Picture, target: Path, size: Size) -> None:
    """Write the image upright and in a smaller size."""
    path = picture.content
    if isinstance(path, bytes):
        target.write_bytes(path)
        path = target
    small = cv2.resize(read_image(path), size[::-1], interpolation=cv2.INTER_AREA)
    Pillow.fromarray(small).save(target, quality=JPEG_QUALITY)
