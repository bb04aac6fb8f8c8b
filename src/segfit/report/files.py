"""What the files are called that belong to a report in a folder, and what is in them."""

import base64
import io
from dataclasses import dataclass

from PIL import Image as Pillow

from segfit.comparison.formats import Grid
from segfit.drawing.figure import Drawing
from segfit.report.blocks import Layer, Picture, Pictures, Section, Slider, Table
from segfit.report.content import Report

__all__ = ["Chapter", "PictureFile", "Place", "grid", "helps", "outline", "picture_files"]


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a section stands.

    Attributes:
        section: the section.
        part: number of the group that it is about; 0 where it is about all runs.
        level: of its heading, 1 for the title of the report.
    """

    section: Section
    part: int
    level: int

    def figure(self, drawing: Drawing) -> str:
        """Return a figure's file name without its suffix."""
        return f"figures/{self._group}{drawing.name}"

    def table(self, table: Table) -> str:
        """Return a table's file name without its suffix."""
        return f"tables/{self._group}{self.section.name}-{table.name}"

    def picture(self, block: Pictures | Slider, number: int, suffix: str) -> str:
        """Return a picture's file name."""
        return f"pictures/{self._group}{self.section.name}-{block.name}-{number}.{suffix}"

    @property
    def _group(self) -> str:
        """The folder of what belongs to a second group, and so on; a number behind names could be part of one."""
        return f"{self.part}/" if self.part > 1 else ""


@dataclass(frozen=True, kw_only=True)
class Chapter:
    """A part of a report as it is read from top to bottom, or what is about all runs.

    Attributes:
        title: its headline; "" where the report has one part, whose headline is its title, and for all runs.
        protocol: how its runs were scored; "" for all runs.
        words: the result in sentences; "" for all runs.
        places: its sections.
    """

    title: str = ""
    protocol: str = ""
    words: str = ""
    places: tuple[Place, ...]


def outline(report: Report) -> list[Chapter]:
    """Return the parts of a report in the order in which they are read; what is about all runs comes last."""
    several = len(report.parts) > 1
    parts = [
        Chapter(
            title=part.headline.title if several else "",
            protocol=part.analysis.group.protocol.describe(),
            words=" ".join(part.headline.sentences),
            places=tuple(Place(section=one, part=part.number, level=3 if several else 2) for one in part.sections),
        )
        for part in report.parts
    ]
    return [*parts, Chapter(places=tuple(Place(section=one, part=0, level=2) for one in report.across))]


def grid(table: Table) -> Grid:
    """Return the texts of a table."""
    return Grid(
        caption=table.caption,
        titles=tuple(column.title for column in table.columns),
        numbers=tuple(column.number for column in table.columns),
        body=tuple(tuple(cell.text for cell in row) for row in table.rows),
        footer=tuple(cell.text for cell in table.footer) if table.footer else None,
        essential=len(table.columns),
    )


def helps(table: Table) -> str:
    """Return what the columns mean, as sentences; "" where their titles say it."""
    return " ".join(f"{column.title}: {column.help.rstrip('.')}." for column in table.columns if column.help)


# --- pictures --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True)
class PictureFile:
    """A picture in a file beside the text.

    Attributes:
        name: of the file.
        alt: what it shows.
        caption: what stands beneath it.
        uri: the picture.
        base: the photograph beneath it; "" where there is none.
    """

    name: str
    alt: str
    caption: str
    uri: str
    base: str = ""

    def encoded(self) -> bytes:
        """Return the file's bytes: as they are, or as JPEG where formats for papers would not read them."""
        if self.name.endswith(".png"):
            return _decoded(self.uri)
        picture = Pillow.open(io.BytesIO(_decoded(self.uri))).convert("RGBA")
        beneath = Pillow.new("RGBA", picture.size, (255, 255, 255, 255))
        if self.base:
            beneath = Pillow.open(io.BytesIO(_decoded(self.base))).convert("RGBA").resize(picture.size)
        stream = io.BytesIO()
        Pillow.alpha_composite(beneath, picture).convert("RGB").save(stream, format="jpeg", quality=88, subsampling=0)
        return stream.getvalue()


def picture_files(place: Place, block: Pictures | Slider) -> list[PictureFile]:
    """Return one file for each picture or layer."""
    if isinstance(block, Slider):
        return [
            _file(place, block, number, layer, layer.name, block.base) for number, layer in enumerate(block.layers, 1)
        ]
    return [
        _file(place, block, number, picture, picture.caption, "") for number, picture in enumerate(block.pictures, 1)
    ]


def _file(
    place: Place, block: Pictures | Slider, number: int, picture: Picture | Layer, caption: str, base: str
) -> PictureFile:
    suffix = "png" if picture.uri.startswith("data:image/png") and not base else "jpg"
    name = place.picture(block, number, suffix)
    return PictureFile(name=name, alt=picture.alt, caption=caption, uri=picture.uri, base=base)


def _decoded(uri: str) -> bytes:
    return base64.b64decode(uri.split(",", 1)[1])
