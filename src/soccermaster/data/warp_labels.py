"""How the annotations of a clip move with its pixels: through a homography, and in a mirror."""

from __future__ import annotations

import dataclasses
import re

import numpy as np
from jaxtyping import Bool, Float
from scipy.linalg import rq

from soccermaster.geometry import Pitch, apply_homography, clip_segments
from soccermaster.structures import Annotations, Athletes, Cameras, Keypoints, Lines
from soccermaster.vocabulary import NO_NUMBER, TEAMS, UNKNOWN

#: A box is dropped when less than this part of it stays in the frame.
MIN_VISIBLE_FRACTION = 0.25

# Pixels whose axes are off the right angle by more than this (radians) fit no pinhole camera.
_MAX_SKEW = 1e-5

_PITCH = Pitch()
_MIRRORED_WORD = {"left": "right", "right": "left"}
_LEFT_OR_RIGHT = re.compile(r"\b(?:left|right)(?=\b|wards?\b|most\b|ies\b)", re.IGNORECASE)
# Where these words mean a side, and not "gone", "still there", "correct" or "just".
_SIDE = re.compile(
    r"\b(?:left|right)(?="
    r"(?:wards?|most|ies)\b"
    r"|[- ](?:hand|foot|leg)(?:ed|er|ers)?\b"
    r"|-(?:back|half|wing|winger|sided?|midfielder)s?\b"
    r"|\s+(?:(?:top|bottom|upper|lower)\s+)?(?:side|post|upright|corner|boot|arm|wing|winger|flank"
    r"|channel|touchline|byline|edge)s?\b)"
    r"|(?:(?<=\bthe )|(?<=\bhis )|(?<=\bher )|(?<=\bits )|(?<=\btheir ))(?:left|right)(?="
    r"\s*[.,;:!?)]|\s*$|\s+(?:of|and|but|before|after|as|while|with|into|only|to)\b)",
    re.IGNORECASE,
)


def warp_annotations(
    annotations: Annotations,
    output_from_input: Float[np.ndarray, "3 3"],
    output_size: tuple[int, int],
) -> Annotations:
    """The annotations of a clip seen through a homography.

    Boxes become the hull of their warped corners inside the output, and are dropped when less than
    `MIN_VISIBLE_FRACTION` of that hull is inside. Lines are clipped. Keypoints may lie outside.
    Cameras stay where the result is a pinhole camera with upright pixels (crops, resizes, turns of
    a camera with square pixels) and become None elsewhere (shear, perspective). Positions on the
    pitch do not change.

    Args:
        annotations: in pixels of the input.
        output_from_input: in continuous pixels; must not mirror.
        output_size: (H, W) of the result.
    """
    return dataclasses.replace(
        annotations,
        athletes=_warp_athletes(annotations.athletes, output_from_input, output_size),
        keypoints=_warp_keypoints(annotations.keypoints, output_from_input),
        lines=_warp_lines(annotations.lines, output_from_input, output_size),
        cameras=_warp_cameras(annotations.cameras, output_from_input),
    )


def flip_annotations(annotations: Annotations, width: int) -> Annotations:
    """The annotations of a clip seen in a mirror: left and right change places everywhere.

    In pixels, in the names of keypoints and lines, in team sides, positions and words that mean a
    side. Shirt numbers become unknown, for mirrored digits are no digits. Cameras mirror the world
    along with the image, so that they stay rotations. What is `named_from_left` by convention
    stays so: there, near and far change places in the names.

    Args:
        annotations: in pixels of an image `width` px wide.
        width: of that image.
    """
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
    if annotations.named_from_left is not None and keypoints is not None and lines is not None:
        keypoints, lines = turn_names(keypoints, lines, annotations.named_from_left)
    text = annotations.text and _mirror_words(annotations.text)
    return dataclasses.replace(
        annotations,
        athletes=athletes,
        keypoints=keypoints,
        lines=lines,
        cameras=cameras,
        text=text,
    )


def turn_names(
    keypoints: Keypoints, lines: Lines, turned: Bool[np.ndarray, " T"]
) -> tuple[Keypoints, Lines]:
    """The same points under the names that they have after half a turn of the pitch."""
    points, segments = _PITCH.keypoint_rot180, _PITCH.line_rot180
    where = turned[:, None]
    return (
        Keypoints(
            np.where(where[..., None], keypoints.points_px[:, points], keypoints.points_px),
            np.where(where, keypoints.known[:, points], keypoints.known),
        ),
        Lines(
            np.where(where[..., None, None], lines.segments_px[:, segments], lines.segments_px),
            np.where(where, lines.known[:, segments], lines.known),
        ),
    )


def has_clear_sides(text: str | None) -> bool:
    """Whether `flip_annotations` knows what every "left" and "right" in a comment means.

    It leaves "the right decision" and "left the pitch" alone. Other uses, it cannot be sure of.
    """
    meant = {match.start() for match in _SIDE.finditer(text or "")}
    return all(match.start() in meant for match in _LEFT_OR_RIGHT.finditer(text or ""))


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
    if cameras is None or np.any(scaled[2, :2] != 0):
        return None
    # image = K camera_from_world; the moved one splits again into intrinsics and a rotation.
    K, turn = np.full(cameras.K.shape, np.nan), np.full(cameras.K.shape, np.nan)
    for i in np.flatnonzero(np.isfinite(cameras.K).all(axis=(1, 2))):
        upper, rotation = rq(scaled @ cameras.K[i].astype(np.float64))
        signs = np.sign(np.diag(upper))
        K[i], turn[i] = upper * signs, rotation * signs[:, None]
    if np.any(np.abs(K[:, 0, 1]) > _MAX_SKEW * K[:, 0, 0]):
        return None
    K[:, 0, 1] = 0 * K[:, 0, 1]
    K /= K[:, 2:, 2:]
    return dataclasses.replace(
        cameras,
        K=K.astype(cameras.K.dtype),
        R=(turn @ cameras.R).astype(cameras.R.dtype),
    )


def _mirror_x(points_px: Float[np.ndarray, "*n 2"], width: int) -> Float[np.ndarray, "*n 2"]:
    return points_px * np.array([-1, 1], points_px.dtype) + np.array([width, 0], points_px.dtype)


def _mirror_words(text: str) -> str:
    """Swaps left and right where they mean a side."""

    def swap(match: re.Match[str]) -> str:
        word = match.group()
        other = _MIRRORED_WORD[word.lower()]
        if word.isupper():
            return other.upper()
        return other.capitalize() if word[0].isupper() else other

    return _SIDE.sub(swap, text)
