"""Finished runs as `train` and `evaluate` leave them, with invented curves and scores, on a small drawn dataset."""

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit.config import Recipe, build_recipe
from segfit.evaluation.engine import Evaluation
from segfit.evaluation.facts import evaluation_facts
from segfit.evaluation.records import ImageRecord, Records, SparseConfusion, write_records
from segfit.labels import LabelSpace, LabelTable, distinct_colors, select

NAMES = ("sky", "wall", "grass", "tree", "water", "roof", "sun", "door")
RATIOS = (0.34, 0.05, 0.27, 0.12, 0.15, 0.03, 0.03, 0.01)


@dataclass(frozen=True, kw_only=True)
class Fake:
    """What an invented run is like; `quality` in [0, 1] drives its scores."""

    name: str = "unet-8"
    model: str = "unet"
    quality: float = 0.6
    epochs: int = 40
    peak: int | None = None
    batch: int = 16
    memory: int = 3_400_000_000
    memory_kind: str = "allocated on the GPU"
    seconds: float = 5530.0
    parameters: int = 31_037_000
    seed: int = 0
    names: tuple[str, ...] = NAMES
    top: int | None = None
    rest: str = "ignore"
    resize: str = "squash"
    window: str = "whole"
    score: str = "dice"
    device_name: str = "Tesla T4"
    images: int = 200
    history: int = 0
    changes: dict[str, Any] = field(default_factory=dict)
    plan: dict[str, Any] | None = None
    data: dict[str, Any] = field(default_factory=lambda: {"name": "folder", "root": "missing"})


def space(fake: Fake) -> LabelSpace:
    ratios = RATIOS if fake.names == NAMES else tuple(1 / (i + 2) ** 1.2 for i in range(len(fake.names)))
    table = LabelTable(
        ids=tuple(range(1, len(fake.names) + 1)),
        names=fake.names,
        colors=distinct_colors(len(fake.names)),
        ratios=ratios,
        ignored=(0,),
    )
    return select(table, top=fake.top, rest=fake.rest)  # type: ignore[arg-type]


def recipe(fake: Fake) -> Recipe:
    return build_recipe(
        {
            "name": fake.name,
            "data": fake.data,
            "labels": {"top": fake.top, "rest": fake.rest},
            "augment": {"preset": "paper", "size": [256, 256], "flip": 0.0},
            "model": {"name": fake.model},
            "optim": {"name": "adam", "lr": 1e-3},
            "train": {"epochs": fake.epochs, "batch": fake.batch, "seed": fake.seed, "device": "cpu", "workers": 1},
            "evaluate": {"resize": fake.resize, "window": fake.window, "batch": fake.batch, "score": fake.score},
        },
        [f"{key}={value}" for key, value in fake.changes.items()],
    )


def curve(fake: Fake) -> list[dict[str, float]]:
    """Return training loss, validation loss and scores for each epoch; past `peak` the validation gets worse."""
    rng = np.random.default_rng(fake.seed + len(fake.name))
    peak = fake.peak or fake.epochs
    values = []
    for epoch in range(1, fake.epochs + 1):
        learnt = 1 - math.exp(-4 * epoch / fake.epochs)
        late = max(0, epoch - peak) / fake.epochs
        noise = rng.normal(0, 0.006)
        dice = fake.quality * (0.15 + 0.85 * learnt) - 0.35 * late + noise - (0.03 if epoch != peak else 0)
        values.append(
            {
                "train": 2.1 * (1 - 0.93 * learnt * (0.6 + 0.4 * fake.quality)) + rng.normal(0, 0.012),
                "validation": 2.1 * (1 - 0.75 * learnt * fake.quality) + 1.6 * late + rng.normal(0, 0.02),
                "dice": float(np.clip(dice, 0.01, 0.99)),
            }
        )
    return values


def events(fake: Fake) -> list[dict[str, Any]]:
    steps = 120
    lines: list[dict[str, Any]] = [{"event": "start", "time": 0.0, "epoch": 0, "step": 0}]
    for epoch, values in enumerate(curve(fake), 1):
        step = epoch * steps
        common = {"epoch": epoch, "step": step, "time": epoch * fake.seconds / fake.epochs}
        speed = {"images_per_second": steps * fake.batch * fake.epochs / fake.seconds, "memory": fake.memory}
        loss = values["train"]
        lines.append({"event": "step", **common, "epoch": float(epoch), "loss": loss, "lr": 1e-3, **speed})
        lines.append({"event": "epoch", **common, "loss": loss, "seconds": fake.seconds / fake.epochs, **speed})
        scores = {"dice": values["dice"], "miou": iou(values["dice"]), "pixel_accuracy": values["dice"] ** 0.4}
        lines.append({"event": "validation", **common, "loss": values["validation"], **scores})
    return [*lines, {"event": "end", "time": fake.seconds, "epoch": fake.epochs, "step": fake.epochs * steps}]


def iou(dice: float) -> float:
    return dice / (2 - dice)


def records(fake: Fake) -> list[ImageRecord]:
    """Return what the run made of each image: the same images for all runs, better predictions for better runs.

    `history` stands for chance (another seed): runs that differ only in it are about equally good.
    """
    classes = len(space(fake).names)
    shares = np.array(RATIOS if fake.names == NAMES else [1 / (i + 2) ** 1.2 for i in range(len(fake.names))])
    shares = np.resize(shares, classes) / np.resize(shares, classes).sum()
    luck = np.random.default_rng([fake.history, *fake.name.encode()]).normal(0, 0.03, classes)
    return [_record(fake, number, shares, luck) for number in range(fake.images)]


def _record(fake: Fake, number: int, shares: NDArray[np.float64], luck: NDArray[np.float64]) -> ImageRecord:
    # What is there depends on the image alone, what is predicted on the run, too.
    there = np.random.default_rng(number)
    height, width = int(there.integers(40, 60)) * 10, 640
    present = there.random(len(shares)) < np.clip(8 * shares, 0.05, 1)
    present[np.argmax(shares)] = True
    weights = np.where(present, shares * there.gamma(1.0, 1.0, len(shares)), 0)
    target = there.multinomial(height * width, weights / weights.sum())
    difficulty = there.normal(0, 0.1)
    own = np.random.default_rng([number, fake.history, *fake.name.encode()])
    confusion = np.zeros((len(shares), len(shares)), np.int64)
    for row in np.flatnonzero(target):
        usual = fake.quality + 0.15 * shares[row] ** 0.25 + luck[row] - difficulty + own.normal(0, 0.08)
        right = float(np.clip(usual, 0.0, 0.99)) if fake.quality > 0.05 else 0.0
        others = weights + 1e-3 * shares
        others[row] = 0
        others = (1 - right) * others / others.sum()
        others[row] = right
        confusion[row] = own.multinomial(target[row], others)
    return ImageRecord(
        id=f"view-{number:02}",
        height=height,
        width=width,
        seconds=0.02 * (1 + own.random()),
        confusion=SparseConfusion.of(confusion),
    )


def metrics(fake: Fake) -> dict[str, Any]:
    made = records(fake)
    classes = len(space(fake).names)
    evaluation = Evaluation(confusion=Records.of(made, classes).total(), loss=0.7, records=made, seconds=41.5)
    best = max(curve(fake), key=lambda values: values["dice"])
    return {
        "training": {
            "epochs": fake.epochs,
            "steps": fake.epochs * 120,
            "batch": fake.batch,
            "seconds": fake.seconds,
            "memory": fake.memory,
            "memory_kind": fake.memory_kind,
            "images_per_second": fake.epochs * 120 * fake.batch / fake.seconds,
            "parameters": fake.parameters,
            "best_epoch": curve(fake).index(best) + 1,
            "best_score": best["dice"],
        },
        "evaluation": {
            **evaluation_facts(evaluation, space(fake), split="validation", checkpoint="best"),
            "resize": fake.resize,
            "window": fake.window,
        },
    }


def environment(fake: Fake) -> dict[str, Any]:
    return {
        "segfit": "0.1.0",
        "python": "3.11.9",
        "torch": "2.15.0",
        "device": "cuda",
        "device_name": fake.device_name,
        "cores": 4,
        "ranks": 2,
        "git": "1f2e3d4c",
        "platform": "Linux-6.8-x86_64",
        "started": "2026-11-20T09:30:00+00:00",
        "command": f"segfit train paper/{fake.name} data.root=ade20k train.seed={fake.seed}",
        "dataset": {"training": 800, "validation": 200, "fingerprint": "9b1c"},
    }


def write_run(folder: Path, fake: Fake, examples: dict[str, NDArray[np.uint8]] | None = None) -> Path:
    """Write a run folder; `examples` maps record ids to predicted train ids."""
    folder.mkdir(parents=True)
    (folder / "recipe.json").write_text(recipe(fake).model_dump_json())
    write_records(folder / "per_image.parquet", records(fake), len(space(fake).names))
    for name, value in {
        "labels": asdict(space(fake)),
        "environment": environment(fake),
        "metrics": metrics(fake),
    }.items():
        (folder / f"{name}.json").write_text(json.dumps(value))
    if fake.plan is not None:
        (folder / "plan.json").write_text(json.dumps(fake.plan))
    (folder / "events.jsonl").write_text("".join(json.dumps(event) + "\n" for event in events(fake)))
    for record, prediction in (examples or {}).items():
        path = folder / "examples" / f"{record}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), prediction)
    return folder


def save_evaluation(folder: Path, fake: Fake, name: str) -> Path:
    """Write what ``segfit evaluate --save`` leaves in a run folder, scored as `fake` is."""
    place = folder / "evaluations" / name
    place.mkdir(parents=True)
    write_records(place / "per_image.parquet", records(fake), len(space(fake).names))
    how = recipe(fake).model_dump(mode="json", include={"data", "evaluate"})
    facts = {"evaluation": metrics(fake)["evaluation"], **how, "command": f"segfit evaluate {folder} --save {name}"}
    (place / "evaluation.json").write_text(json.dumps(facts))
    return place


def edit_json(file: Path, *keys: str, value: Any) -> None:
    """Set one value inside a JSON file."""
    tree = json.loads(file.read_text())
    place = tree
    for key in keys[:-1]:
        place = place[key]
    place[keys[-1]] = value
    file.write_text(json.dumps(tree))


# --- a drawn dataset -------------------------------------------------------------------------------------------------

COLORS = ((150, 190, 225), (200, 180, 150), (110, 150, 80), (50, 95, 50), (70, 120, 160), (150, 70, 60),
          (250, 225, 130), (90, 60, 45))  # fmt: skip


def draw(number: int, size: tuple[int, int] = (180, 240)) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Return an RGB landscape and its mask of source ids (class + 1; 0 along the lower border is not annotated)."""
    rng = np.random.default_rng(number)
    height, width = size
    mask = np.full(size, 1, np.uint8)
    horizon = int(height * rng.uniform(0.45, 0.65))
    x = np.arange(width)
    hills = horizon + 0.06 * height * np.sin(x / width * rng.uniform(3, 7) + rng.uniform(0, 6))
    mask[np.arange(height)[:, None] > hills] = 3
    cv2.circle(mask, (int(width * rng.uniform(0.1, 0.9)), int(height * 0.15)), int(height * 0.08), 7, -1)
    if number % 2 == 0:
        shore = int(height * rng.uniform(0.72, 0.85))
        mask[shore:] = np.where(mask[shore:] == 3, 5, mask[shore:])
    for _ in range(rng.integers(2, 6)):
        centre = (int(width * rng.uniform(0, 1)), int(horizon - height * rng.uniform(0, 0.08)))
        cv2.ellipse(mask, centre, (int(width * 0.06), int(height * rng.uniform(0.1, 0.2))), 0, 0, 360, 4, -1)
    left, top = int(width * rng.uniform(0.1, 0.6)), int(horizon - height * 0.14)
    w, h = int(width * 0.24), int(height * 0.24)
    mask[top : top + h, left : left + w] = 2
    cv2.fillPoly(mask, [np.array([[left - 6, top], [left + w + 6, top], [left + w // 2, top - h // 2]], np.int32)], 6)
    mask[top + h // 2 : top + h, left + w // 3 : left + w // 3 + w // 6] = 8
    image = np.array(((0, 0, 0), *COLORS), np.float64)[mask]
    light = cv2.GaussianBlur(rng.normal(0, 60, (*size, 1)).astype(np.float32), (0, 0), 6)[..., None] * 3
    image = image + light + rng.normal(0, 7, (*size, 3)) + np.linspace(18, -18, height)[:, None, None]
    mask[-max(2, height // 60) :] = 0
    return np.clip(image, 0, 255).astype(np.uint8), mask


def write_dataset(root: Path, count: int = 6, size: tuple[int, int] = (180, 240)) -> Path:
    """Write drawn pairs as a folder dataset."""
    for split in ("training", "validation"):
        (root / "images" / split).mkdir(parents=True)
        (root / "masks" / split).mkdir(parents=True)
        for number in range(count):
            image, mask = draw(number, size)
            stem = f"view-{number:02}"
            assert cv2.imwrite(str(root / "images" / split / f"{stem}.jpg"), image[..., ::-1])
            assert cv2.imwrite(str(root / "masks" / split / f"{stem}.png"), mask)
    (root / "classes.txt").write_text("\n".join(NAMES) + "\n")
    return root


def predict(mask: NDArray[np.uint8], fake: Fake, seed: int) -> NDArray[np.uint8]:
    """Return train ids that are right about as often as the run is good: wobbly borders and wrong blobs."""
    rng = np.random.default_rng(seed)
    train = np.clip(mask.astype(int) - 1, 0, None).astype(np.uint8)
    height, width = mask.shape
    wobble = cv2.GaussianBlur(rng.normal(0, 1, (height, width, 2)).astype(np.float32), (0, 0), 7)
    wobble *= 90 * (1.05 - fake.quality)
    grid = np.stack(np.meshgrid(np.arange(width), np.arange(height)), axis=-1).astype(np.float32) + wobble
    warped = cv2.remap(train, grid, None, cv2.INTER_NEAREST, borderMode=cv2.BORDER_REPLICATE)
    blobs = cv2.GaussianBlur(rng.normal(0, 1, mask.shape).astype(np.float32), (0, 0), 9)
    wrong = blobs > np.quantile(blobs, min(1.0, 0.75 + fake.quality * 0.25))
    warped[wrong] = rng.integers(0, len(fake.names))
    return warped


def write_study(folder: Path, fakes: Sequence[Fake], count: int = 6, size: tuple[int, int] = (180, 240)) -> list[Path]:
    """Write a dataset and several runs on it, with predictions for every validation image."""
    root = write_dataset(folder / "dataset", count, size)
    runs = []
    for fake in fakes:
        here = replace(fake, data={"name": "folder", "root": str(root), "first": 1, "ignore": [0]})
        examples = {
            f"view-{number:02}": predict(draw(number, size)[1], fake, 100 * number + fake.batch)
            for number in range(count)
        }
        runs.append(write_run(folder / "runs" / fake.name, here, examples))
    return runs


STUDY = (
    Fake(name="unet-8", quality=0.66, memory=6_120_000_000, seconds=8.4 * 3600, batch=16, peak=31),
    Fake(
        name="attention-unet-8",
        model="attention_unet",
        quality=0.71,
        memory=4_630_000_000,
        seconds=6.9 * 3600,
        batch=32,
        peak=22,
        parameters=34_880_000,
    ),
    Fake(
        name="deeplabv3-8",
        model="deeplabv3",
        quality=0.58,
        memory=7_930_000_000,
        seconds=9.6 * 3600,
        batch=20,
        parameters=39_640_000,
    ),
    Fake(name="unet-small", quality=0.52, memory=1_250_000_000, seconds=2.2 * 3600, batch=24, parameters=1_944_000),
)
"""Four runs of one protocol, as a reader would compare them."""
