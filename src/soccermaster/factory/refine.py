"""Masks that follow people through the video close the holes that the detector left.

`RefineWindows` (the default) follows all tracks of a short window at once, keeps every detection,
and writes the score of the mask as confidence. `RefineOneByOne` is the rule of the released
pipeline: one box prompt after the other over the whole clip, in the order of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int

from soccermaster.factory.models import Segmenter
from soccermaster.factory.people import People, gather_people
from soccermaster.factory.records import Records, array, make_table, values_of
from soccermaster.factory.refine_rules import (
    Box,
    Mask,
    PaperRefineRules,
    absorbed_detection,
    consistent_run,
    inherited_id,
    is_duplicate,
    mask_boxes,
    prompt_rows,
    seed_rows,
    settle_masks,
)
from soccermaster.factory.stage import ClipContext, Stage
from soccermaster.tracking.splitting import offset_duplicates
from soccermaster.vocabulary import UNKNOWN


@dataclass(frozen=True)
class NewRow:
    """A person that only a mask found."""

    frame: int
    box_xyxy_px: Box
    track_id: int
    confidence: float


class LazyFrames(Sequence):
    """Frames of a clip that are read when they are asked for.

    Args:
        clip: to read from.
        start: first frame.
        stop: the frame after the last one.
    """

    def __init__(self, clip: ClipContext, start: int, stop: int) -> None:
        self.clip, self.start, self.stop = clip, start, stop

    def __len__(self) -> int:
        return self.stop - self.start

    def __getitem__(self, index: int) -> np.ndarray:
        if not 0 <= index < len(self):
            raise IndexError(index)
        return self.clip.read([self.start + index])[0]


class RefineWindows(Stage):
    """Follows all tracks of a window together; adds rows where a track has a mask but no box.

    In each window the surest detection of every track is its prompt (`prompt_rows`). Where the mask
    of a track appears in a frame without a row of that track, an untracked detection below the mask
    joins the track; if there is none, and nobody's box is there, the mask becomes a new
    row: its box, and its score as confidence (`settle_masks`). Detections are never dropped. Frames
    without any detection are filled like others.

    Args:
        segmenter: follows the boxes.
        window: frames per pass.
        max_objects: prompts per pass; more people take further passes.
        min_score: masks below are not believed.
        min_iou: of mask box and detection, to be the same person.
        max_iou_new: of mask box and any other, to be a new row.
        min_box_px: smaller boxes are no prompts, in pixels of frames 1920 wide.
        min_track_rows: tracks of fewer rows are no prompts.
    """

    name = "refine"
    version = 2
    requires = frozenset({"detections", "track_ids"})
    provides = frozenset({"detections", "track_ids"})

    def __init__(
        self,
        segmenter: Segmenter,
        window: int = 50,
        max_objects: int = 32,
        min_score: float = 0.5,
        min_iou: float = 0.5,
        max_iou_new: float = 0.1,
        min_box_px: float = 18.0,
        min_track_rows: int = 3,
    ) -> None:
        self.segmenter, self.window, self.max_objects = segmenter, window, max_objects
        self.min_score, self.min_iou, self.max_iou_new = min_score, min_iou, max_iou_new
        self.min_box_px, self.min_track_rows = min_box_px, min_track_rows

    def models(self) -> list[Segmenter]:
        """See `Stage.models`."""
        return [self.segmenter]

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        track_id = people.track_id.copy()
        min_box_px = self.min_box_px * clip.image_size[0] / 1920
        added: list[NewRow] = []
        for start in range(0, clip.num_frames, self.window):
            stop = min(start + self.window, clip.num_frames)
            frames = LazyFrames(clip, start, stop)
            prompts = prompt_rows(
                people, track_id, range(start, stop), min_box_px, self.min_track_rows
            )
            for first in range(0, len(prompts), self.max_objects):
                some = prompts[first : first + self.max_objects]
                for found in self.segmenter.propagate(
                    frames, people.frame[some] - start, people.boxes_xyxy_px[some]
                ):
                    self._settle(
                        people, track_id, added, start + found.frame, track_id[some],
                        mask_boxes(found.masks, clip.image_size), found.scores,
                    )  # fmt: skip
        return with_new_rows(records, people, track_id, added, self.segmenter.name)

    def _settle(
        self,
        people: People,
        track_id: Int[np.ndarray, " M"],
        added: list[NewRow],
        frame: int,
        mask_tracks: Int[np.ndarray, " K"],
        boxes: Float[np.ndarray, "K 4"],
        scores: Float[np.ndarray, " K"],
    ) -> None:
        """Write what the masks of a frame mean into `track_id` and `added`."""
        here = slice(*np.searchsorted(people.frame, [frame, frame + 1]))
        track_id[here], new = settle_masks(
            track_id[here],
            people.boxes_xyxy_px[here],
            people.is_ball[here],
            mask_tracks,
            boxes,
            scores,
            [row.box_xyxy_px for row in added if row.frame == frame],
            self.min_score,
            self.min_iou,
            self.max_iou_new,
        )
        added += [NewRow(frame, boxes[k], int(mask_tracks[k]), float(scores[k])) for k in new]


class RefineOneByOne(Stage):
    """The released pipeline's rule, with its thresholds.

    The first detection in time that may be a prompt (`seed_rows`) and is neither absorbed nor tried
    is followed through the whole clip, under the id of `inherited_id`. Of its masks the
    `consistent_run` around the prompt is kept. In every frame it absorbs the `absorbed_detection`,
    which keeps its own box and takes the id; where it absorbs nothing and `is_duplicate` does not
    hold it becomes a new row of confidence 1. Detections that nobody absorbs are dropped. Frames
    without detections are skipped.

    One thing differs from the release, which sweeps forward once from frame 0 with the prompt as
    its only memory: the segmenters here follow the prompt forward and backward from its own frame.

    Args:
        segmenter: follows one box at a time.
        rules: thresholds.

    Source: the released pipeline, SAM 2 refinement.
    """

    name = "refine"
    version = 2
    requires = frozenset({"detections", "track_ids"})
    provides = frozenset({"detections", "track_ids"})

    def __init__(self, segmenter: Segmenter, rules: PaperRefineRules | None = None) -> None:
        self.segmenter, self.rules = segmenter, rules or PaperRefineRules()

    def models(self) -> list[Segmenter]:
        """See `Stage.models`."""
        return [self.segmenter]

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people, size = gather_people(records), clip.image_size
        rules = self.rules.for_width(size[0])
        absorbed = np.full(len(people), UNKNOWN)
        added: list[NewRow] = []
        shown: dict[int, list[tuple[int, Mask]]] = {}  # masks that count, of each frame
        occupied = set(people.frame.tolist())
        for row in np.flatnonzero(seed_rows(people, rules)).tolist():
            prompt = int(people.frame[row])
            if absorbed[row] != UNKNOWN:
                continue
            masks = self._follow(clip, people, row)
            if not masks.get(prompt, np.zeros(1, bool)).any():
                continue
            track = inherited_id(people, absorbed, row, rules.lookback_frames)
            for frame, mask in sorted(consistent_run(masks, prompt, rules, size).items()):
                if frame not in occupied:
                    continue
                others, box = shown.setdefault(frame, []), mask_boxes(mask[None], size)[0]
                first, last = np.searchsorted(people.frame, [frame, frame + 1])
                free = np.arange(first, last)[absorbed[first:last] == UNKNOWN]
                boxes = people.boxes_xyxy_px[free]
                chosen = absorbed_detection(box, boxes, rules)
                if chosen is not None:
                    absorbed[free[chosen]] = track
                elif is_duplicate(mask, track, boxes, others, rules, size):
                    continue
                else:
                    added.append(NewRow(frame, box, track, 1.0))
                others.append((track, mask))
        return with_new_rows(records, people, *_unique_ids(absorbed, people, added),
                             self.segmenter.name)  # fmt: skip

    def _follow(self, clip: ClipContext, people: People, row: int) -> dict[int, Mask]:
        frames = LazyFrames(clip, 0, clip.num_frames)
        prompt = np.array([people.frame[row]])
        found = self.segmenter.propagate(frames, prompt, people.boxes_xyxy_px[row : row + 1])
        return {f.frame: f.masks[0] & (f.scores[0] > 0) for f in found}


def with_new_rows(
    records: Records,
    people: People,
    track_id: Int[np.ndarray, " M"],
    added: Sequence[NewRow],
    source: str,
) -> Records:
    """Records with other track ids and further detections."""
    old = records["detections"]
    next_id = int(people.detection_id.max(initial=-1)) + 1
    new_ids = next_id + np.arange(len(added))
    frame = np.concatenate([people.frame, [row.frame for row in added]]).astype(int)
    ids = np.concatenate([people.detection_id, new_ids]).astype(int)
    sources = [*array(old, "source"), *([source] * len(added))]
    detections = make_table(
        "detections",
        source=np.array(sources, object),
        frame=frame,
        detection_id=ids,
        box_xyxy_px=np.concatenate(
            [people.boxes_xyxy_px, np.array([r.box_xyxy_px for r in added]).reshape(-1, 4)]
        ),
        category=np.concatenate([people.category, np.full(len(added), UNKNOWN)]),
        confidence=np.concatenate([people.scores, [row.confidence for row in added]]),
    )
    all_tracks = np.concatenate([track_id, [row.track_id for row in added]]).astype(int)
    known = np.flatnonzero(all_tracks != UNKNOWN)
    old_sources = values_of(records["track_ids"], "source", people.detection_id, "")
    same = track_id == people.track_id
    tracks = make_table(
        "track_ids",
        source=np.array([*np.where(same, old_sources, source), *([source] * len(added))], object)[
            known
        ],
        frame=frame[known],
        detection_id=ids[known],
        track_id=all_tracks[known],
    )
    return records.replace(detections=detections, track_ids=tracks)


def _unique_ids(
    absorbed: Int[np.ndarray, " M"], people: People, added: list[NewRow]
) -> tuple[Int[np.ndarray, " M"], list[NewRow]]:
    """Ids once per frame, by the official rule; what nobody absorbed is without a track."""
    frame = np.concatenate([people.frame, [row.frame for row in added]]).astype(int)
    ids = np.concatenate([absorbed, [row.track_id for row in added]]).astype(int)
    ids = offset_duplicates(frame, ids)
    rows = [
        NewRow(row.frame, row.box_xyxy_px, int(i), row.confidence)
        for row, i in zip(added, ids[len(absorbed) :], strict=True)
    ]
    return ids[: len(absorbed)], rows
