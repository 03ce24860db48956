"""Drawing a frame: background, markings with their metric width, goals, people and the ball."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from soccermaster.data.synthetic import stadium
from soccermaster.data.synthetic.figure import Figures, draw_figure
from soccermaster.data.synthetic.motion import BALL_RADIUS_M
from soccermaster.data.synthetic.scene import Color, Person
from soccermaster.geometry import Camera, Pitch
from soccermaster.geometry.pitch import GOAL_HEIGHT_M, GOAL_WIDTH_M, LENGTH_M, WIDTH_M

LINE_WIDTH_M = 0.12
_NET_DEPTH_M = 2.0
_SHIFT = 4
_ONE = 1 << _SHIFT
#: Nearer than this nothing is drawn; people and markings are never so near to a main camera.
_NEAR_M = 1.0


@dataclass(frozen=True)
class Look:
    """What differs from stadium to stadium.

    Attributes:
        grass: variant of the mowing pattern.
        crowd: variant of stands and boards.
        grass_rgb: colour of plain grass.
        line_rgb: colour of the markings.
        sky_rgb: colour above the stands.
        exposure: factor on all brightness.
        noise: standard deviation of the sensor noise in grey levels.
    """

    grass: int
    crowd: int
    grass_rgb: Color
    line_rgb: Color
    sky_rgb: Color
    exposure: float
    noise: float


def draw_look(rng: np.random.Generator) -> Look:
    """A random stadium."""
    value = rng.uniform(95, 150)
    green = np.array([rng.uniform(0.42, 0.74), 1.0, rng.uniform(0.25, 0.48)]) * value
    white = float(rng.uniform(215, 252))
    sky = rng.uniform(0.15, 1.0) * np.array([150, 178, 210])
    return Look(
        grass=int(rng.integers(stadium.NUM_GRASS)),
        crowd=int(rng.integers(stadium.NUM_CROWDS)),
        grass_rgb=tuple(int(v) for v in green),
        line_rgb=(int(white), int(white), int(white * 0.98)),
        sky_rgb=tuple(int(v) for v in sky),
        exposure=float(rng.uniform(0.82, 1.12)),
        noise=float(rng.uniform(1.0, 5.0)),
    )


class Renderer:
    """Draws frames of one size with one look.

    Args:
        image_size: (W, H) in pixels.
        look: the stadium.
        pitch: the markings to draw.
    """

    def __init__(self, image_size: tuple[int, int], look: Look, pitch: Pitch) -> None:
        self.image_size = image_size
        self.look = look
        self._line_edges_m, self._arc_edges_m = _marking_edges(pitch)
        levels = np.arange(256)[:, None] / 128.0
        self._grass_colors = np.clip(levels * look.grass_rgb, 0, 255).astype(np.uint8)[:, None]

    def render(
        self,
        camera: Camera,
        people: list[Person],
        figures: Figures,
        ball_m: Float[np.ndarray, " 3"],
        noise_seed: int = 0,
    ) -> UInt8[np.ndarray, "H W 3"]:
        """One RGB frame.

        Args:
            camera: a single camera with the size of the renderer.
            people: in the order of `figures`.
            figures: placed people.
            ball_m: centre of the ball.
            noise_seed: of the sensor noise of this frame.
        """
        image = self._ground(camera)
        for panel in stadium.stadium_panels(self.look.crowd):
            _draw_panel(image, panel, camera)
        self._draw_shadows(image, camera, figures, ball_m)
        self._draw_markings(image, camera)
        self._draw_standing(image, camera, people, figures, ball_m)
        return self._expose(image, noise_seed)

    def _ground(self, camera: Camera) -> np.ndarray:
        width, height = self.image_size
        horizon_px = _horizon_row(camera)
        top = int(np.clip(np.floor(horizon_px), 0, height - 1))
        scale = 1 / stadium.GRASS_PX_PER_M
        origin = (
            -LENGTH_M / 2 - stadium.GRASS_MARGIN_M + 0.5 * scale,
            -WIDTH_M / 2 - stadium.GRASS_MARGIN_M + 0.5 * scale,
        )
        pitch_from_texture = np.array([[scale, 0, origin[0]], [0, scale, origin[1]], [0, 0, 1]])
        image = np.empty((height, width, 3), np.uint8)
        image[:top] = self.look.sky_rgb
        brightness = cv2.warpPerspective(
            stadium.grass_texture(self.look.grass),
            _to_pixel_index(0, top) @ camera.image_from_pitch @ pitch_from_texture,
            (width, height - top),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=95,
        )
        image[top:] = cv2.applyColorMap(brightness, self._grass_colors)
        return image

    def _draw_shadows(
        self, image: np.ndarray, camera: Camera, figures: Figures, ball_m: np.ndarray
    ) -> None:
        color = tuple(int(0.72 * v) for v in self.look.grass_rgb)
        feet_px = figures.joints_px[:, :2].mean(axis=1) + 0.06 * figures.px_per_m[:, None]
        drop = camera.project((ball_m[0], ball_m[1], 0.0))
        centres = np.concatenate([feet_px, drop[0][None]])
        sizes = np.append(0.42 * figures.px_per_m, 0.11 * camera.K[0, 0] / max(drop[1], _NEAR_M))
        for centre, size in zip(centres, sizes, strict=True):
            if np.isfinite(centre).all() and _is_near(centre, self.image_size, 50):
                half = (max(1, round(size)), max(1, round(0.3 * size)))
                at = tuple(np.rint(centre - 0.5).astype(int).tolist())
                cv2.ellipse(image, at, half, 0, 0, 360, color, -1, cv2.LINE_AA)

    def _draw_markings(self, image: np.ndarray, camera: Camera) -> None:
        edges = camera.camera_from_world(self._line_edges_m.reshape(-1, 3)).reshape(-1, 2, 2, 3)
        edges_px, _ = camera.project_camera_points(_cut_near(edges).reshape(-1, 3))
        for strip_px in edges_px.reshape(-1, 2, 2, 2):
            self._draw_strip(image, strip_px)
        for edges_m in self._arc_edges_m:
            arc_px, depth = camera.project(edges_m)
            if depth.min() > _NEAR_M:
                self._draw_strip(image, arc_px)
        for base_m in _CORNERS_M:
            _draw_flag(image, camera, base_m)

    def _draw_strip(self, image: np.ndarray, edges_px: np.ndarray) -> None:
        """Fill between two edges (2, n, 2); strips thinner than a pixel become fainter instead."""
        low, high = edges_px.min(axis=(0, 1)), edges_px.max(axis=(0, 1))
        if not ((low < np.array(self.image_size) + 2) & (high > -2)).all():  # also NaN
            return
        middle = edges_px.mean(axis=0)
        along = np.diff(middle, axis=0)
        across = (edges_px[0] - edges_px[1])[:-1]
        length = np.linalg.norm(along, axis=-1)
        area = np.abs(along[:, 0] * across[:, 1] - along[:, 1] * across[:, 0])
        width_px = float(np.median(area / (length + 1e-9)))
        points = np.rint((edges_px - 0.5) * _ONE).astype(np.int32)
        if width_px < 1.5:
            share = min(1.0, max(0.3, width_px))
            color = tuple(
                int(g + (w - g) * share)
                for g, w in zip(self.look.grass_rgb, self.look.line_rgb, strict=True)
            )
            line = np.rint((middle - 0.5) * _ONE).astype(np.int32)
            cv2.polylines(image, [line], False, color, 1, cv2.LINE_AA, _SHIFT)
        else:
            polygon = np.concatenate([points[0], points[1, ::-1]])
            cv2.fillPoly(image, [polygon], self.look.line_rgb, cv2.LINE_AA, _SHIFT)

    def _draw_standing(
        self,
        image: np.ndarray,
        camera: Camera,
        people: list[Person],
        figures: Figures,
        ball_m: np.ndarray,
    ) -> None:
        """Goals, flags, people and the ball, from far to near."""
        items = [(_goal_depth(camera, side), -1, side) for side in (-1, 1)]
        (ball_px, ball_depth) = camera.project(ball_m)
        items.append((float(ball_depth), -2, 0))
        boxes = figures.boxes_xyxy_px
        width, height = self.image_size
        shown = (
            (figures.depth_m > _NEAR_M)
            & (boxes[:, 0] < width + 2) & (boxes[:, 2] > -2)
            & (boxes[:, 1] < height + 2) & (boxes[:, 3] > -2)
        )  # fmt: skip
        items += [(float(figures.depth_m[i]), int(i), 0) for i in np.nonzero(shown)[0]]
        for depth_m, index, side in sorted(items, reverse=True):
            if depth_m <= _NEAR_M:
                continue
            if index >= 0:
                draw_figure(image, figures, index, people[index])
            elif index == -1:
                _draw_goal(image, camera, side)
            elif _is_near(ball_px, self.image_size, 20):
                _draw_ball(image, ball_px, ball_radius_px(camera, depth_m))

    def _expose(self, image: np.ndarray, noise_seed: int) -> np.ndarray:
        height, width = image.shape[:2]
        bank = _noise_bank(height + _NOISE_ROOM, width + _NOISE_ROOM)
        y, x = np.random.default_rng(noise_seed).integers(_NOISE_ROOM, size=2)
        gain = self.look.noise / _NOISE_STD
        noise = bank[y : y + height, x : x + width]
        return cv2.addWeighted(image, self.look.exposure, noise, gain, -128 * gain)


def ball_radius_px(camera: Camera, depth_m: float) -> float:
    """Radius of the drawn ball; it never gets so small that it disappears."""
    return max(1.0, BALL_RADIUS_M * float(camera.K[0, 0]) / depth_m)


_CORNERS_M = np.array([(x, y, 0.0) for x in (-52.5, 52.5) for y in (-34.0, 34.0)])
_NOISE_ROOM, _NOISE_STD = 64, 24.0


@functools.lru_cache(maxsize=4)
def _noise_bank(height: int, width: int) -> np.ndarray:
    """Grey noise around 128; frames cut windows out of it."""
    noise = np.random.default_rng(0).normal(128, _NOISE_STD, (height, width, 1))
    return np.repeat(np.clip(noise, 0, 255).astype(np.uint8), 3, axis=2)


def _marking_edges(pitch: Pitch) -> tuple[np.ndarray, list[np.ndarray]]:
    """Both edges of each ground line (n, 2, 2, 3) and of each circle (2, n, 3)."""
    half = LINE_WIDTH_M / 2
    lines = []
    for start, end in pitch.line_ends_m:
        if start[2] != 0 or end[2] != 0:
            continue
        along = (end - start) / np.linalg.norm(end - start)
        side = np.array([-along[1], along[0], 0.0]) * half
        ends = np.stack([start - along * half, end + along * half])  # corners are filled
        lines.append(np.stack([ends + side, ends - side]))
    arcs = []
    for name, points_m in pitch.polylines_m(0.6).items():
        if name.startswith("Circle"):
            along = np.gradient(points_m, axis=0)
            if name == "Circle central":
                along[[0, -1]] = points_m[1] - points_m[-2]
            along /= np.linalg.norm(along, axis=-1, keepdims=True)
            side = np.stack([-along[:, 1], along[:, 0], np.zeros(len(along))], axis=-1) * half
            arcs.append(np.stack([points_m + side, points_m - side]))
    angles = np.linspace(0, 2 * np.pi, 9)
    ring = np.stack([np.cos(angles), np.sin(angles), np.zeros(9)], axis=-1)
    for mark_m in pitch.keypoints_m[[44, 50, 56]]:  # penalty marks and centre spot
        arcs.append(np.stack([0.14 * ring, 0.0 * ring]) + mark_m)
    for corner_m in _CORNERS_M:
        inward = np.arctan2(-np.sign(corner_m[1]), -np.sign(corner_m[0])) + np.linspace(
            -np.pi / 4, np.pi / 4, 7
        )
        ring = np.stack([np.cos(inward), np.sin(inward), np.zeros(7)], axis=-1)
        arcs.append(np.stack([1.06 * ring, 0.94 * ring]) + corner_m)
    return np.array(lines), arcs


def _cut_near(edges_camera_m: np.ndarray) -> np.ndarray:
    """Move the ends of edges behind the near plane onto it; NaN where all of an edge is behind."""
    start, end = edges_camera_m[..., 0, :], edges_camera_m[..., 1, :]
    with np.errstate(divide="ignore", invalid="ignore"):
        u = (_NEAR_M - start[..., 2]) / (end[..., 2] - start[..., 2])
        cut = (start + u[..., None] * (end - start))[..., None, :]
    near = edges_camera_m[..., 2] < _NEAR_M
    both = near.all(axis=-1)[..., None, None]
    return np.where(both, np.nan, np.where(near[..., None], cut, edges_camera_m))


def _horizon_row(camera: Camera) -> float:
    """The highest image row of the horizon."""
    normal = camera.K[0, 0] * camera.R[:, 2]  # rays with R[:, 2] . ray = 0 are level
    x = np.array([0.0, camera.image_size[0]]) - camera.K[0, 2]
    level = -(normal[0] * x / camera.K[0, 0] + normal[2]) / normal[1]
    return float((level * camera.K[1, 1] + camera.K[1, 2]).min())


def _to_pixel_index(left: int, top: int) -> np.ndarray:
    """From continuous coordinates to OpenCV's (a pixel's centre is an integer) in a window."""
    return np.array([[1, 0, -0.5 - left], [0, 1, -0.5 - top], [0, 0, 1.0]])


def _is_near(point_px: np.ndarray, image_size: tuple[int, int], margin_px: float) -> bool:
    size = np.asarray(image_size)
    return bool(((point_px > -margin_px) & (point_px < size + margin_px)).all())


def _draw_panel(image: np.ndarray, panel: stadium.Panel, camera: Camera) -> None:
    corners_m = panel.corner_m + np.array(
        [np.zeros(3), panel.right_m, panel.down_m, panel.right_m + panel.down_m]
    )
    corners_px, depth = camera.project(corners_m)
    if depth.min() < _NEAR_M:
        return
    height, width = image.shape[:2]
    left, top = np.clip(np.floor(corners_px.min(axis=0)), 0, (width, height)).astype(int).tolist()
    right, bottom = (
        np.clip(np.ceil(corners_px.max(axis=0)), 0, (width, height)).astype(int).tolist()
    )
    if right <= left or bottom <= top:
        return
    rows, columns = panel.texture.shape[:2]
    plane = np.stack(
        [panel.right_m / columns, panel.down_m / rows, panel.corner_m - camera.position_m], axis=-1
    )
    to_corner = np.array([[1, 0, 0.5], [0, 1, 0.5], [0, 0, 1.0]])
    image_from_texture = camera.K @ camera.R @ plane @ to_corner
    window = image[top:bottom, left:right]
    cv2.warpPerspective(
        panel.texture,
        _to_pixel_index(left, top) @ image_from_texture,
        (right - left, bottom - top),
        dst=window,
        flags=cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_TRANSPARENT,
    )


def _goal_depth(camera: Camera, side: int) -> float:
    return float(camera.camera_from_world(np.array([side * LENGTH_M / 2, 0.0, 0.0]))[2])


def _draw_goal(image: np.ndarray, camera: Camera, side: int) -> None:
    x, back, half, top = side * LENGTH_M / 2, side * _NET_DEPTH_M, GOAL_WIDTH_M / 2, -GOAL_HEIGHT_M
    lines_m = [((x, -half, 0), (x, -half, top)), ((x, half, 0), (x, half, top)),
               ((x, -half, top), (x, half, top))]  # fmt: skip
    net_m = []
    for y in np.linspace(-half, half, 13):
        net_m += [((x, y, top), (x + 0.5 * back, y, top)),
                  ((x + 0.5 * back, y, top), (x + back, y, 0))]  # fmt: skip
    for u in np.linspace(0, 1, 6):
        edge = (x + back * (0.5 + 0.5 * u), top * (1 - u))
        net_m.append(((edge[0], -half, edge[1]), (edge[0], half, edge[1])))
        for y in (-half, half):
            net_m.append(((x, y, top * (1 - u)), (edge[0], y, top * (1 - u))))
    points_px, depth = camera.project(np.array(lines_m + net_m).reshape(-1, 3))
    if depth.min() < _NEAR_M:
        return
    height, width = image.shape[:2]
    low = np.clip(np.floor(points_px.min(axis=0)) - 4, 0, (width, height)).astype(int)
    high = np.clip(np.ceil(points_px.max(axis=0)) + 4, 0, (width, height)).astype(int)
    if (high <= low).any():
        return
    window = image[low[1] : high[1], low[0] : high[0]]
    ends = np.rint((points_px - low - 0.5) * _ONE).astype(np.int32).reshape(-1, 2, 2)
    veil = window.copy()
    cv2.polylines(veil, list(ends[3:]), False, (215, 215, 215), 1, cv2.LINE_AA, _SHIFT)
    px_per_m = camera.K[0, 0] / depth[0]
    share = float(np.clip(px_per_m / 40, 0.25, 0.6))
    cv2.addWeighted(veil, share, window, 1 - share, 0, dst=window)
    thick = max(1, round(LINE_WIDTH_M * px_per_m))
    cv2.polylines(window, list(ends[:3]), False, (245, 245, 245), thick, cv2.LINE_AA, _SHIFT)


def _draw_flag(image: np.ndarray, camera: Camera, base_m: np.ndarray) -> None:
    shape_m = base_m + np.array([(0, 0, 0), (0, 0, -1.5), (0.5, 0, -1.3), (0, 0, -1.1)])
    points_px, depth = camera.project(shape_m)
    if depth.min() < _NEAR_M or not _is_near(points_px[0], image.shape[1::-1], 60):
        return
    p = np.rint((points_px - 0.5) * _ONE).astype(np.int32)
    cv2.line(image, p[0].tolist(), p[1].tolist(), (235, 235, 210), 1, cv2.LINE_AA, _SHIFT)
    cv2.fillConvexPoly(image, p[1:], (215, 60, 40), cv2.LINE_AA, _SHIFT)


def _draw_ball(image: np.ndarray, ball_px: np.ndarray, radius_px: float) -> None:
    centre = np.rint((ball_px - 0.5) * _ONE).astype(int).tolist()
    radius = round(radius_px * _ONE)
    cv2.circle(image, centre, radius, (250, 250, 250), -1, cv2.LINE_AA, _SHIFT)
    if radius_px > 3:
        cv2.circle(image, centre, radius // 3, (60, 60, 60), -1, cv2.LINE_AA, _SHIFT)
