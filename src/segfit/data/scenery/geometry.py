"""Where things are: the camera, places on the ground, and flat frames in space.

World coordinates are metres: x to the right, y up, z away from the viewer (left-handed); the ground is y = 0. Every
sine and cosine is rounded here, and no BLAS is used: the rest is multiplication, addition, division and square root,
which IEEE 754 defines to the last bit, so that a mask has the same bytes on every platform.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["Camera", "Frame", "Place", "Points", "ellipse", "rectangle", "rounded", "turn"]

Points = NDArray[np.float64]
"""`(n, 3)` positions or `(n, 2)` positions within a frame."""

NEAR = 0.12
"""Distance (m) before the camera at which faces are cut off."""

_GRID = 2.0**20


def turn(angle: float) -> tuple[float, float]:
    """Return cosine and sine of `angle` (radians), rounded to a fixed grid."""
    return round(math.cos(angle) * _GRID) / _GRID, round(math.sin(angle) * _GRID) / _GRID


def ellipse(radius_x: float, radius_y: float, *, sides: int = 16, start: float = 0.0, sweep: float = 1.0) -> Points:
    """Return `(sides, 2)` points of an ellipse around (0, 0); `start` and `sweep` in turns cut out an arc."""
    steps = sides if sweep == 1.0 else sides - 1
    angles = [turn(2 * math.pi * (start + sweep * i / steps)) for i in range(sides)]
    return np.array([(c * radius_x, s * radius_y) for c, s in angles])


def rectangle(left: float, bottom: float, right: float, top: float) -> Points:
    """Return the four corners of an upright rectangle."""
    return np.array([(left, bottom), (right, bottom), (right, top), (left, top)])


def rounded(left: float, bottom: float, right: float, top: float, radius: float) -> Points:
    """Return a rectangle with rounded corners."""
    radius = min(radius, (right - left) / 2, (top - bottom) / 2)
    centers = ((right, top, -1, -1), (left, top, 1, -1), (left, bottom, 1, 1), (right, bottom, -1, 1))
    arcs = [
        ellipse(radius, radius, sides=4, start=i / 4, sweep=0.25) + (x + dx * radius, y + dy * radius)
        for i, (x, y, dx, dy) in enumerate(centers)
    ]
    return np.concatenate(arcs)


@dataclass(frozen=True)
class Frame:
    """A flat piece of space: a point (a, b) of it lies at ``origin + a * u + b * v``.

    Seen from its front, u points to the right and v up.
    """

    origin: Points
    u: Points
    v: Points

    def at(self, points: Points) -> Points:
        """Return the world positions `(n, 3)` of `(n, 2)` points."""
        world: Points = self.origin + points[:, :1] * self.u + points[:, 1:] * self.v
        return world

    @property
    def normal(self) -> Points:
        """The unit vector towards the front."""
        normal = cross(self.v, self.u)
        unit: Points = normal / math.sqrt(dot(normal, normal))
        return unit


@dataclass(frozen=True)
class Place:
    """Where an object stands: its origin on the ground and the way it faces.

    In local coordinates an object is seen from the front by a viewer at negative z.
    """

    x: float
    y: float
    z: float
    cos: float = 1.0
    sin: float = 0.0

    @classmethod
    def facing(cls, x: float, y: float, z: float, angle: float = 0.0) -> "Place":
        """Return the place at (x, y, z) turned by `angle` (radians; positive turns the right side away)."""
        return cls(x, y, z, *turn(angle))

    @property
    def right(self) -> Points:
        """Local x in the world."""
        return np.array((self.cos, 0.0, self.sin))

    @property
    def back(self) -> Points:
        """Local z in the world."""
        return np.array((-self.sin, 0.0, self.cos))

    def point(self, local: ArrayLike) -> Points:
        """Return world positions of local ones; shape `(..., 3)` stays."""
        p = np.asarray(local, dtype=np.float64)
        world = np.empty_like(p)
        world[..., 0] = self.x + p[..., 0] * self.cos - p[..., 2] * self.sin
        world[..., 1] = self.y + p[..., 1]
        world[..., 2] = self.z + p[..., 0] * self.sin + p[..., 2] * self.cos
        return world

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, angle: float = 0.0) -> "Place":
        """Return the place at local (x, y, z), turned further by `angle`."""
        p = self.point((x, y, z))
        c, s = turn(angle)
        return Place(
            float(p[0]), float(p[1]), float(p[2]), self.cos * c - self.sin * s, self.sin * c + self.cos * s
        )

    def front(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Frame:
        """Return the upright frame at local (x, y, z) that faces as the place does."""
        return Frame(self.point((x, y, z)), self.right, UP)

    def side(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Frame:
        """Return the upright frame at local (x, y, z) seen from the place's right; its u is local z."""
        return Frame(self.point((x, y, z)), self.back, UP)

    def flat(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Frame:
        """Return the horizontal frame at local (x, y, z), seen from above; its v is local z."""
        return Frame(self.point((x, y, z)), self.right, self.back)


UP: Points = np.array((0.0, 1.0, 0.0))


@dataclass(frozen=True)
class Camera:
    """A pinhole camera.

    Attributes:
        width: pixels.
        height: pixels.
        focal: focal length in pixels.
        eye: position (x, y, z).
        yaw: radians, positive looks to the right.
        pitch: radians, positive looks up.
    """

    width: int
    height: int
    focal: float
    eye: tuple[float, float, float]
    yaw: float = 0.0
    pitch: float = 0.0

    @cached_property
    def axes(self) -> Points:
        """The camera's right, up and forward directions in the world, as rows."""
        cy, sy = turn(self.yaw)
        cp, sp = turn(self.pitch)
        return np.array(((cy, 0.0, -sy), (-sy * sp, cp, -cy * sp), (sy * cp, sp, cy * cp)))

    @cached_property
    def position(self) -> Points:
        """The eye as an array."""
        return np.array(self.eye)

    def rotate(self, vectors: Points) -> Points:
        """Turn `(..., 3)` world directions into the camera's: right, up, forward."""
        axes = self.axes
        x, y, z = vectors[..., 0], vectors[..., 1], vectors[..., 2]
        return np.stack([a[0] * x + a[1] * y + a[2] * z for a in axes], axis=-1)

    def view(self, points: Points) -> Points:
        """Return `(..., 3)` world positions relative to the camera: right, up, forward."""
        return self.rotate(points - self.position)

    def world(self, directions: Points) -> Points:
        """Turn `(..., 3)` directions of the camera into the world's."""
        axes = self.axes
        x, y, z = directions[..., :1], directions[..., 1:2], directions[..., 2:]
        result: Points = x * axes[0] + y * axes[1] + z * axes[2]
        return result

    def project(self, view: Points) -> Points:
        """Return the pixel positions `(n, 2)` of `(n, 3)` camera positions; (0, 0) is the image's corner."""
        x = self.width / 2 + self.focal * view[:, 0] / view[:, 2]
        y = self.height / 2 - self.focal * view[:, 1] / view[:, 2]
        return np.stack([x, y], axis=-1)

    def clip(self, view: Points) -> Points:
        """Cut a polygon in camera positions `(n, 3)` to what may be seen; the result may be empty."""
        for plane in self._planes(view):
            distance = plane[0] * view[:, 0] + plane[1] * view[:, 1] + plane[2] * view[:, 2] - plane[3]
            if distance.min(initial=0.0) < 0:
                view = _cut(view, distance)
        return view

    def _planes(self, view: Points) -> Sequence[tuple[float, float, float, float]]:
        """Return the planes to cut at: the near one first, then far beyond the image's borders (a guard band)."""
        near = (0.0, 0.0, 1.0, NEAR)
        wide = 3 * self.width / self.focal
        high = 3 * self.height / self.focal
        if len(view) == 0 or (view[:, 2].min() > NEAR * 8):
            return (near,)
        return (
            near,
            (1.0, 0.0, wide, 0.0),
            (-1.0, 0.0, wide, 0.0),
            (0.0, 1.0, high, 0.0),
            (0.0, -1.0, high, 0.0),
        )


def _cut(polygon: Points, distance: NDArray[np.float64]) -> Points:
    """Return the part of a polygon with positive distance (Sutherland and Hodgman 1974)."""
    kept: list[Points] = []
    for i in range(len(polygon)):
        j = i - 1
        if (distance[i] < 0) != (distance[j] < 0):
            share = distance[j] / (distance[j] - distance[i])
            kept.append(polygon[j] + share * (polygon[i] - polygon[j]))
        if distance[i] >= 0:
            kept.append(polygon[i])
    return np.array(kept).reshape(-1, 3)


def cross(a: Points, b: Points) -> Points:
    """Return the cross product of two vectors."""
    return np.array((a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]))


def dot(a: Points, b: Points) -> float:
    """Return the dot product of two vectors, summed in order."""
    return float(a[0] * b[0] + a[1] * b[1] + a[2] * b[2])
