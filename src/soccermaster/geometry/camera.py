"""The broadcast camera: projection to the image and back to the ground, with lens distortion.

World = centred pitch frame (metres, origin at the centre spot, x right, y toward the main camera,
z down). A camera looks along its +z axis with image y down; pixel (0, 0) is the top-left CORNER of
the top-left pixel, so the principal point of a centred camera is (W / 2, H / 2). Files of SoccerNet
and OpenCV count pixel centres as integers instead: `from_soccernet` and `to_soccernet` shift by
half a pixel.

Source: SoccerNet camera convention: R = (Rz(pan) Rx(tilt) Rz(roll))^T, P = K R [I | -position].
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from soccermaster.geometry import distortion as lens
from soccermaster.geometry.decomposition import decompose_homography
from soccermaster.geometry.pinhole import centred_intrinsics, ground_homography, ground_horizon
from soccermaster.geometry.rotation import pan_tilt_roll_from_rotation, rotation_from_pan_tilt_roll
from soccermaster.geometry.soccernet_file import fitting_size, make_record, parse_record

#: Points nearer than this to the camera plane, or behind it, have no image.
MIN_DEPTH_M = 1e-3


@dataclass(frozen=True, eq=False)
class Camera:
    """One camera, or a stack of cameras of one image size (leading batch dimensions `*b`).

    Immutable: the arrays are copies that cannot be written to.

    Attributes:
        K: intrinsics: focal lengths and principal point in pixels.
        R: camera_from_world rotation.
        position_m: the centre of projection in the world.
        image_size: (W, H) in pixels.
        distortion: of the lens, `k1 k2 p1 p2 k3 k4 k5 k6 s1 s2 s3 s4` (OpenCV's order); zeros for
            a pinhole. The first 4, 5 or 8 may be given alone.
    """

    K: Float[np.ndarray, "*b 3 3"]
    R: Float[np.ndarray, "*b 3 3"]
    position_m: Float[np.ndarray, "*b 3"]
    image_size: tuple[int, int]
    distortion: Float[np.ndarray, "*b 12"] = None  # type: ignore[assignment]

    def __post_init__(self) -> None:
        for name, tail in (("K", (3, 3)), ("R", (3, 3)), ("position_m", (3,))):
            value = np.array(getattr(self, name), dtype=np.float64)
            if value.shape[-len(tail) :] != tail:
                raise ValueError(
                    f"expected Camera.{name} of shape (..., {tail}), got {value.shape}"
                )
            self._set(name, value)
        batches = {self.K.shape[:-2], self.R.shape[:-2], self.position_m.shape[:-1]}
        if len(batches) != 1:
            raise ValueError(
                f"expected one batch shape for K, R and position_m, got {sorted(batches)}. "
                "Broadcast them before building the Camera."
            )
        width, height = self.image_size
        object.__setattr__(self, "image_size", (width, height))
        self._set("distortion", lens.all_coefficients(self.distortion, self.batch_shape))

    @classmethod
    def from_pan_tilt_roll(
        cls,
        pan_deg: Float[np.ndarray, "*b"] | float,
        tilt_deg: Float[np.ndarray, "*b"] | float,
        roll_deg: Float[np.ndarray, "*b"] | float,
        focal_px: Float[np.ndarray, "*b"] | float,
        position_m: Float[np.ndarray, "*b 3"],
        image_size: tuple[int, int],
        distortion: Float[np.ndarray, "*b 12"] | None = None,
    ) -> Camera:
        """A camera with square pixels and its principal point in the middle of the image.

        Args:
            pan_deg: 0 looks along -y (straight at the far touchline); positive to the right.
            tilt_deg: 0 looks straight down, 90 at the horizon.
            roll_deg: rotation about the optical axis.
            focal_px: focal length in pixels.
            position_m: centre of projection; z is negative above the ground.
            image_size: (W, H) in pixels.
            distortion: see the class.
        """
        position_m = np.asarray(position_m, np.float64)
        shape = np.broadcast_shapes(
            *(np.shape(v) for v in (pan_deg, tilt_deg, roll_deg, focal_px)), position_m.shape[:-1]
        )
        R = rotation_from_pan_tilt_roll(pan_deg, tilt_deg, roll_deg)
        return cls(
            centred_intrinsics(np.broadcast_to(focal_px, shape), image_size),
            np.broadcast_to(R, (*shape, 3, 3)),
            np.broadcast_to(position_m, (*shape, 3)),
            image_size,
            distortion,
        )

    @classmethod
    def from_krt(
        cls,
        K: Float[np.ndarray, "*b 3 3"],
        R: Float[np.ndarray, "*b 3 3"],
        translation_m: Float[np.ndarray, "*b 3"],
        image_size: tuple[int, int],
        distortion: Float[np.ndarray, "*b 12"] | None = None,
    ) -> Camera:
        """The camera x ~ K (R X + t), with the translation t in the camera's axes.

        `K` is used as it is; add 0.5 to the principal point of an OpenCV calibration.
        """
        R = np.asarray(R, np.float64)
        translation_m = np.asarray(translation_m, np.float64)
        position_m = -(np.swapaxes(R, -1, -2) @ translation_m[..., None])[..., 0]
        return cls(K, R, position_m, image_size, distortion)

    @classmethod
    def from_homography(
        cls, image_from_pitch: Float[np.ndarray, "*b 3 3"], image_size: tuple[int, int]
    ) -> Camera:
        """The pinhole with square pixels and a centred principal point that fits a homography best.

        Args:
            image_from_pitch: centred ground plane (x, y, 1) in metres to pixels, any scale.
            image_size: (W, H) in pixels.

        Raises:
            ValueError: see `decompose_homography`.
        """
        focal_px, R, position_m = decompose_homography(image_from_pitch, image_size)
        return cls(centred_intrinsics(focal_px, image_size), R, position_m, image_size)

    @classmethod
    def from_soccernet(
        cls, record: Mapping[str, Any], image_size: tuple[int, int] | None = None
    ) -> Camera:
        """The camera of a SoccerNet calibration file (`camera_NNNNN.json`).

        The files count pixel centres as integers; the principal point is moved by half a pixel.

        Args:
            record: pan, tilt, roll, position, focal lengths, principal point; distortion if it is
                there.
            image_size: (W, H) that the parameters are for; None takes the even numbers at or above
                twice the principal point (479.5 and 480 both stand for 960).

        Raises:
            ValueError: a field is missing.
        """
        K, R, position_m, coefficients = parse_record(record)
        if image_size is None:
            image_size = fitting_size(K)
        return cls(K, R, position_m, image_size, coefficients)

    def to_soccernet(self) -> dict[str, Any]:
        """The fields of a SoccerNet calibration file, for images of this camera's size.

        The official evaluator expects 960x540: `camera.resize((960, 540)).to_soccernet()`. The
        principal point is given as the files do, with integers at pixel centres.

        Raises:
            ValueError: the camera is a stack, or has skewed pixels, which the format cannot say.
        """
        if self.batch_shape:
            raise ValueError(f"expected a single camera, got a stack of {self.batch_shape}")
        return make_record(self.K, self.R, self.position_m, self.distortion)

    @property
    def batch_shape(self) -> tuple[int, ...]:
        """The leading dimensions `*b` of a stack; empty for a single camera."""
        return self.K.shape[:-2]

    @functools.cached_property
    def has_distortion(self) -> bool:
        """Whether any coefficient is not zero."""
        return bool(self.distortion.any())

    def pan_tilt_roll(self) -> Float[np.ndarray, "*b 3"]:
        """Pan, tilt and roll in degrees; of the two solutions the one with the smaller |roll|."""
        return pan_tilt_roll_from_rotation(self.R)

    @property
    def image_from_pitch(self) -> Float[np.ndarray, "*b 3 3"]:
        """Homography from the ground plane (x, y, 1) in metres to pixels of the pinhole.

        Its third row gives the depth (m). With distortion, `distort` comes after it.
        """
        return ground_homography(self.K, self.R, self.position_m)

    @property
    def horizon_px(self) -> Float[np.ndarray, "*b 3"]:
        """The horizon of the pinhole as a line (a, b, c), see `ground_horizon`."""
        return ground_horizon(self.K, self.R)

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
            points_px: may lie outside of the image; NaN behind the camera, and where the distortion
                folds back (far outside of the image).
            depth_m: along the optical axis; negative behind the camera.
        """
        return self.project_camera_points(self.camera_from_world(points_m))

    def project_camera_points(
        self, points_camera_m: Float[np.ndarray, "*p n 3"]
    ) -> tuple[Float[np.ndarray, "*bp n 2"], Float[np.ndarray, "*bp n"]]:
        """Like `project`, for points that `camera_from_world` gave."""
        depth_m = points_camera_m[..., 2]
        in_front = depth_m > MIN_DEPTH_M
        scale = np.where(in_front, depth_m, 1.0)[..., None]
        plane = points_camera_m[..., :2] / scale
        if self.has_distortion:
            plane = self._distort_plane(plane)
        points_px = np.where(in_front[..., None], self._image_from_plane(plane), np.nan)
        return points_px, depth_m

    def distort(self, points_px: Float[np.ndarray, "*p n 2"]) -> Float[np.ndarray, "*bp n 2"]:
        """Where pixels of the pinhole are in the image; NaN where the distortion folds back.

        Args:
            points_px: leading dimensions broadcast as in `camera_from_world`.
        """
        return self._image_from_plane(self._distort_plane(self._plane_from_image(points_px)))

    def undistort(self, points_px: Float[np.ndarray, "*p n 2"]) -> Float[np.ndarray, "*bp n 2"]:
        """Where pixels of the image would be without distortion; NaN if the lens makes none there.

        Args:
            points_px: leading dimensions broadcast as in `camera_from_world`.
        """
        plane = self._plane_from_image(points_px)
        return self._image_from_plane(lens.undistort(plane, self.distortion))

    def unproject_to_ground(
        self, points_px: Float[np.ndarray, "*p n 2"]
    ) -> Float[np.ndarray, "*bp n 2"]:
        """Where the rays through pixels meet the ground (x, y in metres); NaN above the horizon.

        Args:
            points_px: leading dimensions broadcast as in `camera_from_world`.
        """
        plane = self._plane_from_image(points_px)
        if self.has_distortion:
            plane = lens.undistort(plane, self.distortion)
        rays = np.concatenate([plane, np.ones_like(plane[..., :1])], axis=-1) @ self.R
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

    def crop(self, left_px: float, top_px: float, image_size: tuple[int, int]) -> Camera:
        """The camera of a part of the image.

        Args:
            left_px: x of the part's top-left corner; negative to add a margin.
            top_px: y of the corner.
            image_size: (W, H) of the part.
        """
        K = self.K.copy()
        K[..., :2, 2] -= (left_px, top_px)
        return dataclasses.replace(self, K=K, image_size=image_size)

    def flip(self) -> Camera:
        """The camera of the mirrored image, in which left and right of the pitch are exchanged.

        It stands at the mirrored place (-x) of the pitch, which looks the same: keypoint k of the
        mirrored image is keypoint `Pitch().keypoint_flip` of this one.
        """
        mirror = np.array([-1.0, 1.0, 1.0])
        K = self.K.copy()
        K[..., 0, 1] *= -1
        K[..., 0, 2] = self.image_size[0] - K[..., 0, 2]
        signs = np.ones(12)
        signs[[3, 8, 9]] = -1  # p2, s1, s2 push sideways
        return Camera(
            K,
            mirror[:, None] * self.R * mirror,
            self.position_m * mirror,
            self.image_size,
            self.distortion * signs,
        )

    def __getitem__(self, index: int | slice | np.ndarray) -> Camera:
        """Camera `index` of a stack (indexes the first batch dimension)."""
        arrays = (self.K[index], self.R[index], self.position_m[index])
        return Camera(*arrays, self.image_size, self.distortion[index])

    def _set(self, name: str, value: np.ndarray) -> None:
        value.flags.writeable = False
        object.__setattr__(self, name, value)

    def _per_point(self, values: np.ndarray) -> np.ndarray:
        return values[..., None, :] if self.batch_shape else values

    def _distort_plane(self, plane: np.ndarray) -> np.ndarray:
        with np.errstate(over="ignore", invalid="ignore"):
            moved = lens.distort(plane, self.distortion)
            radius = np.hypot(plane[..., 0], plane[..., 1])
            valid = radius < self._valid_radius
        return np.where(valid[..., None], moved, np.nan)

    @functools.cached_property
    def _valid_radius(self) -> np.ndarray:
        radius = lens.valid_radius(self.distortion)
        return radius[..., None] if self.batch_shape else radius  # to compare with (*b, n)

    def _image_from_plane(self, plane: np.ndarray) -> np.ndarray:
        linear, principal_px = self.K[..., :2, :2], self.K[..., :2, 2]
        return plane @ np.swapaxes(linear, -1, -2) + self._per_point(principal_px)

    def _plane_from_image(self, points_px: np.ndarray) -> np.ndarray:
        points_px = np.asarray(points_px, np.float64)
        inverse = np.linalg.inv(self.K[..., :2, :2])
        offset_px = points_px - self._per_point(self.K[..., :2, 2])
        return offset_px @ np.swapaxes(inverse, -1, -2)
