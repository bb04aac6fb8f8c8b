"""Ways of scoring whose results may be quoted beside those of others: what each of them leaves no choice about."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

__all__ = ["PROTOCOLS", "Protocol", "ProtocolName"]

ProtocolName = Literal["original", "mmseg", "paper"]


@dataclass(frozen=True, kw_only=True)
class Protocol:
    """A way of scoring.

    Attributes:
        locked: fields of the section ``evaluate`` and the values that the protocol fixes.
        words: what it means, in one line.
    """

    locked: Mapping[str, Any]
    words: str


PROTOCOLS: Mapping[ProtocolName, Protocol] = {
    "original": Protocol(
        locked={},
        words="input as in training, scored at each image's original size",
    ),
    "mmseg": Protocol(
        locked={"resize": "short-side"},
        words="short side 512 (long side at most 2048), bilinear, scored at each image's original size, as "
        "mmsegmentation does on ADE20K",
    ),
    "paper": Protocol(
        locked={"resize": "squash"},
        words="images and masks squashed to the training size and scored there",
    ),
}
"""Every protocol by its name."""

assert tuple(PROTOCOLS) == get_args(ProtocolName)
