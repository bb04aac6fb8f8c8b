"""The rasteriser: flat outlines in space become colour, label and depth, with the same pixels in all three.

Everything is drawn at twice the picture's resolution against a depth buffer, so the order does not matter and occlusion
is exact. Reciprocal depth is linear across the picture, which makes the depth test one multiplication per pixel.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit.data.scenery.ade import Ade
from segfit.data.scenery.geometry import Camera, Frame, Points, cross, dot
from segfit.data.scenery.light import Light
from segfit.data.scenery.texture import Array, Color, Texture

__all__ = ["OVER", "Dab", "Paint", "Stage", "Window"]

OVER = 2
"""Samples per pixel and direction."""

SUBPIXEL = 4
"""Bits of position within a sample."""

Mask = NDArray[np.uint8]


@dataclass(frozen=True)
class Paint:
    """What a surface looks like.

    Attributes:
        color: linear RGB, or what a texture is multiplied with.
        texture: its pattern.
        glow: None is lit by the scene; a number shines by itself.
        macro: a second texture whose relative brightness breaks the repetition of the first.
    """

    color: Color
    texture: Texture | None = None
    glow: float | None = None
    macro: Texture | None = None


@dataclass(frozen=True)
class Window:
    """A part of the picture in whole pixels: columns left..right, rows top..bottom (exclusive)."""

    left: int
    top: int
    right: int
    bottom: int

    @property
    def samples(self) -> tuple[slice, slice]:
        """Rows and columns in the oversampled buffers."""
        return slice(self.top * OVER, self.bottom * OVER), slice(self.left * OVER, self.right * OVER)

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        return self.bottom - self.top, self.right - self.left


@dataclass(frozen=True)
class Plane:
    """A frame as the camera sees it: for a ray r, (a, b) = (r·to_a, r·to_b) / r·depth and 1/z = r·depth."""

    to_a: Points
    to_b: Points
    depth: Points
    distance: float


@dataclass(frozen=True)
class Dab:
    """A disc of foliage: offset from the centre (m), radius (m), colour factor."""

    x: float
    y: float
    radius: float
    color: Color


class Stage:
    """A picture in the making.

    Attributes:
        camera: where it is seen from.
        light: what shines on it.
        rng: decides everything that is left to chance.
        color: `(2H, 2W, 3)` linear light.
        label: `(2H, 2W)` ADE20K ids.
        near: `(2H, 2W)` reciprocal depth (1/m); 0 is infinitely far.
        ground: `(2H, 2W)` 1 where shadows fall.
        shade: `(H, W)` 255 where something throws a shadow on the ground.
        sunny: `(H, W)` 255 where the sun falls in through a window.
    """

    def __init__(self, camera: Camera, light: Light, rng: np.random.Generator) -> None:
        self.camera = camera
        self.light = light
        self.rng = rng
        shape = (camera.height * OVER, camera.width * OVER)
        self.color: Array = np.zeros((*shape, 3), np.float32)
        self.label: Mask = np.zeros(shape, np.uint8)
        self.near: Array = np.zeros(shape, np.float32)
        self.ground: Mask = np.zeros(shape, np.uint8)
        self.shade: Mask = np.zeros((camera.height, camera.width), np.uint8)
        self.sunny: Mask = np.zeros_like(self.shade)

    def panel(
        self,
        frame: Frame,
        outlines: Sequence[Points],
        paint: Paint,
        label: Ade,
        *,
        ground: bool = False,
        bulge: tuple[float, float] = (0.0, 0.0),
        one_sided: bool = False,
    ) -> None:
        """Draw flat outlines.

        Args:
            frame: the plane they lie in.
            outlines: polygons `(n, 2)` in metres within the frame; their union is filled.
            paint: what they look like.
            label: their class.
            ground: shadows fall on it.
            bulge: how far the normal turns at the left and right, and at the bottom and top, as on a cylinder (1, 0)
                or a cushion (0.5, 0.5).
            one_sided: invisible from behind (a face of a solid).
        """
        plane = self._plane(frame, one_sided=one_sided)
        if plane is None:
            return
        polygons = [p for p in (self._project(frame, outline) for outline in outlines) if len(p) >= 3]
        window = self._window(polygons)
        if window is None:
            return
        near = self._near(plane, window)
        visible = fill(polygons, window)
        np.copyto(visible, 0, where=near * np.float32(1.0005) < self.near[window.samples])
        if not visible.any():
            return
        colors = self._colors(frame, plane, paint, window, bulge, outlines)
        self.commit(window, visible, colors, label, near, ground=ground)

    def commit(
        self, window: Window, visible: Mask, colors: Array, label: Ade, near: Array | float, *, ground: bool = False
    ) -> None:
        """Write colours `(h, w, 3)` (one per pixel), label and reciprocal depth where `visible` (one per sample)."""
        rows, columns = window.samples
        if colors.shape[:2] == (1, 1):
            chosen = visible.astype(bool)
            self.color[rows, columns][chosen] = colors[0, 0]
        else:
            shape = visible.shape[::-1]
            large = colors
            if colors.shape[:2] != visible.shape:
                large = cv2.resize(colors, shape, interpolation=cv2.INTER_NEAREST)
            cv2.copyTo(large, visible, self.color[rows, columns])
        where = visible.astype(bool)
        np.copyto(self.label[rows, columns], np.uint8(label), where=where)
        np.copyto(self.near[rows, columns], near, where=where)
        np.copyto(self.ground[rows, columns], np.uint8(ground), where=where)

    def cast(self, points: Points) -> None:
        """Throw the shadow of the convex hull of `(n, 3)` points on the ground."""
        self._mark(self.shade, self.light.shadow(points))

    def sunlight(self, points: Points) -> None:
        """Let the sun fall on the convex hull of `(n, 3)` points of the ground."""
        self._mark(self.sunny, points)

    def _mark(self, buffer: Mask, points: Points) -> None:
        hull = cv2.convexHull(points[:, [0, 2]].astype(np.float32))[:, 0].astype(np.float64)
        corners = np.stack([hull[:, 0], np.zeros(len(hull)), hull[:, 1]], axis=-1)
        view = self.camera.clip(self.camera.view(corners))
        if len(view) >= 3:
            pixels = self.camera.project(view) - 0.5
            cv2.fillPoly(buffer, [fixed(pixels)], 255, shift=SUBPIXEL)

    def _plane(self, frame: Frame, *, one_sided: bool) -> Plane | None:
        """Return the frame as the camera sees it; None when it is seen from the edge or from behind."""
        o, u, v = self.camera.view(frame.origin), self.camera.rotate(frame.u), self.camera.rotate(frame.v)
        normal = cross(u, v)
        distance = dot(normal, o)
        if abs(distance) < 1e-6 or (one_sided and distance < 0):
            return None
        return Plane(cross(v, o) / distance, cross(o, u) / distance, normal / distance, distance)

    def _project(self, frame: Frame, outline: Points) -> Points:
        """Return an outline in pixels; empty when nothing of it is before the camera."""
        view = self.camera.clip(self.camera.view(frame.at(outline)))
        return self.camera.project(view) if len(view) else np.zeros((0, 2))

    def _window(self, polygons: Sequence[Points]) -> Window | None:
        """Return the pixels that polygons may touch; None when they are outside of the picture."""
        if not polygons:
            return None
        low = np.min([p.min(0) for p in polygons], axis=0)
        high = np.max([p.max(0) for p in polygons], axis=0)
        left, top = max(int(low[0] - 1), 0), max(int(low[1] - 1), 0)
        right, bottom = min(int(high[0] + 2), self.camera.width), min(int(high[1] + 2), self.camera.height)
        if high.min() < 0 or left >= right or top >= bottom:
            return None
        return Window(left, top, right, bottom)

    def _near(self, plane: Plane, window: Window) -> Array:
        """Return the reciprocal depth of a plane at every sample of a window."""
        x, y = self._rays(window, OVER)
        near: Array = linear(plane.depth, x, y)
        return near

    def _rays(self, window: Window, per_pixel: float) -> tuple[Array, Array]:
        """Return the slopes of the rays through the columns and the rows of a window."""
        height, width = window.shape
        columns = window.left + (np.arange(round(width * per_pixel)) + 0.5) / per_pixel
        rows = window.top + (np.arange(round(height * per_pixel)) + 0.5) / per_pixel
        x = (columns - self.camera.width / 2) / self.camera.focal
        y = (self.camera.height / 2 - rows) / self.camera.focal
        return x.astype(np.float32), y.astype(np.float32)

    def _colors(
        self,
        frame: Frame,
        plane: Plane,
        paint: Paint,
        window: Window,
        bulge: tuple[float, float],
        outlines: Sequence[Points],
    ) -> Array:
        """Return the lit colours of a window, `(h, w, 3)` or `(1, 1, 3)` where one is enough."""
        light = self._lit(frame, plane, paint, window, bulge, outlines)
        if paint.texture is None:
            return light * paint.color
        x, y = self._rays(window, 1)
        near = np.maximum(linear(plane.depth, x, y), 1e-5)
        a, b = linear(plane.to_a, x, y) / near, linear(plane.to_b, x, y) / near
        area = 1 / (np.float32(abs(plane.distance) * self.camera.focal**2) * near**3)
        colors = paint.texture.sample(a, b, area) * paint.color
        if paint.macro is not None:
            colors *= paint.macro.sample(a, b, area) / paint.macro.mean
        return colors * light

    def _lit(
        self,
        frame: Frame,
        plane: Plane,
        paint: Paint,
        window: Window,
        bulge: tuple[float, float],
        outlines: Sequence[Points],
    ) -> Array:
        """Return the light on a window: evaluated on a coarse grid, enlarged smoothly."""
        if paint.glow is not None:
            return np.full((1, 1, 3), paint.glow, np.float32)
        height, width = window.shape
        rows, columns = grid_size(height, bulge[1] != 0), grid_size(width, bulge[0] != 0)
        x, y = self._grid_rays(window, rows, columns)
        near = np.maximum(linear(plane.depth, x, y), 1e-3)
        a, b = (linear(plane.to_a, x, y) / near).ravel(), (linear(plane.to_b, x, y) / near).ravel()
        points = frame.at(np.stack([a, b], axis=-1).astype(np.float64))
        normal = frame.normal
        if plane.distance < 0:
            normal = -normal
        normals = np.broadcast_to(normal, points.shape)
        if bulge != (0.0, 0.0):
            normals = bulged(frame, normals, a, b, bulge, outlines)
        light: Array = self.light.at(points, normals).astype(np.float32).reshape(rows, columns, 3)
        if (rows, columns) == (1, 1):
            return light
        return cv2.resize(light, (width, height), interpolation=cv2.INTER_LINEAR).reshape(height, width, 3)

    def _grid_rays(self, window: Window, rows: int, columns: int) -> tuple[Array, Array]:
        """Return the slopes of the rays through the cells of a coarse grid over a window."""
        height, width = window.shape
        x = window.left + (np.arange(columns) + 0.5) * (width / columns) - self.camera.width / 2
        y = self.camera.height / 2 - window.top - (np.arange(rows) + 0.5) * (height / rows)
        return (x / self.camera.focal).astype(np.float32), (y / self.camera.focal).astype(np.float32)


def linear(form: Points, x: Array, y: Array) -> Array:
    """Return form·(x, y, 1) for every column slope x and row slope y: `(len(y), len(x))`."""
    f = form.astype(np.float32)
    return f[0] * x[None, :] + (f[1] * y + f[2])[:, None]


def grid_size(pixels: int, curved: bool) -> int:
    """Return how many light samples an extent of so many pixels needs."""
    if curved:
        return max(1, min(pixels, 12))
    return 1 if pixels < 14 else min(2 + pixels // 16, 16)


def bulged(
    frame: Frame, normals: Points, a: Array, b: Array, bulge: tuple[float, float], outlines: Sequence[Points]
) -> Points:
    """Return normals that turn outwards towards the borders of the outlines."""
    low = np.min([p.min(0) for p in outlines], axis=0)
    high = np.max([p.max(0) for p in outlines], axis=0)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-6)
    s = np.clip((a - middle[0]) / half[0], -1, 1)[:, None] * bulge[0]
    t = np.clip((b - middle[1]) / half[1], -1, 1)[:, None] * bulge[1]
    ahead = np.sqrt(np.maximum(1 - s * s - t * t, 0.04))
    turned = normals * ahead + frame.u * s + frame.v * t
    result: Points = turned / np.sqrt((turned * turned).sum(1, keepdims=True))
    return result


def fixed(pixels: Points) -> NDArray[np.int32]:
    """Return positions in OpenCV's fixed-point format."""
    return np.round(pixels * (1 << SUBPIXEL)).astype(np.int32)


def fill(polygons: Sequence[Points], window: Window) -> Mask:
    """Return 255 in every sample of a window that one of the polygons (in pixels) covers."""
    height, width = window.shape
    mask: Mask = np.zeros((height * OVER, width * OVER), np.uint8)
    for polygon in polygons:
        # OpenCV counts from the middle of the first sample.
        points = fixed((polygon - (window.left, window.top)) * OVER - 0.5)
        cv2.fillPoly(mask, [points], 255, shift=SUBPIXEL)
    return mask
