"""A noisy oracle in place of SAM 2: masks of the people of `factory.oracle`, from the truth."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from jaxtyping import Float, Int

from soccermaster.factory.models import FrameMasks
from soccermaster.factory.oracle import OracleClip
from soccermaster.factory.people import corners_of, gather_people
from soccermaster.factory.records import Records, array, make_table
from soccermaster.factory.refine import LazyFrames
from soccermaster.factory.refine_rules import Box, pairwise_iou
from soccermaster.factory.stage import ClipContext, Stage
from soccermaster.geometry import Camera
from soccermaster.vocabulary import UNKNOWN

#: IoU from which a box is that of a true person.
_SAME_PERSON = 0.3


class OracleSegmenter:
    """Masks that are the true boxes, jittered, as long as the object is not lost.

    A box on nobody is followed too, as what stands still in the image: a network does not know
    that it was given a false box. A mask that is lost is not found again.

    Args:
        clip: the oracle's.
        rng: of the noise.
        lost_frames: frames from the prompt to the loss, on average, to either side.
        jitter: of a box, as a fraction of its height (standard deviation per coordinate).
        scores: range of the scores of masks.
        shrink: side of a mask to that of the frame.
    """

    name = "oracle_masks"

    def __init__(
        self,
        clip: OracleClip,
        rng: np.random.Generator,
        lost_frames: float = 200.0,
        jitter: float = 0.03,
        scores: tuple[float, float] = (0.6, 1.0),
        shrink: int = 4,
    ) -> None:
        self.clip, self.rng, self.lost_frames = clip, rng, lost_frames
        self.jitter, self.scores, self.shrink = jitter, scores, shrink

    def load(self, device: str) -> None:
        """There is nothing to load."""

    def propagate(
        self,
        frames: LazyFrames,
        prompt_frames: Int[np.ndarray, " K"],
        boxes_xyxy_px: Float[np.ndarray, "K 4"],
    ) -> Iterator[FrameMasks]:
        """See `Segmenter.propagate`; of the frames only their place in the clip is asked."""
        width, height = self.clip.cameras.image_size
        shape = height // self.shrink, width // self.shrink
        count, lost = len(prompt_frames), 1 / self.lost_frames
        first = prompt_frames - self.rng.geometric(lost, count)
        last = prompt_frames + self.rng.geometric(lost, count)
        who = [
            self._person_below(frames.start + int(t), box)
            for t, box in zip(prompt_frames, boxes_xyxy_px, strict=True)
        ]
        for t in range(len(frames)):
            masks, scores = np.zeros((count, *shape), bool), np.zeros(count)
            truth = self._boxes_at(frames.start + t)
            for k in range(count):
                box = boxes_xyxy_px[k] if who[k] == UNKNOWN else truth.get(who[k])
                if box is None or not first[k] < t < last[k]:
                    continue
                box = box + self.rng.normal(0, self.jitter, 4) * (box[3] - box[1])
                x0, y0, x1, y1 = np.clip(np.rint(box / self.shrink), 0, (*shape[::-1],) * 2)
                masks[k, int(y0) : int(y1), int(x0) : int(x1)] = True
                scores[k] = self.rng.uniform(*self.scores) if masks[k].any() else 0.0
            yield FrameMasks(t, masks, scores)

    def _boxes_at(self, frame: int) -> dict[int, Box]:
        truth = self.clip.truth
        rows = np.flatnonzero(truth.frame == frame)
        boxes = truth.boxes_xyxy_px[rows].astype(np.float64)
        return dict(zip(truth.track_ids[rows].tolist(), boxes, strict=True))

    def _person_below(self, frame: int, box: Box) -> int:
        """The true track that a box belongs to; -1 for nobody."""
        people = self._boxes_at(frame)
        if not people:
            return UNKNOWN
        ious = pairwise_iou(box[None], np.stack(list(people.values())))[0]
        return list(people)[int(ious.argmax())] if ious.max() >= _SAME_PERSON else UNKNOWN


class OraclePlaces(Stage):
    """Places of the rows that have none, as wrong as the oracle's others: what `Project` would add.

    A row belongs to the true person of the best IoU; where there is none, it stands where the true
    camera sees its feet.

    Args:
        clip: the oracle's.
        rng: of the noise.
        ground_m: error of a place (standard deviation per axis).
    """

    name = "oracle_places"
    requires = frozenset({"detections", "positions"})
    provides = frozenset({"positions"})

    def __init__(self, clip: OracleClip, rng: np.random.Generator, ground_m: float = 0.4) -> None:
        self.clip, self.rng, self.ground_m = clip, rng, ground_m

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people, old, truth = gather_people(records), records["positions"], self.clip.truth
        known = np.isin(people.detection_id, array(old, "detection_id"))
        new, places = np.flatnonzero(~known), []
        for row in new.tolist():
            frame, box = int(people.frame[row]), people.boxes_xyxy_px[row]
            here = np.flatnonzero(truth.frame == frame)
            ious = pairwise_iou(box[None], truth.boxes_xyxy_px[here])[0]
            if len(here) and ious.max() >= _SAME_PERSON:
                places.append(truth.positions_m[here[ious.argmax()]])
                continue
            camera: Camera = self.clip.cameras[frame]
            feet_px = np.array([[(box[0] + box[2]) / 2, box[3]]])
            places.append(camera.unproject_to_ground(feet_px)[0])
        corners = corners_of(records)
        corners[new] = np.tile(
            np.reshape(places, (-1, 2)) + self.rng.normal(0, self.ground_m, (len(new), 2)), 3
        )
        placed = np.flatnonzero(np.isfinite(corners).all(axis=1))
        table = make_table(
            "positions",
            source="oracle",
            frame=people.frame[placed],
            detection_id=people.detection_id[placed],
            left_middle_right_m=corners[placed],
        )
        return records.replace(positions=table)
