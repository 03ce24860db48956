"""How a clip changes its geometry and colours, with all its annotations.

A clip gets one draw: one homography for all frames and one colour setting. Coordinates are
continuous pixels, so a resize is a plain scaling.
"""

from __future__ import annotations

import dataclasses
import re
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, UInt8

from soccermaster.data.images import resize_image
from soccermaster.geometry import Pitch, apply_homography, clip_segments
from soccermaster.structures import Annotations, Athletes, Cameras, Clip, Keypoints, Lines
from soccermaster.vocabulary import NO_NUMBER, TEAMS, UNKNOWN

#: A box is dropped when less than this part of it stays in the frame.
MIN_VISIBLE_FRACTION = 0.25

# Below this scale, pixels are averaged before the warp; above, linear interpolation is enough.
_AVERAGE_BELOW = 0.8

_PITCH = Pitch()
_MIRRORED_WORD = {"left": "right", "right": "left"}


def warp_clip(
    clip: Clip, output_from_input: Float[np.ndarray, "3 3"], output_size: tuple[int, int]
) -> Clip:
    """The clip seen through a homography: frames and all annotations.

    Frames are sampled once, linearly, after averaging over areas where they shrink; what was
    outside of the input is black. Boxes become the hull of their warped corners inside the output,
    and are dropped when less than `MIN_VISIBLE_FRACTION` of that hull is inside. Lines are clipped.
    Keypoints may lie outside. Cameras follow a scaling with a crop; anything else is no pinhole
    camera with upright pixels, and they are dropped. Positions on the pitch do not change.

    Args:
        clip: frames (T, H, W, 3).
        output_from_input: in continuous pixels; must not mirror.
        output_size: (H, W) of the result.

    Raises:
        ValueError: the homography is singular, or mirrors: `flip_clip` also renames left and right.
    """
    output_from_input = np.asarray(output_from_input, np.float64)
    input_size = clip.frames.shape[1:3]
    scales, orientation = _scale_at_centre(output_from_input, input_size)
    if not orientation > 0:
        raise ValueError(
            f"expected a homography that keeps the orientation, got {output_from_input.tolist()}. "
            "Mirror with flip_clip."
        )
    annotations = clip.annotations
    return dataclasses.replace(
        clip,
        frames=_warp_frames(clip.frames, output_from_input, output_size, scales),
        annotations=dataclasses.replace(
            annotations,
            athletes=_warp_athletes(annotations.athletes, output_from_input, output_size),
            keypoints=_warp_keypoints(annotations.keypoints, output_from_input),
            lines=_warp_lines(annotations.lines, output_from_input, output_size),
            cameras=_warp_cameras(annotations.cameras, output_from_input),
        ),
    )


def flip_clip(clip: Clip) -> Clip:
    """The clip in a mirror: left and right change places in pixels, names, teams and text.

    Shirt numbers become unknown, for mirrored digits are no digits. Cameras mirror the world along
    with the image, so that they stay rotations.
    """
    width = clip.frames.shape[2]
    return dataclasses.replace(
        clip,
        frames=np.ascontiguousarray(clip.frames[:, :, ::-1]),
        annotations=_flip_annotations(clip.annotations, width),
    )


@dataclass(frozen=True)
class ResizeClip:
    """Resizes clips to one size, for validation. The aspect ratio is not kept.

    Attributes:
        image_size: (H, W) of the result.
    """

    image_size: tuple[int, int]

    def __call__(self, clip: Clip, rng: np.random.Generator | None = None) -> Clip:
        """The resized clip; `rng` is not used."""
        size = tuple(self.image_size)
        return warp_clip(clip, _resize_homography(clip.frames.shape[1:3], size), size)


@dataclass(frozen=True)
class Augmentation:
    """One draw of `AugmentClip`.

    Attributes:
        output_from_input: from the pixels of the clip to those of the result, before the mirror.
        flip: whether the result is mirrored at the end.
        colour: RGB (0..255) of the result as an affine function of RGB and 1.
    """

    output_from_input: Float[np.ndarray, "3 3"]
    flip: bool
    colour: Float[np.ndarray, "3 4"]


@dataclass(frozen=True)
class AugmentClip:
    """Resizes clips to one size with a random zoom, shift, rotation, mirror and colours.

    Attributes:
        image_size: (H, W) of the result.
        flip: probability of the mirror.
        max_zoom: the picture grows by a factor of 1 up to this.
        max_shift: it moves by up to this fraction of its width and height.
        max_rotation_deg: it turns by up to this angle to either side. Rotated clips have no
            cameras.
        brightness: factor 1 +- this.
        contrast: factor 1 +- this, about the mean grey of the clip.
        saturation: factor 1 +- this.
        hue: turn of the colours by up to this fraction of a circle to either side.
    """

    image_size: tuple[int, int]
    flip: float = 0.5
    max_zoom: float = 1.2
    max_shift: float = 0.1
    max_rotation_deg: float = 5.0
    brightness: float = 0.3
    contrast: float = 0.3
    saturation: float = 0.3
    hue: float = 0.03

    def __post_init__(self) -> None:
        if not 0 <= self.flip <= 1 or self.max_zoom < 1:
            raise ValueError(
                "expected flip in 0..1 and max_zoom >= 1, "
                f"got flip={self.flip} and max_zoom={self.max_zoom}."
            )
        for name in ("brightness", "contrast", "saturation"):
            if not 0 <= getattr(self, name) < 1:
                raise ValueError(f"expected {name} in 0..1, got {getattr(self, name)}.")

    def __call__(self, clip: Clip, rng: np.random.Generator) -> Clip:
        """The augmented clip; all of its frames get the same draw from `rng`."""
        drawn = self.draw(clip, rng)
        clip = warp_clip(clip, drawn.output_from_input, tuple(self.image_size))
        clip = dataclasses.replace(clip, frames=_apply_colour(clip.frames, drawn.colour))
        return flip_clip(clip) if drawn.flip else clip

    def draw(self, clip: Clip, rng: np.random.Generator) -> Augmentation:
        """What happens to `clip`."""
        flip = bool(rng.random() < self.flip)
        zoom = np.exp(rng.uniform(0.0, np.log(self.max_zoom)))
        shift = rng.uniform(-self.max_shift, self.max_shift, size=2)
        angle_rad = np.radians(rng.uniform(-self.max_rotation_deg, self.max_rotation_deg))
        factors = [
            1.0 + rng.uniform(-limit, limit)
            for limit in (self.brightness, self.contrast, self.saturation)
        ]
        hue_rad = 2 * np.pi * rng.uniform(-self.hue, self.hue)

        height, width = clip.frames.shape[1:3]
        cos, sin = zoom * np.cos(angle_rad), zoom * np.sin(angle_rad)
        about_centre = np.array([[cos, -sin, 0.0], [sin, cos, 0.0], [0.0, 0.0, 1.0]])
        moved = (0.5 + shift) * (width, height)
        moved_from_input = (
            _translation(moved) @ about_centre @ _translation((-width / 2, -height / 2))
        )
        output_from_input = (
            _resize_homography((height, width), tuple(self.image_size)) @ moved_from_input
        )
        mean_grey = float(clip.frames[:, ::8, ::8].mean())
        return Augmentation(
            output_from_input=output_from_input,
            flip=flip,
            colour=_colour_matrix(*factors, hue_rad, mean_grey),
        )


def _resize_homography(
    input_size: tuple[int, int], output_size: tuple[int, int]
) -> Float[np.ndarray, "3 3"]:
    return np.diag([output_size[1] / input_size[1], output_size[0] / input_size[0], 1.0])


def _translation(offset: tuple[float, float] | np.ndarray) -> Float[np.ndarray, "3 3"]:
    return np.array([[1.0, 0.0, offset[0]], [0.0, 1.0, offset[1]], [0.0, 0.0, 1.0]])


def _scale_at_centre(
    homography: np.ndarray, input_size: tuple[int, int]
) -> tuple[tuple[float, float], float]:
    """How much x and y grow at the centre of the input, and the sign of the map there."""
    centre = np.array([input_size[1] / 2, input_size[0] / 2, 1.0])
    u, v, w = homography @ centre
    jacobian = (homography[:2, :2] - np.outer([u / w, v / w], homography[2, :2])) / w
    scale_x, scale_y = np.linalg.norm(jacobian, axis=0)
    return (float(scale_x), float(scale_y)), float(np.linalg.det(jacobian))


def _warp_frames(
    frames: np.ndarray,
    output_from_input: np.ndarray,
    output_size: tuple[int, int],
    scales: tuple[float, float],
) -> UInt8[np.ndarray, "T H W 3"]:
    height, width = frames.shape[1:3]
    if np.allclose(output_from_input, _resize_homography((height, width), output_size), atol=1e-9):
        return np.stack([resize_image(frame, output_size) for frame in frames])
    small = [
        max(1, round(n * scale)) if scale < _AVERAGE_BELOW else n
        for n, scale in zip((width, height), scales, strict=True)
    ]
    input_from_small = np.diag([width / small[0], height / small[1], 1.0])
    # OpenCV counts from the centre of the first pixel, we count from its corner.
    matrix = _translation((-0.5, -0.5)) @ output_from_input @ input_from_small
    matrix = matrix @ _translation((0.5, 0.5))
    warped = np.empty((len(frames), *output_size, 3), np.uint8)
    for frame, target in zip(frames, warped, strict=True):
        cv2.warpPerspective(
            resize_image(frame, (small[1], small[0])),
            matrix,
            (output_size[1], output_size[0]),
            dst=target,
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_CONSTANT,
        )
    return warped


def _warp_points(
    homography: np.ndarray, points_px: Float[np.ndarray, "*n 2"]
) -> Float[np.ndarray, "*n 2"]:
    """NaN behind the horizon of the homography."""
    flat = np.asarray(points_px, np.float64).reshape(-1, 2)
    depth = flat @ homography[2, :2] + homography[2, 2]
    warped = apply_homography(homography, flat)
    warped[~(depth > 0)] = np.nan
    return warped.reshape(np.shape(points_px))


def _warp_athletes(
    athletes: Athletes | None, homography: np.ndarray, output_size: tuple[int, int]
) -> Athletes | None:
    if athletes is None:
        return None
    corners = athletes.boxes_xyxy_px[:, [0, 1, 2, 1, 2, 3, 0, 3]].reshape(-1, 4, 2)
    corners = _warp_points(homography, corners)
    hull = np.concatenate([corners.min(axis=1), corners.max(axis=1)], axis=1)
    clipped = np.clip(hull, 0, np.tile(output_size[::-1], 2))
    visible = _area(clipped) / np.maximum(_area(hull), np.finfo(np.float64).tiny)
    kept = visible >= MIN_VISIBLE_FRACTION  # False for NaN
    changed = dataclasses.replace(athletes, boxes_xyxy_px=clipped.astype(np.float32))
    return changed.select(kept)


def _area(boxes_xyxy: np.ndarray) -> np.ndarray:
    return (boxes_xyxy[:, 2] - boxes_xyxy[:, 0]) * (boxes_xyxy[:, 3] - boxes_xyxy[:, 1])


def _warp_keypoints(keypoints: Keypoints | None, homography: np.ndarray) -> Keypoints | None:
    if keypoints is None:
        return None
    points_px = _warp_points(homography, keypoints.points_px)
    return dataclasses.replace(keypoints, points_px=points_px.astype(np.float32))


def _warp_lines(
    lines: Lines | None, homography: np.ndarray, output_size: tuple[int, int]
) -> Lines | None:
    if lines is None:
        return None
    segments_px = clip_segments(_warp_points(homography, lines.segments_px), output_size[::-1])
    return dataclasses.replace(lines, segments_px=segments_px.astype(np.float32))


def _warp_cameras(cameras: Cameras | None, homography: np.ndarray) -> Cameras | None:
    scaled = homography / homography[2, 2]
    off_diagonal = scaled[[0, 1, 2, 2], [1, 0, 0, 1]]
    if cameras is None or np.any(off_diagonal != 0):
        return None
    return dataclasses.replace(cameras, K=(scaled @ cameras.K).astype(cameras.K.dtype))


def _flip_annotations(annotations: Annotations, width: int) -> Annotations:
    athletes, keypoints = annotations.athletes, annotations.keypoints
    lines, cameras = annotations.lines, annotations.cameras
    if athletes is not None:
        boxes = athletes.boxes_xyxy_px[:, [2, 1, 0, 3]]
        has_number = (athletes.numbers >= 0) & (athletes.numbers < NO_NUMBER)
        athletes = dataclasses.replace(
            athletes,
            boxes_xyxy_px=_mirror_x(boxes.reshape(-1, 2, 2), width).reshape(-1, 4),
            numbers=np.where(has_number, UNKNOWN, athletes.numbers),
            teams=np.where(athletes.teams < 0, athletes.teams, len(TEAMS) - 1 - athletes.teams),
            positions_m=athletes.positions_m * np.array([-1, 1], np.float32),
        )
    if keypoints is not None:
        keypoints = Keypoints(
            points_px=_mirror_x(keypoints.points_px[:, _PITCH.keypoint_flip], width),
            known=keypoints.known[:, _PITCH.keypoint_flip],
        )
    if lines is not None:
        lines = Lines(
            segments_px=_mirror_x(lines.segments_px[:, _PITCH.line_flip], width),
            known=lines.known[:, _PITCH.line_flip],
        )
    if cameras is not None:
        mirror = np.diag([-1.0, 1.0, 1.0])
        image_mirror = np.array([[-1.0, 0.0, width], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
        cameras = Cameras(
            K=(image_mirror @ cameras.K @ mirror).astype(cameras.K.dtype),
            R=(mirror @ cameras.R @ mirror).astype(cameras.R.dtype),
            position_m=cameras.position_m * np.array([-1, 1, 1], cameras.position_m.dtype),
        )
    text = annotations.text and _mirror_words(annotations.text)
    return dataclasses.replace(
        annotations,
        athletes=athletes,
        keypoints=keypoints,
        lines=lines,
        cameras=cameras,
        text=text,
    )


def _mirror_x(points_px: Float[np.ndarray, "*n 2"], width: int) -> Float[np.ndarray, "*n 2"]:
    return points_px * np.array([-1, 1], points_px.dtype) + np.array([width, 0], points_px.dtype)


def _mirror_words(text: str) -> str:
    """Swaps left and right, alone or in a word such as "left-footed" or "rightmost"."""

    def swap(match: re.Match[str]) -> str:
        word = match.group()
        other = _MIRRORED_WORD[word.lower()]
        if word.isupper():
            return other.upper()
        return other.capitalize() if word[0].isupper() else other

    return re.sub(r"\b(left|right)(?=\b|wards?\b|most\b|ies\b)", swap, text, flags=re.IGNORECASE)


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


def _apply_colour(
    frames: UInt8[np.ndarray, "T H W 3"], colour: Float[np.ndarray, "3 4"]
) -> UInt8[np.ndarray, "T H W 3"]:
    return np.stack([cv2.transform(frame, colour) for frame in frames])
