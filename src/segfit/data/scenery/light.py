"""What shines on a surface: sun and sky outdoors, windows and lamps within the walls of a room."""

from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np

from segfit.data.scenery.geometry import Points, Vec
from segfit.data.scenery.texture import Array, Color

__all__ = ["Daylight", "Lamp", "Light", "RoomLight"]


class Light(Protocol):
    """The light of a scene."""

    @property
    def even(self) -> bool:
        """Whether it is the same everywhere: a flat surface is then lit evenly."""
        ...

    def at(self, points: Points, normals: Points) -> Array:
        """Return the light `(n, 3)` that falls on `(n, 3)` points of surfaces with `(n, 3)` unit normals."""
        ...

    def shadow(self, points: Points) -> Points:
        """Return where on the ground `(n, 3)` points throw their shadow, `(n, 2)` as (x, z)."""
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

    sun: Vec
    sun_color: Color
    sky_color: Color
    ground_color: Color

    @property
    def even(self) -> bool:
        """The sun is far away: the same everywhere."""
        return True

    def at(self, points: Points, normals: Points) -> Array:
        """Return the light on points of surfaces (see `Light`)."""
        assert len(points) == len(normals)
        up = (0.5 + 0.5 * normals[:, 1:2]).astype(np.float32)
        facing = np.maximum((normals * self.sun).sum(1, keepdims=True), 0).astype(np.float32)
        light: Array = self.ground_color + (self.sky_color - self.ground_color) * up + self.sun_color * facing
        return light

    def shadow(self, points: Points) -> Points:
        """Return where points throw their shadow (see `Light`)."""
        slope = np.array((self.sun[0], self.sun[2])) / max(self.sun[1], 0.12)
        shadows: Points = points[:, ::2] - points[:, 1:2] * slope
        return shadows

    @cached_property
    def shadow_color(self) -> Color:
        """Factor on the colour of the ground in full shadow."""
        ambient = self.sky_color * np.float32(0.85)
        return (ambient / (self.sky_color + self.sun_color * max(self.sun[1], 0.05))).astype(np.float32)


@dataclass(frozen=True)
class Lamp:
    """Something that shines: a window, a ceiling light, a lamp.

    Attributes:
        position: (x, y, z).
        color: light at a distance of one metre.
        facing: unit vector in which a window shines; None shines in every direction.
    """

    position: Vec
    color: Color
    facing: Vec | None = None


@dataclass(frozen=True)
class RoomLight:
    """The light in a room: lamps, and what the walls scatter.

    Attributes:
        low: the room's corner (x, y, z) with the smallest coordinates.
        high: the opposite corner.
        ambient: scattered light.
        lamps: what shines.
    """

    low: Vec
    high: Vec
    ambient: Color
    lamps: tuple[Lamp, ...]

    @property
    def even(self) -> bool:
        """Lamps are near: not the same everywhere."""
        return False

    def at(self, points: Points, normals: Points) -> Array:
        """Return the light on points of surfaces (see `Light`)."""
        up = 0.92 + 0.08 * normals[:, 1:2]
        total = self.ambient * (up * self._openness(points, normals)).astype(np.float32)
        positions, colors, facings, anywhere = self._arrays
        towards = positions - points[:, None]
        square = (towards * towards).sum(2)
        towards /= np.sqrt(square)[..., None]
        facing = (normals[:, None] * towards).sum(2)
        # Wrapped diffuse light: the walls send some back, so nothing turns black.
        strength = np.maximum(0.75 * facing + 0.25, 0) / (square + 0.35)
        strength *= np.maximum(-(towards * facings).sum(2), 0.05) + anywhere
        light: Array = total + (strength.astype(np.float32)[..., None] * colors).sum(1)
        return light

    @cached_property
    def _arrays(self) -> tuple[Points, Array, Points, Points]:
        """The lamps' positions, colours, directions, and 1 for those without direction."""
        positions = np.array([lamp.position for lamp in self.lamps]).reshape(-1, 3)
        colors = np.array([lamp.color for lamp in self.lamps], np.float32).reshape(-1, 3)
        facings = np.array([lamp.facing or (0.0, 0.0, 0.0) for lamp in self.lamps]).reshape(-1, 3)
        # A lamp without direction has strength 0.05 from the floor of the directed term.
        anywhere = np.array([0.95 if lamp.facing is None else 0.0 for lamp in self.lamps])
        return positions, colors, facings, anywhere

    def _openness(self, points: Points, normals: Points) -> Points:
        """Return `(n, 1)` in (0, 1]: how much the walls nearby leave of the scattered light."""
        near_low = np.exp(np.maximum(points - self.low, 0) * -2.5)
        near_high = np.exp(np.maximum(np.array(self.high) - points, 0) * -2.5)
        # A wall does not darken itself.
        closed = (1 - 0.33 * near_low) * (1 - 0.33 * near_high)
        closed[np.abs(normals) >= 0.7] = 1
        openness: Points = closed.prod(1, keepdims=True)
        return openness

    def shadow(self, points: Points) -> Points:
        """Return where points throw their shadow (see `Light`): away from the ceiling's middle, softly."""
        middle = np.array(((self.low[0] + self.high[0]) / 2, (self.low[2] + self.high[2]) / 2))
        height = np.minimum(points[:, 1:2], self.high[1] * 0.6)
        reach = height / (self.high[1] - height)
        shadows: Points = points[:, ::2] + (points[:, ::2] - middle) * (reach * 0.6)
        return shadows

    @cached_property
    def shadow_color(self) -> Color:
        """Factor on the colour of the ground in full shadow."""
        return np.array((0.42, 0.40, 0.39), np.float32)
