import dataclasses

import numpy as np
import pytest

from soccermaster.tracking.assignment import assign
from soccermaster.tracking.motion import Motion
from soccermaster.tracking.tracker import PAPER, Tracker, TrackerConfig, pair_costs, track_clip

BY_OVERLAP = TrackerConfig(use_pitch=False, use_cameras=False, gate=0.0, max_iou_age=5)


def boxes_at(feet_px, height=80.0):
    feet = np.asarray(feet_px, float)
    return np.concatenate([feet - (height / 4, height), feet + np.array([height / 4, 0])], axis=1)


def walkers(num_frames, starts_px, speeds_px):
    """Rows of people who walk straight on: frame, who, feet."""
    frame = np.repeat(np.arange(num_frames), len(starts_px))
    who = np.tile(np.arange(len(starts_px)), num_frames)
    feet = np.asarray(starts_px, float)[who] + np.asarray(speeds_px, float)[who] * frame[:, None]
    return frame, who, feet


def as_one_to_one(track_id, who):
    """Whether tracks and people are the same up to their names."""
    pairs = set(zip(track_id.tolist(), who.tolist(), strict=True))
    return len(pairs) == len(set(who.tolist())) == len(set(track_id.tolist()))


def test_a_filter_learns_a_velocity():
    motion = Motion.start(np.zeros((1, 2)), 1.0, 1.0)
    for t in range(1, 40):
        motion.predict(0.01, 0.01)
        motion.update(np.array([0]), np.array([[2.0 * t, -t]]), 0.1)
    np.testing.assert_allclose(motion.velocity, [[2, -1]], atol=1e-2)
    motion.predict(0.01, 0.01)
    np.testing.assert_allclose(motion.value, [[80, -40]], atol=0.05)


def test_a_filter_is_the_textbook_one():
    rng = np.random.default_rng(0)
    motion = Motion.start(np.zeros((1, 1)), 2.0, 3.0)
    state, covariance = np.zeros(2), np.diag([4.0, 9.0])
    step, noise = np.array([[1.0, 1], [0, 1]]), np.diag([0.2**2, 0.3**2])
    for _ in range(10):
        measured = rng.normal()
        motion.predict(0.2, 0.3)
        state, covariance = step @ state, step @ covariance @ step.T + noise
        assert motion.distances(np.array([[measured]]), 0.7)[0, 0] == pytest.approx(
            (measured - state[0]) ** 2 / (covariance[0, 0] + 0.49)
        )
        motion.update(np.array([0]), np.array([[measured]]), 0.7)
        gain = covariance[:, 0] / (covariance[0, 0] + 0.49)
        state = state + gain * (measured - state[0])
        covariance = covariance - np.outer(gain, covariance[0])
    got = [motion.value, motion.velocity, motion.value_var, motion.covariance, motion.velocity_var]
    expected = [*state, covariance[0, 0], covariance[0, 1], covariance[1, 1]]
    assert np.ravel(got).tolist() == pytest.approx(expected)


def test_what_is_not_measured_stays_as_predicted():
    motion = Motion.start(np.array([[0.0, np.nan]]), 1.0, 1.0)
    motion.update(np.array([0]), np.array([[np.nan, 5.0]]), 0.1)
    assert motion.value.tolist() == [[0.0, 5.0]]
    assert np.isnan(motion.distances(np.array([[np.nan, 1.0]]), 1.0)).all()


def test_assignment_prefers_more_pairs_to_cheaper_ones():
    cost = np.array([[0.0, 5.0], [1.0, 9.0]])
    rows, columns = assign(cost, np.array([[True, True], [True, False]]))
    assert dict(zip(rows.tolist(), columns.tolist(), strict=True)) == {0: 1, 1: 0}
    assert len(assign(np.zeros((0, 3)), np.zeros((0, 3), bool))[0]) == 0


@pytest.mark.parametrize(
    "config", [TrackerConfig(), PAPER, BY_OVERLAP], ids=["ours", "paper", "iou"]
)
def test_people_who_walk_keep_their_ids(config):
    frame, who, feet = walkers(30, [(100, 300), (300, 320), (700, 500)], [(3, 0), (-2, 1), (0, 0)])
    track_id = track_clip(frame, boxes_at(feet), np.full(len(frame), 0.9), config=config)
    assert as_one_to_one(track_id, who)


def test_order_of_rows_plays_no_part():
    frame, _, feet = walkers(20, [(100, 300), (300, 320)], [(3, 0), (-2, 1)])
    scores = np.full(len(frame), 0.9)
    shuffled = np.random.default_rng(0).permutation(len(frame))
    ids = track_clip(frame, boxes_at(feet), scores)
    again = track_clip(frame[shuffled], boxes_at(feet[shuffled]), scores)
    assert as_one_to_one(again, ids[shuffled])


def test_weak_detections_belong_to_nobody():
    frame, _, feet = walkers(3, [(100, 300)], [(3, 0)])
    config = TrackerConfig(min_score=0.5)
    scores = np.array([0.9, 0.4, 0.9])
    assert track_clip(frame, boxes_at(feet), scores, config=config).tolist() == [1, -1, 1]


def test_tracks_end():
    frame = np.array([0, 1, 2, 30])
    boxes, scores = boxes_at([(100, 300)] * 4), np.full(4, 0.9)
    assert track_clip(frame, boxes, scores).tolist() == [1, 1, 1, 1]
    short = TrackerConfig(max_age=20)
    assert track_clip(frame, boxes, scores, config=short).tolist() == [1, 1, 1, 2]


def test_appearance_tells_people_apart_who_meet():
    # Both stand still together for a while and walk back to where they came from.
    way = np.concatenate([np.linspace(0, 98, 20), np.full(10, 98.0), np.linspace(98, 0, 20)])
    feet = np.stack([np.stack([way, way * 0 + 300], 1), np.stack([200 - way, way * 0 + 300], 1)], 1)
    frame, who = np.repeat(np.arange(50), 2), np.tile([0, 1], 50)
    looks = np.eye(4)[who] + 0.05 * np.random.default_rng(0).normal(size=(100, 4))
    ids = track_clip(frame, boxes_at(feet.reshape(-1, 2)), np.full(100, 0.9), looks)
    assert as_one_to_one(ids, who)


@pytest.mark.parametrize("use_cameras", [True, False])
def test_a_camera_that_pans_is_followed(use_cameras):
    # Nobody moves on the pitch; after a still second the camera turns away fast, over people in a
    # row, so that each is soon where the next one was.
    places = np.array([(x, 0.0) for x in range(-20, 21, 4)])
    pan = np.concatenate([np.zeros(10), np.cumsum(np.full(10, 45.0))])
    cameras = np.array([[[20.0, 0, 900 - p], [0, 10, 400], [0, 0, 1]] for p in pan])
    frame, who = np.repeat(np.arange(20), len(places)), np.tile(np.arange(len(places)), 20)
    feet = places[who] * (20, 10) + np.stack([900 - pan[frame], np.full(len(frame), 400.0)], 1)
    config = TrackerConfig(use_pitch=False, use_cameras=use_cameras)
    scores = np.full(len(frame), 0.9)
    ids = track_clip(frame, boxes_at(feet), scores, image_from_pitch=cameras, config=config)
    assert as_one_to_one(ids, who) == use_cameras


def test_the_pitch_tells_apart_who_overlaps_in_the_image():
    # One passes 8 m behind the other, almost at the same place of the image.
    frame, who = np.repeat(np.arange(60), 2), np.tile([0, 1], 60)
    x = np.where(who == 0, -6 + 0.2 * frame, 6 - 0.2 * frame)
    places = np.stack([x, np.where(who == 0, 0.0, 8.0)], axis=1)
    feet = places * (20, 1) + np.array([500, 400])
    noise = np.random.default_rng(0).normal(size=(2, len(frame), 2))
    boxes = boxes_at(feet + 2 * noise[0])
    hidden = (who == 1) & (abs(x) < 1.6)
    rows = np.flatnonzero(~hidden)
    ids = track_clip(
        frame[rows],
        boxes[rows],
        np.full(len(rows), 0.9),
        positions_m=(places + 0.3 * noise[1])[rows],
    )
    assert as_one_to_one(ids, who[rows])


def test_what_is_unknown_is_no_obstacle():
    frame, who, feet = walkers(12, [(100, 300), (500, 320)], [(3, 0), (-2, 1)])
    n = len(frame)
    looks = np.where((frame % 3 == 0)[:, None], np.nan, np.eye(4)[who])
    places = np.where((frame % 4 == 0)[:, None], np.nan, feet / 20)
    cameras = np.repeat(np.diag([20.0, 20.0, 1.0])[None], 12, axis=0)
    cameras[5] = np.nan
    ids = track_clip(frame, boxes_at(feet), np.full(n, 0.9), looks, places, cameras)
    assert as_one_to_one(ids, who)


def test_empty_frames_and_clips():
    nothing = np.zeros(0, int)
    assert len(track_clip(nothing, np.zeros((0, 4)), np.zeros(0))) == 0
    tracker = Tracker()
    assert len(tracker.update(np.zeros((0, 4)), np.zeros(0))) == 0
    assert tracker.update(boxes_at([(100, 300)]), np.array([0.9])).tolist() == [1]
    assert len(tracker.update(np.zeros((0, 4)), np.zeros(0), np.zeros((0, 8)))) == 0
    assert tracker.update(boxes_at([(101, 300)]), np.array([0.9]), np.ones((1, 8))).tolist() == [1]


def test_a_track_needs_a_finite_box():
    boxes = boxes_at([(100, 300), (np.nan, 300)])
    assert Tracker().update(boxes, np.array([0.9, 0.9])).tolist() == [1, -1]


@pytest.mark.parametrize(
    ("config", "appearance", "in_image", "on_pitch", "cost", "allowed"),
    [
        (PAPER, 0.4, 4.0, np.nan, 0.995 * 0.4 + 0.005 * 4, True),
        (PAPER, 0.0, 9.48, np.nan, 0.005 * 9.48, True),
        (PAPER, 0.0, 9.49, np.nan, 0.005 * 9.49, False),  # outside the gate
        (PAPER, 0.49, 2.0, np.nan, 0.995 * 0.49 + 0.005 * 2, True),
        (PAPER, 0.49, 9.0, np.nan, 0.995 * 0.49 + 0.005 * 9, False),  # the whole cost is limited
        (PAPER, np.nan, 9.0, np.nan, 9.0, True),
        (TrackerConfig(), 0.3, 1.8467, np.nan, 0.5 * 0.3 + 0.5 * 0.1, True),
        (TrackerConfig(), 0.31, 0.0, np.nan, 0.5 * 0.31, False),  # the appearance is limited
        (TrackerConfig(), 0.2, 1.8467, 4.1447, 0.5 * 0.2 + 0.5 * 0.2, True),
        (TrackerConfig(), 0.0, 18.467, 0.0, 0.5 * 0.5, True),  # the pitch decides
        (TrackerConfig(), 0.0, 0.0, 13.9, 0.5 * 0.503, False),
        (TrackerConfig(), np.nan, 18.4, np.nan, 18.4 / 18.467, True),
    ],
)
def test_costs_and_gates(config, appearance, in_image, on_pitch, cost, allowed):
    pair = (np.full((1, 1), value) for value in (appearance, in_image, on_pitch))
    costs, may_be = pair_costs(*pair, config)
    assert costs.item() == pytest.approx(cost, abs=1e-4)
    assert may_be.item() == allowed


def test_the_noise_of_a_sure_box_is_small():
    # A sure detection pulls its track along, an unsure one hardly does.
    pulled = []
    for score in (0.95, 0.05):
        tracker = Tracker(dataclasses.replace(BY_OVERLAP, min_noise=0.01))
        for x in (100, 100, 100, 104):
            tracker.update(boxes_at([(x, 300)]), np.array([0.9 if x == 100 else score]))
        pulled.append(tracker._box.value[0, 0])
    assert 100 < pulled[1] < pulled[0] <= 104
