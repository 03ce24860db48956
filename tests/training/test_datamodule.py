"""What is trained on and what is validated on."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from soccermaster.data.synthetic import SyntheticSpatial
from soccermaster.training.datamodule import ClipDataModule, Source
from soccermaster.training.run import make_trainer
from tests.configs import compose_train


class Asked:
    """Makes synthetic datasets and remembers for which splits."""

    def __init__(self) -> None:
        self.splits: list[str] = []

    def __call__(self, split: str) -> Any:
        self.splits.append(split)
        return SyntheticSpatial(split, 5, num_frames=1, image_size=(32, 48))


def data(asked: Asked, **process: int) -> ClipDataModule:
    module = ClipDataModule({"a": Source(asked, (32, 48), 2)}, num_workers=0)
    module.trainer = SimpleNamespace(**process) if process else None
    module.validates_in_training = True
    return module


def test_training_validates_on_the_validation_split_and_never_opens_the_test_split():
    asked = Asked()
    module = data(asked)
    module.train_dataloader()
    (valid,) = module.val_dataloader()
    assert asked.splits == ["train", "valid"]
    assert [len(batch.images) for batch in valid] == [2, 2, 1]


def test_evaluation_is_shared_among_processes_once():
    whole = [i for batch in data(Asked()).evaluation_loaders("test")[0] for i in batch.clip_ids]
    parts = [
        [i for batch in loader for i in batch.clip_ids]
        for rank in range(3)
        for loader in data(Asked(), global_rank=rank, world_size=3).evaluation_loaders("test")
    ]
    assert sorted(i for part in parts for i in part) == sorted(whole) and len(set(whole)) == 5
    # and nothing shards them again
    trainer = make_trainer(compose_train("debug=smoke", "logger=[]"), [], 1)
    assert not trainer._accelerator_connector.use_distributed_sampler
