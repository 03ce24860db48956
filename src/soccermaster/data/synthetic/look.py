"""What differs from match to match: stadium, light, weather and picture quality."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from soccermaster.data.synthetic import stadium
from soccermaster.data.synthetic.people import Color

LIGHTS: tuple[str, ...] = ("sun", "clouds", "night")
WEATHERS: tuple[str, ...] = ("clear", "rain", "haze")


@dataclass(frozen=True)
class Look:
    """Stadium, light, weather and picture quality.

    Attributes:
        grass: variant of the mowing pattern.
        crowd: variant of stands and boards.
        grass_rgb: colour of plain grass.
        line_rgb: colour of the markings.
        sky_rgb: colour above the stands.
        exposure: factor on all brightness.
        noise: standard deviation of the sensor noise in grey levels.
        light: one of `LIGHTS`.
        weather: one of `WEATHERS`.
        shadows: ground vectors (x, y) of the shadow of something one metre high, one per lamp.
        shadow: how much darker the grass is there, in grey levels of its brightness.
        tint: factors on red, green and blue.
        jpeg_quality: of the compression; 0 is none.
        exposure_s: how long a frame is exposed, for motion blur.
        graphics: "left", "right" or "" for no score in the picture.
    """

    grass: int
    crowd: int
    grass_rgb: Color
    line_rgb: Color
    sky_rgb: Color
    exposure: float
    noise: float
    light: str = "clouds"
    weather: str = "clear"
    shadows: tuple[tuple[float, float], ...] = ()
    shadow: float = 20.0
    tint: tuple[float, float, float] = (1.0, 1.0, 1.0)
    jpeg_quality: int = 0
    exposure_s: float = 0.0
    graphics: str = ""


def draw_look(rng: np.random.Generator) -> Look:
    """A random match day."""
    light = str(rng.choice(LIGHTS, p=[0.35, 0.3, 0.35]))
    weather = str(rng.choice(WEATHERS, p=[0.76, 0.14, 0.10]))
    if light == "sun" and weather != "clear":
        light = "clouds"
    value = rng.uniform(95, 150) * (1.0 if weather == "clear" else 0.92)
    green = np.array([rng.uniform(0.42, 0.74), 1.0, rng.uniform(0.25, 0.48)]) * value
    white = float(rng.uniform(215, 252))
    day_sky = np.array([150, 178, 210]) if light == "sun" else np.array([180, 184, 190])
    sky = rng.uniform(0.8, 1.1) * day_sky if light != "night" else rng.uniform(8, 26) * np.ones(3)
    warm = rng.uniform(-0.05, 0.05) + (0.03 if light == "sun" else -0.02)
    azimuth = rng.uniform(0, 2 * np.pi)
    if light == "sun":
        long = rng.uniform(0.35, 1.9)
        shadows = ((long * np.cos(azimuth), long * np.sin(azimuth)),)
        depth = rng.uniform(28, 52)
    elif light == "night":
        long = rng.uniform(0.45, 0.8)
        turn = azimuth * 0.06 + np.array([0.6, 2.5, 3.8, 5.6])
        shadows = tuple(zip((long * np.cos(turn)).tolist(), (long * np.sin(turn)).tolist(),
                            strict=True))  # fmt: skip
        depth = rng.uniform(9, 20)
    else:
        shadows, depth = (), rng.uniform(12, 24)
    return Look(
        grass=int(rng.integers(stadium.NUM_GRASS)),
        crowd=int(rng.integers(stadium.NUM_CROWDS)),
        grass_rgb=tuple(int(v) for v in green),
        line_rgb=(int(white), int(white), int(white * 0.98)),
        sky_rgb=tuple(int(v) for v in sky),
        exposure=float(rng.uniform(0.82, 1.12)),
        noise=float(rng.uniform(1.0, 5.0)),
        light=light,
        weather=weather,
        shadows=tuple((float(x), float(y)) for x, y in shadows),
        shadow=float(depth),
        tint=(float(1 + warm), 1.0, float(1 - warm)),
        jpeg_quality=int(rng.integers(35, 90)) if rng.random() < 0.5 else 0,
        exposure_s=float(rng.uniform(0.004, 0.02)),
        graphics=str(rng.choice(["left", "right", ""], p=[0.72, 0.16, 0.12])),
    )
