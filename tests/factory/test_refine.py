import numpy as np
import pytest

from soccermaster.factory.models import FrameMasks
from soccermaster.factory.oracle import Unseen
from soccermaster.factory.people import gather_people
from soccermaster.factory.records import Records, array, make_table
from soccermaster.factory.refine import RefineOneByOne, RefineWindows
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
    rows = refined(RefineWindows(Follow(), min_track_rows=1), records, 2)
    assert (0, 150.0, -1, "net") in rows
    assert (1, 12.0, 1, "net") in rows
    assert (0, 99.0, 2, "follow") in rows


def test_windows_never_put_two_people_in_one_place():
    records = people_at([(0, 10, 1), (1, 11, 2)])
    assert len(refined(RefineWindows(Follow(), min_track_rows=1), records, 2)) == 2


@pytest.mark.parametrize(("min_track_rows", "num_rows"), [(1, 6), (2, 1)])
def test_windows_do_not_follow_what_was_seen_once(min_track_rows, num_rows):
    stage = RefineWindows(Follow(), min_track_rows=min_track_rows)
    assert len(refined(stage, people_at([(2, 10, 1)]), 6)) == num_rows


@pytest.mark.parametrize(("min_box_px", "num_rows"), [(190, 6), (194, 1)])
def test_windows_have_thresholds_for_frames_1920_wide(min_box_px, num_rows):
    stage = RefineWindows(Follow(), min_box_px=min_box_px, min_track_rows=1)  # frames are 200 wide
    assert len(refined(stage, people_at([(2, 10, 1)]), 6)) == num_rows


def test_one_by_one_drops_what_nobody_absorbs_and_is_sure_of_what_it_adds():
    records = people_at([(t, 10 + t, 1) for t in (0, 1, 2, 5)] + [(5, 150, 7)] + [(3, 150, -1)])
    clip = ClipContext("clip", Unseen(6, SIZE), range(6))
    result = RefineOneByOne(Follow()).run(clip, records)
    people = gather_people(result)
    mine = people.track_id == 1
    assert people.frame[mine].tolist() == [0, 1, 2, 3, 5]  # frame 4 has no detection: skipped
    assert people.scores[mine].tolist() == pytest.approx([0.9, 0.9, 0.9, 1.0, 0.9])
    assert not (people.track_id == 7).any()  # a run of one frame is no prompt
