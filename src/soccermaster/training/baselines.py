"""What a score is worth: the same metrics for predictors that have understood less.

    untrained     the same network before training
    majority      the most frequent event of the evaluated clips, the most frequent role of the
                  annotated people
    middle_frame  events from one frame alone, by a head that sees just that (tasks.middle_frame)
    class_lookup  comments ranked by the probability that the events head gives to the event that
                  they comment; comments of one event come in random order

Where two comments of each class are in the pool, a look-up that always knew the class would have a
recall at 1 of 0.50.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric

from soccermaster.metrics.detection import AthletesMetrics
from soccermaster.metrics.retrieval import RetrievalMetrics
from soccermaster.metrics.samples import hash64
from soccermaster.model import SoccerModel
from soccermaster.structures import AlignmentPrediction, Batch, EventPrediction

#: Scores by "task/metric".
Scores = dict[str, float]


class Baselines:
    """Scores of the baselines, gathered along one pass of evaluation.

    Args:
        model: the one that is evaluated, with its configuration.
        seed: of the untrained network.
    """

    def __init__(self, model: SoccerModel, seed: int = 0) -> None:
        device = next(model.parameters()).device
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self._untrained = SoccerModel.from_config(model.config).eval().to(device)
        self._yardsticks = {
            name: task.baseline_of for name, task in model.tasks.items() if task.baseline_of
        }
        self._untrained_metrics: dict[str, Metric] = {}
        self._lookup_metrics: dict[str, RetrievalMetrics] = {}
        self._counts: dict[str, Counter[Any]] = {}

    @torch.no_grad()
    def update(self, batch: Batch, predictions: Mapping[str, Sequence[Any]]) -> None:
        """Add one batch.

        Args:
            batch: as the model saw it.
            predictions: the model's, by task; a list per frame or clip.
        """
        names = [name for name in predictions if name not in self._yardsticks]
        for name, output in self._untrained.run(batch, names).items():
            task = self._untrained.tasks[name]
            metric = self._untrained_metrics.setdefault(name, task.make_metrics())
            metric.to(batch.images.device).update(task.decode(output, batch), batch)
            self._count_labels(name, metric, predictions[name], batch)
        events = [p for n in names if _are(predictions[n], EventPrediction) for p in predictions[n]]
        for name in names:
            if _are(predictions[name], AlignmentPrediction) and len(events) == len(batch.images):
                metric = self._lookup_metrics.setdefault(name, RetrievalMetrics())
                metric.to(batch.images.device).update(list(_looked_up(events, batch)), batch)

    def compute(self, scores: Mapping[str, float]) -> dict[str, Scores]:
        """Scores of each baseline, by its name and "task/metric".

        Args:
            scores: of the model by "task/metric"; those of yardstick tasks are taken from it.
        """
        majority = {
            name: max(counts.values()) / counts.total()
            for name, counts in _gathered(self._counts).items()
        }
        middle = {
            f"{self._yardsticks[task]}/{metric}": value
            for task, metric, value in _split(scores)
            if task in self._yardsticks
        }
        return {
            "untrained": _all_scores(self._untrained_metrics),
            "majority": majority,
            "middle_frame": middle,
            "class_lookup": _all_scores(self._lookup_metrics),
        }

    def own_scores(self, scores: Mapping[str, float]) -> Scores:
        """The scores without those of yardstick tasks."""
        return {f"{t}/{m}": v for t, m, v in _split(scores) if t not in self._yardsticks}

    def _count_labels(
        self, name: str, metric: Metric, predictions: Sequence[Any], batch: Batch
    ) -> None:
        labels: list[Any] = []
        if _are(predictions, EventPrediction):
            key, labels = f"{name}/top1", [e for e in batch.events if e is not None]
        elif isinstance(metric, AthletesMetrics) and batch.athletes is not None:
            roles = batch.athletes.roles
            known = (roles >= 0) & (roles != metric.role_names.index("ball"))
            key, labels = f"{name}/role_accuracy", roles[known].tolist()
        if labels:
            self._counts.setdefault(key, Counter()).update(labels)


def _are(predictions: Sequence[Any], kind: type) -> bool:
    return len(predictions) > 0 and isinstance(predictions[0], kind)


def _looked_up(events: Sequence[EventPrediction], batch: Batch) -> Iterator[AlignmentPrediction]:
    """Clips as class probabilities, comments as their true class, so that their product ranks."""
    clips = zip(events, batch.events, batch.texts, batch.clip_ids, strict=True)
    for prediction, event, text, clip_id in clips:
        comment: Tensor | None = None
        if event is not None and text is not None:
            # comments of one class would tie; a hash of the clip shuffles them
            lift = 1 + 1e-4 * (hash64(clip_id) % 1000) / 1000
            comment = torch.zeros_like(prediction.scores)
            comment[prediction.classes.index(event)] = lift
        yield AlignmentPrediction(video=prediction.scores, text=comment)


def _all_scores(metrics: Mapping[str, Metric]) -> Scores:
    return {
        f"{task}/{name}": float(value)
        for task, metric in metrics.items()
        for name, value in metric.compute().items()
    }


def _gathered(counts: dict[str, Counter[Any]]) -> dict[str, Counter[Any]]:
    """The counts of all processes."""
    if not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return counts
    parts: list[dict[str, Counter[Any]]] = [{} for _ in range(torch.distributed.get_world_size())]
    torch.distributed.all_gather_object(parts, counts)
    names = dict.fromkeys(name for part in parts for name in part)
    return {name: sum((p.get(name, Counter()) for p in parts), Counter()) for name in names}


def _split(scores: Mapping[str, float]) -> Iterator[tuple[str, str, float]]:
    for key, value in scores.items():
        task, _, metric = key.partition("/")
        yield task, metric, value
