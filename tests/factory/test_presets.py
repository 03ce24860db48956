"""The presets fit together, and nothing is loaded to find that out."""

from __future__ import annotations

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from soccermaster.factory.runner import Chain
from soccermaster.factory.stage import check_chain
from soccermaster.factory.work import build_stages


def preset(root, name: str, *overrides: str) -> Chain:
    with initialize_config_dir(str(root / "configs"), version_base="1.3"):
        cfg = compose("build_dataset", ["input=a", "output=b", f"factory={name}", *overrides])
    factory = OmegaConf.to_container(cfg.factory, resolve=True)
    return Chain(factory["order"], factory["stages"])


@pytest.mark.parametrize("name", ["default", "paper", "own"])
def test_presets_are_in_order(root, name):
    stages = build_stages(preset(root, name).configs())
    check_chain(stages)
    assert stages[0].name == "shots" and stages[-1].name == "export"


@pytest.mark.parametrize("name", ["default", "own"])
def test_what_comes_with_the_library_is_enough_for_cameras(root, name):
    chain = preset(root, name)
    (stage,) = build_stages([chain.stages["calibrate"]])
    stage.prepare("cpu")
    markings = stage.detector.markings(np.zeros((1, 90, 160, 3), np.uint8))
    assert len(markings) == 1 and markings[0].points_px.shape == (57, 2)


def test_one_vlm_reads_everything(root):
    chain = preset(root, "default")
    stages = dict(zip(chain.order, build_stages(chain.configs()), strict=False))
    assert stages["numbers"].reader is stages["roles"].reader is stages["legibility"].model


def test_the_paper_follows_the_released_thresholds(root):
    chain = preset(root, "paper")
    stages = {stage.name: stage for stage in build_stages(chain.configs())}
    tracker, refine = stages["track"].config, stages["refine"].rules
    assert (tracker.max_age, tracker.max_iou_distance, tracker.ema) == (300, 0.8, 0.9)
    assert (tracker.appearance_weight, tracker.max_appearance_distance) == (0.995, 0.5)
    assert (refine.best_iou, refine.min_overlap_box, refine.lookback_frames) == (0.5, 0.7, 50)
    assert stages["detect"].min_score == 0.4 and stages["merge_by_reid"].max_distance == 0.1
    assert stages["numbers"].crops_per_track is None and stages["project"].reuse_last
    assert stages["team"].team_features == "embedding_and_place"
    assert stages["vote"].rule == stages["side"].rule == "official"


def test_the_released_codes_team_rule_can_be_chosen(root):
    chain = preset(root, "paper", "factory.stages.team.team_features=embedding")
    assert build_stages([chain.stages["team"]])[0].team_features == "embedding"


def test_stages_can_be_left_out(root):
    chain = preset(root, "default", "factory.order=[shots,detect,reid,colour,track]")
    check_chain(build_stages(chain.configs()))
