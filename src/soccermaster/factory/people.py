"""The people of a clip as plain columns, joined from all records: what the rules work on."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from soccermaster.factory.records import Records, array, make_table, rows_of, values_of
from soccermaster.structures import Athletes
from soccermaster.vocabulary import NO_NUMBER, ROLES, UNKNOWN

_BALL = ROLES.index("ball")


@dataclass(frozen=True)
class People:
    """One row per detection, in order of time. Unknown is -1, or NaN.

    Attributes:
        frame: from 0.
        detection_id: unique.
        boxes_xyxy_px: in the clip's frames.
        scores: of the detections.
        category: what the detector says, index in vocabulary.ROLES.
        track_id: -1 belongs to none.
        embeddings: of one width; width 1 if nothing has one.
        colours: Lab of the shirt.
        positions_m: middle of the lower edge on the pitch.
        legibility: of the number.
        numbers: as read in the row; number_scores beside it.
        roles: as read in the row; role_scores beside it.
        track_numbers: as voted for the track.
        track_roles: as voted for the track.
        final_numbers: as voted, or as read in the row where nothing was voted on.
        final_roles: the same for roles.
        clusters: of the track, 0 or 1.
        teams: of the row.
    """

    frame: Int[np.ndarray, " M"]
    detection_id: Int[np.ndarray, " M"]
    boxes_xyxy_px: Float[np.ndarray, "M 4"]
    scores: Float[np.ndarray, " M"]
    category: Int[np.ndarray, " M"]
    track_id: Int[np.ndarray, " M"]
    embeddings: Float[np.ndarray, "M D"]
    colours: Float[np.ndarray, "M 3"]
    positions_m: Float[np.ndarray, "M 2"]
    legibility: Float[np.ndarray, " M"]
    numbers: Int[np.ndarray, " M"]
    number_scores: Float[np.ndarray, " M"]
    roles: Int[np.ndarray, " M"]
    role_scores: Float[np.ndarray, " M"]
    track_numbers: Int[np.ndarray, " M"]
    track_roles: Int[np.ndarray, " M"]
    final_numbers: Int[np.ndarray, " M"]
    final_roles: Int[np.ndarray, " M"]
    clusters: Int[np.ndarray, " M"]
    teams: Int[np.ndarray, " M"]

    def __len__(self) -> int:
        return len(self.frame)

    @property
    def tracked(self) -> Bool[np.ndarray, " M"]:
        """Rows that belong to a track."""
        return self.track_id != UNKNOWN

    @property
    def is_ball(self) -> Bool[np.ndarray, " M"]:
        """Rows that the detector calls a ball."""
        return self.category == _BALL


def gather_people(records: Records) -> People:
    """All that is known about each detection so far; kinds that are not there are unknown."""
    detections = records["detections"]
    ids = array(detections, "detection_id")
    n = len(ids)

    def joined(kind: str, column: str, missing: float, shape: tuple[int, ...] = ()) -> np.ndarray:
        if kind not in records or not records[kind].num_rows:
            kind_of = np.int64 if isinstance(missing, int) else np.float32
            return np.full((n, *shape), missing, kind_of)
        return values_of(records[kind], column, ids, missing)

    track_id = joined("track_ids", "track_id", UNKNOWN).astype(np.int64)

    def of_track(kind: str, column: str) -> np.ndarray:
        if kind not in records or not records[kind].num_rows:
            return np.full(n, UNKNOWN)
        return values_of(records[kind], column, track_id, UNKNOWN, "track_id").astype(np.int64)

    numbers = joined("numbers", "number", UNKNOWN).astype(np.int64)
    roles = joined("roles", "role", UNKNOWN).astype(np.int64)
    track_numbers = of_track("track_numbers", "number")
    track_roles = of_track("track_roles", "role")
    positions = joined("positions", "left_middle_right_m", float("nan"), (6,))
    return People(
        frame=array(detections, "frame").astype(np.int64),
        detection_id=ids,
        boxes_xyxy_px=array(detections, "box_xyxy_px").astype(np.float64),
        scores=array(detections, "confidence"),
        category=array(detections, "category").astype(np.int64),
        track_id=track_id,
        embeddings=joined("embeddings", "vector", float("nan"), (1,)),
        colours=joined("colours", "lab", float("nan"), (3,)),
        positions_m=positions[:, 2:4].astype(np.float64),
        legibility=joined("legibility", "confidence", float("nan")),
        numbers=numbers,
        number_scores=joined("numbers", "confidence", float("nan")),
        roles=roles,
        role_scores=joined("roles", "confidence", float("nan")),
        track_numbers=track_numbers,
        track_roles=track_roles,
        final_numbers=track_numbers if "track_numbers" in records else numbers,
        final_roles=track_roles if "track_roles" in records else roles,
        clusters=of_track("track_clusters", "cluster"),
        teams=joined("teams", "team", UNKNOWN).astype(np.int64),
    )


def athletes_of(records: Records) -> Athletes:
    """The tracked people of a clip as they are exported and scored."""
    people = gather_people(records)
    rows = np.flatnonzero(people.tracked)
    known = people.final_numbers[rows]
    return Athletes(
        frame=people.frame[rows],
        boxes_xyxy_px=people.boxes_xyxy_px[rows].astype(np.float32),
        roles=people.final_roles[rows],
        numbers=np.where(known == UNKNOWN, NO_NUMBER, known),
        legibility=people.legibility[rows].astype(np.float32),
        track_ids=people.track_id[rows],
        teams=people.teams[rows],
        positions_m=people.positions_m[rows].astype(np.float32),
    )


def corners_of(records: Records) -> Float[np.ndarray, "M 6"]:
    """Left, middle and right of the lower edge of each detection on the pitch; NaN unknown."""
    detections, positions = records["detections"], records["positions"]
    corners = np.full((detections.num_rows, 6), np.nan)
    rows = rows_of(detections, array(positions, "detection_id"))
    corners[rows] = array(positions, "left_middle_right_m").reshape(-1, 6)
    return corners


def track_table(people: People, track_id: Int[np.ndarray, " M"], source: str):
    """Rows of kind `track_ids` for new ids of the people; -1 gets no row."""
    rows = np.flatnonzero(np.asarray(track_id) != UNKNOWN)
    return make_table(
        "track_ids",
        source=source,
        frame=people.frame[rows],
        detection_id=people.detection_id[rows],
        track_id=np.asarray(track_id)[rows],
    )
