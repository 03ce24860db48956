"""The task contract: what a head must say so that everything else can work with it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any, ClassVar, Literal, get_args

from torch import Tensor, nn
from torchmetrics import Metric

from soccermaster.structures import Batch, Features

#: "corrected" are our losses; "official" are those of the release, for comparison and parity.
Recipe = Literal["corrected", "official"]


class Task(nn.Module, ABC):
    """One head with everything that belongs to it: targets, loss, decode and metrics.

    A subclass in any package becomes part of a model by its `_target_` in a config; nothing else
    has to know it.

    Class attributes:
        requires: annotation fields (vocabulary.ANNOTATION_FIELDS) without which it cannot learn. A
            batch teaches every task whose `requires` its dataset provides.
        reads: what it takes from the encoder: "patches", "frames", "pyramid". Only what some task
            of the batch reads is computed. A task may set its own where that depends on arguments.

    Attributes:
        term_weights: weight of each loss term within the task, 1 where not named.
        lr: learning rate of the head; None takes that of the optimizer config.
        recipe: whose losses it learns by. The class says what differs, and why.
        baseline_of: the task that this one is only a yardstick for; None for a task in its own
            right. The scores of a yardstick are printed beside that task's, and prediction leaves
            it out.
    """

    requires: ClassVar[frozenset[str]]
    reads: frozenset[str]
    baseline_of: str | None = None

    def __init__(
        self,
        term_weights: Mapping[str, float] | None = None,
        lr: float | None = None,
        recipe: Recipe = "corrected",
    ) -> None:
        super().__init__()
        if recipe not in get_args(Recipe):
            raise ValueError(f"expected a recipe among {get_args(Recipe)}, got '{recipe}'")
        self.term_weights = dict(term_weights or {})
        self.lr = lr
        self.recipe = recipe

    def lacks(self) -> str | None:
        """What the head is missing to be run, and what to do about it; None: nothing."""
        return None

    @abstractmethod
    def forward(self, features: Features, batch: Batch | None = None) -> Any:
        """Encoder features -> the task's output dataclass (network tensors, still attached)."""

    @abstractmethod
    def loss(self, output: Any, batch: Batch) -> dict[str, Tensor]:
        """Named scalar terms, unweighted and attached to the graph.

        Targets are built here, on the device of the output. A batch that has nothing to teach gives
        terms that are 0 and still attached.
        """

    @abstractmethod
    def decode(self, output: Any, batch: Batch | None = None) -> list[Any]:
        """Predictions, detached: one per frame (clip by clip) or one per clip.

        Those that have a method `to_json` are written to the files of `predict.py`.
        """

    @abstractmethod
    def make_metrics(self) -> Metric:
        """A fresh metric with `update(predictions, batch)` and `compute() -> dict[str, float]`.

        What is undefined is NaN.
        """

    def weigh(self, terms: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum of the loss terms: a scalar.

        Raises:
            ValueError: `term_weights` names a term that the loss does not have.
        """
        unknown = sorted(set(self.term_weights) - set(terms))
        if unknown:
            raise ValueError(
                f"{type(self).__name__}: term_weights name {unknown}, but the loss has the terms "
                f"{sorted(terms)}. Rename or remove them."
            )
        parts = [self.term_weights.get(name, 1.0) * term for name, term in terms.items()]
        return sum(parts[1:], start=parts[0])
