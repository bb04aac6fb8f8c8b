"""COCO-Stuff's pixel maps (``stuffthingmaps``) to its 171 classes.

Masks are PNGs with ids 0..181 and 255 = not annotated; 11 of the 182 ids are never used. ``coco_stuff.csv``
transcribes ids and names from ``labels.txt`` of the public repository nightrome/cocostuff, whose numbers are larger by
one (H. Caesar, J. Uijlings, V. Ferrari, "COCO-Stuff: Thing and Stuff Classes in Context", CVPR 2018).
"""

from pathlib import Path

from segfit.curation.convert.contract import FORMATS, VOID, Conversion, Item
from segfit.curation.convert.reading import IdMap, files_below, find_folder, index_mask, table, usual_splits
from segfit.data import Listing
from segfit.data.files import pair as paired
from segfit.data.files import subfolders
from segfit.errors import DataError

__all__ = ["coco_stuff"]

UNLABELLED = 255
ADDED = "_labelTrainIds"
MASK_FOLDERS = ("stuffthingmaps", "stuffthingmaps_trainval2017", "annotations", "annotations/stuffthingmaps", ".")
IMAGE_FOLDERS = ("images", ".")


@FORMATS.register("coco-stuff")
def coco_stuff(source: Path) -> Conversion:
    """Return how to convert COCO-Stuff.

    Args:
        source: the folder that holds the masks in ``stuffthingmaps/SPLIT`` or ``annotations/SPLIT`` and the images in
            ``images/SPLIT`` or ``SPLIT``.

    Raises:
        DataError: a folder is missing.
    """
    rows = table("coco_stuff.csv")
    ids = IdMap({int(row["id"]): i for i, row in enumerate(rows)} | {UNLABELLED: VOID})
    masks = next((source / name for name in MASK_FOLDERS if _mask_splits(source / name)), None)
    if masks is None:
        raise DataError(f"{source}: no folder SPLIT with .png masks in {', '.join(MASK_FOLDERS)} there")
    found = _mask_splits(masks)
    images = {split: find_folder(source, split, IMAGE_FOLDERS) / split for split in found}
    splits = usual_splits(found)
    return Conversion(
        classes=tuple(row["name"] for row in rows),
        items=tuple(item for split in found for item in _items(masks / split, images[split], splits[split], ids)),
    )


def _mask_splits(folder: Path) -> list[str]:
    """Return the sub-folders with PNG files in them."""
    if not folder.is_dir():
        return []
    return [name for name in subfolders(folder) if next((folder / name).glob("*.png"), None)]


def _items(masks: Path, images: Path, split: str, ids: IdMap) -> list[Item]:
    """Return the images of a split, sorted; masks that a tool has added under another name are passed over."""
    listing = Listing(
        images=tuple((path.stem, path) for path in files_below(images, ".jpg")),
        masks=tuple((path.stem, path) for path in files_below(masks, ".png") if not path.stem.endswith(ADDED)),
    )
    return [
        Item(split=split, name=pair.id, image=pair.image, mask=index_mask(pair.mask, ids), where=str(pair.mask))
        for pair in paired(listing, images)
    ]
