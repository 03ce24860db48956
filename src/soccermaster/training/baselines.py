"""What a score is worth: the same metrics for predictors that have understood less.

    untrained       the same network before training
    majority        the most frequent class of the evaluated clips and people
    middle_frame    events from one frame alone (a head that reads just that, trained beside the
                    model; see `tasks.events.MiddleFrameEvents`)
    class_lookup    comments ranked by the probability that the events head gives to the event that
                    they comment; comments of one event are in random order

Of a class look-up that always knows the class, two comments per class in the pool make a recall at
1 of 0.50.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from soccermaster.metrics.retrieval import RetrievalMetrics
from soccermaster.metrics.samples import hash64
from soccermaster.model import SoccerModel
from soccermaster.structures import AlignmentPrediction, Batch, EventPrediction
from soccermaster.tasks.alignment import Alignment
from soccermaster.tasks.events import EventClassification, MiddleFrameEvents
from soccermaster.vocabulary import ROLES

BASELINES = ("untrained", "majority", "middle_frame", "class_lookup")


class Baselines:
    """Scores of the baselines, gathered along one pass of evaluation.

    Args:
        model: the one that is evaluated.
        seed: of the untrained network and of the random order of comments.
    """

    def __init__(self, model: SoccerModel, seed: int = 0) -> None:
        self.seed = seed
        self.names = {
            name for name, task in model.tasks.items() if not isinstance(task, MiddleFrameEvents)
        }
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._untrained = SoccerModel.from_config(model.config).eval()
        self._metrics = {
            name: task.make_metrics()
            for name, task in self._untrained.tasks.items()
            if name in self.names
        }
        self._lookup = RetrievalMetrics()
        self._events: dict[str, Counter[str]] = {}
        self._roles: dict[str, Counter[int]] = {}
        self._looked_up: str | None = None

    @torch.no_grad()
    def update(
        self, model: SoccerModel, batch: Batch, outputs: Mapping[str, Any], precision: Any
    ) -> None:
        """Add one batch with the model's outputs by task.

        Args:
            model: the one that is evaluated.
            batch: on the device of the model.
            outputs: of the tasks that the batch is routed to.
            precision: makes the context in which the model runs, for the untrained one.
        """
        names = [name for name in outputs if name in self.names]
        self._untrained.to(batch.images.device)
        with precision():
            untrained = self._untrained.run(batch, names)
        for name in names:
            task = self._untrained.tasks[name]
            self._metrics[name].to(batch.images.device)
            self._metrics[name].update(task.decode(untrained[name], batch), batch)
            task = model.tasks[name]
            if isinstance(task, EventClassification):
                counts = self._events.setdefault(name, Counter())
                counts.update(event for event in batch.events if event is not None)
            if "roles" in vars(batch.athletes or object) and hasattr(untrained[name], "role_logits"):
                pass
