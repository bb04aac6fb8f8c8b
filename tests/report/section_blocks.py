"""Runs whose sections are looked at, and what stands in a section: its blocks, figures and words."""

import itertools
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

from run_folders import STUDY, Fake, write_run
from segfit.comparison.analysis import Analysis
from segfit.comparison.comparing import Comparison, compare
from segfit.drawing.figure import Drawing
from segfit.report.blocks import Block, Bullets, Figures, Fold, Paragraph, Section

SVG = "{http://www.w3.org/2000/svg}"


def plan(peak: int, flops: float = 1e12) -> dict[str, Any]:
    parts = {"parameters": peak // 10, "gradients": 0, "optimizer": peak // 5, "activations": peak // 2}
    training = {**parts, "temporaries": peak - sum(parts.values())}
    validation = {**dict.fromkeys(parts, 0), "temporaries": peak // 4}
    return {
        "device": {"name": "T4", "kind": "cuda", "count": 2, "room": 14_300_000_000},
        "memory": {"peak": peak, "training": training, "validation": validation},
        "flops_per_step": flops,
    }


SMALL = tuple(replace(fake, images=12) for fake in STUDY)
PLANNED = tuple(replace(fake, plan=plan(int(0.9 * fake.memory), 1e12 * (i + 1))) for i, fake in enumerate(SMALL))


def comparison_of(folder: Path, *fakes: Fake) -> Comparison:
    return compare([write_run(folder / str(i), fake) for i, fake in enumerate(fakes)])


def analysis_of(folder: Path, *fakes: Fake) -> Analysis:
    (group,) = comparison_of(folder, *fakes).groups
    return Analysis(group)


def blocks(section: Section | None, kind: type[Block]) -> list[Any]:
    """Every block of a kind, those that are folded away included."""
    assert section is not None
    inner = itertools.chain.from_iterable(b.blocks if isinstance(b, Fold) else (b,) for b in section.blocks)
    return [block for block in inner if isinstance(block, kind)]


def drawings(section: Section | None) -> dict[str, Drawing]:
    return {drawing.name: drawing for block in blocks(section, Figures) for drawing in block.drawings}


def words(section: Section | None) -> str:
    bullets = [item for block in blocks(section, Bullets) for item in block.items]
    return " ".join([*(block.text for block in blocks(section, Paragraph)), *bullets])


def texts(drawing: Drawing) -> list[str]:
    return ["".join(element.itertext()) for element in ElementTree.fromstring(drawing.svg()).iter(f"{SVG}text")]
