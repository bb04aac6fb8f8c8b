"""The statistics as one HTML file that needs nothing else, neither scripts nor fonts nor a network."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from numpy.typing import NDArray

from segfit import __version__, units
from segfit.curation.names import short_names
from segfit.curation.stats import Stats
from segfit.curation.stats.figures import drawings
from segfit.curation.stats.mosaic import Tile, tiles
from segfit.curation.stats.pairs import pairs
from segfit.curation.stats.tally import Tally
from segfit.curation.stats.words import findings, headline, size_text
from segfit.drawing.pictures import css_color
from segfit.drawing.style import theme
from segfit.errors import DataError
from segfit.folder import replacing

__all__ = ["check_page", "write_stats_page"]

TILES = 24
"""Example images of all splits together; the page stays below 3 MB."""
MATRIX = 30
ROWS = 500
FIRST_ROWS = 20
SCENES = 24
PAIRS = 10


@dataclass(frozen=True, kw_only=True)
class Row:
    """A class in the table of classes; shares are texts, `bar` is relative to the most common class."""

    name: str
    color: str
    bar: float
    pixels: str
    covered: str
    images: str
    where_shown: str
    splits: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Cell:
    """How many of the images with the row's class show the column's: in 0..1, as text, and in words."""

    value: float
    text: str
    words: str


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """The classes that most images show, similar ones side by side."""

    names: list[str]
    rows: list[tuple[str, list[Cell | None]]]


def check_page(out: str | Path) -> Path:
    """Return `out` as a path.

    Raises:
        DataError: it does not end in .html.
    """
    file = Path(out)
    if file.suffix.lower() not in {".html", ".htm"}:
        raise DataError(f"{file}: the page ends in .html: name the file, for example {file / 'stats.html'}")
    return file


def write_stats_page(stats: Stats, out: str | Path) -> Path:
    """Write one self-contained HTML file about a dataset; it shows some of its images.

    Args:
        stats: see `dataset_stats`.
        out: the file; its folder is made.

    Returns:
        The path of the file.

    Raises:
        DataError: `out` is no HTML file or cannot be written, or an example image is gone.
    """
    file = check_page(out)
    text = _page(stats)
    try:
        with replacing(file) as temporary:
            temporary.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DataError(f"{file}: cannot be written: {error}") from None
    return file


def _page(stats: Stats) -> str:
    environment = Environment(
        loader=ChoiceLoader([PackageLoader("segfit.curation.stats"), PackageLoader("segfit.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    names = short_names(stats.names)
    scenes = stats.overall.scene_counts()
    return environment.get_template("stats.html.j2").render(
        stats=stats,
        data=stats.dataset.recipe.data,
        title=headline(stats),
        findings=findings(stats),
        sizes=size_text(stats.overall),
        figures={name: drawing.inline() for name, drawing in drawings(stats).items()},
        rows=_rows(stats, names),
        first_rows=FIRST_ROWS,
        matrix=_matrix(stats.overall, names),
        pairs=pairs(stats.overall)[:PAIRS],
        names=names,
        scenes=scenes[:SCENES],
        all_scenes=len(scenes),
        mosaic=_mosaic(stats, names),
        mean_color=_mean_color,
        theme=theme(),
        units=units,
        version=__version__,
    )


def _rows(stats: Stats, names: list[str]) -> list[Row]:
    """Return the classes that occur, the most common first."""
    tally = stats.overall
    shares = tally.pixels / max(tally.annotated, 1)
    parts = list(stats.splits.values()) if len(stats.splits) > 1 else []
    return [
        Row(
            name=names[i],
            color=css_color(tally.census.table.colors[i]),
            bar=float(shares[i] / shares.max()),
            pixels=units.share(shares[i]),
            covered=units.share(covered),
            images=units.share(tally.images[i] / len(tally.records)),
            where_shown=units.share(tally.where_shown[i]),
            splits=tuple(units.share(part.pixels[i] / max(part.annotated, 1)) for part in parts),
        )
        for i, (covered, _) in list(zip(tally.order, tally.coverage().tolist(), strict=True))[:ROWS]
    ]


def _matrix(tally: Tally, names: list[str]) -> Matrix | None:
    """Return the matrix of the classes that most images show; None where there are not two."""
    most = [i for i in np.argsort(-tally.images, kind="stable")[:MATRIX].tolist() if tally.images[i]]
    if len(most) < 2:
        return None
    both = tally.co_occurrence[np.ix_(most, most)]
    order = _seriation(both.astype(np.float64))
    shown = [names[most[i]] for i in order]
    rows = []
    for row, i in zip(shown, order, strict=True):
        alone = int(both[i, i])
        rows.append((row, [None if i == j else _cell(row, names[most[j]], int(both[i, j]), alone) for j in order]))
    return Matrix(names=shown, rows=rows)


def _cell(row: str, column: str, both: int, alone: int) -> Cell:
    share = both / alone
    return Cell(
        value=share,
        text=f"{100 * share:.0f}",
        words=f"{units.share(share)} of the {alone:,} images with {row} show {column}",
    )


def _seriation(both: NDArray[np.float64]) -> list[int]:
    """Return an order in which classes that appear together are near one another.

    It is that of the second eigenvector of the graph Laplacian of the cosine similarities (Atkins, Boman and
    Hendrickson, "A spectral algorithm for seriation and the consecutive ones problem", 1998).

    Args:
        both: `(n, n)` images that show both of two classes.
    """
    alone = np.sqrt(np.diag(both))
    similar = both / alone[:, None] / alone[None, :]
    _, vectors = np.linalg.eigh(np.diag(similar.sum(1)) - similar)
    second = vectors[:, 1]
    # An eigenvector has no sign of its own: the class that most images show goes to the first half.
    second = second if second[0] <= np.median(second) else -second
    return [int(i) for i in np.argsort(np.round(second, 9), kind="stable")]


def _mosaic(stats: Stats, names: list[str]) -> dict[str, list[Tile]]:
    count = max(1, TILES // len(stats.splits) if len(stats.splits) > 2 else TILES // 3)
    return {name: tiles(stats.dataset.source, split, count, names) for name, split in stats.splits.items()}


def _mean_color(tally: Tally) -> str:
    red, green, blue = (round(255 * value) for value in tally.colors.mean)
    return css_color((red, green, blue))
