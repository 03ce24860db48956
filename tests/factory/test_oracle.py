"""The oracle makes the mistakes that it is asked to make."""

from __future__ import annotations

import numpy as np
import pytest

from soccermaster.factory.oracle import (
    OracleNoise,
    Unseen,
    cut_tracks,
    missed_rows,
    noisy_clip,
    noisy_embeddings,
    read_backs,
    read_roles,
    same_other_auc,
    synthetic_truth,
)
from soccermaster.factory.oracle_masks import OraclePlaces, OracleSegmenter
from soccermaster.factory.people import gather_people
from soccermaster.factory.records import array, empty_table, rows_of
from soccermaster.factory.refine import LazyFrames
from soccermaster.factory.refine_rules import mask_boxes
from soccermaster.factory.stage import ClipContext
from soccermaster.structures import Athletes
from soccermaster.vocabulary import NO_NUMBER, ROLES, UNKNOWN

NOISE = OracleNoise()


@pytest.fixture(scope="module")
def crowd() -> Athletes:
    """20 people in 400 frames."""
    people, frames = 20, 400
    frame = np.repeat(np.arange(frames), people)
    person = np.tile(np.arange(people), frames)
    return Athletes.from_boxes(
        frame,
        np.tile([0.0, 0, 20, 50], (len(frame), 1)),
        roles=np.full(len(frame), ROLES.index("player")),
        numbers=person + 1,
        track_ids=person,
        teams=person % 2,
        legibility=np.ones(len(frame), np.float32),
    )


def test_boxes_are_missed_in_bursts(crowd):
    missed = missed_rows(crowd, np.random.default_rng(0), NOISE)
    assert missed.mean() == pytest.approx(0.08, abs=0.005)
    one = missed[crowd.track_ids == 0].astype(int)
    starts, stops = np.flatnonzero(np.diff(one) == 1), np.flatnonzero(np.diff(one) == -1)
    lengths = stops - starts[: len(stops)] if len(stops) and stops[0] > starts[0] else [3]
    assert min(lengths) >= 3


def test_tracks_are_cut_every_120_frames(crowd):
    ids = cut_tracks(crowd, np.random.default_rng(0), NOISE.cut_frames)
    cuts = len(np.unique(ids)) - 20
    assert len(crowd) / cuts == pytest.approx(120, rel=0.25)
    assert all(len(np.unique(crowd.track_ids[ids == i])) == 1 for i in np.unique(ids))


def test_readings_are_wrong_as_often_as_asked(crowd):
    rng, rows = np.random.default_rng(0), np.arange(len(crowd))
    numbers = read_backs(crowd, rows, rng, NOISE)
    assert (numbers == NO_NUMBER).mean() == pytest.approx(0.25, abs=0.02)
    wrong = (numbers != crowd.numbers) & (numbers != NO_NUMBER)
    assert wrong.mean() == pytest.approx(0.15, abs=0.02)
    roles = read_roles(crowd, rows, rng, NOISE)
    assert (roles != crowd.roles).mean() == pytest.approx(0.10, abs=0.02)


def test_embeddings_have_the_wanted_auc(crowd):
    rng, rows = np.random.default_rng(0), np.arange(0, len(crowd), 4)
    vectors = noisy_embeddings(crowd, rows, rng, NOISE)
    auc = same_other_auc(vectors, crowd.track_ids[rows])
    assert auc == pytest.approx(0.84, abs=0.015)
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize(
    ("vectors", "auc"),
    [([[1, 0], [1, 0], [0, 1], [0, 1]], 1.0), ([[1, 0], [0, 1], [1, 0], [0, 1]], 0.0)],
    ids=["alike", "like the other"],
)
def test_the_auc_of_known_vectors(vectors, auc):
    assert same_other_auc(np.array(vectors, float), np.array([0, 0, 1, 1])) == auc


@pytest.fixture(scope="module")
def clip():
    truth, cameras = synthetic_truth(0, 60)
    return noisy_clip(truth, cameras, np.random.default_rng(0), NOISE)


def test_a_clip_of_the_oracle(clip):
    truth = clip.truth
    real = clip.truth_rows >= 0
    assert (~real).sum() == pytest.approx(0.3 * 60, abs=15)
    off = clip.records.array("positions", "left_middle_right_m")[:, 2:4]
    placed = array(clip.records["positions"], "detection_id")
    mine = np.isin(placed, np.flatnonzero(real))
    error = off[mine] - truth.positions_m[clip.truth_rows[placed[mine]]]
    assert error.std() == pytest.approx(0.4, abs=0.05)
    assert not np.isin(ROLES.index("ball"), truth.roles)
    assert (truth.numbers != UNKNOWN).all()


def followed(clip, start, stop, prompt, box, **settings):
    """Boxes and scores of the masks of one object in the frames start..stop-1."""
    size = clip.cameras.image_size
    context = ClipContext("oracle", Unseen(60, size), range(60))
    segmenter = OracleSegmenter(clip, np.random.default_rng(0), shrink=1, **settings)
    found = list(
        segmenter.propagate(
            LazyFrames(context, start, stop), np.array([prompt - start]), np.array([box])
        )
    )
    assert [frame.frame for frame in found] == list(range(stop - start))
    boxes = np.array([mask_boxes(frame.masks, size)[0] for frame in found])
    return boxes, np.array([frame.scores[0] for frame in found])


def middle_person(clip):
    """Rows of the true person that is always in the picture."""
    tracks, counts = np.unique(clip.truth.track_ids, return_counts=True)
    rows = np.flatnonzero(clip.truth.track_ids == tracks[counts.argmax()])
    assert len(rows) == 60
    return rows[np.argsort(clip.truth.frame[rows])]


def test_masks_are_where_the_person_is(clip):
    rows = middle_person(clip)[10:50]
    true = clip.truth.boxes_xyxy_px[rows].astype(float)
    boxes, scores = followed(clip, 10, 50, 20, true[10], lost_frames=1e9)
    assert ((scores >= 0.6) & (scores <= 1)).all()
    error = (boxes - true) / (true[:, 3] - true[:, 1])[:, None]
    assert error.std() == pytest.approx(0.03, abs=0.01)


def test_masks_are_lost_for_good_on_both_sides_of_the_prompt(clip):
    box = clip.truth.boxes_xyxy_px[middle_person(clip)[30]].astype(float)
    boxes, scores = followed(clip, 0, 60, 30, box, lost_frames=5)
    there = np.flatnonzero(scores > 0)
    assert 30 in there and (np.diff(there) == 1).all() and 1 < len(there) < 60
    assert (np.isfinite(boxes).all(axis=1) == (scores > 0)).all()


def test_a_box_on_nobody_is_followed_where_it_stands(clip):
    boxes, scores = followed(clip, 0, 20, 3, [5.0, 5, 25, 55], lost_frames=1e9, jitter=0.0)
    assert (boxes == [5, 5, 25, 55]).all() and (scores > 0).all()


def test_rows_without_a_place_get_one_as_wrong_as_the_others(clip):
    records = clip.records.replace(positions=empty_table("positions"))
    context = ClipContext("oracle", Unseen(60, clip.cameras.image_size), range(60))
    people = gather_people(OraclePlaces(clip, np.random.default_rng(0)).run(context, records))
    real = clip.truth_rows[people.detection_id] >= 0
    true = clip.truth.positions_m[clip.truth_rows[people.detection_id[real]]]
    assert np.median(np.abs(people.positions_m[real] - true)) == pytest.approx(0.27, abs=0.03)
    again = OraclePlaces(clip, np.random.default_rng(0)).run(context, clip.records)
    before, after = clip.records["positions"], again["positions"]
    rows = rows_of(after, array(before, "detection_id"))
    kept = array(after, "left_middle_right_m")[rows]
    assert (kept == array(before, "left_middle_right_m")).all()


@pytest.mark.slow
def test_the_default_rules_gain_what_they_claim(root):
    import sys

    sys.path.insert(0, str(root / "benchmarks"))
    try:
        import factory as benchmark
    finally:
        sys.path.pop(0)
    clip = benchmark.oracle_clip(0)
    bare = benchmark.score(clip, benchmark.bare_chain())["gs_hota"]
    default = benchmark.score(clip, benchmark.default_chain(clip))["gs_hota"]
    ceiling = benchmark.score(clip, benchmark.ceiling(clip))["gs_hota"]
    assert default >= 70 and default >= bare + 20
    # nobody refines below the ceiling
    unrefined = benchmark.score(clip, benchmark.default_chain(clip, refine=None))["gs_hota"]
    assert ceiling >= unrefined
