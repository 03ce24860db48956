"""Drawing a frame: background, markings with their metric width, goals, people and the ball."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Sequence

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from soccermaster.data.synthetic import stadium
from soccermaster.data.synthetic.figure import Figures, draw_figure
from soccermaster.data.synthetic.look import Look
from soccermaster.data.synthetic.markings import draw_markings, markings_of
from soccermaster.data.synthetic.motion import BALL_RADIUS_M
from soccermaster.data.synthetic.people import Person
from soccermaster.data.synthetic.props import draw_prop
from soccermaster.data.synthetic.scene import Prop
from soccermaster.geometry import Camera, Pitch
from soccermaster.geometry.pitch import LENGTH_M, WIDTH_M

_SHIFT = 4
_ONE = 1 << _SHIFT
#: Nearer than this nothing is drawn; people and markings are never so near to a main camera.
_NEAR_M = 1.0


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
        self._markings = markings_of(pitch)
        levels = np.arange(256)[:, None] / 128.0
        self._grass_colors = np.clip(levels * look.grass_rgb, 0, 255).astype(np.uint8)[:, None]
        gain = look.exposure * np.array(look.tint)
        response = np.arange(256)[:, None] * gain
        if look.weather == "haze":
            response = 38 + 0.80 * response
        self._response = np.clip(response, 0, 255).astype(np.uint8)[None]

    def render(
        self,
        camera: Camera,
        people: list[Person],
        figures: Figures,
        ball_m: Float[np.ndarray, " 3"],
        noise_seed: int = 0,
        props: Sequence[Prop] = (),
        ball_end_m: Float[np.ndarray, " 3"] | None = None,
        blur_px: tuple[float, float] = (0.0, 0.0),
    ) -> UInt8[np.ndarray, "H W 3"]:
        """One RGB frame, without graphics and compression.

        Args:
            camera: a single camera with the size of the renderer.
            people: in the order of `figures`.
            figures: placed people.
            ball_m: centre of the ball.
            noise_seed: of the sensor noise of this frame.
            props: things to be seen in this frame.
            ball_end_m: where the ball is at the end of the exposure.
            blur_px: how far the picture moves during the exposure.
        """
        image = self._ground(camera, figures, ball_m)
        stadium.draw_panels(image, camera, self.look.crowd, self.look.light == "night")
        draw_markings(image, camera, self._markings, self.look.line_rgb, self.look.grass_rgb)
        stadium.draw_flags(image, camera)
        ball_end_m = ball_m if ball_end_m is None else ball_end_m
        self._draw_standing(image, camera, people, figures, ball_m, ball_end_m, props)
        return self._expose(_blur(image, blur_px), noise_seed)

    def _ground(self, camera: Camera, figures: Figures, ball_m: np.ndarray) -> np.ndarray:
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
            stadium.to_pixel_index(0, top) @ camera.image_from_pitch @ pitch_from_texture,
            (width, height - top),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
            borderValue=95,
        )
        shade = self._shade(camera, figures, ball_m, top)
        image[top:] = cv2.applyColorMap(cv2.subtract(brightness, shade), self._grass_colors)
        return image

    def _shade(self, camera: Camera, figures: Figures, ball_m: np.ndarray, top: int) -> np.ndarray:
        """How much darker the grass is below people and ball, and where the lamps throw shadows."""
        width, height = self.image_size
        shade = np.zeros((height - top, width), np.uint8)
        drop = camera.project((ball_m[0], ball_m[1], 0.0))
        centres = np.concatenate([figures.feet_px, drop[0][None]])
        sizes = np.append(0.38 * figures.px_per_m, 0.11 * camera.K[0, 0] / max(drop[1], _NEAR_M))
        with np.errstate(invalid="ignore"):
            near = ((centres > -80) & (centres < np.array(self.image_size) + 80)).all(axis=1)
        if self.look.shadows:
            corners = self._shadow_corners(figures, near[:-1])
            corners_px, depth_m = camera.project(corners.reshape(-1, 3))
            fine = (depth_m.reshape(-1, 4) > _NEAR_M).all(axis=1)
            shapes = np.rint((corners_px.reshape(-1, 4, 2)[fine] - (0.5, 0.5 + top)) * _ONE)
            for shape in shapes.astype(np.int32):
                cv2.fillConvexPoly(shade, shape, self.look.shadow, cv2.LINE_AA, _SHIFT)
        below = max(self.look.shadow, 16.0)
        middles = np.rint(centres[near] - (0.5, 0.5 + top)).astype(int).tolist()
        for middle, size in zip(middles, sizes[near].tolist(), strict=True):
            half = (max(1, round(size)), max(1, round(0.3 * size)))
            cv2.ellipse(shade, middle, half, 0, 0, 360, below, -1, cv2.LINE_AA)
        return shade

    def _shadow_corners(self, figures: Figures, shown: np.ndarray) -> np.ndarray:
        """Corners on the ground of the shadow of each shown person for each lamp (n, 4, 3)."""
        feet, tall = figures.feet_m[shown], figures.tall_m[shown]
        lamps = np.array(self.look.shadows)
        across = np.stack([-lamps[:, 1], lamps[:, 0]], axis=-1)
        across /= np.linalg.norm(across, axis=-1, keepdims=True)
        tips = feet[:, None] + lamps * tall[:, None, None]  # (P, lamps, 2)
        starts = np.broadcast_to(feet[:, None], tips.shape)
        ways = (starts - 0.16 * across, starts + 0.16 * across, tips + 0.2 * across,
                tips - 0.2 * across)  # fmt: skip
        corners = np.stack(ways, axis=2).reshape(-1, 4, 2)
        return np.concatenate([corners, np.zeros((len(corners), 4, 1))], axis=-1)

    def _draw_standing(
        self,
        image: np.ndarray,
        camera: Camera,
        people: list[Person],
        figures: Figures,
        ball_m: np.ndarray,
        ball_end_m: np.ndarray,
        props: Sequence[Prop],
    ) -> None:
        """Goals, flags, people and the ball, from far to near."""
        items = [(depth_m, -1, side) for side, depth_m in stadium.goal_depths(camera).items()]
        (ball_px, ball_depth) = camera.project(ball_m)
        items.append((float(ball_depth), -2, 0))
        held: dict[int, list[Prop]] = {}
        for prop in props:
            held.setdefault(prop.person, []).append(prop)
        for prop in held.get(-1, ()):
            draw_prop(image, camera, figures, prop)
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
                for prop in held.get(index, ()):
                    draw_prop(image, camera, figures, prop)
            elif index == -1:
                stadium.draw_goal(image, camera, side)
            elif _is_near(ball_px, self.image_size, 20):
                end_px, _ = camera.project(ball_end_m)
                _draw_ball(image, ball_px, end_px, ball_radius_px(camera, depth_m))

    def _expose(self, image: np.ndarray, noise_seed: int) -> np.ndarray:
        height, width = image.shape[:2]
        if self.look.weather == "haze":
            _veil(image)
        image = cv2.LUT(image, self._response)
        bank = _noise_bank(height + _NOISE_ROOM, width + _NOISE_ROOM)
        rng = np.random.default_rng(noise_seed)
        y, x = rng.integers(_NOISE_ROOM, size=2)
        gain = self.look.noise / _NOISE_STD
        noise = bank[y : y + height, x : x + width]
        image = cv2.addWeighted(image, 1.0, noise, gain, -128 * gain)
        if self.look.weather == "rain":
            y, x = rng.integers(_NOISE_ROOM, size=2)
            drops = _rain_bank(height + _NOISE_ROOM, width + _NOISE_ROOM)
            image = cv2.add(image, drops[y : y + height, x : x + width])
        return image


def compress(image: UInt8[np.ndarray, "H W 3"], quality: int) -> UInt8[np.ndarray, "H W 3"]:
    """An image after JPEG compression; quality 0 changes nothing."""
    if not quality:
        return image
    _, data = cv2.imencode(".jpg", image, (cv2.IMWRITE_JPEG_QUALITY, quality))
    return cv2.imdecode(data, cv2.IMREAD_COLOR)


def ball_radius_px(camera: Camera, depth_m: float) -> float:
    """Radius of the drawn ball; it never gets so small that it disappears."""
    return max(1.0, BALL_RADIUS_M * float(camera.K[0, 0]) / depth_m)


_NOISE_ROOM, _NOISE_STD = 64, 24.0


@functools.lru_cache(maxsize=4)
def _noise_bank(height: int, width: int) -> np.ndarray:
    """Grey noise around 128; frames cut windows out of it."""
    noise = np.random.default_rng(0).normal(128, _NOISE_STD, (height, width, 1))
    return np.repeat(np.clip(noise, 0, 255).astype(np.uint8), 3, axis=2)


@functools.lru_cache(maxsize=4)
def _rain_bank(height: int, width: int) -> np.ndarray:
    """Short bright streaks on black."""
    rng = np.random.default_rng(1)
    bank = np.zeros((height, width), np.uint8)
    length = max(2, height // 45)
    for _ in range(width * height // 900):
        x, y = int(rng.integers(width)), int(rng.integers(height))
        end = (x + length // 4, y + int(rng.integers(1, 2 * length)))
        cv2.line(bank, (x, y), end, int(rng.integers(12, 48)), 1, cv2.LINE_AA)
    return np.repeat(bank[..., None], 3, axis=2)


def _veil(image: np.ndarray) -> None:
    """Haze: the upper part of a picture is farther away and paler; in place."""
    rows = image.shape[0] * 6 // 10
    edges = np.linspace(0, rows, 25).round().astype(int).tolist()
    for place, (first, last) in enumerate(itertools.pairwise(edges)):
        if last > first:
            share, band = 0.38 * (1 - place / 24), image[first:last]
            cv2.addWeighted(band, 1 - share, band, 0, 186 * share, dst=band)


def _blur(image: np.ndarray, blur_px: tuple[float, float]) -> np.ndarray:
    """Smear an image along a way."""
    steps = round(float(np.hypot(*blur_px)))
    if steps < 2:
        return image
    size = 2 * (steps // 2) + 1
    kernel = np.zeros((size, size), np.float32)
    middle = size // 2
    half = (round(blur_px[0] / 2), round(blur_px[1] / 2))
    ends = (middle - half[0], middle - half[1]), (middle + half[0], middle + half[1])
    cv2.line(kernel, *ends, 1.0)
    return cv2.filter2D(image, -1, kernel / kernel.sum(), borderType=cv2.BORDER_REPLICATE)


def _horizon_row(camera: Camera) -> float:
    """The highest image row of the horizon."""
    normal = camera.K[0, 0] * camera.R[:, 2]  # rays with R[:, 2] . ray = 0 are level
    x = np.array([0.0, camera.image_size[0]]) - camera.K[0, 2]
    level = -(normal[0] * x / camera.K[0, 0] + normal[2]) / normal[1]
    return float((level * camera.K[1, 1] + camera.K[1, 2]).min())


def _is_near(point_px: np.ndarray, image_size: tuple[int, int], margin_px: float) -> bool:
    size = np.asarray(image_size)
    return bool(((point_px > -margin_px) & (point_px < size + margin_px)).all())


def _draw_ball(
    image: np.ndarray, ball_px: np.ndarray, end_px: np.ndarray, radius_px: float
) -> None:
    """A disc, or a fainter streak if it moves by more than its size."""
    way = 0.5 * (end_px - ball_px)
    radius = round(radius_px * _ONE)
    if np.isfinite(way).all() and radius_px < np.hypot(*way) < 60:
        ends = [np.rint((ball_px + s * way - 0.5) * _ONE).astype(int).tolist() for s in (-1, 1)]
        thick = max(1, round(1.8 * radius_px))
        cv2.line(image, *ends, (222, 226, 222), thick, cv2.LINE_AA, _SHIFT)
        return
    centre = np.rint((ball_px - 0.5) * _ONE).astype(int).tolist()
    cv2.circle(image, centre, radius, (250, 250, 250), -1, cv2.LINE_AA, _SHIFT)
    if radius_px > 3:
        cv2.circle(image, centre, radius // 3, (60, 60, 60), -1, cv2.LINE_AA, _SHIFT)
