"""The contact sheet shows what training sees."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from segfit.config.resolving import PRESETS
from segfit.curation.opening import open_dataset
from segfit.curation.preview import _pairs, _row, preview
from segfit.curation.preview.sheet import GROUND, STRIPES, Row, _lines, _shortened, draw_sheet
from segfit.data import Sample
from segfit.data.loader import TrainLoader
from segfit.labels import IGNORE, LabelSpace
from segfit.parts import label_space

SMALL = ["augment.size=[48, 64]"]
LABELS = LabelSpace(
    names=("wall, partition", "tree", "never seen"),
    colors=((200, 40, 40), (20, 160, 60), (10, 20, 250)),
    to_train=((0, 0), (1, 1), (2, 2)),
)


def sample(height: int, width: int, label: int, name: str = "a") -> Row:
    image, mask = np.full((height, width, 3), 90, np.uint8), np.full((height, width), label, np.uint8)
    return Row(original=Sample(id=name, image=image, mask=mask), samples=[(image[:32, :32], mask[:32, :32])])


def colors(sheet: Image.Image) -> set[tuple[int, int, int]]:
    return {color for _, color in sheet.getcolors(sheet.width * sheet.height)}


# --- what is shown ---------------------------------------------------------------------------------------------------


def test_samples_are_those_of_training(scenes: Path) -> None:
    dataset = open_dataset(scenes, ["augment.preset=strong", *SMALL, "train.seed=3", "train.epochs=1"])
    recipe, labels = dataset.recipe, label_space(dataset.recipe, dataset.source)
    records = dataset.source.records("training")
    loader = TrainLoader(dataset.source, records, labels, recipe.augment, batch=6, seed=recipe.train.seed)
    rows = [_row(_pairs(dataset, "training", records, labels), i, recipe.augment, 3, 2) for i in range(len(records))]
    samples = {row.original.id: row.samples for row in rows}
    for epoch in (0, 1):
        for batch in loader.epoch(epoch):
            for name, image, mask in zip(batch.ids, batch.images, batch.masks, strict=True):
                np.testing.assert_array_equal(samples[name][epoch][0], image.permute(1, 2, 0))
                np.testing.assert_array_equal(samples[name][epoch][1], mask)


def test_samples_come_from_the_cache_that_training_reads(scenes: Path, tmp_path: Path, cli) -> None:
    cli("data", "prepare", scenes, tmp_path / "cache", "--short-side", 32)
    dataset = open_dataset(scenes, [f"data.cache={tmp_path / 'cache'}", *SMALL])
    records, labels = dataset.source.records("training"), label_space(dataset.recipe, dataset.source)
    cached, files = (_pairs(dataset, split, records, labels).read(0) for split in ("training", "validation"))
    assert cached.id == files.id
    assert min(cached.mask.shape) == 32 < min(files.mask.shape)


def test_the_same_seed_draws_the_same_sheet(scenes: Path, tmp_path: Path) -> None:
    dataset = open_dataset(scenes, SMALL)
    sheets = [
        preview(dataset, tmp_path / f"{name}.png", images=3, samples=2, seed=seed).read_bytes()
        for name, seed in (("a", None), ("b", 0), ("c", 1))
    ]
    assert sheets[0] == sheets[1] != sheets[2]


def test_more_images_than_there_are_means_all(scenes: Path, tmp_path: Path) -> None:
    calls = []
    dataset = open_dataset(scenes, [*SMALL, "data.limit_train=3"])
    preview(dataset, tmp_path / "a.png", images=50, samples=1, progress=lambda *call: calls.append(call))
    assert calls == [(0, 3), (1, 3), (2, 3)]


def test_the_limit_of_the_validation_split_holds(scenes: Path, tmp_path: Path) -> None:
    calls = []
    dataset = open_dataset(scenes, [*SMALL, "data.limit_validation=2"])
    target = tmp_path / "a.png"
    preview(dataset, target, samples=1, split="validation", progress=lambda *call: calls.append(call))
    assert calls == [(0, 2), (1, 2)]


# --- the sheet -------------------------------------------------------------------------------------------------------


def test_the_legend_has_the_classes_that_occur() -> None:
    seen = colors(draw_sheet([sample(40, 60, 1), sample(40, 60, 0)], LABELS, "title", ["one", "two"]))
    assert {LABELS.colors[0], LABELS.colors[1]} <= seen
    assert LABELS.colors[2] not in seen
    assert GROUND not in seen


def test_ignored_pixels_are_hatched() -> None:
    seen = colors(draw_sheet([sample(40, 60, IGNORE)], LABELS, "title", ["one"]))
    assert not seen & set(LABELS.colors)
    assert {GROUND, STRIPES} <= seen  # of the legend; over a picture they let a little of it through
    shown = {tuple(int(0.85 * value + 0.15 * 90) for value in color) for color in (GROUND, STRIPES)}
    assert shown <= seen


@pytest.mark.parametrize(("height", "width"), [(32, 32), (1000, 32), (32, 3000), (700, 900)])
def test_pictures_of_any_shape_fit(height: int, width: int) -> None:
    sheet = draw_sheet([sample(height, width, 1, "x" * 300), sample(64, 64, 1, "\udcff\udcfe")], LABELS, "t", ["one"])
    assert sheet.width < 1000
    assert sheet.height < 1000
    assert LABELS.colors[1] in colors(sheet)


def test_long_names_keep_their_beginning_and_their_end() -> None:
    assert _shortened("short.png", 200) == "short.png"
    name = _shortened("recordings/2026-11-22/camera-front-left/frame-000123", 200)
    front, end = name.split("…")
    assert "recordings/2026".startswith(front)
    assert end.endswith("frame-000123")
    assert _shortened("name", 0) == "…"


def test_settings_are_broken_between_two_of_them() -> None:
    settings = [f"setting {number}" for number in range(20)]
    lines = _lines(settings, 400)
    assert len(lines) > 2
    assert [part for line in lines for part in line.split("  ·  ")] == settings


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_writes_a_sheet_and_says_where(scenes: Path, tmp_path: Path, cli) -> None:
    out = tmp_path / "new" / "sheet.png"
    options = ("--out", out, "--images", 2, "--samples", 3)
    assert cli("data", "preview", scenes, *SMALL, *options).stdout == f"{out}\n"
    with Image.open(out) as sheet:
        assert sheet.format == "PNG"
        narrow = sheet.width
    facts = json.loads(
        cli("data", "preview", scenes, *SMALL, *options[:-1], 4, "--split", "validation", "--json").stdout
    )
    assert facts["file"] == str(out)
    assert facts["split"] == "validation"
    assert facts["augment"] == {
        "preset": "standard", "size": [48, 64], **PRESETS["standard"], "scale": [0.5, 2.0]
    }  # fmt: skip
    with Image.open(out) as sheet:
        assert sheet.width > narrow + 200


def test_a_run_is_shown_as_it_was_trained(trained: Path, tmp_path: Path, cli) -> None:
    facts = json.loads(cli("data", "preview", trained, "--out", tmp_path / "a.png", "--images", 1, "--json").stdout)
    assert facts["augment"]["size"] == [48, 48]
    assert facts["augment"]["scale"] == [0.8, 1.25]


def test_wrong_input_is_refused_and_nothing_written(scenes: Path, tmp_path: Path, cli) -> None:
    for arguments, message in (
        (("--out", tmp_path / "a.jpg"), "a.jpg: the preview is a PNG: give it a name that ends in .png"),
        (("--out", tmp_path / "a.png", "--split", "holdout"), "holdout"),
        (("--out", tmp_path / "a.png", "augment.colour=1"), "augment.colour"),
        (("--out", tmp_path / "a.png", "--images", "0"), "--images"),
    ):
        done = cli("data", "preview", scenes, *arguments, check=2)
        assert message in done.stderr
    assert list(tmp_path.iterdir()) == []
