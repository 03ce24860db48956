"""The pinhole camera behind a homography of the ground plane."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from scipy.spatial.transform import Rotation

#: Gauss-Newton steps; the closed form is exact for exact homographies and needs none.
_STEPS = 12
_DAMPING = 1e-9
#: The image is probed at this many places in each direction.
_PROBES = 9
#: Probes count where the homography shows ground this near to the centre spot, along x and y (m).
_NEAR_PITCH_M = (60.0, 42.0)


def decompose_homography(
    image_from_pitch: Float[np.ndarray, "*b 3 3"], image_size: tuple[int, int]
) -> tuple[Float[np.ndarray, "*b"], Float[np.ndarray, "*b 3 3"], Float[np.ndarray, "*b 3"]]:
    """Focal length, rotation and position of the camera with square pixels, centred, above ground.

    The closed form takes the focal length as the least-squares solution of the two conditions that
    the columns of a rotation give, and the nearest rotation. A homography that no such camera has
    exactly is then followed in the image: the sum of squared distances between what both make of
    the visible ground is minimised.

    Args:
        image_from_pitch: centred ground plane (x, y, 1) in metres to pixels, any scale and sign.
        image_size: (W, H) in pixels.

    Returns:
        focal_px: focal length.
        R: camera_from_world.
        position_m: centre of projection.

    Raises:
        ValueError: a homography determines no focal length (a view straight down or level, a
            singular matrix, or one that no such camera has).

    Source: Zhang, A flexible new technique for camera calibration, section 3.1; Hartley and
    Zisserman, algorithm 8.2.
    """
    homographies = np.asarray(image_from_pitch, np.float64)
    h = homographies.reshape(-1, 3, 3).copy()
    half = np.asarray(image_size) / 2
    h[:, :2] -= half[:, None] * h[:, 2:]  # from the middle of the image ...
    unit_px = float(np.hypot(*half))
    h[:, :2] /= unit_px  # ... in half diagonals
    focal = _focal(h)
    solved = np.isfinite(focal) & (focal > 0) & (np.linalg.det(h) != 0)
    if not solved.all():
        raise ValueError(
            f"{int((~solved).sum())} of {len(h)} homographies determine no focal length for an "
            f"image of {image_size}: expected perspective views of the pitch in pixels"
        )
    R, position_m = _pose(h, focal)
    focal, R, position_m = _refine(h, half / unit_px, focal, R, position_m)
    shape = homographies.shape[:-2]
    return (
        (focal * unit_px).reshape(shape),
        R.reshape(*shape, 3, 3),
        position_m.reshape(*shape, 3),
    )


def _focal(h: np.ndarray) -> np.ndarray:
    """Least-squares 1 / f^2 of h1 w h2 = 0 and h1 w h1 = h2 w h2, w = diag(1 / f^2, 1 / f^2, 1)."""
    first, second = h[..., 0], h[..., 1]
    products = np.stack([first * second, first * first - second * second])
    lateral, axial = products[..., :2].sum(axis=-1), products[..., 2]
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt((lateral**2).sum(axis=0) / -(lateral * axial).sum(axis=0))


def _pose(h: np.ndarray, focal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    h = h * np.sign(np.linalg.det(h))[:, None, None]  # the camera is above the ground
    h[:, :2] /= focal[:, None, None]
    lengths = np.linalg.norm(h[..., :2], axis=-2)  # of the first two columns
    h /= np.sqrt(lengths.prod(axis=-1))[:, None, None]
    columns = np.stack([h[..., 0], h[..., 1], np.cross(h[..., 0], h[..., 1])], axis=-1)
    u, _, v = np.linalg.svd(columns)
    R = u @ v
    return R, -(np.swapaxes(R, -1, -2) @ h[..., 2:])[..., 0]


def _refine(
    h: np.ndarray, half: np.ndarray, focal: np.ndarray, R: np.ndarray, position_m: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    grid = np.stack(np.meshgrid(*(np.linspace(-n, n, _PROBES) for n in half)), axis=-1)
    probes = grid.reshape(-1, 2)
    homogeneous = np.concatenate([probes, np.ones((len(probes), 1))], axis=1)
    ground = homogeneous @ np.swapaxes(np.linalg.inv(h), -1, -2)  # (n, probes, 3)
    with np.errstate(divide="ignore", invalid="ignore"):
        ground_m = ground[..., :2] / ground[..., 2:]
    weight = (np.abs(ground_m) < _NEAR_PITCH_M).all(axis=-1).astype(np.float64)
    ground_m = np.where(weight[..., None] > 0, ground_m, 0.0)
    points_m = np.concatenate([ground_m, np.zeros_like(ground_m[..., :1])], axis=-1)

    def residuals(focal: np.ndarray, R: np.ndarray, position_m: np.ndarray) -> tuple:
        camera_m = (points_m - position_m[:, None]) @ np.swapaxes(R, -1, -2)
        used = weight * (camera_m[..., 2] > 0)
        depth = np.where(used > 0, camera_m[..., 2], 1.0)
        plane = camera_m[..., :2] / depth[..., None]
        error = (focal[:, None, None] * plane - probes) * used[..., None]
        cost = (error**2).sum(axis=(1, 2)) / np.maximum(used.sum(axis=1), 1)
        return error, cost, camera_m, depth, plane, used

    best = focal, R, position_m
    error, best_cost, camera_m, depth, plane, used = residuals(*best)
    for _ in range(_STEPS):
        jacobian = _jacobian(best[0], best[1], camera_m, depth, plane) * used[..., None, None]
        rows = jacobian.reshape(len(h), -1, 7)
        normal = np.swapaxes(rows, -1, -2) @ rows
        diagonal = np.einsum("nii->ni", normal)
        normal = normal + (_DAMPING * diagonal + 1e-15)[:, None] * np.eye(7)
        gradient = np.swapaxes(rows, -1, -2) @ error.reshape(len(h), -1, 1)
        step = -np.linalg.solve(normal, gradient)[..., 0]
        turn = Rotation.from_rotvec(step[:, :3]).as_matrix()
        tried = best[0] * np.exp(step[:, 6]), turn @ best[1], best[2] + step[:, 3:6]
        _, cost, *_ = residuals(*tried)
        better = cost < best_cost
        if not better.any():
            break
        best = tuple(
            np.where(better.reshape(-1, *[1] * (new.ndim - 1)), new, old)
            for new, old in zip(tried, best, strict=True)
        )
        error, best_cost, camera_m, depth, plane, used = residuals(*best)
    return best


def _jacobian(
    focal: np.ndarray, R: np.ndarray, camera_m: np.ndarray, depth: np.ndarray, plane: np.ndarray
) -> np.ndarray:
    """Of the image points over rotation (3), position (3) and log focal length: (n, probes, 2, 7).

    The rotation vector turns the camera's axes after `R`.
    """
    one, zero = np.ones_like(depth), np.zeros_like(depth)
    x, y = plane[..., 0], plane[..., 1]
    image_from_axes = np.stack([one, zero, -x, zero, one, -y], axis=-1)
    image_from_axes = image_from_axes.reshape(*depth.shape, 2, 3)
    image_from_axes *= (focal[:, None] / depth)[..., None, None]
    a, b, c = np.moveaxis(camera_m, -1, 0)
    turning = np.stack([zero, c, -b, -c, zero, a, b, -a, zero], axis=-1)
    turning = turning.reshape(*depth.shape, 3, 3)  # derivative of w x point over w
    over_focal = (focal[:, None, None] * plane)[..., None]
    moving = -image_from_axes @ R[:, None]
    return np.concatenate([image_from_axes @ turning, moving, over_focal], axis=-1)
