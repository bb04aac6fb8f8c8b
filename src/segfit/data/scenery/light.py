"""What shines on a surface: sun and sky outdoors, windows and lamps within the walls of a room."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from segfit.data.scenery.geometry import Points
from segfit.data.scenery.texture import Array, Color

__all__ = ["Daylight", "Lamp", "Light", "RoomLight"]


class Light(Protocol):
    """The light of a scene."""

    def at(self, points: Points, normals: Points) -> Array:
        """Return the light `(n, 3)` that falls on `(n, 3)` points of surfaces with `(n, 3)` unit normals."""
        ...

    def shadow(self, points: Points) -> Points:
        """Return where `(n, 3)` points throw their shadow on the ground."""
        ...

    @property
    def shadow_color(self) -> Color:
        """Factor on the colour of the ground in full shadow."""
        ...


@dataclass(frozen=True)
class Daylight:
    """Sun, sky and the light that comes back from the ground.

    Attributes:
        sun: unit vector towards the sun.
        sun_color: light on a surface that faces the sun.
        sky_color: light from straight above.
        ground_color: light from below.
    """

    sun: Points
    sun_color: Color
    sky_color: Color
    ground_color: Color

    def at(self, points: Points, normals: Points) -> Array:
        """Return the light on points of surfaces (see `Light`)."""
        assert len(points) == len(normals)
        up = (0.5 + 0.5 * normals[:, 1:2]).astype(np.float32)
        facing = np.maximum((normals * self.sun).sum(1, keepdims=True), 0).astype(np.float32)
        return self.ground_color + (self.sky_color - self.ground_color) * up + self.sun_color * facing

    def shadow(self, points: Points) -> Points:
        """Return where points throw their shadow (see `Light`)."""
        length = points[:, 1:2] / max(float(self.sun[1]), 0.12)
        return points - self.sun * length

    @property
    def shadow_color(self) -> Color:
        """Factor on the colour of the ground in full shadow."""
        ambient = self.sky_color * 0.85
        return ambient / (self.sky_color + self.sun_color * np.float32(max(float(self.sun[1]), 0.05)))


@dataclass(frozen=True)
class Lamp:
    """Something that shines: a window, a ceiling light, a lamp.

    Attributes:
        position: (x, y, z).
        color: light at a distance of one metre.
        facing: unit vector in which a window shines; None shines in every direction.
    """

    position: Points
    color: Color
    facing: Points | None = None


@dataclass
class RoomLight:
    """The light in a room: lamps, and what the walls scatter.

    Attributes:
        low: the room's corner (x, y, z) with the smallest coordinates.
        high: the opposite corner.
        ambient: scattered light.
        lamps: more may be added while the room is furnished, before anything is drawn.
    """

    low: Points
    high: Points
    ambient: Color
    lamps: list[Lamp] = field(default_factory=list)

    def at(self, points: Points, normals: Points) -> Array:
        """Return the light on points of surfaces (see `Light`)."""
        up = (0.92 + 0.08 * normals[:, 1:2]).astype(np.float32)
        total = self.ambient * up * self._openness(points, normals)
        for lamp in self.lamps:
            towards = lamp.position - points
            square = (towards * towards).sum(1, keepdims=True)
            distance = np.sqrt(square)
            facing = (normals * towards).sum(1, keepdims=True) / distance
            # Wrapped diffuse light: the walls send some back, so nothing turns black.
            strength = np.maximum(0.75 * facing + 0.25, 0) / (square + 0.35)
            if lamp.facing is not None:
                strength *= np.maximum(-(towards * lamp.facing).sum(1, keepdims=True) / distance, 0.05)
            total = total + lamp.color * strength.astype(np.float32)
        return total

    def _openness(self, points: Points, normals: Points) -> Array:
        """Return `(n, 1)` in (0, 1]: how much the walls nearby leave of the scattered light."""
        near_low = np.exp(np.maximum(points - self.low, 0) / -0.4)
        near_high = np.exp(np.maximum(self.high - points, 0) / -0.4)
        # A wall does not darken itself.
        other = np.abs(normals) < 0.7
        closed = np.where(other, 1 - 0.33 * near_low, 1) * np.where(other, 1 - 0.33 * near_high, 1)
        return closed.prod(1, keepdims=True).astype(np.float32)

    def shadow(self, points: Points) -> Points:
        """Return where points throw their shadow (see `Light`): straight below the ceiling's middle, softly."""
        key = self.high * (0.5, 1, 0.5) + self.low * (0.5, 0, 0.5)
        height = np.minimum(points[:, 1:2], key[1] * 0.6)
        reach = height / (key[1] - height)
        return points + (points - key) * (reach * 0.7) * (1, 0, 1) - points * (0, 1, 0)

    @property
    def shadow_color(self) -> Color:
        """Factor on the colour of the ground in full shadow."""
        return np.array((0.42, 0.40, 0.39), np.float32)
