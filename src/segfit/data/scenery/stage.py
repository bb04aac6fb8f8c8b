"""The rasteriser: flat outlines in space become colour, label and depth, with the same pixels in all three.

Everything is drawn at twice the picture's resolution against a depth buffer: the nearer surface wins in any order, and
only of surfaces at the same depth to 1 in 2000 does the later one, so that what lies on a wall is seen. Reciprocal
depth is linear across the picture, which makes the depth test one multiplication per pixel.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from segfit.data.scenery.ade import Ade
from segfit.data.scenery.geometry import Camera, Frame, Points, Vec, cross, dot, scale
from segfit.data.scenery.light import Light
from segfit.data.scenery.texture import Array, Color, Texture

__all__ = ["OVER", "Bulge", "Mask", "Paint", "Stage", "Window"]

OVER = 2
"""Samples per pixel and direction."""

SUBPIXEL = 4
"""Bits of position within a sample."""

GROUND = 256
"""Added to the label where shadows fall."""

Mask = NDArray[np.uint8]
Bulge = tuple[float, float]
"""How far normals turn at the left and right borders, and at the bottom and top, of an outline: 0 flat, 1 round."""

FLAT: Bulge = (0.0, 0.0)


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
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


@dataclass(frozen=True, slots=True)
class Plane:
    """A frame as the camera sees it: for a ray r, (a, b) = (r·to_a, r·to_b) / r·depth and 1/z = r·depth."""

    to_a: Vec
    to_b: Vec
    depth: Vec
    distance: float


class Stage:
    """A picture in the making.

    Attributes:
        camera: where it is seen from.
        light: what shines on it.
        rng: decides everything that is left to chance.
        color: `(2H, 2W, 3)` linear light.
        surface: `(2H, 2W)` ADE20K ids, plus 256 where shadows fall.
        near: `(2H, 2W)` reciprocal depth (1/m); 0 is infinitely far.
        shade: `(H, W)` 255 where something throws a shadow on the ground.
        sunny: `(H, W)` 255 where the sun falls in through a window.
    """

    def __init__(self, camera: Camera, light: Light, rng: np.random.Generator) -> None:
        self.camera = camera
        self.light = light
        self.rng = rng
        shape = (camera.height * OVER, camera.width * OVER)
        self.color: Array = np.zeros((*shape, 3), np.float32)
        self.surface = np.zeros(shape, np.uint16)
        self.near: Array = np.zeros(shape, np.float32)
        self.shade: Mask = np.zeros((camera.height, camera.width), np.uint8)
        self.sunny: Mask = np.zeros_like(self.shade)
        self._pixel_slopes = self._slopes(1)
        self._sample_slopes = self._slopes(OVER)

    @property
    def label(self) -> Mask:
        """`(2H, 2W)` ADE20K ids."""
        return (self.surface & 255).astype(np.uint8)

    def pixels(self, point: Vec) -> float:
        """Return how many pixels (of a picture whose short side is 256) a metre covers at a world position."""
        depth = max(self.camera.view(point)[2], 0.3)
        return self.camera.focal / depth * 256 / min(self.camera.width, self.camera.height)

    def panel(
        self,
        frame: Frame,
        outlines: Sequence[Points],
        paint: Paint,
        label: Ade,
        *,
        ground: bool = False,
        bulge: Bulge = FLAT,
        one_sided: bool = False,
    ) -> None:
        """Draw flat outlines.

        Args:
            frame: the plane they lie in.
            outlines: polygons `(n, 2)` in metres within the frame; their union is filled.
            paint: what they look like.
            label: their class.
            ground: shadows fall on it.
            bulge: how normals turn towards the borders.
            one_sided: invisible from behind (a face of a solid).
        """
        camera = self.camera
        o, u, v = camera.view(frame.origin), camera.rotate(frame.u), camera.rotate(frame.v)
        plane = seen_plane(o, u, v, one_sided=one_sided)
        if plane is None:
            return
        polygons = [camera.outline(in_view(o, u, v, outline)) for outline in outlines]
        polygons = [polygon for polygon in polygons if len(polygon) >= 3]
        window = self._window(polygons)
        if window is None:
            return
        x, y = self._rays(window, self._sample_slopes, OVER)
        near = linear(plane.depth, x, y)
        visible = fill(polygons, window).view(bool)
        visible &= near * np.float32(1.0005) >= self.near[window.samples]
        if visible.any():
            self.commit(
                window, visible, self._colors(frame, plane, paint, window, bulge, outlines), label, near, ground=ground
            )

    def commit(
        self,
        window: Window,
        visible: NDArray[np.bool_],
        colors: Array,
        label: Ade,
        near: Array | float,
        *,
        ground: bool = False,
    ) -> None:
        """Write label, reciprocal depth and colours where samples are visible.

        Args:
            window: the part of the picture.
            visible: `(2h, 2w)` its samples to write.
            colors: `(h, w, 3)`, `(2h, 2w, 3)`, or `(1, 1, 3)` for one colour.
            label: class.
            near: reciprocal depth, `(2h, 2w)` or one for all.
            ground: shadows fall on it.
        """
        rows, columns = window.samples
        np.copyto(self.surface[rows, columns], np.uint16(label + GROUND * ground), where=visible)
        np.copyto(self.near[rows, columns], near, where=visible)
        if colors.shape[:2] == (1, 1):
            self.color[rows, columns][visible] = colors[0, 0]
            return
        if colors.shape[:2] != visible.shape:
            colors = cv2.resize(colors, visible.shape[::-1], interpolation=cv2.INTER_NEAREST)
        cv2.copyTo(colors, visible.view(np.uint8), self.color[rows, columns])

    def cast(self, points: Points) -> None:
        """Throw the shadow of the convex hull of `(n, 3)` world positions on the ground."""
        self._mark(self.shade, self.light.shadow(points))

    def sunlight(self, points: Points) -> None:
        """Let the sun fall on the convex hull of `(n, 2)` positions (x, z) of the ground."""
        self._mark(self.sunny, points)

    def _mark(self, buffer: Mask, points: Points) -> None:
        hull = cv2.convexHull(points.astype(np.float32))[:, 0].tolist()
        polygon = self.camera.outline([self.camera.view((x, 0.0, z)) for x, z in hull])
        if len(polygon) >= 3:
            scaled = 1 << SUBPIXEL
            pixels = [(round((x - 0.5) * scaled), round((y - 0.5) * scaled)) for x, y in polygon]
            cv2.fillPoly(buffer, [np.array(pixels, np.int32)], 255, shift=SUBPIXEL)

    def _window(self, polygons: Sequence[Sequence[tuple[float, float]]]) -> Window | None:
        """Return the pixels that polygons may touch; None when they are outside of the picture."""
        if not polygons:
            return None
        xs, ys = zip(*(point for polygon in polygons for point in polygon), strict=True)
        left, top = max(math.floor(min(xs) - 0.5), 0), max(math.floor(min(ys) - 0.5), 0)
        right = min(math.ceil(max(xs) + 0.5), self.camera.width)
        bottom = min(math.ceil(max(ys) + 0.5), self.camera.height)
        if left >= right or top >= bottom:
            return None
        return Window(left, top, right, bottom)

    def _slopes(self, per_pixel: int) -> tuple[Array, Array]:
        """Return the slopes of the rays through all columns and all rows."""
        camera = self.camera
        columns = (np.arange(camera.width * per_pixel) + 0.5) / per_pixel
        rows = (np.arange(camera.height * per_pixel) + 0.5) / per_pixel
        x = (columns - camera.width / 2) / camera.focal
        y = (camera.height / 2 - rows) / camera.focal
        return x.astype(np.float32), y.astype(np.float32)

    def _rays(self, window: Window, slopes: tuple[Array, Array], per_pixel: int) -> tuple[Array, Array]:
        """Return the slopes of the rays through the columns and the rows of a window."""
        x, y = slopes
        return (
            x[window.left * per_pixel : window.right * per_pixel],
            y[window.top * per_pixel : window.bottom * per_pixel],
        )

    def _colors(
        self, frame: Frame, plane: Plane, paint: Paint, window: Window, bulge: Bulge, outlines: Sequence[Points]
    ) -> Array:
        """Return the lit colours of a window, `(h, w, 3)` or `(1, 1, 3)` where one is enough."""
        light = self._lit(frame, plane, paint, window, bulge, outlines)
        if paint.texture is None:
            return light * paint.color
        x, y = self._rays(window, self._pixel_slopes, 1)
        far: Array = np.reciprocal(np.maximum(linear(plane.depth, x, y), np.float32(1e-5)))
        a, b = linear(plane.to_a, x, y) * far, linear(plane.to_b, x, y) * far
        area: Array = far**3 * np.float32(1 / (abs(plane.distance) * self.camera.focal**2))
        colors = paint.texture.sample(a, b, area)
        colors *= light * paint.color
        if paint.macro is not None:
            colors *= paint.macro.sample(a, b, area) / paint.macro.mean
        return colors

    def _lit(
        self, frame: Frame, plane: Plane, paint: Paint, window: Window, bulge: Bulge, outlines: Sequence[Points]
    ) -> Array:
        """Return the light on a window: evaluated on a coarse grid, enlarged smoothly."""
        if paint.glow is not None:
            return np.full((1, 1, 3), paint.glow, np.float32)
        normal = frame.normal if plane.distance > 0 else scale(frame.normal, -1.0)
        if bulge == FLAT and self.light.even:
            return self.light.at(np.array((frame.origin,)), np.array((normal,))).reshape(1, 1, 3)
        height, width = window.shape
        rows, columns = grid_size(height, bulge[1] != 0), grid_size(width, bulge[0] != 0)
        x = (window.left + (np.arange(columns) + 0.5) * (width / columns) - self.camera.width / 2) / self.camera.focal
        y = (self.camera.height / 2 - window.top - (np.arange(rows) + 0.5) * (height / rows)) / self.camera.focal
        near = np.maximum(linear(plane.depth, x, y), 1e-3)
        a, b = (linear(plane.to_a, x, y) / near).ravel(), (linear(plane.to_b, x, y) / near).ravel()
        points = frame.at(np.stack([a, b], axis=-1).astype(np.float64))
        normals = np.broadcast_to(np.array(normal), points.shape)
        if bulge != FLAT:
            normals = bulged(frame, normals, a, b, bulge, outlines)
        light: Array = self.light.at(points, normals).astype(np.float32).reshape(rows, columns, 3)
        if (rows, columns) == (1, 1):
            return light
        smooth: Array = cv2.resize(light, (width, height), interpolation=cv2.INTER_LINEAR)
        return smooth.reshape(height, width, 3)


def seen_plane(o: Vec, u: Vec, v: Vec, *, one_sided: bool) -> Plane | None:
    """Return a frame given in camera coordinates as a plane; None when it is seen from the edge or from behind."""
    normal = cross(u, v)
    distance = dot(normal, o)
    if abs(distance) < 1e-6 or (one_sided and distance < 0):
        return None
    share = 1 / distance
    return Plane(scale(cross(v, o), share), scale(cross(o, u), share), scale(normal, share), distance)


def in_view(o: Vec, u: Vec, v: Vec, outline: Points) -> list[Vec]:
    """Return the camera positions of an outline in a frame given in camera coordinates."""
    (ox, oy, oz), (ux, uy, uz), (vx, vy, vz) = o, u, v
    return [(ox + a * ux + b * vx, oy + a * uy + b * vy, oz + a * uz + b * vz) for a, b in outline.tolist()]


def linear(form: Vec, x: NDArray[np.floating], y: NDArray[np.floating]) -> Array:
    """Return form·(x, y, 1) for every column slope x and row slope y: `(len(y), len(x))`."""
    values: Array = (form[0] * x)[None, :] + (form[1] * y + form[2])[:, None]
    return values


def grid_size(pixels: int, curved: bool) -> int:
    """Return how many light samples an extent of so many pixels needs."""
    if curved:
        return max(1, min(pixels, 10))
    return 1 if pixels < 14 else min(2 + pixels // 20, 14)


def bulged(
    frame: Frame,
    normals: Points,
    a: NDArray[np.floating],
    b: NDArray[np.floating],
    bulge: Bulge,
    outlines: Sequence[Points],
) -> Points:
    """Return normals that turn outwards towards the borders of the outlines."""
    corners = np.concatenate(outlines) if len(outlines) > 1 else outlines[0]
    low, high = corners.min(0), corners.max(0)
    middle, half = (low + high) / 2, np.maximum((high - low) / 2, 1e-6)
    s = np.clip((a - middle[0]) / half[0], -1, 1)[:, None] * bulge[0]
    t = np.clip((b - middle[1]) / half[1], -1, 1)[:, None] * bulge[1]
    ahead = np.sqrt(np.maximum(1 - s * s - t * t, 0.04))
    turned = normals * ahead + np.array(frame.u) * s + np.array(frame.v) * t
    result: Points = turned / np.sqrt((turned * turned).sum(1, keepdims=True))
    return result


def fill(polygons: Sequence[Sequence[tuple[float, float]]], window: Window) -> Mask:
    """Return 1 in every sample of a window that one of the polygons (in pixels) covers."""
    height, width = window.shape
    mask: Mask = np.zeros((height * OVER, width * OVER), np.uint8)
    factor = OVER << SUBPIXEL
    # OpenCV counts from the middle of the first sample.
    left, top = window.left + 0.5 / OVER, window.top + 0.5 / OVER
    for polygon in polygons:
        points = [(round((x - left) * factor), round((y - top) * factor)) for x, y in polygon]
        cv2.fillPoly(mask, [np.array(points, np.int32)], 1, shift=SUBPIXEL)
    return mask
