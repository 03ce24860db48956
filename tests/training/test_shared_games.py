"""MatchTime's validation games are test games of SoccerNet: one run does not get both."""

from __future__ import annotations

from functools import partial

import pytest

from soccermaster.data.datasets import JoinedClips, MatchClips
from soccermaster.data.shards import ShardClips, write_shards
from soccermaster.training.datamodule import ClipDataModule, SharedGamesError, Source
from soccermaster.training.run import make_datamodule
from tests.configs import compose_train
from tests.data.test_match_clips import record, write_list, write_video

LISTS = ("MatchTime", "SoccerNet-v2")


def source(root, **options):
    return Source(partial(MatchClips, root=root, **options), (64, 64), 1)


def test_matchtime_valid_and_soccernet_test_are_refused_together(tmp_path):
    write_list(tmp_path, [record()], "MatchTime", "valid")
    ClipDataModule({"clips": source(tmp_path)})
    write_list(tmp_path, [record()], "SoccerNet-v2", "test")
    with pytest.raises(SharedGamesError, match="allow_shared_games=true"):
        ClipDataModule({"clips": source(tmp_path)})
    apart = {name: source(tmp_path, sources=[name]) for name in ("MatchTime", "SoccerNet-v2")}
    with pytest.raises(SharedGamesError, match=r"dataset MatchTime.*dataset SoccerNet-v2"):
        ClipDataModule(apart)
    ClipDataModule(apart, allow_shared_games=True)
    ClipDataModule({"clips": source(tmp_path, sources=["MatchTime"])})
    ClipDataModule({"clips": source(tmp_path, sources={"valid": ["SoccerNet-v2"]})})


def test_a_joined_dataset_and_shards_do_not_hide_the_games(tmp_path):
    write_list(tmp_path, [record()], "MatchTime", "valid")
    write_list(tmp_path, [record()], "SoccerNet-v2", "test")
    parts = {name: partial(MatchClips, tmp_path, sources=[name]) for name in LISTS}
    joined = Source(partial(JoinedClips, parts=parts), (64, 64), 1)
    with pytest.raises(SharedGamesError, match=r"dataset both.*dataset both"):
        ClipDataModule({"both": joined})
    apart = {"MatchTime": ["valid"], "SoccerNet-v2": ["train"]}
    ClipDataModule({"both": Source(partial(JoinedClips, parts=parts, splits=apart), (64, 64), 1)})

    write_video(tmp_path, source="MatchTime", split="valid")
    valid = MatchClips(tmp_path, "valid", num_frames=2)
    write_shards(valid, tmp_path / "shards/valid")
    assert ShardClips(tmp_path / "shards", "valid").releases == {"MatchTime/valid"}
    sources = {
        "shards": Source(partial(ShardClips, tmp_path / "shards"), (64, 64), 1),
        "clips": source(tmp_path, sources=["SoccerNet-v2"]),
    }
    with pytest.raises(SharedGamesError, match=r"dataset shards.*dataset clips"):
        ClipDataModule(sources)


def test_the_configuration_decides(tmp_path):
    write_list(tmp_path, [record()], "MatchTime", "valid")
    write_list(tmp_path, [record()], "SoccerNet-v2", "test")
    common = ("dataset=[match_clips]", "task=[events]", f"paths.data={tmp_path}")
    with pytest.raises(SharedGamesError, match="among those"):
        make_datamodule(compose_train(*common))
    make_datamodule(compose_train(*common, "allow_shared_games=true"))
    make_datamodule(
        compose_train(*common, "+datasets.match_clips.dataset.sources.valid=[SoccerNet-v2]")
    )


def test_a_dataset_without_a_split_is_left_out_of_its_evaluation(tmp_path):
    write_list(tmp_path, [record()], "MatchTime", "train")
    data = ClipDataModule(
        {"clips": Source(partial(MatchClips, tmp_path), (64, 64), 1, splits=["train"])}
    )
    assert data.having("valid") == [] and data.evaluation_loaders("valid") == []
