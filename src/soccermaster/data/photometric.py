"""How a clip changes its colours, sharpness and noise: one setting for all of its frames."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

# Every frame takes its noise from another place of one field that is this much larger.
_NOISE_MARGIN = 128


@dataclass(frozen=True)
class Photometric:
    """One setting; the default changes nothing.

    Attributes:
        brightness: factor.
        contrast: factor, about the mean grey of the clip.
        saturation: factor.
        hue_rad: turn of the colours.
        blur_kernel: width of the Gaussian in pixels, odd; 0: no blur.
        blur_sigma: its standard deviation in pixels.
        noise_std: standard deviation of white noise, as a fraction of full scale.
        noise_seed: of the noise.
    """

    brightness: float = 1.0
    contrast: float = 1.0
    saturation: float = 1.0
    hue_rad: float = 0.0
    blur_kernel: int = 0
    blur_sigma: float = 0.0
    noise_std: float = 0.0
    noise_seed: int = 0


def apply_photometric(frames: UInt8[np.ndarray, "T H W 3"], setting: Photometric) -> None:
    """Changes the frames in place: colours, then noise (new for every frame), then blur."""
    if not len(frames):
        return
    changes_colour = (
        setting.brightness,
        setting.contrast,
        setting.saturation,
        setting.hue_rad,
    ) != (1.0, 1.0, 1.0, 0.0)
    colour = _colour_matrix(
        setting.brightness,
        setting.contrast,
        setting.saturation,
        setting.hue_rad,
        float(frames[:, ::8, ::8].mean()),
    )
    noise = _Noise(frames.shape[1:3], setting) if setting.noise_std > 0 else None
    kernel = (setting.blur_kernel, setting.blur_kernel)
    for frame in frames:
        if changes_colour:
            cv2.transform(frame, colour, dst=frame)
        if noise is not None:
            noise.add_to(frame)
        if setting.blur_kernel:
            cv2.GaussianBlur(frame, kernel, setting.blur_sigma, dst=frame)


class _Noise:
    """White noise, drawn once as a field of which each frame gets another window."""

    def __init__(self, size: tuple[int, int], setting: Photometric) -> None:
        self._size = size
        self._rng = np.random.default_rng(setting.noise_seed)
        height, width = (n + _NOISE_MARGIN for n in size)
        field = self._rng.standard_normal((height, width, 3), np.float32)
        field *= 255 * setting.noise_std
        # Two unsigned halves: OpenCV adds and subtracts those with saturation, at memory speed.
        self._up = np.clip(np.rint(field), 0, 255).astype(np.uint8)
        self._down = np.clip(np.rint(-field), 0, 255).astype(np.uint8)

    def add_to(self, frame: UInt8[np.ndarray, "H W 3"]) -> None:
        y, x = self._rng.integers(0, _NOISE_MARGIN, size=2)
        window = np.s_[y : y + self._size[0], x : x + self._size[1]]
        cv2.add(frame, self._up[window], dst=frame)
        cv2.subtract(frame, self._down[window], dst=frame)


def _colour_matrix(
    brightness: float, contrast: float, saturation: float, hue_rad: float, mean_grey: float
) -> Float[np.ndarray, "3 4"]:
    """All colour changes as one affine map, in the order of the arguments."""
    luma = np.array([0.299, 0.587, 0.114])
    to_grey = np.tile(luma, (3, 1))
    saturate = saturation * np.eye(3) + (1 - saturation) * to_grey
    # A hue turn is a rotation about the grey axis in YIQ.
    yiq_from_rgb = np.array([luma, [0.596, -0.274, -0.322], [0.211, -0.523, 0.312]])
    cos, sin = np.cos(hue_rad), np.sin(hue_rad)
    turn = np.array([[1.0, 0.0, 0.0], [0.0, cos, -sin], [0.0, sin, cos]])
    turn = np.linalg.inv(yiq_from_rgb) @ turn @ yiq_from_rgb
    offset = (1 - contrast) * brightness * mean_grey
    linear = turn @ saturate
    return np.concatenate(
        [linear * (brightness * contrast), linear.sum(1, keepdims=True) * offset], axis=1
    )
