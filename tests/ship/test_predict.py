"""Prediction takes the way of validation: the same maps, windows, and retreat when memory is full."""

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

import segfit
from segfit.data.decode import read_image
from segfit.errors import RunError
from segfit.evaluation.windows import sliding
from segfit.ship.predict import Predictor
from segfit.training.checkpoint import load_weights


@pytest.fixture(autouse=True)
def _lively(monkeypatch):
    """Give models a head that tells pixels apart: after two epochs the tiny one sees one class everywhere."""

    def load(file, model) -> None:
        load_weights(file, model)
        torch.manual_seed(0)
        blocks = torch.randint(0, 256, (4, 3, 8, 8)).repeat_interleave(6, 2).repeat_interleave(6, 3)
        with torch.no_grad():
            features = model.eval()(blocks.to(torch.uint8)).native.movedim(1, -1).flatten(0, 2)
            model.outc.conv.weight.normal_().div_(features.std(0)[:, None, None] + 1e-3)
            model.outc.conv.bias.copy_(-model.outc.conv.weight.flatten(1) @ features.mean(0))

    for place in ("segfit.use", "segfit.scoring"):
        monkeypatch.setattr(f"{place}.load_weights", load)


WINDOWS = {"whole": ["evaluate.window=whole"], "sliding": ["evaluate.window=sliding", "evaluate.overlap=0.5"]}


def wide_image() -> NDArray[np.uint8]:
    return np.random.default_rng(0).integers(0, 256, (50, 140, 3), dtype=np.uint8)


def plain(predictor: Predictor, image: NDArray[np.uint8], *, window: bool) -> NDArray[np.uint8]:
    """Return the label map by way of all scores at once."""
    inner = predictor.fit(image)
    size = inner.shape[:2]
    grid = sliding(size, window=predictor.fit.size if window else size, overlap=0.5)
    sums, counts = torch.zeros(1, len(predictor.labels), *size), torch.zeros(size)
    for rows, columns in grid.boxes():
        with torch.inference_mode():
            output = predictor.model(torch.from_numpy(inner[rows, columns])[None].permute(0, 3, 1, 2))
            sums[:, :, rows, columns] += output.dense(grid.window)
        counts[rows, columns] += 1
    scores = torch.nn.functional.interpolate(sums / counts, image.shape[:2], mode="bilinear")
    return scores[0].argmax(0).numpy()


@pytest.mark.parametrize("window", ["whole", "sliding"])
def test_the_recipe_chooses_the_windows(trained, window) -> None:
    predictor = segfit.load(trained, overrides=WINDOWS[window])
    mask = predictor(wide_image())
    assert mask.dtype == np.uint8
    assert mask.shape == (50, 140)
    same, other = (
        plain(predictor, wide_image(), window=windows) for windows in (window == "sliding", window == "whole")
    )
    assert (mask != same).mean() < 0.002
    assert (mask != other).mean() > 0.01
    assert len(np.unique(mask)) > 5


@pytest.mark.parametrize("window", ["whole", "sliding"])
def test_predicts_what_validation_scored(trained, window, tmp_path) -> None:
    chosen = [f"evaluate.window={window}"]
    facts = segfit.evaluate(trained, overrides=chosen)
    predictor = segfit.load(trained, overrides=chosen)
    root = segfit.folder.RunFolder(trained).recipe().data.root
    hits = pixels = 0
    seen = set()
    for mask_file in sorted((root / "annotations" / "validation").glob("*.png")):
        mask = predictor.labels.encode(cv2.imread(str(mask_file), cv2.IMREAD_UNCHANGED))
        found = predictor(read_image(root / "images" / "validation" / f"{mask_file.stem}.jpg"))
        seen |= set(found.flat)
        hits += int(((found == mask) & (mask != 255)).sum())
        pixels += int((mask != 255).sum())
    assert len(seen) > 5
    assert facts["scores"]["pixel_accuracy"] == pytest.approx(hits / pixels, abs=1e-9)


def test_full_memory_is_one_line(trained, monkeypatch, capsys) -> None:
    predictor = segfit.load(trained, overrides=["evaluate.window=sliding", "evaluate.batch=4"])
    expected = predictor(wide_image())
    score, room = predictor.model.predict, 1

    def little(x):
        if len(x) > room:
            raise torch.OutOfMemoryError
        return score(x)

    monkeypatch.setattr(predictor.model, "predict", little)
    assert (predictor(wide_image()) != expected).mean() < 0.002
    assert predictor(wide_image()) is not None
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["out of memory with 4 windows per forward pass: goes on with 1; to begin so, set evaluate.batch=1"]
    room = 0
    with pytest.raises(RunError, match="out of memory with a window of 48 x 48 pixels"):
        predictor(wide_image())


def test_what_is_no_image_is_refused(trained) -> None:
    predictor = segfit.load(trained)
    with pytest.raises(ValueError, match=r"an image is an \(H, W, 3\) uint8 array, not \(4, 4\) uint8"):
        predictor(np.zeros((4, 4), dtype=np.uint8))
