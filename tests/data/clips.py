"""A small clip in which every annotation follows from one camera, for several tests."""

import numpy as np

from soccermaster.geometry import Camera, Pitch, visible_keypoints, visible_segments
from soccermaster.structures import Annotations, Athletes, Cameras, Clip, Keypoints, Lines

SIZE = (90, 160)  # H, W


def broadcast_camera(num_frames=3):
    pan_deg = np.linspace(25.0, 30.0, num_frames)
    height, width = SIZE
    return Camera.from_pan_tilt_roll(pan_deg, 78.0, 1.0, 200.0, (1.0, 55.0, -12.0), (width, height))


def camera_of(cameras, image_size):
    """The annotation as a geometry camera."""
    return Camera(cameras.K, cameras.R, cameras.position_m, image_size[::-1])


def exact_clip(num_frames=3, **annotations):
    camera, pitch = broadcast_camera(num_frames), Pitch("exact")
    rng = np.random.default_rng(5)
    # Three people per frame, well inside.
    frame = np.repeat(np.arange(num_frames), 3)
    corner = rng.uniform([40, 20], [90, 40], (len(frame), 2))
    athletes = Athletes.from_boxes(
        frame,
        np.concatenate([corner, corner + rng.uniform(8, 24, (len(frame), 2))], axis=1),
        roles=np.full(len(frame), 3),
        numbers=np.tile([10, 100, -1], num_frames),
        track_ids=np.tile([1, 2, 3], num_frames),
        teams=np.tile([0, 1, -1], num_frames),
        positions_m=rng.uniform(-30, 30, (len(frame), 2)).astype(np.float32),
    )
    points_px = visible_keypoints(camera, pitch).astype(np.float32)
    segments_px = visible_segments(camera, pitch).astype(np.float32)
    known = np.ones(points_px.shape[:2], bool)
    known[:, 40] = False
    values = {
        "athletes": athletes,
        "keypoints": Keypoints(points_px=points_px, known=known),
        "lines": Lines(segments_px=segments_px, known=np.ones(segments_px.shape[:2], bool)),
        "cameras": Cameras(K=camera.K, R=camera.R, position_m=camera.position_m),
        "event": "corner",
        "text": "[PLAYER] swings it in from the left.",
    }
    smooth = rng.integers(0, 255, (num_frames, 6, 10, 3), dtype=np.uint8)
    return Clip(
        frames=smooth.repeat(15, axis=1).repeat(16, axis=2),
        times_s=np.arange(num_frames) / 25,
        annotations=Annotations(**(values | annotations)),
        clip_id="exact",
        source="test",
    )
