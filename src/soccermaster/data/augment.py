"""How a clip changes its geometry and colours, with all its annotations.

A clip gets one draw: one homography for all frames and one photometric setting. Frames are sampled
once, from uint8 into the size of the network. The draw is made before the frames are decoded, so
that a picture is decoded no larger than the draw can use. Coordinates are continuous pixels: a
resize is a plain scaling.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field

import cv2
import numpy as np
from jaxtyping import Float

from soccermaster.data.photometric import Photometric, apply_photometric
from soccermaster.data.undecoded import UndecodedClip
from soccermaster.data.warp_frames import FrameWarp, resize_homography, translation
from soccermaster.data.warp_labels import (
    MIN_VISIBLE_FRACTION,
    flip_annotations,
    has_clear_sides,
    warp_annotations,
)
from soccermaster.structures import Clip

__all__ = [
    "MIN_VISIBLE_FRACTION",
    "AugmentClip",
    "Augmentation",
    "ResizeClip",
    "flip_clip",
    "warp_clip",
]


def warp_clip(
    clip: Clip | UndecodedClip,
    output_from_input: Float[np.ndarray, "3 3"],
    output_size: tuple[int, int],
) -> Clip:
    """The clip seen through a homography: frames and all annotations.

    Frames are sampled once, linearly, and averaged over areas where they shrink; what was outside
    of the input is black. `warp_annotations` says what happens to the annotations.

    Args:
        clip: frames (T, H, W, 3), decoded or not.
        output_from_input: in continuous pixels; must not mirror.
        output_size: (H, W) of the result.

    Raises:
        ValueError: the homography is singular, or mirrors: `flip_clip` also renames left and right.
    """
    drawn = Augmentation(np.asarray(output_from_input, np.float64), tuple(output_size))
    return drawn(clip)


def flip_clip(clip: Clip) -> Clip:
    """The clip in a mirror: left and right change places in pixels, names, teams and text.

    `flip_annotations` says what happens to the annotations.
    """
    return dataclasses.replace(
        clip,
        frames=np.ascontiguousarray(clip.frames[:, :, ::-1]),
        annotations=flip_annotations(clip.annotations, clip.frames.shape[2]),
    )


@dataclass(frozen=True)
class ResizeClip:
    """Resizes clips to one size, for validation. The aspect ratio is not kept.

    Attributes:
        image_size: (H, W) of the result.
    """

    image_size: tuple[int, int]

    def __call__(self, clip: Clip | UndecodedClip, rng: np.random.Generator | None = None) -> Clip:
        """The resized clip; `rng` is not used."""
        size = tuple(self.image_size)
        return warp_clip(clip, resize_homography(_image_size(clip), size), size)


@dataclass(frozen=True)
class Augmentation:
    """One draw: what happens to every frame and every annotation of a clip.

    Attributes:
        output_from_input: from the pixels of the clip to those of the result, before the mirror.
        output_size: (H, W) of the result.
        flip: whether the result is mirrored.
        photometric: the change of its colours.
    """

    output_from_input: Float[np.ndarray, "3 3"]
    output_size: tuple[int, int]
    flip: bool = False
    photometric: Photometric = field(default_factory=Photometric)

    def __call__(self, clip: Clip | UndecodedClip) -> Clip:
        """The changed clip.

        Raises:
            ValueError: the homography is singular or mirrors.
            VideoError: a frame of an undecoded clip is missing or damaged.
        """
        input_size = _image_size(clip)
        if not _keeps_orientation(self.output_from_input, input_size):
            raise ValueError(
                "expected a homography that keeps the orientation, got "
                f"{self.output_from_input.tolist()}. Mirror with flip_clip."
            )
        width = self.output_size[1]
        mirror = np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        matrix = mirror @ self.output_from_input if self.flip else self.output_from_input
        warp = FrameWarp(matrix, input_size, self.output_size)
        if isinstance(clip, UndecodedClip):
            frames = warp(clip.stream(warp.at_least), len(clip.indices))
        else:
            frames = warp(clip.frames, len(clip.frames))
        apply_photometric(frames, self.photometric)
        annotations = warp_annotations(clip.annotations, self.output_from_input, self.output_size)
        if self.flip:
            annotations = flip_annotations(annotations, width)
        if isinstance(clip, UndecodedClip):
            return dataclasses.replace(clip.with_frames(frames), annotations=annotations)
        return dataclasses.replace(clip, frames=frames, annotations=annotations)


@dataclass(frozen=True)
class AugmentClip:
    """Random augmentations of the paper, in its order; by default, with its strengths.

    Affine map, perspective, crop, resize, colours, mirror, noise, blur. Lengths are fractions of
    the frame, so that a setting means the same at every resolution; the kernel of the blur is in
    pixels of the result.

    Attributes:
        image_size: (H, W) of the result.
        affine: probability of the affine map.
        max_rotation_deg: it turns by up to this angle to either side.
        max_shift: it moves by up to this fraction of width and height.
        scale: it grows by a factor in this range.
        max_shear_deg: it leans by up to this angle, in x and in y.
        perspective: probability of the perspective.
        max_corner_shift: each corner moves by up to this fraction of width and height; it stays
            inside of the frame.
        crop: probability of the crop.
        crop_size: height and width of the crop, each drawn from this range of fractions.
        brightness: factor 1 +- this.
        contrast: factor 1 +- this, about the mean grey of the clip.
        saturation: factor 1 +- this.
        hue: turn of the colours by up to this fraction of a circle to either side.
        flip: probability of the mirror.
        noise: probability of white noise.
        max_noise_std: its standard deviation goes up to this fraction of full scale.
        blur: probability of a Gaussian blur.
        blur_kernel: odd widths from the first to the second.
        blur_sigma: standard deviations from the first to the second, in pixels of the result.

    Source: SoccerMaster, CVPR 2026; the official release draws anew for every frame and samples
    three times, here it is one draw per clip and one sampling.
    """

    image_size: tuple[int, int]
    affine: float = 0.5
    max_rotation_deg: float = 10.0
    max_shift: float = 0.1
    scale: tuple[float, float] = (0.9, 1.1)
    max_shear_deg: float = 5.0
    perspective: float = 0.5
    max_corner_shift: float = 0.15
    crop: float = 1.0
    crop_size: tuple[float, float] = (0.6, 1.0)
    brightness: float = 0.4
    contrast: float = 0.4
    saturation: float = 0.4
    hue: float = 0.2
    flip: float = 0.5
    noise: float = 0.3
    max_noise_std: float = 0.02
    blur: float = 0.2
    blur_kernel: tuple[int, int] = (3, 7)
    blur_sigma: tuple[float, float] = (0.1, 2.0)

    def __post_init__(self) -> None:
        for name in ("affine", "perspective", "crop", "flip", "noise", "blur"):
            self._check(name, 0 <= getattr(self, name) <= 1, "a probability in 0..1")
        for name in ("brightness", "contrast", "saturation"):
            self._check(name, 0 <= getattr(self, name) < 1, "a value in 0..1")
        self._check("max_corner_shift", 0 <= self.max_corner_shift < 0.5, "a value in 0..0.5")
        self._check("max_shear_deg", 0 <= self.max_shear_deg < 45, "an angle in 0..45")
        for name, lowest, highest in (
            ("scale", 0.1, 10.0),
            ("crop_size", 0.05, 1.0),
            ("blur_sigma", 1e-3, 100.0),
        ):
            low, high = getattr(self, name)
            self._check(name, lowest <= low <= high <= highest, f"a range in {lowest}..{highest}")
        low, high = self.blur_kernel
        self._check("blur_kernel", 0 < low <= high and low % 2 == high % 2 == 1, "odd widths")

    def __call__(self, clip: Clip | UndecodedClip, rng: np.random.Generator) -> Clip:
        """The augmented clip; all of its frames get the same draw from `rng`.

        A clip is not mirrored when its comment has a "left" or "right" that may mean something else
        than a side.
        """
        drawn = self.draw(_image_size(clip), rng)
        if drawn.flip and not has_clear_sides(clip.annotations.text):
            drawn = dataclasses.replace(drawn, flip=False)
        return drawn(clip)

    def draw(self, input_size: tuple[int, int], rng: np.random.Generator) -> Augmentation:
        """What happens to a clip of frames of `input_size` (H, W)."""
        output_size = (int(self.image_size[0]), int(self.image_size[1]))
        # Drawn for the unit square, where a fraction of the frame is a length.
        height, width = input_size
        moved = np.eye(3)
        if rng.random() < self.affine:
            moved = self._affine(rng, width / height) @ moved
        if rng.random() < self.perspective:
            moved = self._perspective(rng) @ moved
        if rng.random() < self.crop:
            moved = self._crop(rng) @ moved
        output_from_input = (
            resize_homography((1, 1), output_size) @ moved @ resize_homography(input_size, (1, 1))
        )
        return Augmentation(
            output_from_input=output_from_input,
            output_size=output_size,
            photometric=self._photometric(rng),
            flip=bool(rng.random() < self.flip),
        )

    def _affine(self, rng: np.random.Generator, aspect: float) -> Float[np.ndarray, "3 3"]:
        angle = np.radians(rng.uniform(-self.max_rotation_deg, self.max_rotation_deg))
        shift = rng.uniform(-self.max_shift, self.max_shift, size=2)
        scale = rng.uniform(*self.scale)
        shear = np.tan(np.radians(rng.uniform(-self.max_shear_deg, self.max_shear_deg, size=2)))
        cos, sin = np.cos(angle), np.sin(angle)
        linear = scale * np.array([[cos, -sin], [sin, cos]]) @ [[1, shear[0]], [shear[1], 1]]
        about_centre = np.eye(3)
        about_centre[:2, :2] = linear
        # Angles are those of the frame with its aspect ratio.
        square = np.diag([aspect, 1.0, 1.0])
        about_centre = np.linalg.inv(square) @ about_centre @ square
        return translation(0.5 + shift) @ about_centre @ translation((-0.5, -0.5))

    def _perspective(self, rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
        corners = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], np.float32)
        limit = self.max_corner_shift
        moved = np.clip(corners + rng.uniform(-limit, limit, size=(4, 2)), 0, 1)
        return cv2.getPerspectiveTransform(corners, moved.astype(np.float32))

    def _crop(self, rng: np.random.Generator) -> Float[np.ndarray, "3 3"]:
        size = rng.uniform(*self.crop_size, size=2)
        corner = rng.uniform(0.0, 1.0 - size)
        return np.diag([*(1.0 / size), 1.0]) @ translation(-corner)

    def _photometric(self, rng: np.random.Generator) -> Photometric:
        factors = [
            float(rng.uniform(1 - limit, 1 + limit))
            for limit in (self.brightness, self.contrast, self.saturation)
        ]
        hue_rad = 2 * np.pi * float(rng.uniform(-self.hue, self.hue))
        has_noise, has_blur = rng.random() < self.noise, rng.random() < self.blur
        kernels = np.arange(self.blur_kernel[0], self.blur_kernel[1] + 1, 2)
        kernel, sigma = int(rng.choice(kernels)), float(rng.uniform(*self.blur_sigma))
        std, seed = float(rng.uniform(0.0, self.max_noise_std)), int(rng.integers(2**32))
        return Photometric(
            *factors,
            hue_rad=hue_rad,
            blur_kernel=kernel if has_blur else 0,
            blur_sigma=sigma if has_blur else 0.0,
            noise_std=std if has_noise else 0.0,
            noise_seed=seed,
        )

    def _check(self, name: str, is_right: bool, expected: str) -> None:
        if not is_right:
            raise ValueError(f"expected {name} to be {expected}, got {getattr(self, name)}.")


def _image_size(clip: Clip | UndecodedClip) -> tuple[int, int]:
    if isinstance(clip, UndecodedClip):
        return tuple(clip.image_size)
    return clip.frames.shape[1:3]


def _keeps_orientation(homography: np.ndarray, input_size: tuple[int, int]) -> bool:
    centre = np.array([input_size[1] / 2, input_size[0] / 2, 1.0])
    u, v, w = homography @ centre
    if w == 0:
        return False
    jacobian = (homography[:2, :2] - np.outer([u / w, v / w], homography[2, :2])) / w
    return bool(np.linalg.det(jacobian) > 0)
