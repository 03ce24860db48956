"""Closed-form cameras to start from.

Three kinds, from precise to robust. A homography by the direct linear transform needs a view with
enough points and lines on the ground and no gross mistake among them, but no idea where the camera
is. Two points and an assumed position give rotation and focal length; all pairs of points in one
batch are a consensus that survives many wrong points, and a position that is off by a few metres is
near enough for the optimiser. A grid of views over assumed positions needs no points at all.

Sources: Hartley and Zisserman, Multiple View Geometry: 4.1 (direct linear transform), 8.8 (focal
length from a homography); Black, 1964 (TRIAD, rotation from two directions).
"""

from __future__ import annotations

import itertools
from functools import lru_cache

import numpy as np
from jaxtyping import Float

from soccermaster.geometry.calibration.residuals import Observations, State

#: Where broadcast cameras may stand (metres).
POSITIONS_M = np.array(
    [
        (0.0, away, -slope * away)
        for away, slope in itertools.product((58.0, 76.0, 96.0), (0.12, 0.18, 0.26, 0.36))
    ]
)
#: Focal lengths of plausible views, in image widths.
FOCAL_RANGE = (0.4, 12.0)
#: Pairs of this many points at most; more would cost time and bring nothing.
_MAX_POINTS = 10
_LARGE_M = 30.0  # unit of the pitch in the linear system
_GRID_X_M = np.linspace(-50, 50, 11)
_GRID_Y_M = np.array([-25.0, -8.0, 8.0, 25.0])
_GRID_FIELD_M = np.array([20.0, 32.0, 50.0, 75.0])


def homography_start(seen: Observations) -> State | None:
    """Cameras from all ground points and lines of one frame, one per guess of the focal length.

    Returns:
        None where the observations do not determine a homography.
    """
    n, m = seen.num_points, seen.num_lines
    anchors, along = seen.anchors_m[0], seen.directions[0]
    flat_points = np.flatnonzero((anchors[2, :n] == 0) & (seen.weights[0, :n] > 0))
    flat_lines = np.flatnonzero(
        (anchors[2, n:] == 0) & (along[2] == 0) & (seen.weights[0, n : n + m] > 0)
    )
    if 2 * len(flat_points) + len(flat_lines) < 8:
        return None
    unit = seen.half_width
    pixels = np.ones((3, n + m))
    pixels[:2] = seen.pixels[0, :, : n + m] / unit
    system = np.zeros((9, 2 * len(flat_points) + len(flat_lines)))
    if len(flat_points):
        at = pixels[:, flat_points]
        x, y = anchors[:2, flat_points] / _LARGE_M
        count = len(flat_points)
        system[0:3, :count] = system[3:6, count : 2 * count] = at
        system[6:9, :count] = -x * at
        system[6:9, count : 2 * count] = -y * at
    if len(flat_lines):
        at = pixels[:, n + flat_lines]
        dx, dy = along[:2, flat_lines]
        x, y = anchors[:2, n + flat_lines] / _LARGE_M
        rows = system[:, 2 * len(flat_points) :]
        rows[0:3], rows[3:6], rows[6:9] = -dy * at, dx * at, (dy * x - dx * y) * at
    values, vectors = np.linalg.eigh(system @ system.T)
    if values[1] < 1e-9 * values[-1]:
        return None
    pitch_from_image = vectors[:, 0].reshape(3, 3)
    if abs(np.linalg.det(pitch_from_image)) < 1e-12:
        return None
    image_from_pitch = np.linalg.inv(pitch_from_image)
    return _cameras_of_homography(image_from_pitch, unit, seen)


def pair_starts(
    points_m: Float[np.ndarray, "3 q"], pixels: Float[np.ndarray, "2 q"], half_width: float
) -> State | None:
    """Cameras through every pair of points, seen from each of `POSITIONS_M`.

    Args:
        points_m: template points, on the ground or above.
        pixels: where they were seen, centred.
        half_width: W / 2.

    Returns:
        All plausible cameras; None without any.
    """
    if points_m.shape[1] < 2:
        return None
    if points_m.shape[1] > _MAX_POINTS:  # evenly over the numbers, so over the pitch
        chosen = np.linspace(0, points_m.shape[1] - 1, _MAX_POINTS).astype(int)
        points_m, pixels = points_m[:, chosen], pixels[:, chosen]
    first, second = _pairs(points_m.shape[1])
    rays = points_m[:, None] - POSITIONS_M.T[:, :, None]  # (3, positions, points)
    rays /= np.sqrt((rays * rays).sum(axis=0))
    one, two = rays[:, :, first], rays[:, :, second]  # (3, positions, pairs)
    normal = _cross0(one, two)
    sine2 = (normal * normal).sum(axis=0)
    a_px, b_px = pixels[:, first], pixels[:, second]
    a2, b2 = (a_px * a_px).sum(axis=0), (b_px * b_px).sum(axis=0)
    gap2 = ((a_px - b_px) ** 2).sum(axis=0)
    area = a_px[0] * b_px[1] - a_px[1] * b_px[0]
    # The angle between two rays as a quadratic equation of the squared focal length.
    linear = sine2 * (a2 + b2) - gap2
    constant = sine2 * a2 * b2 - area * area
    root = np.sqrt(np.maximum(linear * linear - 4 * sine2 * constant, 0.0))
    with np.errstate(divide="ignore", invalid="ignore"):
        focal2 = (root - linear) / (2 * sine2)
    low, high = (2 * half_width * bound for bound in FOCAL_RANGE)
    fine = (focal2 > low * low) & (focal2 < high * high) & (gap2 > (0.02 * half_width) ** 2)
    where, pair = np.nonzero(fine)
    if not len(where):
        return None
    focal = np.sqrt(focal2[where, pair])
    seen_one, seen_two = np.ones((2, 3, len(where)))
    seen_one[:2], seen_two[:2] = a_px[:, pair] / focal, b_px[:, pair] / focal
    seen_one /= np.sqrt((seen_one * seen_one).sum(axis=0))
    seen_two /= np.sqrt((seen_two * seen_two).sum(axis=0))
    in_camera = _triad(seen_one, seen_two)
    in_world = _triad(one[:, where, pair], two[:, where, pair])
    R = in_camera @ np.swapaxes(in_world, 1, 2)
    level = (np.abs(R[:, 0, 2]) < 0.15) & (R[:, 1, 2] > 0)
    if not level.any():
        return None
    no_distortion = np.zeros((int(level.sum()), 0))
    return State(R[level], POSITIONS_M[where[level]], np.log(focal[level]), no_distortion)


def grid_starts(half_width: float) -> State:
    """Cameras at the assumed positions that look level at a grid of points on the pitch."""
    views = np.array(list(itertools.product(_GRID_X_M, _GRID_Y_M, _GRID_FIELD_M)))
    position = np.repeat(POSITIONS_M[:4], len(views), axis=0)
    views = np.tile(views, (4, 1))
    ahead = np.concatenate([views[:, :2], np.zeros((len(views), 1))], axis=1) - position
    distance = np.sqrt((ahead * ahead).sum(axis=1))
    ahead /= distance[:, None]
    right = np.stack([-ahead[:, 1], ahead[:, 0], np.zeros(len(ahead))], axis=1)
    right /= np.sqrt((right * right).sum(axis=1))[:, None]
    R = np.stack([right, _cross0(ahead.T, right.T).T, ahead], axis=1)
    focal = 2 * half_width * distance / views[:, 2]
    return State(R, position, np.log(focal), np.zeros((len(R), 0)))


def _cameras_of_homography(
    image_from_pitch: np.ndarray, unit: float, seen: Observations
) -> State | None:
    """Cameras whose ground homography is nearest to one: with its own focal length, and others."""
    h1, h2, h3 = image_from_pitch.T / np.array([_LARGE_M, _LARGE_M, 1.0])[:, None]
    factors = np.array([h1[0] * h2[0] + h1[1] * h2[1], h1[:2] @ h1[:2] - h2[:2] @ h2[:2]])
    constants = np.array([h1[2] * h2[2], h1[2] ** 2 - h2[2] ** 2])
    size = factors @ factors
    inverse2 = -(factors @ constants) / size if size > 0 else 0.0
    low, high = (2 * bound for bound in FOCAL_RANGE)
    guesses = [2.0, 4.0]
    if inverse2 > 0:
        guesses.insert(0, float(np.clip(inverse2**-0.5, low, high)))
    focal = np.array(guesses)
    columns = np.stack([h1, h2, h3])  # (3 columns, xyz)
    columns = columns[None] / np.stack([focal, focal, np.ones_like(focal)], axis=1)[:, None]
    # The centre of the observations is in front of the camera.
    middle = seen.anchors_m[0, :2].mean(axis=1)
    depth = columns[:, 0, 2] * middle[0] + columns[:, 1, 2] * middle[1] + columns[:, 2, 2]
    columns = columns * np.sign(depth)[:, None, None]
    lengths = np.sqrt((columns[:, :2] ** 2).sum(axis=2))
    scale = np.sqrt(lengths[:, 0] * lengths[:, 1])
    if not (np.isfinite(scale).all() and (scale > 0).all()):
        return None
    # Nearest rotation: the two columns, made orthonormal symmetrically.
    r1, r2 = columns[:, 0] / lengths[:, :1], columns[:, 1] / lengths[:, 1:]
    total, difference = r1 + r2, r1 - r2
    total /= np.sqrt((total * total).sum(axis=1))[:, None] * np.sqrt(2)
    difference /= np.sqrt((difference * difference).sum(axis=1))[:, None] * np.sqrt(2)
    r1, r2 = total + difference, total - difference
    r3 = _cross0(r1.T, r2.T).T
    R = np.stack([r1, r2, r3], axis=2)
    position = -(np.swapaxes(R, 1, 2) @ (columns[:, 2] / scale[:, None])[:, :, None])[:, :, 0]
    if not np.isfinite(position).all():
        return None
    return State(R, position, np.log(focal * unit), np.zeros((len(focal), 0)))


def _triad(one: np.ndarray, two: np.ndarray) -> Float[np.ndarray, "N 3 3"]:
    """Orthonormal frames (columns) of pairs of directions (3, N)."""
    ahead = one + two
    ahead /= np.sqrt((ahead * ahead).sum(axis=0))
    side = _cross0(one, two)
    side /= np.sqrt((side * side).sum(axis=0))
    return np.stack([ahead.T, side.T, _cross0(ahead, side).T], axis=2)


def _cross0(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return np.stack(
        [a[1] * b[2] - a[2] * b[1], a[2] * b[0] - a[0] * b[2], a[0] * b[1] - a[1] * b[0]]
    )


@lru_cache(maxsize=32)
def _pairs(count: int) -> tuple[np.ndarray, np.ndarray]:
    first, second = np.triu_indices(count, 1)
    return first, second
