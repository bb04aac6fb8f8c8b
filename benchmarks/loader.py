"""What a loader costs beside its work: segfit's processes against torch's DataLoader, in turn, with nothing to do.

Both hand over batches of 8 pairs of 512x512 pixels that need neither reading nor augmenting, so the time per pair is
that of copying it into a batch and bringing the batch to the main process.
"""

import argparse
import json
import statistics
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import cycle, islice

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from segfit.data.loader.memory import Fresh, Places, Shared
from segfit.data.loader.pool import AHEAD, Note, Pool

BATCH, SIDE = 8, 512
IMAGE = np.full((SIDE, SIDE, 3), 7, np.uint8)
MASK = np.full((SIDE, SIDE), 3, np.uint8)

Pair = tuple[np.ndarray, np.ndarray]


class Pairs(Dataset[Pair]):
    """As many pairs as are asked for."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Pair:
        return IMAGE.copy(), MASK.copy()


def stack(pairs: list[Pair]) -> tuple[Tensor, Tensor]:
    """Make a batch for the DataLoader, without its detour over one tensor per pair."""
    images, masks = zip(*pairs, strict=True)
    return torch.from_numpy(np.stack(images)), torch.from_numpy(np.stack(masks))


@dataclass
class Fill:
    """Makes a batch in its place, as segfit's workers do."""

    places: Places

    def __call__(self, place: int, note: Note) -> None:
        """Fill a place."""
        images, masks = self.places.open(place)
        for position in range(BATCH):
            note(position)
            images[position], masks[position] = IMAGE, MASK


class Segfit:
    """segfit's loader processes on the job above."""

    def __init__(self, count: int, workers: int) -> None:
        self.count = count
        size = (SIDE, SIDE)
        self.places: Places = Fresh(BATCH, size, pin=False)
        if workers:
            self.places = Shared(AHEAD * workers, BATCH, size, pin=False)
        self.pool = Pool(Fill(self.places), workers, str)

    def __iter__(self) -> Iterator[tuple[Tensor, Tensor]]:
        places = list(islice(cycle(range(self.places.count)), self.count // BATCH))
        for place, _ in zip(places, self.pool.results(places), strict=True):
            yield self.places.take(place)


def seconds_per_pair(loader: Iterable[tuple[Tensor, Tensor]], count: int) -> float:
    """Read one epoch and return the wall time per pair."""
    began = time.perf_counter()
    for images, _masks in loader:
        assert images.shape[0] == BATCH
    return (time.perf_counter() - began) / count


def main() -> None:
    """Measure both with 0, 1 and 2 workers and print milliseconds per pair."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=1600)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    facts = []
    for workers in (0, 1, 2):
        count = options.pairs
        loaders = {
            "segfit": Segfit(count, workers),
            "DataLoader": DataLoader(
                Pairs(count), BATCH, num_workers=workers, collate_fn=stack, persistent_workers=workers > 0
            ),
        }
        times: dict[str, list[float]] = {name: [] for name in loaders}
        for _ in range(options.rounds + 1):
            for name, loader in loaders.items():
                times[name].append(seconds_per_pair(loader, count))
        medians = {name: 1e3 * statistics.median(taken[1:]) for name, taken in times.items()}
        facts.append({"workers": workers, **medians, "ratio": medians["DataLoader"] / medians["segfit"]})
    if options.json:
        print(json.dumps(facts, indent=2))
        return
    table = Table("workers", "segfit, ms per pair", "DataLoader, ms per pair", "DataLoader ÷ segfit")
    for row in facts:
        table.add_row(str(row["workers"]), f"{row['segfit']:.2f}", f"{row['DataLoader']:.2f}", f"{row['ratio']:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
