"""The rules of refinement, case by case; masks have the size of the frame."""

import dataclasses

import numpy as np
import pytest

from soccermaster.factory.people import gather_people
from soccermaster.factory.refine_rules import (
    PaperRefineRules,
    absorbed_detection,
    clip_to_window,
    consistent_run,
    inherited_id,
    is_duplicate,
    is_size_outlier,
    mask_boxes,
    opened_and_closed,
    prompt_rows,
    seed_rows,
    settle_masks,
)
from tests.factory.test_refine import people_at

RULES = PaperRefineRules()
SIZE = (600, 400)  # W, H


def mask_of(*boxes):
    mask = np.zeros((SIZE[1], SIZE[0]), bool)
    for x0, y0, x1, y1 in boxes:
        mask[y0:y1, x0:x1] = True
    return mask


def test_thresholds_are_in_pixels_of_full_hd():
    half = RULES.for_width(960)
    assert (half.min_box_px, half.max_jump_px, half.height_offset_px) == (9, 100, 30)
    assert (half.min_pieces_px, half.min_outlier_px, half.max_steady_px) == (62.5, 75, 250)
    assert half.kernel_px == 5 and half.best_iou == RULES.best_iou
    assert half.min_run_frames == RULES.min_run_frames
    assert RULES.for_width(1920) == RULES


@pytest.mark.parametrize(
    ("rows", "min_box_px", "min_rows", "frames"),
    [
        ([(0, 10, 1), (1, 10, 1), (2, 10, 1)], 18, 1, [0]),  # equally sure: the first
        ([(4, 10, 1), (5, 10, 1)], 18, 1, [4]),
        ([(0, 10, 1), (7, 10, 1)], 18, 2, [0]),  # rows outside of the window count as rows
        ([(0, 10, 1), (7, 10, 1)], 18, 3, []),
        ([(7, 10, 1)], 18, 1, []),
        ([(0, 10, -1)], 18, 1, []),
        ([(0, 10, 1)], 21, 1, []),  # boxes are 20 wide
        ([(0, 10, 1), (3, 90, 2)], 18, 1, [0, 3]),
    ],
    ids=["first", "late", "long enough", "too short", "elsewhere", "nobody", "narrow", "two"],
)
def test_a_track_has_one_prompt_per_window(rows, min_box_px, min_rows, frames):
    people = gather_people(people_at(rows))
    found = prompt_rows(people, people.track_id, range(0, 6), min_box_px, min_rows)
    assert people.frame[found].tolist() == frames


def test_the_surest_and_then_the_largest_detection_is_the_prompt():
    people = gather_people(people_at([(t, 10, 1) for t in range(4)]))
    large = people.boxes_xyxy_px + np.array([[0, 0, 0, 0], [0, 0, 9, 9], [0] * 4, [0, 0, 99, 99]])
    people = dataclasses.replace(
        people, boxes_xyxy_px=large, scores=np.array([0.9, 0.9, np.nan, 0.5])
    )
    assert prompt_rows(people, people.track_id, range(4), 18, 1).tolist() == [1]


HERE, NEAR, FAR = [10, 10, 30, 50], [12, 10, 32, 50], [100, 10, 120, 50]


@pytest.mark.parametrize(
    ("tracks", "boxes", "mask", "score", "taken", "after", "new"),
    [
        ([2], [FAR], HERE, 0.8, [], [2], [0]),
        ([], [], HERE, 0.8, [], [], [0]),
        ([2], [FAR], HERE, 0.4, [], [2], []),
        ([2], [FAR], [np.nan] * 4, 0.8, [], [2], []),
        ([1], [FAR], HERE, 0.8, [], [1], []),
        ([-1], [NEAR], HERE, 0.8, [], [1], []),
        ([2], [NEAR], HERE, 0.8, [], [2], []),
        ([-1], [FAR], HERE, 0.8, [], [-1], [0]),
        ([2], [FAR], HERE, 0.8, [NEAR], [2], []),
        ([2], [FAR], HERE, 0.8, [FAR], [2], [0]),
        ([-1, 2], [[14, 10, 34, 50], NEAR], HERE, 0.8, [], [-1, 2], []),
        ([-1], [[20, 10, 40, 50]], HERE, 0.8, [], [-1], []),  # IoU 1/3
        ([2], [[27, 10, 47, 50]], HERE, 0.8, [], [2], [0]),  # IoU 0.08
    ],
    ids=[
        "new", "no detection", "not believed", "empty", "already there", "takes", "owned",
        "too far", "somebody was added here", "somebody was added elsewhere", "the best is owned",
        "neither the same nor another", "beside somebody",
    ],
)  # fmt: skip
def test_a_mask_takes_adds_or_stays_out(tracks, boxes, mask, score, taken, after, new):
    boxes = np.array(boxes, float).reshape(-1, 4)
    found = settle_masks(
        np.array(tracks, int), boxes, np.zeros(len(boxes), bool), np.array([1]),
        np.array([mask], float), np.array([score]), [np.array(b, float) for b in taken],
    )  # fmt: skip
    assert (found[0].tolist(), found[1]) == (after, new)


def test_a_ball_is_never_taken_and_two_masks_are_not_one_place():
    masks = np.array([HERE, NEAR], float)
    args = np.array([1, 3]), masks, np.array([0.8, 0.9])
    ball = settle_masks(np.array([-1]), np.array([HERE], float), np.array([True]), *args)
    assert ball[0].tolist() == [-1] and ball[1] == []
    nobody = settle_masks(np.zeros(0, int), np.zeros((0, 4)), np.zeros(0, bool), *args)
    assert nobody[1] == [0]


def test_prompts_come_from_long_runs_of_large_boxes():
    people = gather_people(people_at([(t, 10, 1) for t in (0, 1, 2, 4)] + [(0, 90, 2), (1, 90, 2)]))
    seeds = seed_rows(people, RULES)
    assert people.frame[seeds].tolist() == [0, 1, 2] and set(people.track_id[seeds]) == {1}
    assert not seed_rows(people, dataclasses.replace(RULES, min_box_px=21)).any()


@pytest.mark.parametrize(
    ("absorbed_by", "expected"),
    [([9] * 6, 9), ([9] * 5, 1), ([9, 9, 9, 8, 8, 8], 1), ([1] * 6, 1)],
    ids=["mostly another", "too few", "no clear one", "itself"],
)
def test_a_prompt_inherits_the_id_that_took_its_track(absorbed_by, expected):
    people = gather_people(people_at([(t, 10 + t, 1) for t in range(8)]))
    absorbed = np.array(absorbed_by + [-1] * (8 - len(absorbed_by)))
    assert inherited_id(people, absorbed, 7, 50) == expected


@pytest.mark.parametrize(
    ("box", "detections", "chosen"),
    [
        ([0, 0, 10, 40], [], None),
        ([0, 0, 10, 40], [[0, 0, 10, 40], [1, 0, 11, 40]], 0),
        ([0, 0, 10, 40], [[5, 0, 15, 40]], None),  # IoU 1/3, share 1/2
        ([0, 0, 10, 20], [[0, 0, 10, 40]], 0),  # IoU is 1/2 and no more, but all of it lies inside
        ([0, 0, 10, 13], [[0, 0, 10, 40]], 0),  # IoU 1/3
        ([0, 0, 10, 40], [[0, 0, 30, 90], [0, 0, 10, 30]], 1),  # IoU before share
        ([0, 0, 10, 40], [[0, 0, 7, 90]], None),  # a share of 0.7 and no more
    ],
    ids=["none", "best", "neither", "share", "share alone", "IoU first", "on the edge"],
)
def test_a_mask_absorbs_by_overlap_and_then_by_share(box, detections, chosen):
    boxes = np.array(detections, float).reshape(-1, 4)
    assert absorbed_detection(np.array(box, float), boxes, RULES) == chosen


@pytest.mark.parametrize(
    ("mask", "detections", "others", "duplicate"),
    [
        ([0, 0, 100, 100], [], [], False),
        ([0, 0, 100, 100], [[0, 0, 40, 90]], [], False),
        ([0, 0, 100, 100], [[0, 0, 40, 90], [50, 0, 90, 90]], [], True),
        ([0, 0, 100, 100], [[0, 0, 40, 90], [80, 0, 120, 90]], [], False),  # half of the second
        ([0, 0, 100, 100], [], [(5, [90, 0, 190, 100])], False),
        ([0, 0, 100, 100], [], [(1, [90, 0, 190, 100])], True),
        ([0, 0, 100, 100], [], [(1, [100, 0, 190, 100])], False),
        ([0, 0, 100, 100], [], [(5, [20, 0, 120, 100])], True),
        ([0, 0, 100, 100], [], [(5, [0, 0, 50, 20])], True),
        ([0, 0, 100, 100], [], [(5, [50, 0, 150, 100])], False),
    ],
    ids=[
        "alone", "covers one", "covers two", "covers one and a half", "touches another",
        "touches its own", "beside its own", "IoU", "holds a small one", "half of another",
    ],
)  # fmt: skip
def test_what_is_a_duplicate(mask, detections, others, duplicate):
    boxes = np.array(detections, float).reshape(-1, 4)
    shown = [(track, mask_of(box)) for track, box in others]
    assert is_duplicate(mask_of(mask), 1, boxes, shown, RULES, SIZE) == duplicate


@pytest.mark.parametrize(
    ("pieces", "before", "kept"),
    [
        ([(100, 100, 140, 200)], (100, 100, 140, 200), (100, 100, 140, 200)),
        ([(100, 100, 140, 200), (300, 100, 310, 110)], (100, 100, 140, 200), (100, 100, 140, 200)),
        # The window ends half the offsets (15 and 30 px) beyond the box before.
        ([(100, 100, 140, 200), (150, 180, 200, 260)], (100, 100, 140, 200), (100, 100, 155, 230)),
        ([(10, 10, 20, 30), (60, 10, 70, 30)], (10, 10, 20, 30), (10, 10, 70, 30)),
    ],
    ids=["one piece", "far piece", "window", "small"],
)
def test_masks_in_pieces_are_clipped(pieces, before, kept):
    clipped = clip_to_window(mask_of(*pieces), np.array(before, float), RULES, SIZE)
    assert mask_boxes(clipped[None], SIZE)[0].tolist() == list(kept)


@pytest.mark.parametrize(
    ("size", "before", "outlier"),
    [
        ((40, 100), [(40, 100)], False),  # w, h
        ((40, 139), [(40, 100)], False),
        ((40, 141), [(40, 100)], True),
        ((40, 141), [(28, 100), (40, 100)], True),
        ((40, 141), [(40, 101), (40, 140)], False),  # as in one of them
        ((40, 110), [(70, 110)], True),  # narrower
        ((40, 109), [(40, 20)], False),  # small
        ((100, 401), [(100, 401)], True),  # huge
    ],
)
def test_sizes_that_cannot_be(size, before, outlier):
    boxes = [np.array([7.0, 9.0, 7.0 + w, 9.0 + h]) for w, h in [size, *before]]
    assert is_size_outlier(boxes[0], boxes[1:], RULES) == outlier


def test_opening_removes_what_is_thin_and_closing_small_holes():
    person = mask_of((100, 100, 140, 200))
    thin = mask_of((100, 100, 140, 200), (140, 150, 300, 154))
    hole = person & ~mask_of((118, 150, 121, 153))
    assert mask_boxes(opened_and_closed(thin, 10, SIZE)[None], SIZE)[0, 2] < 145
    assert opened_and_closed(hole, 10, SIZE)[150:153, 118:121].all()
    assert not opened_and_closed(mask_of((0, 0, 300, 4)), 10, SIZE).any()
    assert (opened_and_closed(thin, 1, SIZE) == thin).all()


@pytest.mark.parametrize(
    ("boxes", "kept"),
    [
        ([(x, 100, x + 40, 200) for x in (10, 12, 14, 16)], [0, 1, 2, 3]),
        ([(x, 100, x + 40, 200) for x in (10, 12, 14, 400)], [0, 1, 2]),
        ([(10, 100, 50, 200), None, (14, 100, 54, 200), (16, 100, 56, 200)], [2, 3]),
        ([(10, 100, 50, 200)] * 3 + [(10, 198, 250, 202)], [0, 1, 2]),
    ],
    ids=["steady", "jumps", "empty", "nothing left when opened"],
)
def test_a_run_is_one_person(boxes, kept):
    masks = {t: mask_of(*([box] if box else [])) for t, box in enumerate(boxes)}
    assert sorted(consistent_run(masks, 2, RULES, SIZE)) == kept


def test_boxes_of_small_masks_are_in_pixels_of_the_frame():
    masks = np.zeros((2, 10, 20), bool)
    masks[0, 2:4, 5:7] = True
    boxes = mask_boxes(masks, (200, 100))
    assert boxes[0].tolist() == [50, 20, 70, 40] and np.isnan(boxes[1]).all()
