"""Stages on small records; the rules themselves have their tables in tests/tracking."""

import numpy as np
import pytest

from soccermaster.factory.oracle import Unseen
from soccermaster.factory.people import athletes_of, gather_people
from soccermaster.factory.records import Records, array, empty_table, make_table
from soccermaster.factory.stage import ClipContext
from soccermaster.factory.tracks import (
    DropShort,
    Fill,
    MergeByNumber,
    MergeByReID,
    RemoveOutside,
    Side,
    Smooth,
    Team,
    Vote,
)
from soccermaster.geometry import Camera
from soccermaster.tracking.smoothing import smooth_curve
from soccermaster.vocabulary import NO_NUMBER, ROLES

PLAYER, KEEPER = ROLES.index("player"), ROLES.index("goalkeeper")
CLIP = ClipContext("clip", Unseen(100, (200, 100)), range(100))


def tracked(rows, numbers=None, roles=None):
    """Records of (frame, track, x_m, y_m), with readings per row."""
    frame, track, x, y = (np.array(column) for column in zip(*rows, strict=True))
    n, ids = len(rows), np.arange(len(rows))
    common = {"source": "test", "frame": frame, "detection_id": ids}
    places = np.tile(np.stack([x, y], axis=1), 3)
    numbers = np.full(n, -1) if numbers is None else np.array(numbers)
    roles = np.full(n, PLAYER) if roles is None else np.array(roles)
    answers = [""] * n
    return Records(
        {
            "detections": make_table(
                "detections", **common, box_xyxy_px=np.tile([0.0, 0, 10, 30], (n, 1)),
                category=np.full(n, -1), confidence=np.ones(n),
            ),
            "track_ids": make_table("track_ids", **common, track_id=track),
            "positions": make_table("positions", **common, left_middle_right_m=places),
            "numbers": make_table("numbers", **common, number=numbers, answer=answers,
                                  confidence=np.ones(n)),
            "roles": make_table("roles", **common, role=roles, answer=answers,
                                confidence=np.ones(n)),
        }
    )  # fmt: skip


@pytest.mark.parametrize(
    ("reads", "number"),
    [
        ([7, 7, 7], 7),
        ([7, -1, -1], -1),
        ([7, 7, 8, 8], 7),
        ([NO_NUMBER, NO_NUMBER, 5, 5], 5),
        ([NO_NUMBER] * 4, -1),
        ([], None),
    ],
    ids=["clear", "one vote", "a tie at the ratio", "none is no vote", "never seen", "no track"],
)
def test_numbers_are_voted_within_bounds(reads, number):
    if not reads:
        records = tracked([(0, 1, 0, 0)])
        records = records.replace(track_ids=records["track_ids"].slice(0, 0))
        assert Vote().run(CLIP, records)["track_numbers"].num_rows == 0
        return
    records = tracked([(t, 1, 0, 0) for t in range(len(reads))], reads)
    votes = Vote().run(CLIP, records)["track_numbers"].to_pylist()
    assert [row["number"] for row in votes] == [number]


def test_a_vote_says_how_clear_it_was():
    records = tracked([(t, 1, 0, 0) for t in range(4)], [7, 7, 7, 8])
    (row,) = Vote().run(CLIP, records)["track_numbers"].to_pylist()
    assert row["votes"] == 3 and row["confidence"] == pytest.approx(0.75)


def test_people_off_the_pitch_belong_to_nobody():
    records = tracked([(0, 1, 0, 0), (0, 2, 90, 0), (1, 2, 90, 0)])
    people = gather_people(RemoveOutside().run(CLIP, records))
    assert people.track_id.tolist() == [1, -1, -1]


def test_short_tracks_belong_to_nobody():
    records = tracked([(0, 1, 0, 0), (1, 1, 0, 0), (0, 2, 5, 0)])
    people = gather_people(DropShort(min_rows=2).run(CLIP, records))
    assert sorted(people.track_id.tolist()) == [-1, 1, 1]


def test_guarded_merges_look_at_the_way_between_official_ones_do_not():
    rows = [(0, 1, -40, 0), (1, 1, -40, 0), (5, 2, 40, 0), (6, 2, 40, 0)]
    records = tracked(rows, [7, 7, 7, 7])
    records = Vote().run(CLIP, records)
    merged = {
        rule: gather_people(MergeByNumber(rule).run(CLIP, records)).track_id
        for rule in ("guarded", "official")
    }
    assert len(np.unique(merged["guarded"])) == 2 and len(np.unique(merged["official"])) == 1


def test_short_holes_are_filled_without_pretending_to_be_seen():
    records = Fill(max_gap_frames=3).run(CLIP, tracked([(0, 1, 0, 0), (3, 1, 3, 0), (40, 1, 5, 0)]))
    people = gather_people(records)
    assert people.frame.tolist() == [0, 1, 2, 3, 40]
    np.testing.assert_allclose(people.positions_m[:4, 0], [0, 1, 2, 3], atol=1e-5)
    sources = array(records["detections"], "source")
    assert sources.tolist().count("interpolated") == 2
    assert np.isnan(people.scores[sources == "interpolated"]).all()
    owners = array(records["track_ids"], "source").tolist()
    assert owners == ["test", "interpolated", "interpolated", "test", "test"]


def test_filled_boxes_stand_where_the_panning_camera_sees_the_feet():
    pans = np.array([-30.0, -27.0, -26.5, -26.0, -20.0])
    cameras = [
        Camera.from_pan_tilt_roll(pan, 77, 0, 300, position_m=(0, 66, -16), image_size=(200, 100))
        for pan in pans
    ]
    places = [(-25.0 + 0.3 * t, 5.0) for t in range(5)]
    feet = np.array([c.project([(*p, 0.0)])[0][0] for c, p in zip(cameras, places, strict=True)])
    boxes = np.tile(feet, 2) + np.array([-5, -30, 5, 0])
    records = tracked([(t, 1, *places[t]) for t in (0, 4)])
    columns = {name: array(records["detections"], name) for name in
               ("frame", "detection_id", "category", "confidence")}  # fmt: skip
    records = records.replace(
        detections=make_table("detections", source="test", box_xyxy_px=boxes[[0, 4]], **columns),
        cameras=make_table(
            "cameras", source="test", frame=np.arange(5), K=[c.K.ravel() for c in cameras],
            R=[c.R.ravel() for c in cameras], position_m=[c.position_m for c in cameras],
            valid=np.ones(5, bool), observed=np.ones(5, bool), error_px=np.ones(5),
        ),
    )  # fmt: skip
    filled = gather_people(Fill().run(CLIP, records))
    assert filled.frame.tolist() == [0, 1, 2, 3, 4]
    np.testing.assert_allclose(filled.boxes_xyxy_px, boxes, atol=0.01)
    straight = boxes[0] + (boxes[4] - boxes[0]) / 4
    assert np.abs(straight - boxes[1]).max() > 2  # a line in the image is elsewhere


def test_nobody_runs_across_a_hole_faster_than_a_person():
    records = Fill().run(CLIP, tracked([(0, 1, 0, 0), (3, 1, 30, 0)]))
    assert records["detections"].num_rows == 2


def test_smoothing_removes_most_of_the_noise():
    rng = np.random.default_rng(0)
    t = np.arange(100)
    x, y = 0.1 * t + rng.normal(0, 0.4, 100), 5 + rng.normal(0, 0.4, 100)
    records = tracked(list(zip(t, np.ones(100, int), x, y, strict=True)))
    people = gather_people(Smooth().run(CLIP, records))
    error = np.hypot(people.positions_m[:, 0] - 0.1 * t, people.positions_m[:, 1] - 5)
    assert np.hypot(x - 0.1 * t, y - 5).mean() > 0.45 > 0.3 > error.mean()


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_a_curve_of_few_values_stays_with_them(count):
    frames = np.arange(count)
    values = np.stack([frames * 1.0, -frames], axis=1)
    np.testing.assert_allclose(smooth_curve(frames, values, frames, 0.4, 0.005), values, atol=1e-6)


def test_teams_by_the_place_of_two_clusters():
    rng = np.random.default_rng(1)
    rows, vectors = [], []
    for track in range(8):
        for t in range(10):
            rows.append((t, track + 1, -20 if track < 4 else 20, track))
            vectors.append(np.eye(4)[track // 4] + 0.01 * rng.normal(size=4))
    records = tracked(rows)
    order = array(records["detections"], "detection_id")
    records = records.replace(
        embeddings=make_table("embeddings", source="test", frame=np.array(rows)[order, 0],
                              detection_id=order, vector=np.array(vectors)[order])
    )  # fmt: skip
    records = Side().run(CLIP, Team().run(CLIP, records))
    people = gather_people(records)
    assert (people.teams[people.positions_m[:, 0] < 0] == 0).all()
    assert (people.teams[people.positions_m[:, 0] > 0] == 1).all()


def test_an_unknown_rule_is_refused():
    with pytest.raises(ValueError, match="'guarded' or 'official'"):
        Side("best")
    with pytest.raises(ValueError, match="team_features of embedding"):
        Team("socks")


GUARDED = [
    RemoveOutside(), Vote(), MergeByNumber(), MergeByReID(), Vote(), DropShort(), Fill(), Smooth(),
    Team(), Side(),
]  # fmt: skip
OFFICIAL = [
    RemoveOutside(), Vote("official"), MergeByNumber("official"), MergeByReID("official"),
    Vote("official"), Team("embedding_and_place"), Side("official"),
]  # fmt: skip


@pytest.mark.parametrize("stages", [GUARDED, OFFICIAL], ids=["default", "paper"])
@pytest.mark.parametrize(
    ("rows", "places"),
    [([], True), ([(0, 1, 5.0, 0.0)], True), ([(0, 1, 5.0, 0.0)], False), ([(0, -1, 5, 0)], True)],
    ids=["nobody", "one detection", "one without a place", "one without a track"],
)
def test_chains_end_well_on_next_to_nothing(stages, rows, places):
    records = tracked(rows or [(0, 1, 0, 0)])
    vectors = np.ones((len(records["detections"]), 4), np.float32)
    columns = {name: array(records["detections"], name) for name in ("frame", "detection_id")}
    records = records.replace(
        embeddings=make_table("embeddings", source="test", vector=vectors, **columns)
    )
    if not rows:
        records = Records({kind: empty_table(kind) for kind in records})
    if not places:
        records = records.replace(positions=empty_table("positions"))
    for stage in stages:
        records = stage.run(CLIP, records)
    athletes = athletes_of(records)
    assert (athletes.numbers == NO_NUMBER).all()  # nobody read any
    assert len(athletes) == (len(rows) if stages is OFFICIAL and rows and rows[0][1] > 0 else 0)
