"""Pascal VOC segmentation (2007 to 2012, and the larger training set of SBD as ``SegmentationClassAug``).

Images are ``JPEGImages/*.jpg``, masks ``SegmentationClass/*.png`` with a palette: 0 = background, 1..20 = classes,
255 = void. Masks whose palette was lost to colours are read by the benchmark's colour rule: the bits of an index, the
lowest first, are dealt to red, green and blue in turn, each time to the next lower bit. The lists in
``ImageSets/Segmentation`` say what the splits are. Source: M. Everingham et al., "The PASCAL Visual Object Classes
Challenge: A Retrospective", IJCV 2015, and its development kit.
"""

from pathlib import Path

import numpy as np
from PIL import Image as Pillow

from segfit.curation.convert.contract import FORMATS, VOID, ClassMask, Conversion, Item
from segfit.curation.convert.reading import IdMap, find_folder, inside, usual_splits
from segfit.data.decode import BROKEN, Color, read_color_mask, read_index_mask
from segfit.data.files import read_text
from segfit.errors import DataError

__all__ = ["color_of", "voc"]

CLASSES = (
    "background", "aeroplane", "bicycle", "bird", "boat", "bottle", "bus", "car", "cat", "chair", "cow", "diningtable",
    "dog", "horse", "motorbike", "person", "pottedplant", "sheep", "sofa", "train", "tvmonitor",
)  # fmt: skip
VOID_ID = 255
KITS = (".", "VOC2012", "VOCdevkit/VOC2012", "VOC2007", "VOCdevkit/VOC2007")
LISTS = "ImageSets/Segmentation"
LARGER = ("trainaug", "train_aug")
"""What the list of the larger training set is usually called."""

IDS = IdMap({**{i: i for i in range(len(CLASSES))}, VOID_ID: VOID})


@FORMATS.register("voc")
def voc(source: Path, *, masks: str = "SegmentationClass") -> Conversion:
    """Return how to convert Pascal VOC.

    Args:
        source: the folder that holds ``JPEGImages``, or one above it.
        masks: folder of the masks; with ``SegmentationClassAug`` the list ``trainaug.txt`` replaces ``train.txt``.

    Raises:
        DataError: a folder or list is missing, or a list names an image that is not there.
    """
    kit = find_folder(source, "JPEGImages", KITS)
    folder = find_folder(kit, masks, ["."]) / masks
    lists = _lists(kit / LISTS, larger=masks != "SegmentationClass")
    splits = usual_splits([split for split, _ in lists])
    return Conversion(
        classes=CLASSES,
        colors=tuple(color_of(i) for i in range(len(CLASSES))),
        items=tuple(
            _item(kit, folder, name, splits[split], where) for split, path in lists for name, where in _names(path)
        ),
    )


def color_of(index: int) -> Color:
    """Return the colour that stands for an index."""
    channels = [0, 0, 0]
    for place in range(8):
        for channel in range(3):
            channels[channel] |= (index >> (3 * place + channel) & 1) << (7 - place)
    return channels[0], channels[1], channels[2]


def _lists(folder: Path, *, larger: bool) -> list[tuple[str, Path]]:
    """Return name and list file of each split: train and val, or trainval where there are not both."""
    there = {path.stem: path for path in sorted(folder.glob("*.txt"))}
    train = next((name for name in (*(LARGER if larger else ()), "train") if name in there), None)
    if train and "val" in there:
        return [("train", there[train]), ("val", there["val"])]
    alone = next((name for name in ("trainval", train, "val") if name in there), None)
    if alone is None:
        raise DataError(f"{folder}: no lists train.txt, val.txt or trainval.txt there: add them")
    return [(alone, there[alone])]


def _names(path: Path) -> list[tuple[str, str]]:
    """Return each name in a list with its place, for messages."""
    lines = enumerate(read_text(path).splitlines(), 1)
    return [(line.split()[0], f"{path}:{number}") for number, line in lines if line.strip()]


def _item(kit: Path, masks: Path, name: str, split: str, where: str) -> Item:
    # Some lists of the larger set have lines "/JPEGImages/NAME.jpg /SegmentationClassAug/NAME.png".
    stem = Path(name).stem if name.startswith("/JPEGImages/") else name
    mask = inside(masks, f"{stem}.png", where)
    return Item(
        split=split,
        name=stem,
        image=inside(kit / "JPEGImages", f"{stem}.jpg", where),
        mask=lambda _size: _read(mask),
        where=str(mask),
    )


def _read(path: Path) -> ClassMask:
    """Return the mask in a file with a palette, grey values or colours."""
    try:
        with Pillow.open(path) as picture:
            mode = picture.mode
    except FileNotFoundError:
        raise DataError(f"{path}: no such mask: add it or take the name from the list") from None
    except BROKEN as error:
        raise DataError(f"{path}: damaged or not an image ({error}): fetch it again") from None
    if mode not in ("RGB", "RGBA"):
        return IDS.translate(read_index_mask(path), path)
    ids = np.array([*range(len(CLASSES)), VOID_ID])
    positions = read_color_mask(path, [color_of(int(i)) for i in ids])
    return IDS.translate(ids[positions], path)
