"""Random broadcast cameras, what a detector would see through them, and the best possible fit.

Position N(0, 4) x U(60, 100) x -U(10, 25) m, looking at a point of the pitch, 20-75 m of pitch in
view, 1920x1080, at least 4 keypoints visible.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import least_squares
from scipy.spatial.transform import Rotation

from soccermaster.geometry import Camera, Pitch, visible_segments

SIZE = (1920, 1080)
HEATMAP = 256


@dataclass(frozen=True)
class Case:
    """A camera and what was seen through it."""

    camera: Camera
    points_px: dict[int, tuple[float, float]]
    lines_px: dict[int, tuple[tuple[float, float], tuple[float, float]]]


@dataclass(frozen=True)
class Kind:
    """How observations are disturbed."""

    name: str
    noise_px: float = 0.0
    wrong: float = 0.0  # fraction of the points that N(0, 60 px) moves
    heatmap: bool = False
    lines: bool = True
    least_percent: float | None = None  # under 5 px, from the goals of the project


def random_position_m(rng: np.random.Generator) -> np.ndarray:
    """Where a broadcast camera may stand, in metres."""
    return np.array([rng.normal(0, 4), rng.uniform(60, 100), -rng.uniform(10, 25)])


def look_at(position_m: np.ndarray, target_m: np.ndarray, width_m: float) -> Camera:
    """A level camera with this much of the pitch across its image."""
    ahead = target_m - position_m
    pan = np.degrees(np.arctan2(ahead[0], -ahead[1]))
    tilt = np.degrees(np.arctan2(np.hypot(ahead[0], ahead[1]), ahead[2]))
    focal_px = SIZE[0] * np.linalg.norm(ahead) / width_m
    return Camera.from_pan_tilt_roll(pan, tilt, 0.0, focal_px, position_m, SIZE)


def draw_case(rng: np.random.Generator, kind: Kind) -> Case:
    """A random broadcast camera that sees at least 4 keypoints."""
    while True:
        position_m = random_position_m(rng)
        target = np.array([rng.uniform(-52.5, 52.5), rng.uniform(-34, 34), 0.0])
        camera = look_at(position_m, target, rng.uniform(20, 75))
        points_px, _ = camera.project(Pitch().keypoints_m)
        if _inside(points_px).sum() >= 4:
            return observe(camera, rng, kind)


def observe(camera: Camera, rng: np.random.Generator, kind: Kind) -> Case:
    """What a detector says of the image of a camera."""
    points_px, _ = camera.project(Pitch().keypoints_m)
    numbers = np.flatnonzero(_inside(points_px))
    points_px = _disturb(points_px[numbers], rng, kind)
    wrong = rng.uniform(size=len(numbers)) < kind.wrong
    points_px[wrong] += rng.normal(0, 60, (int(wrong.sum()), 2))
    segments_px = visible_segments(camera, Pitch())
    seen = np.flatnonzero(np.isfinite(segments_px).all(axis=(1, 2)))
    ends_px = _disturb(segments_px[seen], rng, kind)
    return Case(
        camera,
        {int(i) + 1: tuple(p) for i, p in zip(numbers, points_px, strict=True)},
        {int(i) + 1: (tuple(a), tuple(b)) for i, (a, b) in zip(seen, ends_px, strict=True)}
        if kind.lines
        else {},
    )


def fit_from_truth(case: Case, robust: bool) -> Camera:
    """The maximum-likelihood camera of the same observations, started at the true one."""
    pitch = Pitch()
    numbers = np.array(list(case.points_px)) - 1
    points_m, points_px = pitch.keypoints_m[numbers], np.array(list(case.points_px.values()))
    lines = np.array(list(case.lines_px), dtype=int) - 1
    ends_m = pitch.line_ends_m[lines]
    ends_px = np.array(list(case.lines_px.values())).reshape(-1, 2, 2)
    middle = np.array(SIZE) / 2
    focal = case.camera.K[0, 0]

    def camera_at(change: np.ndarray) -> tuple[np.ndarray, np.ndarray, float]:
        R = Rotation.from_rotvec(change[:3]).as_matrix() @ case.camera.R
        return R, case.camera.position_m + change[3:6] * 10, focal * np.exp(change[6])

    def residuals(change: np.ndarray) -> np.ndarray:
        R, position_m, f = camera_at(change)
        seen = (points_m - position_m) @ R.T
        misses = [(f * seen[:, :2] / seen[:, 2:] + middle - points_px).ravel()]
        if len(lines):
            a, b = ((ends_m[:, i] - position_m) @ R.T for i in (0, 1))
            normal = np.cross(a, b)
            normal /= np.linalg.norm(normal[:, :2], axis=1, keepdims=True)
            offset = np.einsum("nc,nec->ne", normal[:, :2], ends_px - middle)
            misses.append((offset + f * normal[:, 2:]).ravel())
        return np.concatenate(misses)

    # A scale that leaves inliers alone and takes what is far off by its logarithm.
    loss = {"loss": "cauchy", "f_scale": 3.0} if robust else {}
    best = least_squares(residuals, np.zeros(7), x_scale="jac", max_nfev=200, **loss)
    R, position_m, f = camera_at(best.x)
    K = np.array([[f, 0, middle[0]], [0, f, middle[1]], [0, 0, 1]])
    return Camera(K, R, position_m, SIZE)


def ground_error_px(truth: Camera, camera: Camera | None) -> float:
    """Mean distance over the visible pitch; infinite without a camera."""
    if camera is None:
        return float("inf")
    x, y = np.meshgrid(np.linspace(-52.5, 52.5, 43), np.linspace(-34, 34, 29))
    ground_m = np.stack([x.ravel(), y.ravel(), np.zeros(x.size)], axis=1)
    points_px, _ = truth.project(ground_m)
    inside = _inside(points_px)
    moved_px, _ = camera.project(ground_m[inside])
    distance_px = np.linalg.norm(moved_px - points_px[inside], axis=1)
    return float(np.nan_to_num(distance_px, nan=np.inf).mean())


def _inside(points_px: np.ndarray) -> np.ndarray:
    return ((points_px >= 0) & (points_px < SIZE)).all(axis=-1)


def _disturb(points_px: np.ndarray, rng: np.random.Generator, kind: Kind) -> np.ndarray:
    if kind.heatmap:
        cell = np.array(SIZE) / HEATMAP
        points_px = (np.clip(np.floor(points_px / cell), 0, HEATMAP - 1) + 0.5) * cell
    return points_px + kind.noise_px * rng.normal(size=points_px.shape)
