"""Detections of one frame after the other -> track ids, online.

A track is where somebody is in the image and on the pitch (two Kalman filters) and what they look
like (an exponential mean of unit embeddings). In every frame detections are matched to tracks by
appearance and place inside a gate, recent tracks first, and what is left by overlap.

Source: Wojke et al., DeepSORT, ICIP 2017; Du et al., StrongSORT, TMM 2023 (measurement noise that
    shrinks with confidence, exponential appearance, motion cost, no cascade in `PAPER`). Ours: the
    filter in metres on the pitch, and camera motion from the calibration instead of from pixels.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int
from scipy.stats import chi2

from soccermaster.geometry.homography import apply_homography
from soccermaster.tracking.assignment import (
    appearance_distances,
    assign,
    iou_distances,
    unit_rows,
)
from soccermaster.tracking.motion import Motion
from soccermaster.vocabulary import UNKNOWN

# Noise of the box filter (centre x, centre y, width / height, height), as DeepSORT has it: in
# fractions of the height, but for the third coordinate.
_STEP, _VELOCITY = 1 / 20, 1 / 160
_ASPECT_STEP, _ASPECT_VELOCITY, _ASPECT_NOISE = 1e-2, 1e-5, 1e-1


@dataclass(frozen=True)
class TrackerConfig:
    """How a `Tracker` decides.

    Attributes:
        min_score: detections below it belong to no track.
        use_pitch: gate and cost in metres as well, where places are known.
        use_cameras: move the tracks with the camera, where homographies are given.
        appearance_weight: share of the appearance in the cost; the rest is motion (squared
            Mahalanobis distance over its gate, mean of image and pitch).
        max_appearance_distance: half the Euclidean distance of unit embeddings.
        official_cost: motion enters the cost as the squared Mahalanobis distance itself, and the
            limit of the appearance is that of the whole cost (the released pipeline).
        ema: what remains of a track's appearance when it is seen again.
        gate: probability that a right detection passes a gate; 0 leaves the second stage alone.
        cascade: match the tracks seen last first; else all at once.
        max_iou_distance: of the second stage.
        max_iou_age: frames since a track was seen, up to which the second stage takes it.
        max_age: frames unseen after which a track ends.
        max_prediction: frames unseen after which a track stands still in the image.
        velocity_decay: what remains of the velocity with every frame unseen.
        position_noise_m: error of a place on the pitch.
        acceleration_m: change of velocity per frame, in metres per frame.
        min_noise: measurement noise at confidence 1, as a share of that at confidence 0.
    """

    min_score: float = 0.0
    use_pitch: bool = True
    use_cameras: bool = True
    appearance_weight: float = 0.5
    max_appearance_distance: float = 0.3
    official_cost: bool = False
    ema: float = 0.9
    gate: float = 0.999
    cascade: bool = True
    max_iou_distance: float = 0.8
    max_iou_age: int = 1
    max_age: int = 100
    max_prediction: int = 50
    velocity_decay: float = 0.95
    position_noise_m: float = 0.5
    acceleration_m: float = 0.02
    min_noise: float = 0.5


#: What the released pipeline uses.
PAPER = TrackerConfig(
    use_pitch=False,
    use_cameras=False,
    appearance_weight=0.995,
    max_appearance_distance=0.5,
    official_cost=True,
    gate=0.95,
    cascade=False,
    max_age=300,
    max_prediction=7,
    velocity_decay=1.0,
    min_noise=0.01,
)


class Tracker:
    """The tracks of one clip; ids count from 1.

    Args:
        config: how to decide.
    """

    def __init__(self, config: TrackerConfig = TrackerConfig()) -> None:
        self.config = config
        self._next_id = 1
        self._ids = np.zeros(0, int)
        self._unseen = np.zeros(0, int)  # frames since the last match, 0 = in the last frame
        self._looks = np.zeros((0, 0))
        self._box = Motion.start(np.zeros((0, 4)), 1.0, 1.0)
        self._place = Motion.start(np.zeros((0, 2)), 1.0, 1.0)
        self._image_from_pitch: np.ndarray | None = None

    def update(
        self,
        boxes_xyxy_px: Float[np.ndarray, "n 4"],
        scores: Float[np.ndarray, " n"],
        embeddings: Float[np.ndarray, "n D"] | None = None,
        positions_m: Float[np.ndarray, "n 2"] | None = None,
        image_from_pitch: Float[np.ndarray, "3 3"] | None = None,
    ) -> Int[np.ndarray, " n"]:
        """The next frame.

        Args:
            boxes_xyxy_px: detections; none is fine.
            scores: confidence in 0..1.
            embeddings: appearance; rows of NaN, or None: by motion alone.
            positions_m: feet on the pitch; NaN or None: by the image alone.
            image_from_pitch: homography of the frame; NaN or None: unknown.

        Returns:
            The track of each detection; -1 below `min_score`.
        """
        config = self.config
        boxes, scores = np.asarray(boxes_xyxy_px, float), np.asarray(scores, float)
        looks, places = self._looks_and_places(len(boxes), embeddings, positions_m)
        self._predict(image_from_pitch)
        measured = _centre_aspect_height(boxes)
        noise = np.clip(1 - scores, config.min_noise, 1)[:, None]
        valid = (scores >= config.min_score) & np.isfinite(boxes).all(axis=1)
        track_of = np.full(len(boxes), UNKNOWN)

        if config.gate > 0:
            cost, allowed = self._cost(measured, places, looks, noise)
            ages = self._unseen if config.cascade else np.zeros_like(self._unseen)
            for age in np.unique(ages):
                rows = np.flatnonzero(ages == age)
                free = np.flatnonzero(valid & (track_of == UNKNOWN))
                i, j = assign(cost[np.ix_(rows, free)], allowed[np.ix_(rows, free)])
                track_of[free[j]] = rows[i]

        rows = np.flatnonzero(self._unseen <= config.max_iou_age)
        rows = np.setdiff1d(rows, track_of)
        free = np.flatnonzero(valid & (track_of == UNKNOWN))
        distance = iou_distances(_boxes(self._box.value[rows]), boxes[free])
        i, j = assign(distance, distance <= config.max_iou_distance)
        track_of[free[j]] = rows[i]

        seen = np.flatnonzero(track_of != UNKNOWN)
        self._correct(track_of[seen], measured[seen], places[seen], looks[seen], noise[seen])
        born = np.flatnonzero(valid & (track_of == UNKNOWN))
        track_of[born] = len(self._ids) + np.arange(len(born))
        self._begin(measured[born], places[born], looks[born])
        ids = np.full(len(boxes), UNKNOWN)
        ids[valid] = self._ids[track_of[valid]]
        self._end()
        return ids

    def _looks_and_places(
        self,
        count: int,
        embeddings: Float[np.ndarray, "n D"] | None,
        positions_m: Float[np.ndarray, "n 2"] | None,
    ) -> tuple[Float[np.ndarray, "n D"], Float[np.ndarray, "n 2"]]:
        places = np.full((count, 2), np.nan)
        if positions_m is not None and self.config.use_pitch:
            places = np.asarray(positions_m, float).reshape(count, 2)
        if embeddings is None or not count:
            return np.full((count, max(1, self._looks.shape[1])), np.nan), places
        return unit_rows(np.asarray(embeddings, float).reshape(count, -1)), places

    def _predict(self, image_from_pitch: Float[np.ndarray, "3 3"] | None) -> None:
        """Everybody one frame on, and along with the camera."""
        config, box = self.config, self._box
        self._unseen += 1
        lost = self._unseen[:, None] > 1
        decay = np.where(lost, config.velocity_decay, 1.0)
        box.velocity[self._unseen > config.max_prediction] = 0
        box.predict(*_box_noise(box.value[:, 3]), decay)
        self._place.predict(0.0, config.acceleration_m, decay)
        self._follow_camera(image_from_pitch)

    def _follow_camera(self, image_from_pitch: Float[np.ndarray, "3 3"] | None) -> None:
        """What stands on the ground moves in the image as the ground does."""
        before, now = self._image_from_pitch, image_from_pitch
        if now is None or not self.config.use_cameras or not np.isfinite(now).all():
            self._image_from_pitch = None
            return
        self._image_from_pitch = np.asarray(now, float)
        if before is None or not len(self._ids):
            return
        now_from_before = self._image_from_pitch @ np.linalg.inv(before)
        value = self._box.value
        feet = value[:, :2] + np.stack([np.zeros(len(value)), value[:, 3] / 2], axis=1)
        side = feet + np.stack([value[:, 2] * value[:, 3], np.zeros(len(value))], axis=1)
        moved, moved_side = (apply_homography(now_from_before, p) for p in (feet, side))
        scale = np.linalg.norm(moved_side - moved, axis=1) / np.linalg.norm(side - feet, axis=1)
        good = np.isfinite(moved).all(axis=1) & np.isfinite(scale) & (scale > 0.5) & (scale < 2)
        value[good, 3] *= scale[good]
        value[good, 0] = moved[good, 0]
        value[good, 1] = moved[good, 1] - value[good, 3] / 2

    def _cost(
        self,
        measured: Float[np.ndarray, "n 4"],
        places: Float[np.ndarray, "n 2"],
        looks: Float[np.ndarray, "n D"],
        noise: Float[np.ndarray, "n 1"],
    ) -> tuple[Float[np.ndarray, "N n"], Bool[np.ndarray, "N n"]]:
        """Cost of every track and detection, and whether the pair passes the gates."""
        box_noise = _measurement_noise(self._box.value[:, 3])[:, None] * noise[None]
        in_image = self._box.distances(measured, box_noise)
        on_pitch = self._place.distances(places, self.config.position_noise_m)
        appearance = np.full(in_image.shape, np.nan)
        if looks.shape[1] == self._looks.shape[1]:
            appearance = appearance_distances(self._looks, looks)
        return pair_costs(appearance, in_image, on_pitch, self.config)

    def _correct(
        self,
        rows: Int[np.ndarray, " n"],
        measured: Float[np.ndarray, "n 4"],
        places: Float[np.ndarray, "n 2"],
        looks: Float[np.ndarray, "n D"],
        noise: Float[np.ndarray, "n 1"],
    ) -> None:
        self._box.update(rows, measured, _measurement_noise(self._box.value[rows, 3]) * noise)
        self._place.update(rows, places, self.config.position_noise_m)
        self._unseen[rows] = 0
        if looks.shape[1] != self._looks.shape[1]:
            return
        old = self._looks[rows]
        mixed = unit_rows(self.config.ema * old + (1 - self.config.ema) * looks)
        mixed = np.where(np.isfinite(mixed), mixed, np.where(np.isfinite(looks), looks, old))
        self._looks[rows] = mixed

    def _begin(
        self,
        measured: Float[np.ndarray, "n 4"],
        places: Float[np.ndarray, "n 2"],
        looks: Float[np.ndarray, "n D"],
    ) -> None:
        if not len(measured):
            return
        count = len(measured)
        step, velocity = _box_noise(measured[:, 3])
        started = Motion.start(measured, 2 * step, 10 * velocity)
        self._box = self._box.join(started)
        noise_m = self.config.position_noise_m
        self._place = self._place.join(Motion.start(places, noise_m, 0.2))
        if looks.shape[1] != self._looks.shape[1]:  # the first embeddings of the clip
            self._looks = np.full((len(self._ids), looks.shape[1]), np.nan)
        self._looks = np.concatenate([self._looks, looks])
        self._ids = np.append(self._ids, self._next_id + np.arange(count))
        self._unseen = np.append(self._unseen, np.zeros(count, int))
        self._next_id += count

    def _end(self) -> None:
        """Forget who was not seen for too long."""
        alive = self._unseen <= self.config.max_age
        if alive.all():
            return
        self._ids, self._unseen = self._ids[alive], self._unseen[alive]
        self._looks = self._looks[alive]
        self._box, self._place = self._box.select(alive), self._place.select(alive)


def pair_costs(
    appearance: Float[np.ndarray, "N n"],
    in_image: Float[np.ndarray, "N n"],
    on_pitch: Float[np.ndarray, "N n"],
    config: TrackerConfig,
) -> tuple[Float[np.ndarray, "N n"], Bool[np.ndarray, "N n"]]:
    """What it costs that a detection is a track, and whether it may be.

    The cost is the appearance and the motion, weighted by `appearance_weight`. Motion is the
    squared Mahalanobis distance over its gate, the mean of image and pitch where the place is
    known. A pair is allowed inside the gate, which is that of the pitch where the place is known
    (it does not move with the camera), and up to `max_appearance_distance`. An appearance that is
    unknown leaves the decision to the motion.

    With `official_cost`, as in the released pipeline, motion is the squared Mahalanobis distance
    itself (up to 9.49 in the image), and the whole cost must not exceed the limit.

    Args:
        appearance: half the Euclidean distance of N tracks and n detections; NaN unknown.
        in_image: squared Mahalanobis distance of the boxes.
        on_pitch: the same of the places; NaN unknown.
        config: weights and limits.

    Source: Du et al., StrongSORT, TMM 2023, section 3.2.
    """
    image_gate, pitch_gate = chi2.ppf(config.gate, 4), chi2.ppf(config.gate, 2)
    in_image, on_pitch = in_image / image_gate, on_pitch / pitch_gate
    placed = np.isfinite(on_pitch)
    near = np.where(placed, on_pitch, in_image) <= 1
    motion = np.where(placed, (in_image + on_pitch) / 2, in_image)
    if config.official_cost:
        motion = motion * image_gate
    seen, weight = np.isfinite(appearance), config.appearance_weight
    cost = np.where(seen, weight * appearance + (1 - weight) * motion, motion)
    limited = cost if config.official_cost else appearance
    alike = np.where(seen, limited <= config.max_appearance_distance, True)
    return cost, near & alike


def track_clip(
    frame: Int[np.ndarray, " M"],
    boxes_xyxy_px: Float[np.ndarray, "M 4"],
    scores: Float[np.ndarray, " M"],
    embeddings: Float[np.ndarray, "M D"] | None = None,
    positions_m: Float[np.ndarray, "M 2"] | None = None,
    image_from_pitch: Float[np.ndarray, "T 3 3"] | None = None,
    config: TrackerConfig = TrackerConfig(),
) -> Int[np.ndarray, " M"]:
    """The track of every detection of a clip; see `Tracker.update`.

    Args:
        frame: of each row, 0-based, in any order; frames without a row pass as empty.
        boxes_xyxy_px: of each row.
        scores: of each row.
        embeddings: of each row.
        positions_m: of each row.
        image_from_pitch: homography of frame 0, 1, ...; NaN unknown.
        config: how to decide.

    Returns:
        Ids from 1; -1 where there is none.
    """
    frame = np.asarray(frame)
    track_id = np.full(len(frame), UNKNOWN)
    if not len(frame):
        return track_id
    order = np.argsort(frame, kind="stable")
    tracker = Tracker(config)
    moments = np.arange(frame.min(), frame.max() + 1)
    ends = np.searchsorted(frame[order], moments, side="right")
    for moment, rows in zip(moments, np.split(order, ends[:-1]), strict=True):
        known = image_from_pitch is not None and moment < len(image_from_pitch)
        track_id[rows] = tracker.update(
            boxes_xyxy_px[rows],
            scores[rows],
            None if embeddings is None else embeddings[rows],
            None if positions_m is None else positions_m[rows],
            image_from_pitch[moment] if known else None,
        )
    return track_id


def _centre_aspect_height(boxes: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
    size = np.maximum(boxes[:, 2:] - boxes[:, :2], 1e-3)
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.stack([*centre.T, size[:, 0] / size[:, 1], size[:, 1]], axis=1)


def _boxes(state: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 4"]:
    half = np.stack([state[:, 2] * state[:, 3], state[:, 3]], axis=1) / 2
    return np.concatenate([state[:, :2] - half, state[:, :2] + half], axis=1)


def _box_noise(
    height: Float[np.ndarray, " n"],
) -> tuple[Float[np.ndarray, "n 4"], Float[np.ndarray, "n 4"]]:
    """Standard deviations of a step and of the change of velocity."""
    aspect = np.ones_like(height)
    step, velocity = height * _STEP, height * _VELOCITY
    return (
        np.stack([step, step, aspect * _ASPECT_STEP, step], axis=1),
        np.stack([velocity, velocity, aspect * _ASPECT_VELOCITY, velocity], axis=1),
    )


def _measurement_noise(height: Float[np.ndarray, " n"]) -> Float[np.ndarray, "n 4"]:
    """Standard deviation of a measured box at confidence 0."""
    noise = height * _STEP
    return np.stack([noise, noise, np.full_like(height, _ASPECT_NOISE), noise], axis=1)
