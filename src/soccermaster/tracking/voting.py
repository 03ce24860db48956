"""What a whole track says: shirt number and role by vote over its rows, in the order of the rows.

The official rules (`vote_number_neighbours`, `vote_role_sum`) take the values in the order of the
table and have no minimum; the guarded ones (`vote_number`, `vote_role`) want a minimum of votes and
a clear winner, and say "unknown" otherwise.
"""

from __future__ import annotations

import numpy as np
from jaxtyping import Float, Int

from soccermaster.tracking.tracklets import read_numbers
from soccermaster.vocabulary import UNKNOWN


def vote_number(
    numbers: Int[np.ndarray, " n"],
    confidences: Float[np.ndarray, " n"],
    min_votes: int = 3,
    min_ratio: float = 0.5,
) -> int:
    """The number with the largest sum of confidences, if it is read often and clearly enough.

    Only numbers 0..99 count. The winner needs `min_votes` reads, and at least `min_ratio` of the
    confidence of all reads; otherwise the number is unknown (-1). Of equals, none wins unless the
    ratio lets it (above 0.5 it cannot).

    Args:
        numbers: reads of one track.
        confidences: of the reads.
        min_votes: reads of the winner.
        min_ratio: its share of the confidence of all reads.
    """
    return _vote(read_numbers(numbers), confidences, min_votes, min_ratio)


def vote_role(
    roles: Int[np.ndarray, " n"],
    confidences: Float[np.ndarray, " n"],
    min_votes: int = 3,
    min_ratio: float = 0.5,
) -> int:
    """The role with the largest sum of confidences, under the conditions of `vote_number`."""
    return _vote(np.asarray(roles), confidences, min_votes, min_ratio)


def vote_number_neighbours(
    numbers: Int[np.ndarray, " n"], confidences: Float[np.ndarray, " n"]
) -> int:
    """The official rule: reads that a neighbour repeats, summed by confidence.

    A read survives if it equals that of the row before or after it in the table. The survivors are
    summed by confidence and the highest sum wins; of equals, the value seen first. No survivor, no
    number (-1). There is no minimum: two equal reads in neighbouring rows name the whole track.

    Source: the released pipeline, tracklet voting.
    """
    numbers = np.asarray(numbers)
    padded = np.concatenate([[UNKNOWN], numbers, [UNKNOWN]])
    repeated = (numbers == padded[:-2]) | (numbers == padded[2:])
    survivors = np.where(repeated, numbers, UNKNOWN)
    return _largest_sum(survivors, confidences)


def vote_role_sum(roles: Int[np.ndarray, " n"], confidences: Float[np.ndarray, " n"]) -> int:
    """The official rule: the role with the largest sum of confidences; of equals, the first seen.

    Source: the released pipeline, tracklet voting.
    """
    return _largest_sum(np.asarray(roles), confidences)


def _vote(
    values: Int[np.ndarray, " n"],
    confidences: Float[np.ndarray, " n"],
    min_votes: int,
    min_ratio: float,
) -> int:
    winner = _largest_sum(values, confidences)
    if winner == UNKNOWN:
        return UNKNOWN
    mine = values == winner
    total = float(np.sum(confidences, where=values != UNKNOWN))
    clear = total > 0 and np.sum(confidences, where=mine) >= min_ratio * total
    return winner if mine.sum() >= min_votes and clear else UNKNOWN


def _largest_sum(values: Int[np.ndarray, " n"], confidences: Float[np.ndarray, " n"]) -> int:
    known = values != UNKNOWN
    if not known.any():
        return UNKNOWN
    unique, first, place = np.unique(values[known], return_index=True, return_inverse=True)
    sums = np.bincount(place, weights=np.asarray(confidences, np.float64)[known])
    return int(unique[np.lexsort((first, -sums.round(12)))[0]])
