import os
from pathlib import Path

import pytest

from segfit.data.files import EVERYTHING, Found, Tree, below, pair
from segfit.errors import DataError


def touch(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    touch(tmp_path, "images/train/a.jpg", "images/train/in/b.JPG", "images/val/c.png")
    touch(tmp_path, "masks/train/a.png", "masks/train/in/b.png", "masks/val/c.png")
    return Tree(root=tmp_path, images=tmp_path / "images", masks=tmp_path / "masks")


# --- walking ---------------------------------------------------------------------------------------------------------


def test_a_walk_is_sorted_and_passes_over_hidden_names(tmp_path: Path) -> None:
    touch(tmp_path, "b/z.jpg", "b/.hidden.jpg", ".git/x.jpg", "a.jpg", "c.txt")
    assert list(below(tmp_path)) == [Found(tmp_path / name) for name in ("a.jpg", "b/z.jpg", "c.txt")]


def test_links_to_folders_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    touch(tmp_path, "elsewhere/x.jpg", "walked/a.jpg")
    (tmp_path / "walked/linked").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "walked/again").symlink_to(tmp_path / "elsewhere")
    (tmp_path / "elsewhere/back").symlink_to(tmp_path / "walked")
    (tmp_path / "walked/self").symlink_to(tmp_path / "walked")
    walked = tmp_path / "walked"
    found = list(below(walked))
    assert [item.path for item in found if item.problem is None] == [
        walked / "a.jpg",
        walked / "again/x.jpg",
        walked / "linked/x.jpg",
    ]
    loops = [walked / "again/back", walked / "linked/back", walked / "self"]
    assert [item.path for item in found if item.problem == "loop"] == loops


@pytest.mark.skipif(os.geteuid() == 0, reason="root may enter every folder")
def test_a_closed_folder_is_reported(tree: Tree) -> None:
    closed = tree.images / "train/in"
    closed.chmod(0)
    try:
        assert Found(closed, "unreadable") in list(below(tree.images))
        with pytest.raises(DataError, match=r"train/in: the folder cannot be entered"):
            tree.records("train")
    finally:
        closed.chmod(0o755)


# --- splits ----------------------------------------------------------------------------------------------------------


def test_splits_are_the_folders_of_the_images(tree: Tree) -> None:
    assert tree.splits() == ["train", "val"]
    assert [record.id for record in tree.records("train")] == ["a", "in/b"]


def test_a_flat_folder_is_one_split(tmp_path: Path) -> None:
    touch(tmp_path, "images/a.jpg", "images/b.png", "masks/a.png", "masks/b.png")
    tree = Tree(root=tmp_path, images=tmp_path / "images", masks=tmp_path / "masks")
    assert tree.splits() == [EVERYTHING]
    assert [record.id for record in tree.records(EVERYTHING)] == ["a", "b"]


def test_a_listing_keeps_what_has_no_counterpart(tree: Tree) -> None:
    touch(tree.root, "images/train/a.png", "images/train/alone.jpg", "masks/train/orphan.png")
    listing = tree.listing("train")
    assert [key for key, _ in listing.images] == ["a", "a", "alone", "in/b"]
    assert [key for key, _ in listing.masks] == ["a", "in/b", "orphan"]
    with pytest.raises(DataError, match=r"a\.png: a\.jpg has the same name: delete one"):
        pair(listing, tree.images)


def test_a_list_takes_its_images_with_their_masks(tree: Tree) -> None:
    (tree.root / "list.txt").write_text("train/in/b\nimages/val/c.png\n")
    assert [record.id for record in tree.records("list.txt")] == ["train/in/b", "val/c"]
    assert [key for key, _ in tree.listing("list.txt").masks] == ["train/in/b", "val/c"]
