"""Detections of one frame after the other become tracks, and tracks of two people become two."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float

from soccermaster.factory.people import gather_people, track_table
from soccermaster.factory.records import Records, array
from soccermaster.factory.stage import ClipContext, Stage
from soccermaster.geometry import Camera
from soccermaster.tracking.splitting import split_appearance, split_gaps, split_jumps
from soccermaster.tracking.tracker import PAPER, TrackerConfig, track_clip
from soccermaster.vocabulary import UNKNOWN


class Track(Stage):
    """Detections over time become tracks (`soccermaster.tracking.tracker`).

    Appearance counts where there are embeddings. Places on the pitch and the motion of the camera
    count where a stage before has found them; without them it works in the image.

    Args:
        settings: fields of `TrackerConfig` to change.
        preset: "default" or "paper", what `settings` change.
    """

    name = "track"
    requires = frozenset({"detections", "embeddings"})
    provides = frozenset({"track_ids"})

    def __init__(
        self,
        preset: Literal["default", "paper"] = "default",
        settings: Mapping[str, float | bool] | None = None,
    ) -> None:
        if preset not in ("default", "paper"):
            raise ValueError(f"expected the preset 'default' or 'paper', got {preset!r}")
        start = PAPER if preset == "paper" else TrackerConfig()
        self.config = dataclasses.replace(start, **(settings or {}))

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        rows = np.flatnonzero(~people.is_ball)
        homographies = None
        if "cameras" in records and records["cameras"].num_rows:
            homographies = _homographies(records, clip)
        track_id = np.full(len(people), UNKNOWN)
        track_id[rows] = track_clip(
            people.frame[rows],
            people.boxes_xyxy_px[rows],
            people.scores[rows],
            people.embeddings[rows],
            people.positions_m[rows],
            homographies,
            config=self.config,
        )
        return records.replace(track_ids=track_table(people, track_id, self.name))


class Split(Stage):
    """Tracks that go on as somebody else become two, which may merge with the right ones later.

    A track is split where it moves farther than a runner can (`split_jumps`), where it was not seen
    for long (`split_gaps`), and where its appearance changes for good (`split_appearance`).

    Args:
        max_speed_m_s: of a runner; infinity: no split by way.
        max_gap_frames: longest time unseen; None: no split by time.
        max_distance: cosine distance before and after, which depends on the embedder; None: no
            split by appearance.
        window: rows before and after.
    """

    name = "split"
    requires = frozenset({"detections", "track_ids"})
    provides = frozenset({"track_ids"})

    def __init__(
        self,
        max_speed_m_s: float = 12.0,
        max_gap_frames: int | None = None,
        max_distance: float | None = None,
        window: int = 25,
    ) -> None:
        self.max_speed_m_s, self.max_gap_frames = max_speed_m_s, max_gap_frames
        self.max_distance, self.window = max_distance, window

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        frame, track_id = people.frame, people.track_id
        if self.max_gap_frames is not None:
            track_id = split_gaps(frame, track_id, self.max_gap_frames)
        track_id = split_jumps(frame, track_id, people.positions_m, clip.fps, self.max_speed_m_s)
        if self.max_distance is not None:
            track_id = split_appearance(
                frame, track_id, people.embeddings, self.window, self.max_distance
            )
        return records.replace(track_ids=track_table(people, track_id, self.name))


def _homographies(records: Records, clip: ClipContext) -> Float[np.ndarray, "T 3 3"]:
    """Image from pitch of every frame; NaN where the camera is not known."""
    cameras = records["cameras"]
    camera = Camera(
        array(cameras, "K").reshape(-1, 3, 3),
        array(cameras, "R").reshape(-1, 3, 3),
        array(cameras, "position_m"),
        clip.image_size,
    )
    homographies = np.full((clip.num_frames, 3, 3), np.nan)
    homographies[array(cameras, "frame")] = camera.image_from_pitch
    return homographies
