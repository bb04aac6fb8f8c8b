"""A selection on disk: the list of the selected images, one of the rest where that is asked for, and how it was made.

The lines are paths below the dataset's images, without ending, as list splits want them (`segfit.data.files`). Beside
``train.txt`` lies ``train.json`` with the command, the fingerprint and the counts, so that a selection can be repeated.
"""

import json
import os
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from segfit.curation.opening import Dataset
from segfit.data import Record
from segfit.data.files import EVERYTHING, IMAGE_SUFFIXES
from segfit.errors import DataError, RecipeError
from segfit.folder import replacing

__all__ = ["Lists"]

FORMAT = "segfit selection 1"


class Lists:
    """Where the lists of a selection go; it is made before the selection, so that it is not made in vain.

    Args:
        dataset: what is selected from.
        out: list file of the selected images.
        rest: list file of the images that passed the filters and were not chosen.

    Raises:
        RecipeError: a list does not end in ``.txt``, or both are one file.
        DataError: the dataset takes no lists, or a file is there that no selection wrote.
    """

    def __init__(self, dataset: Dataset, out: Path, rest: Path | None = None) -> None:
        self.dataset, self.out, self.rest = dataset, out, rest
        self.settings = out.with_suffix(".json")
        files = [out, *([rest] if rest is not None else [])]
        for option, path in zip(("--out", "--rest"), files, strict=False):
            if path.suffix != ".txt":
                raise RecipeError(f"{option} {path}: the name of a list ends in .txt")
        if rest is not None and rest.absolute() == out.absolute():
            raise RecipeError(f"--rest {rest}: is the file of --out: name another")
        ours = _files_of(self.settings)
        for path in (*files, self.settings):
            if path.exists() and self._beside(path) not in ours:
                raise DataError(f"{path}: was not written by a selection into {out}: name another file or delete it")
        self._line_of = {path: _line(key, path) for key, path in dataset.source.listing(EVERYTHING).images}

    def write(self, chosen: Sequence[Record], rest: Sequence[Record], facts: Mapping[str, Any]) -> None:
        """Write the lists and the settings: all of them or none.

        Raises:
            DataError: an image's name cannot stand in a list.
        """
        texts = {self.out: self._text(chosen, self.out)}
        if self.rest is not None:
            texts[self.rest] = self._text(rest, self.rest)
        files = [self._beside(path) for path in (*texts, self.settings)]
        about = {"format": FORMAT, "files": files, **facts}
        # Names that are not UTF-8 can be escaped in JSON; in a list they cannot.
        texts[self.settings] = json.dumps(about, indent=2, allow_nan=False) + "\n"
        with ExitStack() as stack:
            for path, text in texts.items():
                stack.enter_context(replacing(path)).write_text(text, encoding="utf-8")

    def _beside(self, path: Path) -> str:
        """Return a path as the settings have it: from where they lie, so that all may be moved together."""
        return Path(os.path.relpath(path, self.settings.parent)).as_posix()

    def _text(self, records: Sequence[Record], path: Path) -> str:
        """Return the lines of a list, after making sure that the dataset reads the same images from it."""
        if not records:
            raise DataError(f"{path}: no image is left for it: lower --count or --share")
        text = "".join(f"{self._line_of[record.image]}\n" for record in records)
        with tempfile.TemporaryDirectory() as folder:
            trial = Path(folder) / "list.txt"
            try:
                trial.write_text(text, encoding="utf-8")
                read = {record.image for record in self.dataset.source.records(str(trial))}
            except DataError as error:
                raise DataError(str(error).replace(str(trial), str(path))) from None
            except UnicodeEncodeError:
                raise DataError(f"{path}: the name of an image is not UTF-8: rename it") from None
        for record in records:
            if record.image not in read:
                raise DataError(f"{path}: cannot name the image {record.image}: give it a plainer name")
        assert len(read) == len(records), "every line names one image"
        return text


def _line(key: str, path: Path) -> str:
    """Return how a list names an image: by its key; with the ending where the key alone seems to have one."""
    return key + path.suffix if Path(key).suffix.lower() in IMAGE_SUFFIXES else key


def _files_of(settings: Path) -> set[str]:
    """Return the files that the selection described in `settings` has written; none if it is not such a file."""
    try:
        about = json.loads(settings.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return set()
    if not isinstance(about, dict) or about.get("format") != FORMAT:
        return set()
    return set(map(str, about.get("files", ())))
