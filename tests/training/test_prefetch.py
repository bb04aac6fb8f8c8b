"""Batches reach the device in order, one ahead, and without loss."""

from collections.abc import Iterator

import pytest
import torch

from segfit.data.loader import Batch
from segfit.training import prefetch
from segfit.training.prefetch import on_device

CPU = torch.device("cpu")


def batch(number: int, *, pin: bool = False) -> Batch:
    images = torch.full((2, 8, 8, 3), number, dtype=torch.uint8)
    masks = torch.full((2, 8, 8), number, dtype=torch.uint8)
    if pin:
        images, masks = images.pin_memory(), masks.pin_memory()
    return Batch(ids=(str(number),), images=images.permute(0, 3, 1, 2), masks=masks)


class Batches(Iterator[Batch]):
    """So many batches, then perhaps an error; knows how many were asked for."""

    def __init__(self, count: int, error: Exception | None = None) -> None:
        self.count, self.error, self.asked = count, error, 0

    def __next__(self) -> Batch:
        if self.asked == self.count:
            raise self.error or StopIteration
        self.asked += 1
        return batch(self.asked - 1)


def test_on_a_cpu_batches_are_passed_on_as_they_are():
    batches = Batches(3)
    assert on_device(batches, CPU) is batches


@pytest.fixture
def ahead(monkeypatch):
    """What a GPU has instead, with copies that stay where they are; the order of things is the same."""
    copied, stream = [], object()
    monkeypatch.setattr(torch.cuda, "Stream", lambda _device: stream)

    def begin(batch, given):
        assert given is stream
        copied.append(int(batch.ids[0]))
        return batch, f"event {batch.ids[0]}"

    def arrived(batch, event):
        assert event == f"event {batch.ids[0]}"
        return batch

    monkeypatch.setattr(prefetch, "_begin_copy", begin)
    monkeypatch.setattr(prefetch, "_arrived", arrived)
    return lambda batches: (on_device(batches, torch.device("cuda")), copied)


@pytest.mark.parametrize("count", [0, 1, 2, 5])
def test_every_batch_arrives_in_order_while_the_next_one_is_copied(ahead, count):
    arriving, copied = ahead(Batches(count))
    for number, arrived in enumerate(arriving):
        assert arrived.ids == (str(number),)
        assert copied == list(range(min(number + 2, count)))
    assert copied == list(range(count))


def test_an_early_end_asks_for_one_more_and_closes(ahead):
    batches = Batches(9)
    arriving, _ = ahead(batches)
    next(arriving), next(arriving)
    arriving.close()
    assert batches.asked == 3


def test_an_error_is_passed_on(ahead):
    arriving, _ = ahead(Batches(2, ValueError("bad data")))
    assert next(arriving).ids == ("0",)
    with pytest.raises(ValueError, match="bad data"):
        next(arriving)
    assert list(arriving) == []


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_copies_on_a_gpu_are_whole_when_they_are_used():
    device = torch.device("cuda", 0)
    total = torch.zeros((), dtype=torch.int64, device=device)
    for arrived in on_device((batch(number % 200, pin=True) for number in range(1000)), device):
        assert arrived.images.device == arrived.masks.device == device
        assert arrived.images.is_contiguous(memory_format=torch.channels_last)
        total += arrived.images.sum() + arrived.masks.sum()
    assert total.item() == 5 * sum(range(200)) * 2 * 8 * 8 * 4
