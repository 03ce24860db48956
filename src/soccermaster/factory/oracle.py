"""A noisy oracle in place of detector, ReID and VLM, on synthetic clips whose truth is known.

It makes the mistakes of real networks at known rates, so that the rules after them can be compared
without a network and without pictures.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int

from soccermaster.data.frame_source import FrameSource
from soccermaster.data.images import VideoError
from soccermaster.data.synthetic.dataset import SyntheticSpatial
from soccermaster.data.synthetic.take import annotate
from soccermaster.data.video import VideoInfo
from soccermaster.factory.people import gather_people
from soccermaster.factory.read import best_rows
from soccermaster.factory.records import Records, array, make_table
from soccermaster.factory.stage import ClipContext, Stage
from soccermaster.geometry import Camera
from soccermaster.structures import Athletes
from soccermaster.vocabulary import LEGIBLE_ABOVE, NO_NUMBER, ROLES, UNKNOWN

_BALL, _PLAYER = ROLES.index("ball"), ROLES.index("player")
#: Crops of which all pairs are compared to find the AUC.
_AUC_SAMPLE = 2000
_PEOPLE = tuple(role for role in range(len(ROLES)) if role != _BALL)


@dataclass(frozen=True)
class OracleNoise:
    """How often and how far the oracle is wrong.

    Attributes:
        missed: share of the boxes that are missed, in bursts.
        burst_frames: shortest and longest burst.
        false_per_frame: boxes around nobody.
        jitter: of a box, as a fraction of its height (standard deviation per coordinate).
        cut_frames: a track is cut every so many frames on average.
        auc: that a pair of crops of one person is more alike than a pair of two people.
        slow_share: share of the variance of the appearance that changes slowly, so that averaging
            over a track does not remove it; the rest is new in every frame.
        slow_frames: time constant of the slow part.
        number_wrong: readings of a visible back that give another number.
        number_none: readings of a visible back that give none.
        role_wrong: readings that give another role.
        ground_m: error of the place on the pitch (standard deviation per axis).
    """

    missed: float = 0.08
    burst_frames: tuple[int, int] = (3, 25)
    false_per_frame: float = 0.3
    jitter: float = 0.03
    cut_frames: float = 120.0
    auc: float = 0.84
    slow_share: float = 0.5
    slow_frames: float = 50.0
    number_wrong: float = 0.15
    number_none: float = 0.25
    role_wrong: float = 0.10
    ground_m: float = 0.4


@dataclass(frozen=True)
class OracleClip:
    """A clip's truth and what the oracle says instead.

    Attributes:
        truth: people alone. A number that nobody could read in any frame is none, as in SoccerNet.
        cameras: true cameras of the T frames.
        records: detections, embeddings, legibility, numbers, roles, positions, track_ids.
        truth_rows: row of `truth` of each detection by detection_id, -1 false.
    """

    truth: Athletes
    cameras: Camera
    records: Records
    truth_rows: Int[np.ndarray, " M"]


def synthetic_truth(
    seed: int, num_frames: int = 750, image_size: tuple[int, int] = (1080, 1920)
) -> tuple[Athletes, Camera]:
    """People and cameras of a synthetic clip, which is staged but not drawn.

    Args:
        seed: another one is another match.
        num_frames: T.
        image_size: (H, W).
    """
    clips = SyntheticSpatial("test", 1, num_frames, image_size=image_size, seed=seed)
    take = clips.take(0)
    everybody = annotate(take).athletes
    people = everybody.select(everybody.roles != _BALL)
    numbers = people.numbers.copy()
    for track in np.unique(people.track_ids):
        mine = people.track_ids == track
        if not (people.legibility[mine] > LEGIBLE_ABOVE).any():
            numbers[mine] = NO_NUMBER
    return dataclasses.replace(people, numbers=numbers), take.cameras


def noisy_clip(
    truth: Athletes, cameras: Camera, rng: np.random.Generator, noise: OracleNoise
) -> OracleClip:
    """What the oracle makes of a clip."""
    found = ~missed_rows(truth, rng, noise)
    rows = np.flatnonzero(found)
    tracks = cut_tracks(truth, rng, noise.cut_frames)
    num_frames, false_boxes = len(cameras.position_m), []
    heights = truth.boxes_xyxy_px[:, 3] - truth.boxes_xyxy_px[:, 1]
    counts = rng.poisson(noise.false_per_frame, num_frames)
    false_frame = np.repeat(np.arange(num_frames), counts)
    width, height = cameras.image_size
    for _ in false_frame:
        tall = float(rng.choice(heights)) * rng.uniform(0.7, 1.3)
        x, y = rng.uniform(0, width), rng.uniform(0.3 * height, height)
        false_boxes.append((x - 0.2 * tall, y - tall, x + 0.2 * tall, y))
    frame = np.concatenate([truth.frame[rows], false_frame])
    truth_rows = np.concatenate([rows, np.full(len(false_frame), UNKNOWN)])
    boxes = np.concatenate([truth.boxes_xyxy_px[rows], np.array(false_boxes).reshape(-1, 4)])
    order = np.argsort(frame, kind="stable")
    frame, truth_rows, boxes = frame[order], truth_rows[order], boxes[order].astype(np.float64)
    real, n = truth_rows >= 0, len(frame)
    tall = (boxes[:, 3] - boxes[:, 1])[:, None]
    boxes = boxes + rng.normal(0, noise.jitter, (n, 4)) * tall
    boxes[:, 2:] = np.maximum(boxes[:, 2:], boxes[:, :2] + 1)
    ids = np.arange(n)
    track_id = np.full(n, UNKNOWN)
    track_id[real] = tracks[truth_rows[real]]
    track_id[~real] = tracks.max(initial=0) + 1 + np.arange(int((~real).sum()))
    positions = cameras.position_m  # false boxes stand where the camera sees their feet
    feet = np.stack([(boxes[:, 0] + boxes[:, 2]) / 2, boxes[:, 3]], axis=1)
    at = Camera(cameras.K[frame], cameras.R[frame], positions[frame], cameras.image_size)
    places = at.unproject_to_ground(feet[:, None])[:, 0]
    places[real] = truth.positions_m[truth_rows[real]]
    places += rng.normal(0, noise.ground_m, (n, 2))
    placed = np.isfinite(places).all(axis=1)
    visible = np.zeros(n, bool)
    visible[real] = truth.legibility[truth_rows[real]] > LEGIBLE_ABOVE
    common = {"source": "oracle", "frame": frame, "detection_id": ids}
    seen = {
        name: value if isinstance(value, str) else value[visible] for name, value in common.items()
    }
    readings = read_backs(truth, truth_rows[visible], rng, noise)
    roles = read_roles(truth, truth_rows, rng, noise)
    tables = {
        "detections": make_table(
            "detections",
            **common,
            box_xyxy_px=boxes,
            category=np.full(n, UNKNOWN),
            confidence=np.where(real, rng.uniform(0.5, 1.0, n), rng.uniform(0.4, 0.8, n)),
        ),
        "embeddings": make_table(
            "embeddings", **common, vector=noisy_embeddings(truth, truth_rows, rng, noise)
        ),
        "track_ids": make_table("track_ids", **common, track_id=track_id),
        "legibility": make_table("legibility", **common, confidence=visible.astype(float)),
        "numbers": make_table(
            "numbers",
            **seen,
            number=readings,
            answer=[str(r) for r in readings],
            confidence=np.full(len(readings), 0.9),
        ),
        "roles": make_table(
            "roles",
            **common,
            role=roles,
            answer=[ROLES[r] for r in roles],
            confidence=np.full(n, 0.9),
        ),
        "positions": make_table(
            "positions",
            source="oracle",
            frame=frame[placed],
            detection_id=ids[placed],
            left_middle_right_m=np.repeat(places[placed][:, None], 3, axis=1).reshape(-1, 6),
        ),
    }
    return OracleClip(truth, cameras, Records(tables), truth_rows)


def missed_rows(
    truth: Athletes, rng: np.random.Generator, noise: OracleNoise
) -> Bool[np.ndarray, " M"]:
    """Rows that the detector misses: bursts of frames of single people, up to the wanted share."""
    missed = np.zeros(len(truth), bool)
    while len(truth) and missed.mean() < noise.missed:
        row = int(rng.integers(len(truth)))
        length = int(rng.integers(noise.burst_frames[0], noise.burst_frames[1] + 1))
        first = truth.frame[row]
        missed |= (
            (truth.track_ids == truth.track_ids[row])
            & (truth.frame >= first)
            & (truth.frame < first + length)
        )
    return missed


def cut_tracks(
    truth: Athletes, rng: np.random.Generator, cut_frames: float
) -> Int[np.ndarray, " M"]:
    """New track ids from 1 on: each true track changes its id at random moments."""
    ids = np.zeros(len(truth), np.int64)
    following = 1
    for track in np.unique(truth.track_ids):
        mine = np.flatnonzero(truth.track_ids == track)
        cuts = np.cumsum(rng.random(len(mine)) < 1 / cut_frames)
        ids[mine] = following + cuts
        following += int(cuts[-1]) + 1
    return ids


def read_backs(
    truth: Athletes, rows: Int[np.ndarray, " n"], rng: np.random.Generator, noise: OracleNoise
) -> Int[np.ndarray, " n"]:
    """A reading of each visible back: the number, another one, or none (100)."""
    true = truth.numbers[rows]
    wrong = (true + rng.integers(1, 100, len(rows))) % 100
    draw = rng.random(len(rows))
    read = np.where(draw < noise.number_wrong, wrong, true)
    return np.where(draw >= 1 - noise.number_none, NO_NUMBER, read)


def read_roles(
    truth: Athletes, rows: Int[np.ndarray, " n"], rng: np.random.Generator, noise: OracleNoise
) -> Int[np.ndarray, " n"]:
    """A reading of each person's role; anything for false boxes (row -1)."""
    roles = np.where(rows >= 0, truth.roles[rows], rng.choice(_PEOPLE, len(rows)))
    places = np.array([_PEOPLE.index(int(role)) for role in roles], int)
    others = np.array(_PEOPLE)[(places + rng.integers(1, len(_PEOPLE), len(rows))) % len(_PEOPLE)]
    return np.where(rng.random(len(rows)) < noise.role_wrong, others, roles)


def noisy_embeddings(
    truth: Athletes,
    rows: Int[np.ndarray, " n"],
    rng: np.random.Generator,
    noise: OracleNoise,
    width: int = 32,
) -> Float[np.ndarray, "n D"]:
    """Unit vectors: what all share, team, person, and noise of the scale that gives the AUC.

    The squares of the parts are those of PRTReID's cosine similarities on labelled videos (other
    team 0.69, same team 0.78): 0.69 shared, 0.09 team, 0.11 person.
    """
    people, person = np.unique(truth.track_ids, return_inverse=True)
    team_of = np.zeros(len(people), int)
    team_of[person] = np.where(truth.roles == _PLAYER, truth.teams, 2 + truth.roles)
    directions = rng.normal(size=(width, width))
    directions = np.linalg.qr(directions)[0]
    shared = np.sqrt(0.69) * directions[0]
    teams = rng.normal(size=(2 + len(ROLES), width)) * np.sqrt(0.09 / width)
    persons = rng.normal(size=(len(people), width)) * np.sqrt(0.11 / width)
    means = shared + teams[team_of] + persons
    slow = _slow_noise(truth, person, rng, noise.slow_frames, width)
    n = len(rows)
    which = np.where(rows >= 0, person[rows], -1)
    base = means[which]
    nobody = which < 0
    base[nobody] = shared + rng.normal(size=(int(nobody.sum()), width)) * np.sqrt(0.2 / width)
    wobble = np.sqrt(noise.slow_share) * np.where(nobody[:, None], 0, slow[rows])
    wobble += np.sqrt(1 - noise.slow_share) * rng.normal(size=(n, width))
    wobble /= np.sqrt(width)
    real = np.flatnonzero(~nobody)
    sample = rng.choice(real, min(_AUC_SAMPLE, len(real)), replace=False)
    low, high = 0.0, 20.0
    for _ in range(14 if len(sample) else 0):
        scale = (low + high) / 2
        auc = same_other_auc(_unit(base[sample] + scale * wobble[sample]), which[sample])
        low, high = (scale, high) if auc > noise.auc else (low, scale)
    return _unit(base + low * wobble).astype(np.float32)


def same_other_auc(vectors: Float[np.ndarray, "n D"], person: Int[np.ndarray, " n"]) -> float:
    """The chance that two crops of one person are more alike than crops of two people.

    Args:
        vectors: of unit length; all pairs are compared.
        person: of each vector.
    """
    rows, columns = np.triu_indices(len(vectors), 1)
    alike = (vectors @ vectors.T)[rows, columns]
    same = person[rows] == person[columns]
    if same.all() or not same.any():
        return float("nan")
    unlike = np.sort(alike[~same])
    return float(np.searchsorted(unlike, alike[same]).mean() / len(unlike))


class Unseen(FrameSource):
    """A clip whose pictures nobody needs.

    Args:
        num_frames: T.
        image_size: (W, H) in pixels.
        fps: frames per second.
    """

    def __init__(self, num_frames: int, image_size: tuple[int, int], fps: float = 25.0) -> None:
        self.info = VideoInfo(Path("synthetic"), *image_size, fps, num_frames / fps, num_frames)

    def read(self, indices: Sequence[int], size: tuple[int, int] | None = None) -> np.ndarray:
        """There is nothing to read.

        Raises:
            VideoError: always.
        """
        raise VideoError("expected a stage that needs no pictures: this clip has none")

    def stream(
        self, indices: Sequence[int], at_least: tuple[int, int] | None = None
    ) -> Iterator[np.ndarray]:
        """As `read`."""
        return iter(self.read(indices, at_least))

    def iter(self, size: tuple[int, int] | None = None) -> Iterator[tuple[int, float, np.ndarray]]:
        """As `read`."""
        return iter(self.read([], size))


class BestReadings(Stage):
    """Keeps the readings that `Numbers` would have asked for: of the best crops of every track.

    Args:
        crops_per_track: as in `Numbers`.
        min_gap_frames: as in `Numbers`.
    """

    name = "best_readings"
    requires = frozenset({"detections", "track_ids", "legibility", "numbers"})
    provides = frozenset({"numbers"})

    def __init__(self, crops_per_track: int = 12, min_gap_frames: int = 5) -> None:
        self.crops_per_track, self.min_gap_frames = crops_per_track, min_gap_frames

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        height = people.boxes_xyxy_px[:, 3] - people.boxes_xyxy_px[:, 1]
        read = np.isin(people.detection_id, array(records["numbers"], "detection_id"))
        rows = best_rows(
            people,
            np.flatnonzero(read & people.tracked),
            people.legibility * np.sqrt(height),
            self.crops_per_track,
            self.min_gap_frames,
        )
        keep = np.isin(array(records["numbers"], "detection_id"), people.detection_id[rows])
        return records.replace(numbers=records["numbers"].filter(keep))


class TrueTracks(Stage):
    """Ids and attributes as they are, in place of everything that finds them out.

    Args:
        clip: the oracle's.
    """

    name = "true_tracks"
    provides = frozenset({"track_ids", "track_numbers", "track_roles", "teams"})

    def __init__(self, clip: OracleClip) -> None:
        self.clip = clip

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        truth, rows = self.clip.truth, self.clip.truth_rows
        real = np.flatnonzero(rows >= 0)
        frame, mine = array(records["detections"], "frame")[real], rows[real]
        tracks, first = np.unique(truth.track_ids, return_index=True)
        common = {"source": "truth", "frame": frame, "detection_id": real}
        votes = np.ones(len(tracks), int)
        return records.replace(
            track_ids=make_table("track_ids", **common, track_id=truth.track_ids[mine]),
            track_numbers=make_table(
                "track_numbers",
                source="truth",
                track_id=tracks,
                number=truth.numbers[first],
                votes=votes,
            ),
            track_roles=make_table(
                "track_roles", source="truth", track_id=tracks, role=truth.roles[first], votes=votes
            ),
            teams=make_table("teams", **common, team=truth.teams[mine]),
        )


def _slow_noise(
    truth: Athletes, person: np.ndarray, rng: np.random.Generator, slow_frames: float, width: int
) -> Float[np.ndarray, "M D"]:
    """Unit-variance noise per person that follows itself with the time constant `slow_frames`."""
    size = int(truth.frame.max(initial=0)) + 1
    people = int(person.max(initial=-1)) + 1
    keep = np.exp(-1 / slow_frames)
    state = rng.normal(size=(people, width))
    values = np.empty((size, people, width), np.float32)
    for t in range(size):
        values[t] = state
        state = keep * state + np.sqrt(1 - keep**2) * rng.normal(size=state.shape)
    return values[truth.frame, person]


def _unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
