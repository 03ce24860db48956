"""Pitch, camera and homography in numpy, scipy and OpenCV; no torch, no networks."""

from soccermaster.geometry.camera import Camera
from soccermaster.geometry.frames import change_frame, planar_transform
from soccermaster.geometry.homography import apply_homography, estimate_homography
from soccermaster.geometry.intersections import (
    PitchPoints,
    points_from_polylines,
    segments_from_polylines,
)
from soccermaster.geometry.pitch import GOAL_TOPS, LINE_CROSSINGS, Pitch
from soccermaster.geometry.visible import (
    clip_segments,
    visible_keypoints,
    visible_polylines,
    visible_segments,
)

__all__ = [
    "GOAL_TOPS",
    "LINE_CROSSINGS",
    "Camera",
    "Pitch",
    "PitchPoints",
    "apply_homography",
    "change_frame",
    "clip_segments",
    "estimate_homography",
    "planar_transform",
    "points_from_polylines",
    "segments_from_polylines",
    "visible_keypoints",
    "visible_polylines",
    "visible_segments",
]
