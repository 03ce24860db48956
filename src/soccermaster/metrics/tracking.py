"""How well are people followed, placed and named? HOTA, CLEAR, identity and game state scores.

Truth and prediction of a sequence are `Athletes` (numpy) with track ids. A similarity of every pair
in every frame is computed first (`box_similarities` in the image, `game_state_similarities` on the
pitch); everything else counts from the similarities and the ids. Counts of sequences are added up
before ratios are taken, as TrackEval does.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment

from soccermaster.ops.boxes import box_iou
from soccermaster.structures import Athletes
from soccermaster.vocabulary import NO_NUMBER, ROLES, UNKNOWN

#: Similarity from which on a pair is a match, for each of the HOTA values that are averaged.
ALPHAS: Float[np.ndarray, " 19"] = np.arange(0.05, 0.99, 0.05)

#: Distance at which two places have similarity 0.05, in metres.
TOLERANCE_M: float = 5.0

_EPS = float(np.finfo(float).eps)
_BALL, _PLAYER, _GOALKEEPER = (ROLES.index(role) for role in ("ball", "player", "goalkeeper"))


@dataclass(frozen=True)
class TrackingCounts:
    """What is counted in one sequence, or in several; `+` adds sequences.

    The first four hold a value per element of `ALPHAS`.
    """

    hits: Float[np.ndarray, " 19"]
    association_sum: Float[np.ndarray, " 19"]  # over hits, of their association accuracy
    similarity_sum: Float[np.ndarray, " 19"]  # over hits
    truths: int  # annotated rows
    predictions: int  # predicted rows
    clear_hits: int  # matches at similarity 0.5 that prefer to keep the identity
    switches: int  # of identity
    identity_hits: int  # of the best one-to-one assignment of whole tracks

    def __add__(self, other: TrackingCounts) -> TrackingCounts:
        """Counts of both."""
        return TrackingCounts(
            **{
                field.name: getattr(self, field.name) + getattr(other, field.name)
                for field in dataclasses.fields(self)
            }
        )

    def scores(self) -> dict[str, float]:
        """`hota`, `deta`, `assa`, `loca`, `mota` and `idf1`, as fractions.

        With no match at all LocA is 1, as in TrackEval; without any truth and prediction the
        others are 0.
        """
        misses, extras = self.truths - self.hits, self.predictions - self.hits
        deta = self.hits / np.maximum(1, self.hits + misses + extras)
        assa = self.association_sum / np.maximum(1, self.hits)
        loca = np.maximum(1e-10, self.similarity_sum) / np.maximum(1e-10, self.hits)
        false = self.predictions - self.clear_hits
        return {
            "hota": float(np.sqrt(deta * assa).mean()),
            "deta": float(deta.mean()),
            "assa": float(assa.mean()),
            "loca": float(loca.mean()),
            "mota": float((self.clear_hits - false - self.switches) / max(1, self.truths)),
            "idf1": float(self.identity_hits / max(1.0, (self.truths + self.predictions) / 2)),
        }


def tracking_scores(
    sequences: Iterable[tuple[Athletes, Athletes]],
) -> dict[str, float]:
    """HOTA, DetA, AssA, LocA, MOTA and IDF1 in the image, over all sequences.

    Args:
        sequences: truth and prediction of each; balls are left out. Every frame is scored.
    """
    counts = [count_tracks(*box_similarities(truth, predicted)) for truth, predicted in sequences]
    return sum(counts, start=no_counts()).scores()


def game_state_scores(
    sequences: Iterable[tuple[Athletes, Athletes]],
    tolerance_m: float = TOLERANCE_M,
    attributes: Sequence[str] = ("role", "team", "number"),
) -> dict[str, float]:
    """`gs_hota`, `gs_deta`, `gs_assa` and `gs_loca` over all sequences.

    Args:
        sequences: truth and prediction of each. The official evaluation scores the frames whose
            people, pitch and camera are labelled: select the rows of these frames on both sides.
        tolerance_m: see `place_similarity`.
        attributes: those that must be equal.

    Source: SoccerNet Game State Reconstruction (CVPR workshops 2024); the evaluator of
        sn-trackeval 0.4.0.
    """
    counts = [
        count_tracks(*game_state_similarities(truth, predicted, tolerance_m, attributes))
        for truth, predicted in sequences
    ]
    scores = sum(counts, start=no_counts()).scores()
    return {f"gs_{name}": scores[name] for name in ("hota", "deta", "assa", "loca")}


def place_similarity(
    truth_m: Float[np.ndarray, "n 2"],
    predicted_m: Float[np.ndarray, "m 2"],
    tolerance_m: float = TOLERANCE_M,
) -> Float[np.ndarray, "n m"]:
    """exp(ln(0.05) * d ** 2 / tolerance ** 2): 1 at the same place, 0.05 at the tolerance.

    An unknown place (NaN) has similarity 0 with everything.
    """
    squares = ((truth_m[:, None].astype(float) - predicted_m[None]) ** 2).sum(axis=-1)
    return np.nan_to_num(np.exp(np.log(0.05) * squares / tolerance_m**2), nan=0.0)


def same_identity(
    truth: Athletes, predicted: Athletes, attributes: Sequence[str] = ("role", "team", "number")
) -> Bool[np.ndarray, "n m"]:
    """Whether role, team and number of every pair are equal.

    The team counts for players and goalkeepers, the number for players alone; elsewhere both are
    none. None equals none, and nothing else: a number that one side lacks is a mismatch.
    """
    unknown = sorted(set(attributes) - {"role", "team", "number"})
    if unknown:
        raise ValueError(f"expected attributes among role, team and number, got {unknown}")
    same = np.ones((len(truth), len(predicted)), bool)
    ours, theirs = _identity(truth, attributes), _identity(predicted, attributes)
    for attribute in attributes:
        same &= ours[attribute][:, None] == theirs[attribute][None]
    return same


def box_similarities(
    truth: Athletes, predicted: Athletes
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """IoU of all pairs in every frame: the arguments of `count_tracks`, without balls."""

    def similarity(a: Athletes, b: Athletes) -> Float[np.ndarray, "n m"]:
        boxes = [torch.as_tensor(x.boxes_xyxy_px, dtype=torch.float64) for x in (a, b)]
        return box_iou(*boxes, eps=1e-12).numpy()

    return _by_frame(truth, predicted, similarity)


def game_state_similarities(
    truth: Athletes,
    predicted: Athletes,
    tolerance_m: float = TOLERANCE_M,
    attributes: Sequence[str] = ("role", "team", "number"),
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """`place_similarity` of the pairs with `same_identity`, else 0: for `count_tracks`."""

    def similarity(a: Athletes, b: Athletes) -> Float[np.ndarray, "n m"]:
        near = place_similarity(a.positions_m, b.positions_m, tolerance_m)
        return near * same_identity(a, b, attributes)

    return _by_frame(truth, predicted, similarity)


def people_by_frame(truth: Athletes, predicted: Athletes) -> tuple[list[Athletes], list[Athletes]]:
    """Truth and prediction of every frame that has somebody, without balls, in order of time.

    Raises:
        ValueError: somebody has no track.
    """
    truth, predicted = _people(truth), _people(predicted)
    frames = np.union1d(truth.frame, predicted.frame)
    return _rows_of_frames(truth, frames), _rows_of_frames(predicted, frames)


def no_counts() -> TrackingCounts:
    """The counts of nothing."""
    return TrackingCounts(*(np.zeros(len(ALPHAS)) for _ in range(3)), 0, 0, 0, 0, 0)


def count_tracks(
    truth_ids: Sequence[Int[np.ndarray, " n"]],
    predicted_ids: Sequence[Int[np.ndarray, " m"]],
    similarities: Sequence[Float[np.ndarray, "n m"]],
) -> TrackingCounts:
    """Counts of one sequence, from what is there in every frame.

    Args:
        truth_ids: track ids of the annotated rows of each frame.
        predicted_ids: track ids of the predicted rows of each frame.
        similarities: in 0..1, of every pair of the frame.

    Raises:
        ValueError: an id stands twice in one frame, or the shapes do not agree.

    Source: Luiten et al., HOTA, IJCV 2021; Bernardin and Stiefelhagen, CLEAR MOT, 2008; Ristani et
        al., Performance Measures, ECCV workshops 2016; conventions of TrackEval.
    """
    truth, num_truth = _contiguous(truth_ids, "truth")
    predicted, num_predicted = _contiguous(predicted_ids, "prediction")
    for t, (a, b, table) in enumerate(zip(truth, predicted, similarities, strict=True)):
        if table.shape != (len(a), len(b)):
            raise ValueError(
                f"expected similarities of shape {(len(a), len(b))} in frame {t}, got {table.shape}"
            )
    frames = list(zip(truth, predicted, similarities, strict=True))
    clear_hits, switches = _count_clear(frames, num_truth)
    return TrackingCounts(
        *_count_hota(frames, num_truth, num_predicted),
        truths=sum(map(len, truth)),
        predictions=sum(map(len, predicted)),
        clear_hits=clear_hits,
        switches=switches,
        identity_hits=_count_identity(frames, num_truth, num_predicted),
    )


_Frames = list[tuple[Int[np.ndarray, " n"], Int[np.ndarray, " m"], Float[np.ndarray, "n m"]]]


def _count_hota(
    frames: _Frames, num_truth: int, num_predicted: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Hits, and the sums of their association accuracy and similarity, per alpha."""
    together = np.zeros((num_truth, num_predicted))
    sizes = np.zeros((num_truth, 1)), np.zeros((1, num_predicted))
    for truth, predicted, similarity in frames:
        rivals = similarity.sum(0)[None] + similarity.sum(1)[:, None] - similarity
        share = np.divide(similarity, rivals, out=np.zeros_like(rivals), where=rivals > _EPS)
        together[truth[:, None], predicted[None]] += share
        sizes[0][truth] += 1
        sizes[1][0, predicted] += 1
    alignment = together / np.maximum(sizes[0] + sizes[1] - together, _EPS)
    hits = np.zeros((len(ALPHAS), num_truth, num_predicted))
    similarity_sum = np.zeros(len(ALPHAS))
    for truth, predicted, similarity in frames:
        if not similarity.size:
            continue
        scores = alignment[truth[:, None], predicted[None]] * similarity
        rows, columns = linear_sum_assignment(scores, maximize=True)
        matched = similarity[rows, columns]
        above = matched[None] >= ALPHAS[:, None] - _EPS
        hits[:, truth[rows], predicted[columns]] += above
        similarity_sum += (matched * above).sum(axis=1)
    accuracy = hits / np.maximum(1, sizes[0] + sizes[1] - hits)
    return hits.sum(axis=(1, 2)), (hits * accuracy).sum(axis=(1, 2)), similarity_sum


def _count_clear(frames: _Frames, num_truth: int, threshold: float = 0.5) -> tuple[int, int]:
    """Matches and switches of identity; a match of the frame before is kept while it can be."""
    last = np.full(num_truth, UNKNOWN)  # predicted id that was matched last
    before = np.full(num_truth, UNKNOWN)  # in the last frame that had both
    hits = switches = 0
    for truth, predicted, similarity in frames:
        if not similarity.size:
            continue
        scores = 1000.0 * (predicted[None] == before[truth][:, None]) + similarity
        scores[similarity < threshold - _EPS] = 0
        rows, columns = linear_sum_assignment(scores, maximize=True)
        matched = scores[rows, columns] > _EPS
        people, ids = truth[rows[matched]], predicted[columns[matched]]
        switches += int(((last[people] != UNKNOWN) & (last[people] != ids)).sum())
        hits += len(people)
        last[people] = ids
        before[:] = UNKNOWN
        before[people] = ids
    return hits, switches


def _count_identity(
    frames: _Frames, num_truth: int, num_predicted: int, threshold: float = 0.5
) -> int:
    """Rows that the best one-to-one assignment of whole tracks gets right."""
    together = np.zeros((num_truth, num_predicted))
    for truth, predicted, similarity in frames:
        rows, columns = np.nonzero(similarity >= threshold)
        together[truth[rows], predicted[columns]] += 1
    return int(together[linear_sum_assignment(together, maximize=True)].sum())


def _contiguous(
    ids_of_frames: Sequence[Int[np.ndarray, " n"]], side: str
) -> tuple[list[Int[np.ndarray, " n"]], int]:
    """The ids as 0, 1, ... and how many there are."""
    for t, ids in enumerate(ids_of_frames):
        if len(np.unique(ids)) != len(ids):
            raise ValueError(
                f"expected every track once per frame, got {sorted(map(int, ids))} in frame {t} of "
                f"the {side}. Give the later ones fresh ids (tracking.splitting.split_duplicates)."
            )
    if not ids_of_frames:
        return [], 0
    unique, places = np.unique(np.concatenate(ids_of_frames), return_inverse=True)
    ends = np.cumsum([len(ids) for ids in ids_of_frames])[:-1]
    return np.split(places.reshape(-1), ends), len(unique)


def _identity(athletes: Athletes, attributes: Sequence[str]) -> dict[str, np.ndarray]:
    """Role, team and number where they count, else -1."""
    roles, numbers = np.asarray(athletes.roles), np.asarray(athletes.numbers)
    numbers = np.where((numbers >= 0) & (numbers < NO_NUMBER), numbers, UNKNOWN)
    teams = np.asarray(athletes.teams)
    if "role" in attributes:
        teams = np.where(np.isin(roles, (_PLAYER, _GOALKEEPER)), teams, UNKNOWN)
        numbers = np.where(roles == _PLAYER, numbers, UNKNOWN)
    return {"role": roles, "team": teams, "number": numbers}


def _by_frame(
    truth: Athletes,
    predicted: Athletes,
    similarity: Callable[[Athletes, Athletes], Float[np.ndarray, "n m"]],
) -> tuple[list[np.ndarray], list[np.ndarray], list[np.ndarray]]:
    """Ids of both sides and the similarity of the pairs, for every frame that has somebody."""
    sides = people_by_frame(truth, predicted)
    return (
        [rows.track_ids for rows in sides[0]],
        [rows.track_ids for rows in sides[1]],
        [similarity(a, b) for a, b in zip(*sides, strict=True)],
    )


def _people(athletes: Athletes) -> Athletes:
    """Rows that are no ball, in order of time."""
    people = athletes.select(np.asarray(athletes.roles) != _BALL)
    if (people.track_ids == UNKNOWN).any():
        raise ValueError(
            f"expected a track id in every row, got {(people.track_ids == UNKNOWN).sum()} rows of "
            f"{len(people)} without. Leave them out, or give each an id of its own."
        )
    return people.select(np.argsort(people.frame, kind="stable"))


def _rows_of_frames(people: Athletes, frames: Int[np.ndarray, " f"]) -> list[Athletes]:
    starts = np.searchsorted(people.frame, frames)
    ends = np.searchsorted(people.frame, frames, side="right")
    return [people.select(slice(a, b)) for a, b in zip(starts, ends, strict=True)]
