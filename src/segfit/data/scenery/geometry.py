"""Where things are: the camera, places on the ground, and flat frames in space.

World coordinates are metres: x to the right, y up, z away from the viewer (left-handed); the ground is y = 0. Every
sine and cosine is rounded here, and no BLAS is used: the rest is multiplication, addition, division and square root,
which IEEE 754 defines to the last bit, so that a mask has the same bytes on every platform. Single vectors are plain
tuples: for three numbers Python is several times faster than an array.
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = [
    "UP", "Camera", "Frame", "Place", "Points", "Vec", "add", "cross", "dot", "ellipse", "rectangle", "rounded",
    "scale", "turn", "unit",
]  # fmt: skip

Points = NDArray[np.float64]
"""`(n, 3)` positions or `(n, 2)` positions within a frame."""

Vec = tuple[float, float, float]

UP: Vec = (0.0, 1.0, 0.0)

NEAR = 0.12
"""Distance (m) before the camera at which faces are cut off."""

GRID = 2.0**20


def turn(angle: float) -> tuple[float, float]:
    """Return cosine and sine of `angle` (radians), rounded to a fixed grid."""
    return round(math.cos(angle) * GRID) / GRID, round(math.sin(angle) * GRID) / GRID


def cross(a: Vec, b: Vec) -> Vec:
    """Return the cross product."""
    return a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]


def dot(a: Vec, b: Vec) -> float:
    """Return the dot product."""
    return a[0] * b[0] + a[1] * b[1] + a[2] * b[2]


def add(a: Vec, b: Vec, factor: float = 1.0) -> Vec:
    """Return a + factor * b."""
    return a[0] + factor * b[0], a[1] + factor * b[1], a[2] + factor * b[2]


def scale(a: Vec, factor: float) -> Vec:
    """Return factor * a."""
    return a[0] * factor, a[1] * factor, a[2] * factor


def unit(a: Vec) -> Vec:
    """Return a vector of length 1."""
    return scale(a, 1 / math.sqrt(dot(a, a)))


def ellipse(
    radius_x: float,
    radius_y: float,
    *,
    center: tuple[float, float] = (0.0, 0.0),
    sides: int = 16,
    start: float = 0.0,
    sweep: float = 1.0,
) -> Points:
    """Return `(sides, 2)` points of an ellipse; `start` and `sweep` in turns cut out an arc."""
    steps = sides if sweep == 1.0 else sides - 1
    angles = [turn(2 * math.pi * (start + sweep * i / steps)) for i in range(sides)]
    return np.array([(center[0] + c * radius_x, center[1] + s * radius_y) for c, s in angles])


def rectangle(left: float, bottom: float, right: float, top: float) -> Points:
    """Return the four corners of an upright rectangle."""
    return np.array([(left, bottom), (right, bottom), (right, top), (left, top)])


def rounded(left: float, bottom: float, right: float, top: float, radius: float) -> Points:
    """Return a rectangle with rounded corners."""
    radius = min(radius, (right - left) / 2, (top - bottom) / 2)
    centers = ((right, top, -1, -1), (left, top, 1, -1), (left, bottom, 1, 1), (right, bottom, -1, 1))
    arcs = [
        ellipse(radius, radius, center=(x + dx * radius, y + dy * radius), sides=4, start=i / 4, sweep=0.25)
        for i, (x, y, dx, dy) in enumerate(centers)
    ]
    return np.concatenate(arcs)


@dataclass(frozen=True, slots=True)
class Frame:
    """A flat piece of space: a point (a, b) of it lies at ``origin + a * u + b * v``.

    Seen from its front, u points to the right and v up.
    """

    origin: Vec
    u: Vec
    v: Vec

    def at(self, points: Points) -> Points:
        """Return the world positions `(n, 3)` of `(n, 2)` points."""
        world: Points = np.array(self.origin) + points[:, :1] * np.array(self.u) + points[:, 1:] * np.array(self.v)
        return world

    def moved(self, a: float = 0.0, b: float = 0.0, ahead: float = 0.0) -> "Frame":
        """Return the frame whose origin is (a, b) of this one, `ahead` metres before it."""
        origin = add(add(self.origin, self.u, a), self.v, b)
        return Frame(add(origin, self.normal, ahead) if ahead else origin, self.u, self.v)

    @property
    def normal(self) -> Vec:
        """The unit vector towards the front."""
        return unit(cross(self.v, self.u))


@dataclass(frozen=True, slots=True)
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
    def right(self) -> Vec:
        """Local x in the world."""
        return self.cos, 0.0, self.sin

    @property
    def left(self) -> Vec:
        """The opposite of `right`."""
        return -self.cos, 0.0, -self.sin

    @property
    def back(self) -> Vec:
        """Local z in the world."""
        return -self.sin, 0.0, self.cos

    @property
    def ahead(self) -> Vec:
        """The opposite of `back`."""
        return self.sin, 0.0, -self.cos

    def at(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Vec:
        """Return the world position of a local one."""
        return self.x + x * self.cos - z * self.sin, self.y + y, self.z + x * self.sin + z * self.cos

    def points(self, local: ArrayLike) -> Points:
        """Return world positions `(n, 3)` of local ones."""
        p = np.asarray(local, dtype=np.float64)
        x = self.x + p[:, 0] * self.cos - p[:, 2] * self.sin
        z = self.z + p[:, 0] * self.sin + p[:, 2] * self.cos
        return np.stack([x, self.y + p[:, 1], z], axis=-1)

    def local(self, world: Vec) -> Vec:
        """Return the local position of a world one."""
        x, z = world[0] - self.x, world[2] - self.z
        return x * self.cos + z * self.sin, world[1] - self.y, z * self.cos - x * self.sin

    def moved(self, x: float = 0.0, y: float = 0.0, z: float = 0.0, angle: float = 0.0) -> "Place":
        """Return the place at local (x, y, z), turned further by `angle`."""
        c, s = turn(angle)
        return Place(*self.at(x, y, z), self.cos * c - self.sin * s, self.sin * c + self.cos * s)

    def front(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Frame:
        """Return the upright frame at local (x, y, z) that faces as the place does."""
        return Frame(self.at(x, y, z), self.right, UP)

    def rear(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Frame:
        """Return the upright frame at local (x, y, z) seen from behind; its u is negative local x."""
        return Frame(self.at(x, y, z), self.left, UP)

    def side(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Frame:
        """Return the upright frame at local (x, y, z) seen from the place's right; its u is local z."""
        return Frame(self.at(x, y, z), self.back, UP)

    def flat(self, x: float = 0.0, y: float = 0.0, z: float = 0.0) -> Frame:
        """Return the horizontal frame at local (x, y, z), seen from above; its v is local z."""
        return Frame(self.at(x, y, z), self.right, self.back)


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
    eye: Vec
    yaw: float = 0.0
    pitch: float = 0.0

    @cached_property
    def axes(self) -> tuple[Vec, Vec, Vec]:
        """The camera's right, up and forward directions in the world."""
        cy, sy = turn(self.yaw)
        cp, sp = turn(self.pitch)
        return (cy, 0.0, -sy), (-sy * sp, cp, -cy * sp), (sy * cp, sp, cy * cp)

    def rotate(self, a: Vec) -> Vec:
        """Turn a world direction into the camera's: right, up, forward."""
        r, u, f = self.axes
        # Plain floats: NumPy scalars among them would be slow, and widen the arrays made of them.
        x, y, z = map(float, a)
        return (
            r[0] * x + r[1] * y + r[2] * z,
            u[0] * x + u[1] * y + u[2] * z,
            f[0] * x + f[1] * y + f[2] * z,
        )

    def view(self, point: Vec) -> Vec:
        """Return a world position relative to the camera: right, up, forward."""
        e = self.eye
        return self.rotate((point[0] - e[0], point[1] - e[1], point[2] - e[2]))

    def project(self, view: Vec) -> tuple[float, float]:
        """Return the pixel position of a camera position; (0, 0) is the image's upper left corner."""
        share = self.focal / view[2]
        return self.width / 2 + view[0] * share, self.height / 2 - view[1] * share

    def outline(self, view: list[Vec]) -> list[tuple[float, float]]:
        """Return the pixel positions of a polygon in camera positions, cut to what may be seen; may be empty."""
        nearest = min(point[2] for point in view)
        if nearest < NEAR * 8:
            view = self._clip(view)
        share, x, y = self.focal, self.width / 2, self.height / 2
        return [(x + p[0] * share / p[2], y - p[1] * share / p[2]) for p in view]

    def _clip(self, view: list[Vec]) -> list[Vec]:
        """Cut a polygon at the near plane and far beyond the image's borders (a guard band)."""
        wide, high = 3 * self.width / self.focal, 3 * self.height / self.focal
        planes = (
            (0.0, 0.0, 1.0, NEAR),
            (1.0, 0.0, wide, 0.0),
            (-1.0, 0.0, wide, 0.0),
            (0.0, 1.0, high, 0.0),
            (0.0, -1.0, high, 0.0),
        )
        for a, b, c, d in planes:
            distance = [a * p[0] + b * p[1] + c * p[2] - d for p in view]
            if distance and min(distance) < 0:
                view = _cut(view, distance)
        return view


def _cut(polygon: list[Vec], distance: list[float]) -> list[Vec]:
    """Return the part of a polygon with positive distance (Sutherland and Hodgman 1974)."""
    kept: list[Vec] = []
    for i, point in enumerate(polygon):
        j = i - 1
        if (distance[i] < 0) != (distance[j] < 0):
            share = distance[j] / (distance[j] - distance[i])
            kept.append(add(polygon[j], add(point, polygon[j], -1.0), share))
        if distance[i] >= 0:
            kept.append(point)
    return kept
