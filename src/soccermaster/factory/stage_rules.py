"""Stages of the factory as the rules of `downstream.reconstruct`, in memory."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from soccermaster.downstream.reconstruct import ClipFindings, Decisions, TrackedPeople
from soccermaster.factory.people import athletes_of, corners_of, gather_people
from soccermaster.factory.records import Records, array, empty_table, make_table, values_of
from soccermaster.factory.register import camera_table
from soccermaster.factory.runner import Chain
from soccermaster.factory.stage import (
    ChainError,
    ClipContext,
    StageError,
    check_chain,
    stage_labels,
)
from soccermaster.factory.summary import summarise_clip
from soccermaster.factory.work import build_stages
from soccermaster.vocabulary import NO_NUMBER, ROLES, UNKNOWN

#: What the heads of a model give, before the first stage.
GIVEN: frozenset[str] = frozenset({"detections", "numbers", "roles", "cameras"})
#: What the stages must give.
NEEDED: frozenset[str] = frozenset({"track_ids", "positions"})
_SOURCE = "heads"
_OFFICIALS = (ROLES.index("referee"), ROLES.index("other"))


class StageRules:
    """Runs stages of the factory over what the heads of a model found.

    Detections, cameras, and the role and number that were read in every row are given; a stage may
    replace them (`numbers` asks a VLM instead). A stage that cannot do its work on a clip leaves it
    without people, with a remark.

    Args:
        order: names of the stages; one may come twice.
        stages: configuration of each name, with `_target_`.
        min_number_score: readings of a number below do not count.
        max_error_px: cameras with a larger mean reprojection error do not count, at 1920 px width.

    Raises:
        ChainError: the stages do not fit together.
    """

    def __init__(
        self,
        order: Sequence[str],
        stages: Mapping[str, Mapping[str, Any]],
        min_number_score: float = 0.5,
        max_error_px: float = 15.0,
    ) -> None:
        self.stages = build_stages(Chain(order, stages).configs())
        check_chain(self.stages, GIVEN)
        missing = NEEDED - {kind for stage in self.stages for kind in stage.provides}
        if missing:
            raise ChainError(f"expected stages that provide {sorted(missing)}, got {list(order)}")
        self.min_number_score, self.max_error_px = min_number_score, max_error_px
        self.device = "cpu"

    def prepare(self, device: str) -> None:
        """Load the models of the stages.

        Raises:
            ModelUnavailableError: what to download and where to put it.
        """
        self.device = device
        for stage in self.stages:
            stage.prepare(device)

    def __call__(self, found: ClipFindings) -> Decisions:
        """See `downstream.reconstruct.Rules`."""
        clip = ClipContext(
            f"{found.source.info.path.name}_{found.frames.start:06d}",
            found.source,
            found.frames,
            self.device,
        )
        given = self.records(found)
        remarks: list[str] = []
        records = given
        for label, stage in zip(stage_labels(self.stages), self.stages, strict=True):
            try:
                records = stage.run(clip, records)
            except StageError as error:
                records = given.replace(positions=empty_table("positions"))
                remarks.append(f"{label}: {error}")
                break
        summary = summarise_clip(records, len(found.frames))
        return Decisions(
            people=tracked_people(records),
            valid=array(records["cameras"], "valid").astype(bool),
            summary=summary | {"remarks": [*summary["remarks"], *remarks]},
        )

    def records(self, found: ClipFindings) -> Records:
        """The tables that the stages begin with."""
        ids = np.arange(len(found.frame))

        def of_rows(kind: str, rows: np.ndarray, **columns: Any) -> Any:
            return make_table(
                kind, source=_SOURCE, frame=found.frame[rows], detection_id=ids[rows], **columns
            )

        read = (found.numbers != UNKNOWN) & (found.number_scores >= self.min_number_score)
        read, seen = np.flatnonzero(read), np.flatnonzero(found.roles != UNKNOWN)
        return Records(
            {
                "detections": of_rows(
                    "detections",
                    ids,
                    box_xyxy_px=found.boxes_xyxy_px,
                    category=found.roles,
                    confidence=found.scores,
                ),
                "roles": of_rows(
                    "roles",
                    seen,
                    role=found.roles[seen],
                    answer=[ROLES[role] for role in found.roles[seen]],
                    confidence=found.role_scores[seen],
                ),
                "numbers": of_rows(
                    "numbers",
                    read,
                    number=found.numbers[read],
                    answer=["" if n == NO_NUMBER else str(n) for n in found.numbers[read]],
                    confidence=found.number_scores[read],
                ),
                "cameras": camera_table(
                    list(found.calibrations),
                    np.array([c.camera is not None for c in found.calibrations], bool),
                    found.observed,
                    _SOURCE,
                    self.max_error_px * found.source.info.width / 1920,
                ),
            }
        )


def tracked_people(records: Records) -> TrackedPeople:
    """The people with a track, as the game state has them: officials have no numbers."""
    people, athletes = gather_people(records), athletes_of(records)
    official = np.isin(athletes.roles, _OFFICIALS)
    athletes = dataclasses.replace(
        athletes, numbers=np.where(official, NO_NUMBER, athletes.numbers)
    )
    rows = np.flatnonzero(people.tracked)

    def confidence(kind: str) -> np.ndarray:
        if kind not in records or not records[kind].num_rows:
            return np.full(len(rows), np.nan)
        return values_of(records[kind], "confidence", athletes.track_ids, np.nan, "track_id")

    return TrackedPeople(
        athletes=athletes,
        corners_m=corners_of(records)[rows].reshape(-1, 3, 2)[:, [0, 2]].astype(np.float32),
        scores=people.scores[rows],
        number_confidence=confidence("track_numbers"),
        role_confidence=confidence("track_roles"),
    )
