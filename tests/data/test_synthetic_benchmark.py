"""The frozen benchmark stays inside of what its configuration says."""

import zlib
from pathlib import Path

import numpy as np
import pytest
from hydra.utils import instantiate
from omegaconf import OmegaConf

from soccermaster.data.synthetic.figure import place_figures
from soccermaster.data.synthetic.people import GOALKEEPER, PLAYER, REFEREE
from soccermaster.data.synthetic.take import annotate
from soccermaster.vocabulary import EVENTS

CONFIGS = Path(__file__).parents[2] / "configs/dataset"


def dataset(kind, split="valid"):
    ordinary = OmegaConf.load(CONFIGS / f"{kind}.yaml").dataset
    changed = OmegaConf.load(CONFIGS / "synthetic_benchmark.yaml").datasets[kind].dataset
    merged = OmegaConf.merge(ordinary, changed)
    return instantiate(merged)(split=split)


@pytest.fixture(scope="module")
def takes():
    """Every second scene of both kinds, staged and not drawn."""
    spatial, semantic = dataset("synthetic_spatial"), dataset("synthetic_semantic")
    return {
        "spatial": [spatial.take(i) for i in range(0, 240, 2)],
        "semantic": [semantic.take(i) for i in range(0, 240, 2)],
    }


def all_of(takes):
    return [*takes["spatial"], *takes["semantic"]]


def test_sizes_and_seeds():
    for kind in ("synthetic_spatial", "synthetic_semantic"):
        train, valid, test = (dataset(kind, split) for split in ("train", "valid", "test"))
        assert len(valid) == len(test) == 240
        assert len({train.seed, valid.seed, test.seed}) == 3
    semantic = dataset("synthetic_semantic")
    classes = [semantic._event(i) for i in range(240)]
    assert all(classes.count(event) == 10 for event in EVENTS)


#: `summary` of every second of the first 48 scenes.
FROZEN = {
    "spatial": {
        "words": 2650033571,
        "people": 573,
        "boxes_px": 196.36314392089844,
        "focal_px": 934.6631242755972,
        "pan_deg": 17.64459293096299,
    },
    "semantic": {
        "words": 1057915794,
        "people": 9092,
        "boxes_px": 59.76234436035156,
        "focal_px": 350.24562964818375,
        "pan_deg": 14.961447980410577,
    },
}


def summary(takes):
    """Means of what is annotated; they change when the scenes do."""
    labels = [annotate(take) for take in takes]
    people = [a.athletes for a in labels]
    cameras = [take.cameras for take in takes]
    words = "".join(f"{a.event} {a.text}" for a in labels)
    return {
        "words": zlib.crc32(words.encode()),
        "people": sum(len(p.frame) for p in people),
        "boxes_px": float(np.concatenate([p.boxes_xyxy_px for p in people]).mean()),
        "focal_px": float(np.mean([c.K[:, 0, 0].mean() for c in cameras])),
        "pan_deg": float(np.mean([np.abs(c.pan_tilt_roll()[:, 0]).mean() for c in cameras])),
    }


@pytest.mark.parametrize("kind", ["spatial", "semantic"])
def test_nothing_has_changed(takes, kind):
    """Where this fails on purpose: a note in the configuration, and all scores measured again."""
    seen = summary(takes[kind][:24])
    assert seen.pop("words") == FROZEN[kind]["words"]
    assert seen == pytest.approx({k: v for k, v in FROZEN[kind].items() if k != "words"}, rel=1e-4)


def test_cameras_are_like_those_of_real_matches(takes):
    for take in all_of(takes):
        cameras = take.cameras
        x_m, y_m, z_m = cameras.position_m.T
        assert (np.abs(x_m) <= 11).all()
        assert ((y_m >= 41) & (y_m <= 98)).all()
        assert ((z_m >= -25) & (z_m <= -8.6)).all()
        middle_px = np.array([cameras.image_size], float) / 2
        aim_m = cameras.unproject_to_ground(middle_px)[:, 0]
        ground_m = np.concatenate([aim_m, np.zeros((len(aim_m), 1))], axis=1)
        far_m = np.linalg.norm(ground_m - cameras.position_m, axis=1)
        width_m = cameras.image_size[0] / cameras.K[:, 0, 0] * far_m
        assert ((width_m >= 20) & (width_m <= 75)).all()


def test_the_camera_pans_by_at_most_ten_degrees_per_second(takes):
    for take in all_of(takes):
        pan_deg = take.cameras.pan_tilt_roll()[:, 0]
        assert (np.abs(np.diff(pan_deg) / np.diff(take.times_s)) <= 10).all()


def test_there_are_two_teams_and_one_to_three_referees(takes):
    for take in all_of(takes):
        roles = take.script.roles_at(take.script.start_s)
        assert (roles == GOALKEEPER).sum() == 2
        assert (roles == PLAYER).sum() == 20
        assert 1 <= (roles == REFEREE).sum() <= 3


@pytest.mark.parametrize("kind", ["spatial", "semantic"])
def test_athletes_have_the_size_of_a_broadcast(takes, kind):
    heights = []
    for take in takes[kind]:
        motion = take.motion
        for t in range(0, len(take.times_s), 5):
            figures = place_figures(
                take.script.people, motion.positions_m[t], motion.headings_rad[t],
                motion.speeds_mps[t], motion.stride_rad[t], motion.fallen[t],
                motion.gestures[t], take.cameras[t],
            )  # fmt: skip
            boxes, (width, height) = figures.boxes_xyxy_px, take.cameras.image_size
            seen = (boxes[:, :2] >= 0).all(1) & (boxes[:, 2:] <= (width, height)).all(1)
            heights += ((boxes[:, 3] - boxes[:, 1])[seen] / height).tolist()
    assert 0.04 <= np.median(heights) <= 0.09
