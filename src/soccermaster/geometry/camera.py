"""The pinhole camera: projection to the image and back to the ground.

World = centred pitch frame (metres, z down). A camera looks along its +z axis with image y down;
pixel (0, 0) is the top-left corner of the top-left pixel, so the principal point of a centred
camera is (W / 2, H / 2). Lens distortion is not modelled.

Source: SoccerNet camera convention: R = (Rz(pan) Rx(tilt) Rz(roll))^T, P = K R [I | -position].
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

#: Points nearer than this to the camera plane, or behind it, have no image.
MIN_DEPTH_M = 1e-3


@dataclass(frozen=True, eq=False)
class Camera:
    """One camera, or a stack of cameras of one image size (leading batch dimensions `*b`).

    Attributes:
        K: intrinsics: focal lengths and principal point in pixels.
        R: camera_from_world rotation.
        position_m: the centre of projection in the world.
        image_size: (W, H) in pixels.
    """

    K: Float[np.ndarray, "*b 3 3"]
    R: Float[np.ndarray, "*b 3 3"]
    position_m: Float[np.ndarray, "*b 3"]
    image_size: tuple[int, int]

    def __post_init__(self) -> None:
        for name, tail in (("K", (3, 3)), ("R", (3, 3)), ("position_m", (3,))):
            value = np.asarray(getattr(self, name), dtype=np.float64)
            if value.shape[-len(tail) :] != tail:
                raise ValueError(
                    f"expected Camera.{name} of shape (..., {tail}), got {value.shape}"
                )
            object.__setattr__(self, name, value)
        batches = {self.K.shape[:-2], self.R.shape[:-2], self.position_m.shape[:-1]}
        if len(batches) != 1:
            raise ValueError(
                f"expected one batch shape for K, R and position_m, got {sorted(batches)}. "
                "Broadcast them before building the Camera."
            )

    @classmethod
    def from_pan_tilt_roll(
        cls,
        pan_deg: Float[np.ndarray, "*b"] | float,
        tilt_deg: Float[np.ndarray, "*b"] | float,
        roll_deg: Float[np.ndarray, "*b"] | float,
        focal_px: Float[np.ndarray, "*b"] | float,
        position_m: Float[np.ndarray, "*b 3"],
        image_size: tuple[int, int],
    ) -> Camera:
        """A centred camera with square pixels.

        Args:
            pan_deg: 0 looks along -y (straight at the far touchline); positive to the right.
            tilt_deg: 0 looks straight down, 90 at the horizon.
            roll_deg: rotation about the optical axis.
            focal_px: focal length in pixels.
            position_m: centre of projection; z is negative above the ground.
            image_size: (W, H) in pixels.
        """
        pan, tilt, roll, focal = np.broadcast_arrays(
            *(np.asarray(v, np.float64) for v in (pan_deg, tilt_deg, roll_deg, focal_px))
        )
        world_from_camera = (
            _rotation_z(np.radians(pan))
            @ _rotation_x(np.radians(tilt))
            @ _rotation_z(np.radians(roll))
        )
        K = np.zeros((*focal.shape, 3, 3))
        K[..., 0, 0] = K[..., 1, 1] = focal
        K[..., 0, 2], K[..., 1, 2] = image_size[0] / 2, image_size[1] / 2
        K[..., 2, 2] = 1.0
        position = np.broadcast_to(np.asarray(position_m, np.float64), (*focal.shape, 3))
        return cls(K, np.swapaxes(world_from_camera, -1, -2), position, image_size)

    def pan_tilt_roll(self) -> Float[np.ndarray, "*b 3"]:
        """Pan, tilt and roll in degrees; of the two solutions the one with the smaller |roll|."""
        m = np.swapaxes(self.R, -1, -2)
        sine = np.hypot(m[..., 0, 2], m[..., 1, 2])
        tilt = np.arctan2(sine, m[..., 2, 2])
        pan = np.arctan2(m[..., 0, 2], -m[..., 1, 2])
        roll = np.arctan2(m[..., 2, 0], m[..., 2, 1])
        turned = np.abs(roll) > np.pi / 2
        half_turn = np.where(turned, np.pi, 0.0)
        pan = np.where(turned, pan - np.copysign(half_turn, pan), pan)
        roll = np.where(turned, roll - np.copysign(half_turn, roll), roll)
        tilt = np.where(turned, -tilt, tilt)
        # Looking straight down only pan + roll is determined: roll is set to 0.
        vertical = sine < 1e-12
        pan = np.where(vertical, np.arctan2(m[..., 1, 0], m[..., 0, 0]), pan)
        roll = np.where(vertical, 0.0, roll)
        return np.degrees(np.stack([pan, tilt, roll], axis=-1))

    @property
    def image_from_pitch(self) -> Float[np.ndarray, "*b 3 3"]:
        """Homography from the ground plane (x, y, 1) in metres to pixels."""
        translation = -(self.R @ self.position_m[..., None])
        return self.K @ np.concatenate([self.R[..., :2], translation], axis=-1)

    def camera_from_world(
        self, points_m: Float[np.ndarray, "*p n 3"]
    ) -> Float[np.ndarray, "*bp n 3"]:
        """World points in the camera's axes: x right, y down, z = depth, in metres.

        Args:
            points_m: leading dimensions `*p` broadcast with the batch dimensions of the camera. A
                single point (3,) is fine for a single camera.
        """
        offsets = np.asarray(points_m, np.float64) - self._per_point(self.position_m)
        return offsets @ np.swapaxes(self.R, -1, -2)

    def project(
        self, points_m: Float[np.ndarray, "*p n 3"]
    ) -> tuple[Float[np.ndarray, "*bp n 2"], Float[np.ndarray, "*bp n"]]:
        """World points in pixels, with their depth.

        Args:
            points_m: see `camera_from_world`.

        Returns:
            points_px: may lie outside of the image; NaN behind the camera.
            depth_m: along the optical axis; negative behind the camera.
        """
        return self.project_camera_points(self.camera_from_world(points_m))

    def project_camera_points(
        self, points_camera_m: Float[np.ndarray, "*p n 3"]
    ) -> tuple[Float[np.ndarray, "*bp n 2"], Float[np.ndarray, "*bp n"]]:
        """Like `project`, for points that `camera_from_world` gave."""
        depth_m = points_camera_m[..., 2]
        in_front = depth_m > MIN_DEPTH_M
        homogeneous = points_camera_m @ np.swapaxes(self.K, -1, -2)
        scale = np.where(in_front, homogeneous[..., 2], 1.0)[..., None]
        points_px = np.where(in_front[..., None], homogeneous[..., :2] / scale, np.nan)
        return points_px, depth_m

    def unproject_to_ground(
        self, points_px: Float[np.ndarray, "*p n 2"]
    ) -> Float[np.ndarray, "*bp n 2"]:
        """Where the rays through pixels meet the ground (x, y in metres); NaN above the horizon.

        Args:
            points_px: leading dimensions broadcast as in `camera_from_world`.
        """
        points_px = np.asarray(points_px, np.float64)
        homogeneous = np.concatenate([points_px, np.ones_like(points_px[..., :1])], axis=-1)
        world_from_image = np.swapaxes(self.R, -1, -2) @ np.linalg.inv(self.K)
        rays = homogeneous @ np.swapaxes(world_from_image, -1, -2)
        position_m = self._per_point(self.position_m)
        with np.errstate(divide="ignore", invalid="ignore"):
            distance = -position_m[..., 2] / rays[..., 2]
            ground_m = position_m[..., :2] + distance[..., None] * rays[..., :2]
        return np.where((np.isfinite(distance) & (distance > 0))[..., None], ground_m, np.nan)

    def resize(self, image_size: tuple[int, int]) -> Camera:
        """The same camera for the image resized to `image_size` (W, H)."""
        factors = np.array(
            [n / o for n, o in zip(image_size, self.image_size, strict=True)] + [1.0]
        )
        return dataclasses.replace(self, K=self.K * factors[:, None], image_size=image_size)

    def __getitem__(self, index: int | slice) -> Camera:
        """Camera `index` of a stack (indexes the first batch dimension)."""
        return Camera(self.K[index], self.R[index], self.position_m[index], self.image_size)

    def _per_point(self, position_m: np.ndarray) -> np.ndarray:
        return position_m if position_m.ndim == 1 else position_m[..., None, :]


def _rotation_z(angle_rad: np.ndarray) -> np.ndarray:
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    o, i = np.zeros_like(c), np.ones_like(c)
    return np.stack([c, -s, o, s, c, o, o, o, i], axis=-1).reshape(*c.shape, 3, 3)


def _rotation_x(angle_rad: np.ndarray) -> np.ndarray:
    c, s = np.cos(angle_rad), np.sin(angle_rad)
    o, i = np.zeros_like(c), np.ones_like(c)
    return np.stack([i, o, o, o, c, -s, o, s, c], axis=-1).reshape(*c.shape, 3, 3)
