"""Masks that follow people through the video close the holes that the detector left.

`RefineWindows` (the default) follows all tracks of a short window at once, keeps every detection,
and writes the score of the mask as confidence. `RefineOneByOne` is the rule of the released
pipeline: one box prompt after the other over the whole clip, in the order of time.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from soccermaster.factory.models import Segmenter
from soccermaster.factory.people import People, gather_people
from soccermaster.factory.records import Records, array, make_table, values_of
from soccermaster.factory.stage import ClipContext, Stage
from soccermaster.tracking.splitting import offset_duplicates
from soccermaster.tracking.tracklets import rows_of_tracks
from soccermaster.vocabulary import UNKNOWN

Box = Float[np.ndarray, " 4"]


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

    In each window the largest sure detection of every track is its prompt. Where the mask of a
    track appears in a frame without a row of that track, an untracked detection below the mask
    (IoU of at least `min_iou`) joins the track; if there is none, and no other person's box is
    there, the mask becomes a new row: its box, and its score as confidence. Detections are never
    dropped. Frames without any detection are filled like others.

    Args:
        segmenter: follows the boxes.
        window: frames per pass.
        max_objects: prompts per pass; more people take further passes.
        min_score: masks below are not believed.
        min_iou: of mask box and detection, to be the same person.
        min_box_px: smaller boxes are no prompts.
    """

    name = "refine"
    requires = frozenset({"detections", "track_ids"})
    provides = frozenset({"detections", "track_ids"})

    def __init__(
        self,
        segmenter: Segmenter,
        window: int = 50,
        max_objects: int = 32,
        min_score: float = 0.5,
        min_iou: float = 0.5,
        min_box_px: float = 18.0,
    ) -> None:
        self.segmenter, self.window, self.max_objects = segmenter, window, max_objects
        self.min_score, self.min_iou, self.min_box_px = min_score, min_iou, min_box_px

    def models(self) -> list[Segmenter]:
        """See `Stage.models`."""
        return [self.segmenter]

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        track_id = people.track_id.copy()
        added: list[NewRow] = []
        for start in range(0, clip.num_frames, self.window):
            stop = min(start + self.window, clip.num_frames)
            prompts = self._prompts(people, track_id, start, stop)
            for first in range(0, len(prompts), self.max_objects):
                some = prompts[first : first + self.max_objects]
                masks = self.segmenter.propagate(
                    LazyFrames(clip, start, stop),
                    people.frame[some] - start,
                    people.boxes_xyxy_px[some],
                )
                for found in masks:
                    boxes = mask_boxes(found.masks, clip.image_size)
                    self._fill(
                        people, track_id, added, start + found.frame,
                        track_id[some], boxes, found.scores,
                    )  # fmt: skip
        return with_new_rows(records, people, track_id, added, self.segmenter.name)

    def _prompts(
        self, people: People, track_id: np.ndarray, start: int, stop: int
    ) -> Int[np.ndarray, " K"]:
        size = people.boxes_xyxy_px[:, 2:] - people.boxes_xyxy_px[:, :2]
        fit = (people.frame >= start) & (people.frame < stop) & (track_id != UNKNOWN)
        fit &= (size >= self.min_box_px).all(axis=1)
        worth = np.nan_to_num(people.scores, nan=0.0) + 1e-4 * np.sqrt(size.prod(axis=1))
        rows = np.flatnonzero(fit)
        return np.array(
            [rows[mine[np.argmax(worth[rows[mine]])]]
             for mine in rows_of_tracks(track_id[rows]).values()], int,
        )  # fmt: skip

    def _fill(
        self,
        people: People,
        track_id: np.ndarray,
        added: list[NewRow],
        frame: int,
        ids: Int[np.ndarray, " K"],
        boxes: Float[np.ndarray, "K 4"],
        scores: Float[np.ndarray, " K"],
    ) -> None:
        here = slice(*np.searchsorted(people.frame, [frame, frame + 1]))
        rows = np.arange(here.start, here.stop)
        taken = [row.box_xyxy_px for row in added if row.frame == frame]
        for track, box, score in zip(ids.tolist(), boxes, scores.tolist(), strict=True):
            if not np.isfinite(box).all() or score < self.min_score:
                continue
            if (track_id[rows] == track).any():
                continue
            ious = pairwise_iou(box[None], people.boxes_xyxy_px[rows])[0]
            best = int(np.argmax(ious)) if len(rows) else -1
            if best >= 0 and ious[best] >= self.min_iou:
                if track_id[rows[best]] == UNKNOWN and not people.is_ball[rows[best]]:
                    track_id[rows[best]] = track
                continue
            if taken and pairwise_iou(box[None], np.array(taken))[0].max() >= self.min_iou:
                continue
            added.append(NewRow(frame, box, track, float(score)))
            taken.append(box)


@dataclass(frozen=True)
class PaperRefineRules:
    """The thresholds of the released pipeline.

    Attributes:
        best_iou: of mask box and detection.
        min_overlap_box: share of the mask's box inside a detection.
        min_mask_iou: masks that overlap so much are one person.
        min_overlap_mask: the same for the share of the smaller one.
        min_run_frames: shorter gap-free runs of a tracklet are no prompts.
        min_box_px: boxes with a smaller side are no prompts.
        max_jump_px: of the centre from frame to frame.
        lookback_frames: for the inheritance of ids.
        max_expansion: of a window around the box before, as a factor of its size, plus ...
        width_offset_px: ... this,
        height_offset_px: and this.
        kernel_px: of the morphology.
    """

    best_iou: float = 0.5
    min_overlap_box: float = 0.7
    min_mask_iou: float = 0.6
    min_overlap_mask: float = 0.6
    min_run_frames: int = 3
    min_box_px: float = 18.0
    max_jump_px: float = 200.0
    lookback_frames: int = 50
    max_expansion: float = 1.0
    width_offset_px: float = 30.0
    height_offset_px: float = 60.0
    kernel_px: int = 10


class RefineOneByOne(Stage):
    """The released pipeline's rule, with its thresholds.

    The first detection in time that is neither absorbed nor tried is followed through the whole
    clip. Of its masks the run around the prompt is kept, cut where it jumps or falls apart. In
    every frame it absorbs the detection that it covers (which keeps its own box and takes the id of
    the prompt); where it absorbs nothing and duplicates nobody it becomes a new row of confidence
    1. Detections that nobody absorbs are dropped. Frames without detections are skipped.

    Args:
        segmenter: follows one box at a time.
        rules: thresholds.

    Source: the released pipeline, SAM 2 refinement.
    """

    name = "refine"
    requires = frozenset({"detections", "track_ids"})
    provides = frozenset({"detections", "track_ids"})

    def __init__(self, segmenter: Segmenter, rules: PaperRefineRules | None = None) -> None:
        self.segmenter, self.rules = segmenter, rules or PaperRefineRules()

    def models(self) -> list[Segmenter]:
        """See `Stage.models`."""
        return [self.segmenter]

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people, rules = gather_people(records), self.rules
        seeds = seed_rows(people, rules)
        absorbed = np.full(len(people), UNKNOWN)
        added: list[NewRow] = []
        shown: dict[int, list[tuple[int, Bool[np.ndarray, "h w"]]]] = {}  # masks of each frame
        occupied = set(people.frame.tolist())
        for row in np.flatnonzero(seeds).tolist():
            if absorbed[row] != UNKNOWN:
                continue
            masks = self._follow(clip, people, row)
            if not masks.get(int(people.frame[row]), np.zeros(1, bool)).any():
                continue
            track = inherited_id(people, absorbed, row, rules.lookback_frames)
            kept = consistent_run(masks, int(people.frame[row]), rules, clip.image_size)
            for frame, mask in sorted(kept.items()):
                if frame not in occupied:
                    continue
                self._settle(people, absorbed, added, shown, frame, mask, track, clip.image_size)
        return with_new_rows(records, people, *_unique_ids(absorbed, people, added),
                             self.segmenter.name)  # fmt: skip

    def _follow(self, clip: ClipContext, people: People, row: int) -> dict[int, np.ndarray]:
        frames = LazyFrames(clip, 0, clip.num_frames)
        prompt = np.array([people.frame[row]])
        found = self.segmenter.propagate(frames, prompt, people.boxes_xyxy_px[row : row + 1])
        return {f.frame: f.masks[0] & (f.scores[0] > 0) for f in found}

    def _settle(
        self,
        people: People,
        absorbed: Int[np.ndarray, " M"],
        added: list[NewRow],
        shown: dict[int, list[tuple[int, np.ndarray]]],
        frame: int,
        mask: Bool[np.ndarray, "h w"],
        track: int,
        image_size: tuple[int, int],
    ) -> None:
        rules, box = self.rules, mask_boxes(mask[None], image_size)[0]
        others = shown.setdefault(frame, [])
        first, last = np.searchsorted(people.frame, [frame, frame + 1])
        free = np.arange(first, last)[absorbed[first:last] == UNKNOWN]
        boxes = people.boxes_xyxy_px[free]
        if len(free):
            ious, shares = pairwise_iou(box[None], boxes)[0], share_inside(box, boxes)
            by_iou, by_share = int(ious.argmax()), int(shares.argmax())
            chosen = None
            if ious[by_iou] > rules.best_iou:
                chosen = by_iou
            elif shares[by_share] > rules.min_overlap_box:
                chosen = by_share
            if chosen is not None:
                absorbed[free[chosen]] = track
                others.append((track, mask))
                return
            scaled = _box_in_mask(boxes, mask.shape, image_size)
            covered = [_filled_share(mask, b) > rules.min_overlap_mask for b in scaled]
            if sum(covered) > 1:
                return
        for other_track, other in others:
            both = np.count_nonzero(mask & other)
            if other_track == track and both:
                return
            smaller = min(np.count_nonzero(mask), np.count_nonzero(other))
            if both > rules.min_mask_iou * np.count_nonzero(mask | other):
                return
            if both > rules.min_overlap_mask * smaller:
                return
        added.append(NewRow(frame, box, track, 1.0))
        others.append((track, mask))


def seed_rows(people: People, rules: PaperRefineRules) -> Bool[np.ndarray, " M"]:
    """Rows that may be prompts: in a gap-free run that is long enough, and large enough."""
    seeds = np.zeros(len(people), bool)
    for rows in rows_of_tracks(people.track_id, people.frame).values():
        for run in np.split(rows, np.flatnonzero(np.diff(people.frame[rows]) > 1) + 1):
            seeds[run] = len(run) >= rules.min_run_frames
    size = people.boxes_xyxy_px[:, 2:] - people.boxes_xyxy_px[:, :2]
    return seeds & (size >= rules.min_box_px).all(axis=1)


def inherited_id(
    people: People, absorbed: Int[np.ndarray, " M"], row: int, lookback_frames: int
) -> int:
    """The id of a prompt: that of its tracklet, or of those who absorbed it lately.

    If among the tracklet's rows of the last frames more than 5 were absorbed, and more than 2/3 of
    those by one other id, that id (an identity switch is repaired).
    """
    own, frame = int(people.track_id[row]), people.frame[row]
    recent = (people.track_id == own) & (absorbed != UNKNOWN)
    recent &= (people.frame < frame) & (people.frame >= frame - lookback_frames)
    if recent.sum() > 5:
        ids, counts = np.unique(absorbed[recent], return_counts=True)
        best = int(counts.argmax())
        if counts[best] > 2 / 3 * recent.sum() and ids[best] != own:
            return int(ids[best])
    return own


def consistent_run(
    masks: dict[int, Bool[np.ndarray, "h w"]],
    prompt: int,
    rules: PaperRefineRules,
    image_size: tuple[int, int],
) -> dict[int, Bool[np.ndarray, "h w"]]:
    """The masks around the prompt frame that are one person: walked outwards until they are not.

    A mask in several pieces (of a box with w + h >= 125 px) is clipped to a window around the box
    before it; a clipped mask, or one whose size changes against both frames before (by 1.4, for
    150 <= w + h <= 500; always above), is opened and closed, and ends the run if nothing is left.
    The run also ends where the centre jumps.
    """
    kept = {prompt: masks[prompt]}
    for step in (1, -1):
        history = [mask_boxes(masks[prompt][None], image_size)[0]]
        frame = prompt + step
        while frame in masks and masks[frame].any():
            mask = masks[frame]
            box = mask_boxes(mask[None], image_size)[0]
            clipped = False
            if (box[2:] - box[:2]).sum() >= 125 and _num_pieces(mask) > 1:
                window = _grown(history[-1], rules)
                inside = np.zeros_like(mask)
                x0, y0, x1, y1 = _box_in_mask(window[None], mask.shape, image_size)[0]
                inside[y0:y1, x0:x1] = mask[y0:y1, x0:x1]
                clipped, mask = bool((inside != mask).any()), inside
            if clipped or (mask.any() and _is_outlier(box, history)):
                mask = _opened(mask, rules.kernel_px, image_size)
            if not mask.any():
                break
            box = mask_boxes(mask[None], image_size)[0]
            jump = np.linalg.norm((box[:2] + box[2:]) / 2 - (history[-1][:2] + history[-1][2:]) / 2)
            if jump > rules.max_jump_px:
                break
            kept[frame] = mask
            history.append(box)
            frame += step
    return kept


def with_new_rows(
    records: Records,
    people: People,
    track_id: Int[np.ndarray, " M"],
    added: Sequence[NewRow],
    source: str,
    dropped: Bool[np.ndarray, " M"] | None = None,
) -> Records:
    """Records with other track ids and further detections, and without the dropped ones."""
    old = records["detections"]
    keep = np.ones(len(people), bool) if dropped is None else ~dropped
    next_id = int(people.detection_id.max(initial=-1)) + 1
    new_ids = next_id + np.arange(len(added))
    frame = np.concatenate([people.frame[keep], [row.frame for row in added]]).astype(int)
    ids = np.concatenate([people.detection_id[keep], new_ids]).astype(int)
    sources = [*array(old, "source")[keep], *([source] * len(added))]
    detections = make_table(
        "detections",
        source=np.array(sources, object),
        frame=frame,
        detection_id=ids,
        box_xyxy_px=np.concatenate(
            [people.boxes_xyxy_px[keep], np.array([r.box_xyxy_px for r in added]).reshape(-1, 4)]
        ),
        category=np.concatenate([people.category[keep], np.full(len(added), UNKNOWN)]),
        confidence=np.concatenate([people.scores[keep], [row.confidence for row in added]]),
    )
    all_tracks = np.concatenate([track_id[keep], [row.track_id for row in added]]).astype(int)
    known = np.flatnonzero(all_tracks != UNKNOWN)
    old_sources = values_of(records["track_ids"], "source", people.detection_id, "")
    same = track_id == people.track_id
    tracks = make_table(
        "track_ids",
        source=np.array(
            [*np.where(same, old_sources, source)[keep], *([source] * len(added))], object
        )[known],
        frame=frame[known],
        detection_id=ids[known],
        track_id=all_tracks[known],
    )
    return records.replace(detections=detections, track_ids=tracks)


def mask_boxes(
    masks: Bool[np.ndarray, "K h w"], image_size: tuple[int, int]
) -> Float[np.ndarray, "K 4"]:
    """The tight box of each mask in pixels of an image (W, H); NaN where a mask is empty."""
    boxes = np.full((len(masks), 4), np.nan)
    height, width = masks.shape[1:]
    scale = np.array([image_size[0] / width, image_size[1] / height] * 2)
    for k, mask in enumerate(masks):
        columns, rows = np.flatnonzero(mask.any(axis=0)), np.flatnonzero(mask.any(axis=1))
        if len(columns):
            boxes[k] = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    return boxes * scale


def pairwise_iou(
    a: Float[np.ndarray, "n 4"], b: Float[np.ndarray, "m 4"]
) -> Float[np.ndarray, "n m"]:
    """Intersection over union of boxes given by their corners."""
    shared = _intersections(a, b)
    area_a, area_b = (np.prod(boxes[:, 2:] - boxes[:, :2], axis=1) for boxes in (a, b))
    return shared / np.maximum(area_a[:, None] + area_b[None] - shared, 1e-9)


def share_inside(box: Box, others: Float[np.ndarray, "m 4"]) -> Float[np.ndarray, " m"]:
    """The share of a box that lies inside each of the others."""
    return _intersections(box[None], others)[0] / max(float(np.prod(box[2:] - box[:2])), 1e-9)


def _intersections(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    low = np.maximum(a[:, None, :2], b[None, :, :2])
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return np.prod(np.clip(high - low, 0, None), axis=2)


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


def _box_in_mask(
    boxes: np.ndarray, shape: tuple[int, ...], image_size: tuple[int, int]
) -> Int[np.ndarray, "m 4"]:
    scale = np.array([shape[1] / image_size[0], shape[0] / image_size[1]] * 2)
    limits = np.array([shape[1], shape[0]] * 2)
    return np.clip(np.rint(boxes * scale), 0, limits).astype(int)


def _filled_share(mask: np.ndarray, box: Int[np.ndarray, " 4"]) -> float:
    x0, y0, x1, y1 = box
    part = mask[y0:y1, x0:x1]
    return float(part.mean()) if part.size else 0.0


def _grown(box: Box, rules: PaperRefineRules) -> Box:
    size = box[2:] - box[:2]
    offset = np.array([rules.width_offset_px, rules.height_offset_px])
    half = (size * rules.max_expansion + offset) / 2
    middle = (box[:2] + box[2:]) / 2
    return np.concatenate([middle - half, middle + half])


def _is_outlier(box: Box, history: list[Box]) -> bool:
    size = box[2:] - box[:2]
    if size.sum() < 150:
        return False
    if size.sum() > 500:
        return True
    ratios = [np.maximum(size / (b[2:] - b[:2]), (b[2:] - b[:2]) / size) for b in history[-2:]]
    return all((ratio > 1.4).any() for ratio in ratios)


def _num_pieces(mask: np.ndarray) -> int:
    return cv2.connectedComponents(mask.astype(np.uint8))[0] - 1


def _opened(mask: np.ndarray, kernel_px: int, image_size: tuple[int, int]) -> np.ndarray:
    side = max(round(kernel_px * mask.shape[1] / image_size[0]), 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    return cv2.morphologyEx(opened, cv2.MORPH_CLOSE, kernel) > 0
