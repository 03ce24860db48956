import numpy as np
import pytest

from soccermaster.factory.models import FrameMasks
from soccermaster.factory.oracle import Unseen
from soccermaster.factory.people import gather_people
from soccermaster.factory.records import Records, array, make_table
from soccermaster.factory.refine import (
    PaperRefineRules,
    RefineOneByOne,
    RefineWindows,
    consistent_run,
    inherited_id,
    mask_boxes,
    seed_rows,
)
from soccermaster.factory.stage import ClipContext

SIZE = (200, 100)  # W, H


class Follow:
    """Masks of people that walk to the right, one pixel per frame, from their prompt on."""

    name = "follow"

    def load(self, device: str) -> None:
        self.device = device

    def propagate(self, frames, prompt_frames, boxes_xyxy_px):
        for t in range(len(frames)):
            masks = np.zeros((len(boxes_xyxy_px), SIZE[1], SIZE[0]), bool)
            for mask, start, (x0, y0, x1, y1) in zip(
                masks, prompt_frames, boxes_xyxy_px, strict=True
            ):
                shift = t - int(start)
                mask[int(y0) : int(y1), max(int(x0) + shift, 0) : max(int(x1) + shift, 0)] = True
            yield FrameMasks(t, masks, np.full(len(masks), 0.8))


def people_at(rows):
    """Records of (frame, x, track) with boxes of 20 x 40 px; track -1 for none."""
    frame, x, track = (np.array(column) for column in zip(*rows, strict=True))
    ids = np.arange(len(rows))
    boxes = np.stack([x, np.full(len(x), 30), x + 20, np.full(len(x), 70)], axis=1).astype(float)
    known = track >= 0
    return Records(
        {
            "detections": make_table(
                "detections", source="net", frame=frame, detection_id=ids, box_xyxy_px=boxes,
                category=np.full(len(rows), -1), confidence=np.full(len(rows), 0.9),
            ),
            "track_ids": make_table(
                "track_ids", source="track", frame=frame[known], detection_id=ids[known],
                track_id=track[known],
            ),
        }
    )  # fmt: skip


def refined(stage, records, num_frames):
    clip = ClipContext("clip", Unseen(num_frames, SIZE), range(num_frames))
    result = stage.run(clip, records)
    people = gather_people(result)
    rows = zip(people.frame.tolist(), people.boxes_xyxy_px[:, 0].tolist(), people.track_id.tolist(),
               array(result["detections"], "source").tolist(), strict=True)  # fmt: skip
    return sorted(rows)


def test_windows_fill_frames_without_a_box_and_say_how_sure_they_are():
    records = people_at([(0, 10, 1), (1, 11, 1), (4, 14, 1)])
    clip = ClipContext("clip", Unseen(6, SIZE), range(6))
    result = RefineWindows(Follow()).run(clip, records)
    people = gather_people(result)
    assert people.frame.tolist() == [0, 1, 2, 3, 4, 5]
    assert people.boxes_xyxy_px[:, 0].tolist() == [10, 11, 12, 13, 14, 15]
    assert set(people.track_id.tolist()) == {1}
    np.testing.assert_allclose(people.scores, [0.9, 0.9, 0.8, 0.8, 0.9, 0.8], atol=1e-6)
    sources = array(result["detections"], "source").tolist()
    assert sources == ["net", "net", "follow", "follow", "net", "follow"]


def test_windows_keep_what_no_mask_absorbs_and_adopt_what_lies_below_a_mask():
    records = people_at([(0, 10, 1), (0, 150, -1), (1, 12, -1), (1, 100, 2)])
    rows = refined(RefineWindows(Follow()), records, 2)
    assert (0, 150.0, -1, "net") in rows
    assert (1, 12.0, 1, "net") in rows
    assert (0, 99.0, 2, "follow") in rows


def test_windows_never_put_two_people_in_one_place():
    records = people_at([(0, 10, 1), (1, 11, 2)])
    assert len(refined(RefineWindows(Follow()), records, 2)) == 2


def test_one_by_one_drops_what_nobody_absorbs_and_is_sure_of_what_it_adds():
    records = people_at([(t, 10 + t, 1) for t in (0, 1, 2, 5)] + [(5, 150, 7)] + [(3, 150, -1)])
    clip = ClipContext("clip", Unseen(6, SIZE), range(6))
    result = RefineOneByOne(Follow()).run(clip, records)
    people = gather_people(result)
    mine = people.track_id == 1
    assert people.frame[mine].tolist() == [0, 1, 2, 3, 5]  # frame 4 has no detection: skipped
    assert people.scores[mine].tolist() == pytest.approx([0.9, 0.9, 0.9, 1.0, 0.9])
    assert not (people.track_id == 7).any()  # a run of one frame is no prompt


def test_prompts_come_from_long_runs_of_large_boxes():
    records = people_at([(t, 10, 1) for t in (0, 1, 2, 4)] + [(0, 90, 2), (1, 90, 2)])
    seeds = seed_rows(gather_people(records), PaperRefineRules())
    people = gather_people(records)
    assert people.frame[seeds].tolist() == [0, 1, 2] and set(people.track_id[seeds]) == {1}


@pytest.mark.parametrize(
    ("absorbed_by", "expected"),
    [([9] * 6, 9), ([9] * 5, 1), ([9, 9, 9, 8, 8, 8], 1), ([1] * 6, 1)],
    ids=["mostly another", "too few", "no clear one", "itself"],
)
def test_a_prompt_inherits_the_id_that_took_its_track(absorbed_by, expected):
    people = gather_people(people_at([(t, 10 + t, 1) for t in range(8)]))
    absorbed = np.array(absorbed_by + [-1] * (8 - len(absorbed_by)))
    assert inherited_id(people, absorbed, 7, 50) == expected


def test_a_run_ends_where_the_mask_jumps():
    masks = {}
    for t, x in enumerate([10, 12, 14, 400]):
        masks[t] = np.zeros((100, 600), bool)
        masks[t][30:70, x : x + 20] = True
    assert sorted(consistent_run(masks, 1, PaperRefineRules(), (600, 100))) == [0, 1, 2]


def test_boxes_of_small_masks_are_in_pixels_of_the_frame():
    masks = np.zeros((2, 10, 20), bool)
    masks[0, 2:4, 5:7] = True
    boxes = mask_boxes(masks, (200, 100))
    assert boxes[0].tolist() == [50, 20, 70, 40] and np.isnan(boxes[1]).all()
