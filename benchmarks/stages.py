"""Where segfit's time goes, from files and from its caches."""

import time
from collections.abc import Callable

from contenders import Task
from segfit.data.augment import augment, rng_for
from segfit.data.cache import Cache
from segfit.data.decode import read_image

__all__ = ["measure_stages"]


def measure_stages(task: Task, rounds: int) -> dict[str, float]:
    """Return the milliseconds per pair of each stage, the least of several rounds.

    Stages are timed one by one over all images; reading includes the operating system's part.
    """
    records = task.records
    decoded = [(read_image(record.image), task.source.read_mask(record)) for record in records]
    trains = [task.labels.encode(mask) for _, mask in decoded]
    raw, jpeg = (Cache.open(folder, records, task.source) for folder in (task.raw, task.jpeg))
    stages: dict[str, Callable[[int], object]] = {
        "files: read bytes": lambda i: (records[i].image.read_bytes(), records[i].mask.read_bytes()),
        "files: read and decode image": lambda i: read_image(records[i].image),
        "files: read and decode mask": lambda i: task.source.read_mask(records[i]),
        "raw cache: read": lambda i: [int(part[::64].sum()) for part in raw.read(i)],
        "JPEG cache: read and decode": jpeg.read,
        "encode labels": lambda i: task.labels.encode(decoded[i][1]),
        "augment standard": lambda i: augment(decoded[i][0], trains[i], task.standard, rng_for(0, 0, records[i].id)),
        "augment paper": lambda i: augment(decoded[i][0], trains[i], task.paper, rng_for(0, 0, records[i].id)),
    }
    least = dict.fromkeys(stages, float("inf"))
    for _ in range(rounds):
        for name, stage in stages.items():
            began = time.perf_counter()
            for i in range(len(records)):
                stage(i)
            least[name] = min(least[name], (time.perf_counter() - began) / len(records) * 1e3)
    return least
