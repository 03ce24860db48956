"""Drawing a frame: background, markings with their metric width, goals, people and the ball."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from soccermaster.data.synthetic import stadium
from soccermaster.data.synthetic.figure import Figures, draw_figure
from soccermaster.data.synthetic.markings import draw_markings, markings_of
from soccermaster.data.synthetic.motion import BALL_RADIUS_M
from soccermaster.data.synthetic.people import Color, Person
from soccermaster.data.synthetic.props import draw_prop
from soccermaster.data.synthetic.scene import Prop
from soccermaster.geometry import Camera, Pitch
from soccermaster.geometry.pitch import LENGTH_M, WIDTH_M

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
        self._markings = markings_of(pitch)
        levels = np.arange(256)[:, None] / 128.0
        self._grass_colors = np.clip(levels * look.grass_rgb, 0, 255).astype(np.uint8)[:, None]

    def render(
        self,
        camera: Camera,
        people: list[Person],
        figures: Figures,
        ball_m: Float[np.ndarray, " 3"],
        noise_seed: int = 0,
        props: Sequence[Prop] = (),
    ) -> UInt8[np.ndarray, "H W 3"]:
        """One RGB frame.

        Args:
            camera: a single camera with the size of the renderer.
            people: in the order of `figures`.
            figures: placed people.
            ball_m: centre of the ball.
            noise_seed: of the sensor noise of this frame.
            props: things to be seen in this frame.
        """
        image = self._ground(camera)
        stadium.draw_panels(image, camera, self.look.crowd)
        self._draw_shadows(image, camera, figures, ball_m)
        draw_markings(image, camera, self._markings, self.look.line_rgb, self.look.grass_rgb)
        stadium.draw_flags(image, camera)
        self._draw_standing(image, camera, people, figures, ball_m, props)
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
            stadium.to_pixel_index(0, top) @ camera.image_from_pitch @ pitch_from_texture,
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
        with np.errstate(invalid="ignore"):
            near = ((centres > -50) & (centres < np.array(self.image_size) + 50)).all(axis=1)
        for (x, y), size in zip(
            np.rint(centres[near] - 0.5).astype(int).tolist(), sizes[near].tolist(), strict=True
        ):
            half = (max(1, round(size)), max(1, round(0.3 * size)))
            cv2.ellipse(image, (x, y), half, 0, 0, 360, color, -1, cv2.LINE_AA)

    def _draw_standing(
        self,
        image: np.ndarray,
        camera: Camera,
        people: list[Person],
        figures: Figures,
        ball_m: np.ndarray,
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


_NOISE_ROOM, _NOISE_STD = 64, 24.0


@functools.lru_cache(maxsize=4)
def _noise_bank(height: int, width: int) -> np.ndarray:
    """Grey noise around 128; frames cut windows out of it."""
    noise = np.random.default_rng(0).normal(128, _NOISE_STD, (height, width, 1))
    return np.repeat(np.clip(noise, 0, 255).astype(np.uint8), 3, axis=2)


def _horizon_row(camera: Camera) -> float:
    """The highest image row of the horizon."""
    normal = camera.K[0, 0] * camera.R[:, 2]  # rays with R[:, 2] . ray = 0 are level
    x = np.array([0.0, camera.image_size[0]]) - camera.K[0, 2]
    level = -(normal[0] * x / camera.K[0, 0] + normal[2]) / normal[1]
    return float((level * camera.K[1, 1] + camera.K[1, 2]).min())


def _is_near(point_px: np.ndarray, image_size: tuple[int, int], margin_px: float) -> bool:
    size = np.asarray(image_size)
    return bool(((point_px > -margin_px) & (point_px < size + margin_px)).all())


def _draw_ball(image: np.ndarray, ball_px: np.ndarray, radius_px: float) -> None:
    centre = np.rint((ball_px - 0.5) * _ONE).astype(int).tolist()
    radius = round(radius_px * _ONE)
    cv2.circle(image, centre, radius, (250, 250, 250), -1, cv2.LINE_AA, _SHIFT)
    if radius_px > 3:
        cv2.circle(image, centre, radius // 3, (60, 60, 60), -1, cv2.LINE_AA, _SHIFT)
