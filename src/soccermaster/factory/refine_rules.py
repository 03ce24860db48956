"""The rules of refinement: who is followed, and what a mask means for the boxes of its frame.

`prompt_rows` and `settle_masks` are those of the windows (the default); the others are the released
pipeline's, with the thresholds of `PaperRefineRules`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float, Int

from soccermaster.factory.people import People
from soccermaster.tracking.tracklets import rows_of_tracks
from soccermaster.vocabulary import UNKNOWN

Box = Float[np.ndarray, " 4"]
Mask = Bool[np.ndarray, "h w"]


@dataclass(frozen=True)
class PaperRefineRules:
    """The thresholds of the released pipeline; pixels are those of frames 1920 wide.

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
        min_pieces_px: width + height from which a mask in pieces is clipped.
        min_outlier_px: width + height from which sizes are compared.
        max_steady_px: width + height above which every size is an outlier.
        max_size_ratio: of width or height to those of the frames before.
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
    kernel_px: float = 10.0
    min_pieces_px: float = 125.0
    min_outlier_px: float = 150.0
    max_steady_px: float = 500.0
    max_size_ratio: float = 1.4

    def for_width(self, width: int) -> PaperRefineRules:
        """The same thresholds in the pixels of frames of another width."""
        names = [field.name for field in dataclasses.fields(self) if field.name.endswith("_px")]
        scaled = {name: getattr(self, name) * width / 1920 for name in names}
        return dataclasses.replace(self, **scaled)


def prompt_rows(
    people: People,
    track_id: Int[np.ndarray, " M"],
    frames: range,
    min_box_px: float,
    min_rows: int,
) -> Int[np.ndarray, " K"]:
    """The prompt of each track in a window: its surest detection, of equally sure ones the largest.

    Boxes with a side below `min_box_px` are no prompts, nor are tracks of fewer than `min_rows`
    rows in the clip: a mask follows what is false as willingly as a person.
    """
    size = people.boxes_xyxy_px[:, 2:] - people.boxes_xyxy_px[:, :2]
    here = (people.frame >= frames.start) & (people.frame < frames.stop)
    here &= (size >= min_box_px).all(axis=1)
    worth = np.nan_to_num(people.scores, nan=0.0) + 1e-4 * np.sqrt(size.prod(axis=1))
    prompts = []
    for rows in rows_of_tracks(track_id).values():
        fit = rows[here[rows]]
        if len(rows) >= min_rows and len(fit):
            prompts.append(fit[np.argmax(worth[fit])])
    return np.array(prompts, int)


def settle_masks(
    tracks: Int[np.ndarray, " m"],
    boxes_xyxy_px: Float[np.ndarray, "m 4"],
    is_ball: Bool[np.ndarray, " m"],
    mask_tracks: Int[np.ndarray, " K"],
    mask_boxes_px: Float[np.ndarray, "K 4"],
    scores: Float[np.ndarray, " K"],
    taken: Sequence[Box] = (),
    min_score: float = 0.5,
    min_iou: float = 0.5,
    max_iou_new: float = 0.1,
) -> tuple[Int[np.ndarray, " m"], list[int]]:
    """What the masks of one frame mean for its detections.

    A mask counts if it is not empty, scores `min_score`, and its track has no row in the frame yet.
    If a detection lies below it (best IoU of at least `min_iou`), the track takes that detection
    where it belongs to nobody, and leaves it alone where it has an owner or is a ball. Otherwise
    the mask is a new row where nobody is: no detection and no new row has an IoU above
    `max_iou_new`. A single row too many shares a frame with the track that goes on as the same
    person, and keeps the two apart for good, so this limit is far below the other.

    Args:
        tracks: of the frame's detections, -1 nobody's.
        boxes_xyxy_px: of the detections.
        is_ball: detections that are never taken.
        mask_tracks: track that each mask follows.
        mask_boxes_px: NaN where a mask is empty.
        scores: of the masks.
        taken: boxes of new rows that the frame has already.
        min_score: masks below are not believed.
        min_iou: to be the same person.
        max_iou_new: to be somebody else.

    Returns:
        The tracks of the detections, and the masks that become new rows.
    """
    tracks, taken, new = np.array(tracks, copy=True), list(taken), []
    for k, (track, box) in enumerate(zip(mask_tracks.tolist(), mask_boxes_px, strict=True)):
        if not np.isfinite(box).all() or scores[k] < min_score or (tracks == track).any():
            continue
        ious = pairwise_iou(box[None], boxes_xyxy_px)[0]
        best = int(np.argmax(ious)) if len(ious) else UNKNOWN
        if best != UNKNOWN and ious[best] >= min_iou:
            if tracks[best] == UNKNOWN and not is_ball[best]:
                tracks[best] = track
            continue
        others = np.concatenate([boxes_xyxy_px, np.reshape(taken, (-1, 4))])
        if pairwise_iou(box[None], others)[0].max(initial=0.0) > max_iou_new:
            continue
        new.append(k)
        taken.append(box)
    return tracks, new


def seed_rows(people: People, rules: PaperRefineRules) -> Bool[np.ndarray, " M"]:
    """The official rule for prompts: in a gap-free run that is long enough, and large enough."""
    seeds = np.zeros(len(people), bool)
    for rows in rows_of_tracks(people.track_id, people.frame).values():
        for run in np.split(rows, np.flatnonzero(np.diff(people.frame[rows]) > 1) + 1):
            seeds[run] = len(run) >= rules.min_run_frames
    size = people.boxes_xyxy_px[:, 2:] - people.boxes_xyxy_px[:, :2]
    return seeds & (size >= rules.min_box_px).all(axis=1)


def inherited_id(
    people: People, absorbed: Int[np.ndarray, " M"], row: int, lookback_frames: int
) -> int:
    """The official id of a prompt: that of its tracklet, or of those who absorbed it lately.

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
    masks: dict[int, Mask], prompt: int, rules: PaperRefineRules, image_size: tuple[int, int]
) -> dict[int, Mask]:
    """The official rule for which masks are one person: from the prompt outwards until they end.

    A mask in pieces is clipped (`clip_to_window`); a clipped mask, or one of another size
    (`is_size_outlier`), is opened and closed, and ends the run if nothing is left. The run also
    ends before an empty mask, and where the centre jumps farther than `max_jump_px`.
    """
    kept = {prompt: masks[prompt]}
    for step in (1, -1):
        history = [mask_boxes(masks[prompt][None], image_size)[0]]
        frame = prompt + step
        while frame in masks and masks[frame].any():
            box = mask_boxes(masks[frame][None], image_size)[0]
            mask = clip_to_window(masks[frame], history[-1], rules, image_size)
            clipped = np.count_nonzero(mask) < np.count_nonzero(masks[frame])
            if clipped or is_size_outlier(box, history[-2:], rules):
                mask = opened_and_closed(mask, rules.kernel_px, image_size)
            if not mask.any():
                break
            box = mask_boxes(mask[None], image_size)[0]
            if np.linalg.norm(_centre(box) - _centre(history[-1])) > rules.max_jump_px:
                break
            kept[frame] = mask
            history.append(box)
            frame += step
    return kept


def clip_to_window(
    mask: Mask, before: Box, rules: PaperRefineRules, image_size: tuple[int, int]
) -> Mask:
    """The official rule for a mask in several pieces: what is near the box of the frame before.

    The window has the middle of that box, `max_expansion` times its size plus the offsets. A mask
    in one piece, or of a box with w + h below `min_pieces_px`, stays as it is.
    """
    box = mask_boxes(mask[None], image_size)[0]
    pieces = cv2.connectedComponents(mask.astype(np.uint8))[0] - 1
    if pieces < 2 or (box[2:] - box[:2]).sum() < rules.min_pieces_px:
        return mask
    offset = np.array([rules.width_offset_px, rules.height_offset_px])
    half = ((before[2:] - before[:2]) * rules.max_expansion + offset) / 2
    window = np.concatenate([_centre(before) - half, _centre(before) + half])
    x0, y0, x1, y1 = _box_in_mask(window[None], mask.shape, image_size)[0]
    inside = np.zeros_like(mask)
    inside[y0:y1, x0:x1] = mask[y0:y1, x0:x1]
    return inside


def is_size_outlier(box: Box, before: Sequence[Box], rules: PaperRefineRules) -> bool:
    """The official rule for a size that cannot be: width or height is 1.4 times another.

    It must be so against every box of `before`, the (up to two) frames before. Boxes with w + h
    below `min_outlier_px` never are outliers, those above `max_steady_px` always.
    """
    size = box[2:] - box[:2]
    if size.sum() < rules.min_outlier_px:
        return False
    if size.sum() > rules.max_steady_px:
        return True
    sizes = [other[2:] - other[:2] for other in before]
    return all(
        (np.maximum(size / other, other / size) > rules.max_size_ratio).any() for other in sizes
    )


def opened_and_closed(mask: Mask, kernel_px: float, image_size: tuple[int, int]) -> Mask:
    """A mask without thin parts and small holes: elliptical opening, then closing."""
    side = max(round(kernel_px * mask.shape[1] / image_size[0]), 1)
    kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (side, side))
    opened = cv2.morphologyEx(mask.astype(np.uint8), cv2.MORPH_OPEN, kernel)
    return cv2.morphologyEx(opened, cv2.MORPH_CLOSE, kernel) > 0


def absorbed_detection(
    box: Box, detections_xyxy_px: Float[np.ndarray, "m 4"], rules: PaperRefineRules
) -> int | None:
    """The official rule for the detection that a mask's box absorbs; None for none.

    The one of the best IoU, above `best_iou`; failing that, the one that holds the largest share of
    the mask's box, above `min_overlap_box`.
    """
    if not len(detections_xyxy_px):
        return None
    ious = pairwise_iou(box[None], detections_xyxy_px)[0]
    shares = share_inside(box, detections_xyxy_px)
    if ious.max() > rules.best_iou:
        return int(ious.argmax())
    return int(shares.argmax()) if shares.max() > rules.min_overlap_box else None


def is_duplicate(
    mask: Mask,
    track: int,
    detections_xyxy_px: Float[np.ndarray, "m 4"],
    others: Sequence[tuple[int, Mask]],
    rules: PaperRefineRules,
    image_size: tuple[int, int],
) -> bool:
    """The official rule for a mask that absorbed nothing and is no new person either.

    It covers several detections that nobody absorbed (each by more than `min_overlap_mask` of its
    area), it touches a mask of its own track, or it overlaps another mask by more than
    `min_mask_iou` (IoU) or `min_overlap_mask` (of the smaller one).

    Args:
        mask: of the frame.
        track: that it follows.
        detections_xyxy_px: that nobody absorbed.
        others: tracks and masks that absorbed a detection of the frame, or were added to it.
        rules: thresholds.
        image_size: (W, H) of the frame.
    """
    covered = [
        _filled_share(mask, box) > rules.min_overlap_mask
        for box in _box_in_mask(detections_xyxy_px, mask.shape, image_size)
    ]
    if sum(covered) > 1:
        return True
    area = np.count_nonzero(mask)
    for other_track, other in others:
        both, other_area = np.count_nonzero(mask & other), np.count_nonzero(other)
        if (
            (other_track == track and both)
            or both > rules.min_mask_iou * (area + other_area - both)
            or both > rules.min_overlap_mask * min(area, other_area)
        ):
            return True
    return False


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


def _centre(box: Box) -> Float[np.ndarray, " 2"]:
    return (box[:2] + box[2:]) / 2


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
