"""Small videos with a camera that stands still, and chains of stand-ins for them."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np

from soccermaster.data.synthetic import SyntheticSpatial
from soccermaster.data.synthetic.take import PITCH, draw
from soccermaster.data.video import VideoWriter
from soccermaster.factory.runner import Chain
from soccermaster.geometry import Camera, visible_keypoints

_HERE = "tests.factory.stand_ins"
_FACTORY = "soccermaster.factory"

# fmt: off
ORDER = [
    "shots", "detect", "reid", "colour", "calibrate", "project", "track", "refine", "project",
    "legibility", "numbers", "roles", "remove_outside", "vote", "merge_by_number", "merge_by_reid",
    "vote", "drop_short", "fill", "smooth", "team", "side", "export",
]
# fmt: on


def write_still_video(folder: Path, seed: int, num_frames: int = 30) -> tuple[Path, Path]:
    """A video of open play from a camera that does not move, and its keypoints in pixels."""
    dataset = SyntheticSpatial("test", 1, num_frames, image_size=(288, 512), seed=seed)
    take = dataset.take(0)
    camera = take.cameras[0]
    still = Camera(*(np.repeat(v[None], num_frames, 0) for v in
                     (camera.K, camera.R, camera.position_m)), camera.image_size)  # fmt: skip
    take = dataclasses.replace(take, cameras=still, blur_px=np.zeros((num_frames, 2)))
    clip = draw(take, "still", "test")
    folder.mkdir(parents=True, exist_ok=True)
    video, points = folder / f"play_{seed}.mp4", folder / f"play_{seed}.npy"
    with VideoWriter(video, 25, clip.frames.shape[1:3], crf=10) as writer:
        for frame in clip.frames:
            writer.write(frame)
    np.save(points, visible_keypoints(camera, PITCH))
    return video, points


def write_plain_video(path: Path, colour: tuple[int, int, int], num_frames: int) -> Path:
    """A video of one colour."""
    with VideoWriter(path, 25, (96, 160)) as writer:
        for _ in range(num_frames):
            writer.write(np.full((96, 160, 3), colour, np.uint8))
    return path


def stand_in_chain(points: Path, order: list[str] = ORDER, **changed: dict) -> Chain:
    """The default order with stand-ins for the networks; `changed` adds or replaces stages."""
    stages = {
        "shots": {"_target_": f"{_FACTORY}.shots.Shots"},
        "detect": {
            "_target_": f"{_FACTORY}.detect.Detect",
            "detector": {"_target_": f"{_HERE}.BlobDetector"},
        },
        "reid": {
            "_target_": f"{_FACTORY}.detect.Embed",
            "embedder": {"_target_": f"{_FACTORY}.colour_strips.ColourStrips"},
        },
        "colour": {"_target_": f"{_FACTORY}.detect.ShirtColour"},
        "calibrate": {
            "_target_": f"{_FACTORY}.register.Calibrate",
            "detector": {"_target_": f"{_HERE}.FixedPitch", "points_file": str(points)},
            "temporal": False,
        },
        "project": {"_target_": f"{_FACTORY}.register.Project"},
        "track": {"_target_": f"{_FACTORY}.track.Track"},
        "refine": {
            "_target_": f"{_FACTORY}.refine.RefineWindows",
            "segmenter": {"_target_": f"{_HERE}.BoxSegmenter"},
        },
        "legibility": {
            "_target_": f"{_FACTORY}.read.Legibility",
            "model": {"_target_": f"{_HERE}.Reader"},
        },
        "numbers": {
            "_target_": f"{_FACTORY}.read.Numbers",
            "reader": {"_target_": f"{_HERE}.Reader"},
        },
        "roles": {
            "_target_": f"{_FACTORY}.read.Roles",
            "reader": {"_target_": f"{_HERE}.Reader"},
        },
        "remove_outside": {"_target_": f"{_FACTORY}.tracks.RemoveOutside"},
        "vote": {"_target_": f"{_FACTORY}.tracks.Vote"},
        "merge_by_number": {"_target_": f"{_FACTORY}.tracks.MergeByNumber"},
        "merge_by_reid": {"_target_": f"{_FACTORY}.tracks.MergeByReID"},
        "drop_short": {"_target_": f"{_FACTORY}.tracks.DropShort"},
        "fill": {"_target_": f"{_FACTORY}.tracks.Fill"},
        "smooth": {"_target_": f"{_FACTORY}.tracks.Smooth"},
        "team": {"_target_": f"{_FACTORY}.tracks.Team"},
        "side": {"_target_": f"{_FACTORY}.tracks.Side"},
        "export": {"_target_": f"{_FACTORY}.export.Export"},
    }
    return Chain(list(order), stages | changed)
