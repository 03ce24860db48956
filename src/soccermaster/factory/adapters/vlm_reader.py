"""A vision-language model as a reader of legibility, numbers and roles, whoever computes it."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import get_args

import numpy as np
from jaxtyping import Float

from soccermaster.factory.adapters.loading import LazyModel
from soccermaster.factory.adapters.vlm_answers import (
    LEGIBILITY_PROMPT,
    NUMBER_PROMPT,
    ROLE_PROMPT,
    Rule,
    parse_legible,
    parse_number,
    parse_number_official,
    parse_role,
    parse_role_official,
)
from soccermaster.factory.models import NumberReading, Picture, RoleReading
from soccermaster.vocabulary import LEGIBLE_ABOVE, NO_NUMBER, UNKNOWN


@dataclass(frozen=True)
class Answer:
    """What a model said; `text` is None when it did not answer in time, or was not there."""

    text: str | None
    confidence: float = float("nan")  # 0..1: probability of its words; NaN when it does not tell
    reached: bool = True  # False: it was not there to be asked


class VlmReader(LazyModel):
    """Asks a model one question per person.

    Args:
        rule: "guarded" understands clear answers alone and passes on the model's own confidence;
            "official" reads answers as the released SoccerFactory, with confidence 1 or 0.
    """

    def __init__(self, rule: Rule = "guarded") -> None:
        if rule not in get_args(Rule):
            raise ValueError(f"expected rule to be one of {get_args(Rule)}, got {rule!r}")
        self.rule = rule

    def legibility(self, crops: Sequence[Picture]) -> Float[np.ndarray, " n"]:
        """How sure the model is that the number can be read, 0..1; NaN when not understood.

        Raises:
            TimeoutError: no crop was answered in time.
            ConnectionError: the model was not there to be asked.
        """
        answers = self._answers([(crop,) for crop in crops], LEGIBILITY_PROMPT)
        return np.array([_legibility(answer) for answer in answers], np.float32)

    def read_numbers(self, crops: Sequence[Picture]) -> list[NumberReading]:
        """One reading per crop; a crop that was not answered in time is not understood.

        Raises:
            TimeoutError: no crop was answered in time.
            ConnectionError: the model was not there to be asked.
        """
        readings = []
        for answer in self._answers([(crop,) for crop in crops], NUMBER_PROMPT):
            if answer.text is None:
                readings.append(NumberReading(UNKNOWN, np.nan))
                continue
            official = self.rule == "official"
            number = (parse_number_official if official else parse_number)(answer.text)
            confidence = float(0 <= number < NO_NUMBER) if official else answer.confidence
            readings.append(NumberReading(number, confidence, answer.text))
        return readings

    def read_roles(self, crops: Sequence[Picture], scenes: Sequence[Picture]) -> list[RoleReading]:
        """One reading per crop; a crop that was not answered in time is not understood.

        Raises:
            TimeoutError: no crop was answered in time.
            ConnectionError: the model was not there to be asked.
        """
        readings = []
        for answer in self._answers(list(zip(crops, scenes, strict=True)), ROLE_PROMPT):
            if answer.text is None:
                readings.append(RoleReading(UNKNOWN, np.nan))
                continue
            official = self.rule == "official"
            role = (parse_role_official if official else parse_role)(answer.text)
            confidence = float(role != UNKNOWN) if official else answer.confidence
            readings.append(RoleReading(role, confidence, answer.text))
        return readings

    @abstractmethod
    def _ask(self, questions: Sequence[tuple[Picture, ...]], prompt: str) -> list[Answer]:
        """The answers to one prompt about several sets of pictures."""

    def _answers(self, questions: Sequence[tuple[Picture, ...]], prompt: str) -> list[Answer]:
        self._check_loaded()
        answers = self._ask(questions, prompt)
        if answers and not any(answer.reached for answer in answers):
            raise ConnectionError(f"{self.name} was not there for any of {len(answers)} questions")
        if answers and all(answer.text is None for answer in answers):
            raise TimeoutError(f"{self.name} answered none of {len(answers)} questions in time")
        return answers


def _legibility(answer: Answer) -> float:
    legible = None if answer.text is None else parse_legible(answer.text)
    if legible is None:
        return float("nan")
    sure = 1.0 if np.isnan(answer.confidence) else max(answer.confidence, LEGIBLE_ABOVE)
    return sure if legible else 1 - sure
