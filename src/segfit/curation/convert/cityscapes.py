"""Cityscapes to its 19 training classes.

Images are ``leftImg8bit/SPLIT/CITY/*_leftImg8bit.png``, masks ``gtFine/SPLIT/CITY/*_gtFine_labelIds.png`` with ids
0..33, or ``*_labelTrainIds.png``, which hold the 19 classes already. ``cityscapes.csv`` transcribes ids, names,
training ids and colours from ``helpers/labels.py`` of the public repository mcordts/cityscapesScripts (M. Cordts et
al., "The Cityscapes Dataset for Semantic Urban Scene Understanding", CVPR 2016). What is not evaluated there becomes
"not annotated".
"""

from pathlib import Path

from segfit.curation.convert.contract import FORMATS, VOID, Conversion, Item
from segfit.curation.convert.reading import IdMap, files_below, find_folder, index_mask, table, usual_splits
from segfit.data.files import subfolders
from segfit.errors import DataError

__all__ = ["cityscapes"]

IMAGES, MASKS = "leftImg8bit", "gtFine"
IMAGE_END = "_leftImg8bit.png"
NOT_EVALUATED = 255


@FORMATS.register("cityscapes")
def cityscapes(source: Path) -> Conversion:
    """Return how to convert Cityscapes.

    Args:
        source: the folder that holds ``leftImg8bit`` and ``gtFine``.

    Raises:
        DataError: a folder or a mask is missing.
    """
    rows = table("cityscapes.csv")
    trained = sorted((row for row in rows if row["train_id"] != str(NOT_EVALUATED)), key=lambda r: int(r["train_id"]))
    to_class = {int(row["train_id"]): i for i, row in enumerate(trained)} | {NOT_EVALUATED: VOID}
    # The license plate has id -1, which the masks store as 255.
    maps = {
        "_gtFine_labelIds.png": IdMap({int(r["id"]): to_class[int(r["train_id"])] for r in rows} | {255: VOID}),
        "_gtFine_labelTrainIds.png": IdMap(to_class),
    }
    images, masks = find_folder(source, IMAGES, ["."]) / IMAGES, find_folder(source, MASKS, ["."]) / MASKS
    splits = usual_splits([name for name in subfolders(images) if (masks / name).is_dir()])
    return Conversion(
        classes=tuple(row["name"] for row in trained),
        colors=tuple((int(row["red"]), int(row["green"]), int(row["blue"])) for row in trained),
        items=tuple(
            _item(path, images, masks, splits[split], maps)
            for split in splits
            for path in files_below(images / split, IMAGE_END)
        ),
    )


def _item(image: Path, images: Path, masks: Path, split: str, maps: dict[str, IdMap]) -> Item:
    """Return how to convert one image, with the first kind of mask that it has."""
    below_split = Path(*image.relative_to(images).parts[1:])
    stem = image.name.removesuffix(IMAGE_END)
    folder = masks / image.relative_to(images).parent
    for end, ids in maps.items():
        mask = folder / f"{stem}{end}"
        if mask.is_file():
            return Item(
                split=split,
                name=below_split.with_name(stem).as_posix(),
                image=image,
                mask=index_mask(mask, ids),
                where=str(mask),
            )
    raise DataError(f"{folder}: no {stem} with the ending {' or '.join(maps)}: add the mask or remove {image}")
