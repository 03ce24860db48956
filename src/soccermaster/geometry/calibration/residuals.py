"""How far observations are from where a camera would see the template, with exact derivatives.

Everything is batched over B states against the observations of one frame (F = 1) or of B frames
(F = B, padded with zero weight). Pixels are centred on the principal point: (u - W / 2, v - H / 2).

A state has 7 local parameters: 3 of rotation (R becomes exp(w) R), 3 of translation in camera axes
(position becomes position + R^T t, metres) and log focal length; then optionally 3 of distortion:
kappa = radial, p1, p2 for coordinates in units of W / 2 instead of the focal length, so that they
do not trade with it. The radial factor 1 + kappa r^2 / (1 + s r^2) levels off, so that markings far
outside of the image never fold back into it; it is OpenCV's rational model with k1 = kappa + s and
k4 = s, both times (2 f / W)^2, and p_i times 2 f / W.
Observations are undistorted instead of projections distorted, which makes lines straight and
circles conics.

Sources: Hartley and Zisserman, Multiple View Geometry: chapter 6 (camera), 4.2.6 (Sampson).
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

#: Depth below which projections would blow up; nothing that a camera sees is nearer.
_NEAR_M = 0.5
_TINY = 1e-12
_UNDISTORT_STEPS = 5
#: Where radial distortion levels off, see the module.
SATURATION = 0.25
#: Far outside of the image polynomials may fold; there they stop shrinking.
_LEAST_STRETCH = 0.3


@dataclass(frozen=True)
class State:
    """B pinhole cameras with square pixels and a centred principal point."""

    R: Float[np.ndarray, "B 3 3"]  # camera_from_world
    position_m: Float[np.ndarray, "B 3"]
    log_focal: Float[np.ndarray, " B"]  # of pixels
    kappa: Float[np.ndarray, "B k"]  # k = 0 or 3, see the module

    @property
    def num_parameters(self) -> int:
        """Local parameters of one state."""
        return 7 + self.kappa.shape[1]

    def __len__(self) -> int:
        return len(self.log_focal)

    def __getitem__(self, index: slice | np.ndarray) -> State:
        """Some of the states; `index` keeps the batch dimension."""
        return State(
            self.R[index], self.position_m[index], self.log_focal[index], self.kappa[index]
        )

    def step(self, delta: Float[np.ndarray, "B p"]) -> State:
        """The states moved by local parameters."""
        position_m = self.position_m + (delta[:, None, 3:6] @ self.R)[:, 0]
        return State(
            _exp_rotation(delta[:, :3]) @ self.R,
            position_m,
            self.log_focal + delta[:, 6],
            self.kappa + delta[:, 7:],
        )

    def where(self, mask: np.ndarray, other: State) -> State:
        """These states where `mask`, the others elsewhere."""
        column = mask[:, None]
        return State(
            np.where(column[:, :, None], self.R, other.R),
            np.where(column, self.position_m, other.position_m),
            np.where(mask, self.log_focal, other.log_focal),
            np.where(column, self.kappa, other.kappa),
        )

    def and_also(self, other: State) -> State:
        """Both lists of states as one."""
        return State(
            np.concatenate([self.R, other.R]),
            np.concatenate([self.position_m, other.position_m]),
            np.concatenate([self.log_focal, other.log_focal]),
            np.concatenate([self.kappa, other.kappa]),
        )

    def with_distortion(self) -> State:
        """The same states with (zero) coefficients of distortion."""
        return replace(self, kappa=np.zeros((len(self), 3)))


@dataclass(frozen=True)
class Observations:
    """What was seen: n points, m points on lines, k points on circles, in this order.

    Coordinates run before observations, (F, 3, n): numpy is quickest with long last axes.
    """

    anchors_m: Float[np.ndarray, "F 3 nm"]  # template points, then a point of each line
    directions: Float[np.ndarray, "F 3 m"]  # unit vectors along the lines
    centres_x_m: Float[np.ndarray, "F k"]  # circles are centred on the x axis
    radius_m: float
    pixels: Float[np.ndarray, "F 2 nmk"]  # centred
    weights: Float[np.ndarray, "F nmk"]  # 1 = as good as any; 0 = padding
    half_width: float  # W / 2, the unit of kappa

    @property
    def num_points(self) -> int:
        """Points, n."""
        return self.anchors_m.shape[2] - self.directions.shape[2]

    @property
    def num_lines(self) -> int:
        """Points on lines, m."""
        return self.directions.shape[2]

    @property
    def num_circles(self) -> int:
        """Points on circles, k."""
        return self.centres_x_m.shape[1]

    def rows(self, per_observation: np.ndarray) -> np.ndarray:
        """Values per observation (B, n + m + k) as values per residual (B, 2 n + m + k)."""
        return np.concatenate([per_observation[:, : self.num_points], per_observation], axis=1)


def evaluate(
    state: State, seen: Observations, jacobian: bool = True
) -> tuple[Float[np.ndarray, "B r"], Float[np.ndarray, "B o"], Float[np.ndarray, "B p r"] | None]:
    """Residuals in pixels, squared distance per observation, and the Jacobian.

    Residuals are u of all points, v of all points, signed distances to lines, Sampson distances to
    circles: r = 2 n + m + k of them for o = n + m + k observations. The Jacobian leaves the change
    of the normalisation of circles out, which vanishes with the residual.
    """
    n, m, k = seen.num_points, seen.num_lines, seen.num_circles
    num, rows = len(state), 2 * n + m + k
    focal = np.exp(state.log_focal)[:, None]
    pixels, pixels_by_kappa = undistort(state, seen)
    residuals = np.empty((num, rows))
    jac = np.empty((num, state.num_parameters, rows)) if jacobian else None
    relative = state.R @ (seen.anchors_m - state.position_m[:, :, None])  # (B, 3, n + m)
    if n:
        depth = np.maximum(relative[:, 2, :n], _NEAR_M)
        x, y = relative[:, 0, :n] / depth, relative[:, 1, :n] / depth
        fx, fy = focal * x, focal * y
        residuals[:, :n] = fx - pixels[:, 0, :n]
        residuals[:, n : 2 * n] = fy - pixels[:, 1, :n]
        if jacobian:
            scale = focal / depth
            xy = fx * y
            u, v = jac[:, :, :n], jac[:, :, n : 2 * n]
            u[:, 0], u[:, 1], u[:, 2] = -xy, focal + fx * x, -fy
            v[:, 0], v[:, 1], v[:, 2] = -focal - fy * y, xy, fx
            u[:, 3], u[:, 4], u[:, 5] = -scale, 0.0, scale * x
            v[:, 3], v[:, 4], v[:, 5] = 0.0, -scale, scale * y
            u[:, 6], v[:, 6] = fx, fy
            if pixels_by_kappa is not None:
                u[:, 7:] = -pixels_by_kappa[:, :, 0, :n]
                v[:, 7:] = -pixels_by_kappa[:, :, 1, :n]
    if m:
        along = state.R @ seen.directions
        normal = _cross(relative[:, :, n:], along)  # of the plane through camera and line
        length = np.sqrt(normal[:, 0] ** 2 + normal[:, 1] ** 2) + _TINY
        normal = normal / length[:, None]
        u_px, v_px = pixels[:, 0, n : n + m], pixels[:, 1, n : n + m]
        depth_term = focal * normal[:, 2]
        distance = normal[:, 0] * u_px + normal[:, 1] * v_px + depth_term
        residuals[:, 2 * n : 2 * n + m] = distance
        if jacobian:
            block = jac[:, :, 2 * n : 2 * n + m]
            q = np.empty_like(normal)  # derivative by the unnormalised normal, times its length
            q[:, 0] = u_px - distance * normal[:, 0]
            q[:, 1] = v_px - distance * normal[:, 1]
            q[:, 2] = focal
            block[:, :3] = _cross(normal, q)
            block[:, 3:6] = _cross(q, along) / length[:, None]
            block[:, 6] = depth_term
            if pixels_by_kappa is not None:
                block[:, 7:] = (
                    normal[:, None, 0] * pixels_by_kappa[:, :, 0, n : n + m]
                    + normal[:, None, 1] * pixels_by_kappa[:, :, 1, n : n + m]
                )
    if k:
        rays = np.empty((num, 3, k))
        rays[:, :2] = pixels[:, :, n + m :]
        rays[:, 2] = focal
        world = np.swapaxes(state.R, 1, 2) @ rays  # where the pixels look
        cx = state.position_m[:, 0, None] - seen.centres_x_m
        cy, cz = state.position_m[:, 1, None], state.position_m[:, 2, None]
        a = cx * world[:, 2] - cz * world[:, 0]
        b = cy * world[:, 2] - cz * world[:, 1]
        c = seen.radius_m * world[:, 2]
        gradient = np.empty_like(world)
        gradient[:, 0], gradient[:, 1] = -cz * a, -cz * b
        gradient[:, 2] = cx * a + cy * b - seen.radius_m * c
        gradient = 2 * (state.R @ gradient)  # by the rays
        length = np.sqrt(gradient[:, 0] ** 2 + gradient[:, 1] ** 2) + _TINY
        distance = (a * a + b * b - c * c) / length
        # A pixel above the horizon cannot show a circle: far off, whatever the conic says.
        sky = world[:, 2] <= 0
        distance = np.where(sky, 2 * seen.half_width, distance)
        residuals[:, 2 * n + m :] = distance
        if jacobian:
            gradient /= length[:, None]
            gradient *= ~sky[:, None]
            block = jac[:, :, 2 * n + m :]
            block[:, :3] = _cross(gradient, rays)
            moved = np.empty_like(world)
            moved[:, 0], moved[:, 1] = a * world[:, 2], b * world[:, 2]
            moved[:, 2] = -a * world[:, 0] - b * world[:, 1]
            block[:, 3:6] = state.R @ moved * (2 * ~sky / length)[:, None]
            block[:, 6] = gradient[:, 2] * focal
            if pixels_by_kappa is not None:
                block[:, 7:] = (
                    gradient[:, None, 0] * pixels_by_kappa[:, :, 0, n + m :]
                    + gradient[:, None, 1] * pixels_by_kappa[:, :, 1, n + m :]
                )
    squared = residuals * residuals
    distance2 = squared[:, n:].copy() if n else squared
    distance2[:, :n] += squared[:, :n]
    return residuals, distance2, jac


def undistort(
    state: State, seen: Observations
) -> tuple[Float[np.ndarray, "Bor1 2 o"], Float[np.ndarray, "B 3 2 o"] | None]:
    """Pixels of the pinhole camera, and their derivative by kappa (B, kappa, uv, o)."""
    if not state.kappa.shape[1]:
        return seen.pixels, None
    k1, p1, p2 = state.kappa.T[:, :, None]  # (B, 1) each
    seen_x, seen_y = seen.pixels[:, 0] / seen.half_width, seen.pixels[:, 1] / seen.half_width
    x, y = seen_x, seen_y
    for _ in range(_UNDISTORT_STEPS):
        r2, xy2 = x * x + y * y, 2 * x * y
        radial = np.maximum(1 + k1 * r2 / (1 + SATURATION * r2), _LEAST_STRETCH)
        x, y = (
            (seen_x - p1 * xy2 - p2 * (r2 + 2 * x * x)) / radial,
            (seen_y - p2 * xy2 - p1 * (r2 + 2 * y * y)) / radial,
        )
    r2, xy2 = x * x + y * y, 2 * x * y
    # By the implicit function theorem, with the slope of the radial part alone.
    grown = r2 / (1 + SATURATION * r2)
    steep = (3 * r2 + SATURATION * r2 * r2) / (1 + SATURATION * r2) ** 2
    slope = -grown / np.maximum(1 + k1 * steep, _LEAST_STRETCH)
    by_kappa = np.empty((len(state), 3, 2, x.shape[1]))
    by_kappa[:, 0, 0], by_kappa[:, 0, 1] = x * slope, y * slope
    by_kappa[:, 1, 0], by_kappa[:, 1, 1] = -xy2, -r2 - 2 * y * y
    by_kappa[:, 2, 0], by_kappa[:, 2, 1] = -r2 - 2 * x * x, -xy2
    by_kappa *= seen.half_width
    return np.stack([x, y], axis=1) * seen.half_width, by_kappa


def _cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product over axis 1; np.cross takes ten times as long on small arrays."""
    out = np.empty(np.broadcast_shapes(a.shape, b.shape))
    out[:, 0] = a[:, 1] * b[:, 2] - a[:, 2] * b[:, 1]
    out[:, 1] = a[:, 2] * b[:, 0] - a[:, 0] * b[:, 2]
    out[:, 2] = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    return out


def _exp_rotation(vectors: Float[np.ndarray, "B 3"]) -> Float[np.ndarray, "B 3 3"]:
    """Rotations by rotation vectors, as unit quaternions (exact, no series)."""
    angle = np.sqrt((vectors * vectors).sum(axis=1))
    w = np.cos(angle / 2)
    scale = np.where(angle > 1e-9, np.sin(angle / 2) / np.maximum(angle, 1e-9), 0.5)
    x, y, z = (vectors * scale[:, None]).T
    out = np.empty((len(vectors), 3, 3))
    out[:, 0, 0], out[:, 0, 1] = 1 - 2 * (y * y + z * z), 2 * (x * y - w * z)
    out[:, 0, 2], out[:, 1, 0] = 2 * (x * z + w * y), 2 * (x * y + w * z)
    out[:, 1, 1], out[:, 1, 2] = 1 - 2 * (x * x + z * z), 2 * (y * z - w * x)
    out[:, 2, 0], out[:, 2, 1] = 2 * (x * z - w * y), 2 * (y * z + w * x)
    out[:, 2, 2] = 1 - 2 * (x * x + y * y)
    return out
