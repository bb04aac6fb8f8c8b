"""The next batch is on its way to the GPU while the model trains on this one."""

from collections.abc import Iterator

import torch

from segfit.data.loader import Batch

__all__ = ["on_device"]


def on_device(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    """Yield the batches on the device, in order.

    For a GPU the batch after the one that is yielded has been asked for, and its copy has begun on a stream of its own:
    it takes no time from the step if the batch is in page-locked memory. What `batches` raises comes one batch early.

    Args:
        batches: on the CPU.
        device: of the model.
    """
    return _copied_ahead(batches, device) if device.type == "cuda" else batches


def _copied_ahead(batches: Iterator[Batch], device: torch.device) -> Iterator[Batch]:
    stream = torch.cuda.Stream(device)  # type: ignore[no-untyped-call]
    coming: tuple[Batch, torch.cuda.Event] | None = None
    for batch in batches:
        copied = _begin_copy(batch, stream)
        if coming is not None:
            yield _arrived(*coming)
        coming = copied
    if coming is not None:
        yield _arrived(*coming)


def _begin_copy(batch: Batch, stream: torch.cuda.Stream) -> tuple[Batch, torch.cuda.Event]:
    """Return the batch as it will be on the GPU, and the event of its being there."""
    with torch.cuda.stream(stream):
        images = batch.images.to(stream.device, non_blocking=True)
        masks = batch.masks.to(stream.device, non_blocking=True)
        return Batch(ids=batch.ids, images=images, masks=masks), stream.record_event()


def _arrived(batch: Batch, there: torch.cuda.Event) -> Batch:
    """Let the stream on which the model computes wait for a batch, and keep its memory until that stream is done."""
    current = torch.cuda.current_stream(batch.images.device)
    current.wait_event(there)
    for tensor in (batch.images, batch.masks):
        tensor.record_stream(current)
    return batch
