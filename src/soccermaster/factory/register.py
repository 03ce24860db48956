"""Where the pitch is in the picture, and where on the pitch the people are."""

from __future__ import annotations

import numpy as np
from jaxtyping import Bool, Float, Int

from soccermaster.factory.models import PitchDetector, PitchMarkings
from soccermaster.factory.people import gather_people
from soccermaster.factory.records import Records, array, make_table
from soccermaster.factory.stage import ClipContext, Stage
from soccermaster.geometry import Camera
from soccermaster.geometry.calibration import Calibration, calibrate
from soccermaster.geometry.calibration.clip import calibrate_clip
from soccermaster.vocabulary import UNKNOWN


class Calibrate(Stage):
    """A camera per frame from the markings that a network finds, solved by point and line (PnL).

    What the network is sure to see counts alike: its scores as weights made cameras no better
    (`benchmarks/README.md`).

    Args:
        detector: of keypoints and lines.
        temporal: solve the frames of the clip together: one position, smooth angles and zoom; a
            frame without markings gets its camera from its neighbours and is not `observed`.
            Otherwise each frame is solved alone (the paper).
        max_error_px: cameras with a larger mean reprojection error are not valid, at 1920 px width;
            None (the released pipeline): every camera that is solved is valid.
    """

    name = "calibrate"
    provides = frozenset({"cameras"})

    def __init__(
        self, detector: PitchDetector, temporal: bool = True, max_error_px: float | None = 15.0
    ) -> None:
        self.detector, self.temporal, self.max_error_px = detector, temporal, max_error_px

    def models(self) -> list[PitchDetector]:
        """See `Stage.models`."""
        return [self.detector]

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        markings = [
            found for _, pictures in clip.batches() for found in self.detector.markings(pictures)
        ]
        points = [_points(found) for found in markings]
        lines = [_lines(found) for found in markings]
        size = clip.image_size
        if self.temporal:
            solved = calibrate_clip(points, lines, size)
            frames, valid, observed = list(solved), solved.valid, solved.observed
        else:
            frames = [calibrate(*seen, size) for seen in zip(points, lines, strict=True)]
            valid = observed = np.array([frame.camera is not None for frame in frames], bool)
        limit = np.inf if self.max_error_px is None else self.max_error_px * size[0] / 1920
        table = camera_table(frames, valid, observed, self.detector.name, limit)
        return records.replace(cameras=table)


class Project(Stage):
    """The lower edge of each box on the pitch: left, middle and right, by the frame's camera.

    A person without a camera, or above the horizon, has no position.

    Args:
        reuse_last: a frame without a valid camera takes an older one (`last_valid_frames`).
            Positions that come from a camera of another frame say so in `source`.
    """

    name = "project"
    requires = frozenset({"detections", "cameras"})
    provides = frozenset({"positions"})

    def __init__(self, reuse_last: bool = False) -> None:
        self.reuse_last = reuse_last

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people, cameras = gather_people(records), records["cameras"]
        valid = np.zeros(clip.num_frames, bool)
        valid[array(cameras, "frame")] = array(cameras, "valid")
        own = np.where(valid, np.arange(clip.num_frames), UNKNOWN)
        camera_frame = last_valid_frames(valid) if self.reuse_last else own
        rows = np.flatnonzero(camera_frame[people.frame] >= 0)
        used = camera_frame[people.frame[rows]]
        row_of_frame = np.full(clip.num_frames, -1)
        row_of_frame[array(cameras, "frame")] = np.arange(cameras.num_rows)
        which = row_of_frame[used]
        camera = Camera(
            array(cameras, "K")[which].reshape(-1, 3, 3),
            array(cameras, "R")[which].reshape(-1, 3, 3),
            array(cameras, "position_m")[which],
            clip.image_size,
        )
        placed = lower_edge_m(camera, people.boxes_xyxy_px[rows])
        known = np.isfinite(placed).all(axis=(1, 2))
        rows, used = rows[known], used[known]
        table = make_table(
            "positions",
            source=np.where(used == people.frame[rows], "camera", "camera_before").astype(object),
            frame=people.frame[rows],
            detection_id=people.detection_id[rows],
            left_middle_right_m=placed[known].reshape(-1, 6),
        )
        return records.replace(positions=table)


def last_valid_frames(valid: Bool[np.ndarray, " T"]) -> Int[np.ndarray, " T"]:
    """The official rule: a frame without a valid camera takes the last valid one before it.

    Returns:
        The frame whose camera counts in each frame; -1 before the first valid one.

    Source: the released pipeline, projection with the camera's parameters.
    """
    return np.maximum.accumulate(np.where(valid, np.arange(len(valid)), UNKNOWN))


def lower_edge_m(camera: Camera, boxes_xyxy_px: Float[np.ndarray, "n 4"]) -> np.ndarray:
    """(n, 3, 2): left, middle and right of the lower edge of each box on the ground, in metres.

    Args:
        camera: one per box.
        boxes_xyxy_px: in its image.
    """
    x0, _, x1, y1 = boxes_xyxy_px.T
    points = np.stack(
        [np.stack([x, y1], axis=1) for x in (x0, (x0 + x1) / 2, x1)], axis=1
    )  # (n, 3, 2)
    return camera.unproject_to_ground(points) if len(points) else np.zeros((0, 3, 2))


def camera_table(
    frames: list[Calibration],
    valid: np.ndarray,
    observed: np.ndarray,
    source: str,
    max_error_px: float,
):
    """Rows of kind `cameras`; what is not valid is NaN."""
    n = len(frames)
    K, R = np.full((n, 3, 3), np.nan), np.full((n, 3, 3), np.nan)
    position_m = np.full((n, 3), np.nan)
    errors = np.array([frame.error_px for frame in frames], np.float32)
    valid = np.asarray(valid, bool) & ~(errors > max_error_px)
    for t, frame in enumerate(frames):
        if frame.camera is None:
            valid[t] = False
        elif valid[t]:
            K[t], R[t], position_m[t] = frame.camera.K, frame.camera.R, frame.camera.position_m
    return make_table(
        "cameras",
        source=source,
        frame=np.arange(n),
        K=K.reshape(n, 9),
        R=R.reshape(n, 9),
        position_m=position_m,
        valid=valid,
        observed=np.asarray(observed, bool) & valid,
        error_px=np.where(valid, errors, np.nan),
        confidence=np.where(valid, [frame.confidence for frame in frames], 0.0),
    )


def _points(found: PitchMarkings) -> dict[int, tuple[float, float]]:
    known = np.isfinite(found.points_px).all(axis=1) & (found.point_scores > 0)
    return {int(k) + 1: tuple(found.points_px[k].tolist()) for k in np.flatnonzero(known)}


def _lines(found: PitchMarkings) -> dict[int, tuple]:
    known = np.isfinite(found.segments_px).all(axis=(1, 2)) & (found.line_scores > 0)
    known &= np.linalg.norm(found.segments_px[:, 0] - found.segments_px[:, 1], axis=1) > 1
    return {
        int(k) + 1: tuple(tuple(end) for end in found.segments_px[k].tolist())
        for k in np.flatnonzero(known)
    }
