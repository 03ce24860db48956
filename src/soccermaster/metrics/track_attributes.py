"""What is right about the tracks, one thing at a time: role, number, team, place.

One mistake anywhere costs the game state score of a whole row; these atomic scores say which part
of a chain to blame. People are matched by their boxes, so that places and names play no part in it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import numpy as np
from jaxtyping import Float, Int
from scipy.optimize import linear_sum_assignment

from soccermaster.metrics.samples import UNDEFINED
from soccermaster.metrics.tracking import box_similarities, people_by_frame
from soccermaster.structures import Athletes
from soccermaster.vocabulary import NO_NUMBER, ROLES, UNKNOWN

_PLAYER, _GOALKEEPER = ROLES.index("player"), ROLES.index("goalkeeper")


def attribute_scores(
    sequences: Iterable[tuple[Athletes, Athletes]], match_iou: float = 0.5
) -> dict[str, float]:
    """Accuracy of the attributes per annotated track, and the error of the places.

    In every frame, annotated and predicted boxes are matched one to one (greatest total IoU, at
    least `match_iou`). What was predicted for an annotated track is the value of most of its
    matched rows, unknown included; it must equal the annotated value of most of its rows. Only
    tracks that are matched at all count.

    Args:
        sequences: truth and prediction of each; balls are left out.
        match_iou: least IoU of a match.

    Returns:
        Each NaN when nothing can be scored:
        `found_tracks`: share of the annotated tracks with at least one match;
        `role_accuracy`, `role_macro_f1`: over tracks with a known role;
        `team_accuracy`: over players and goalkeepers with a known team;
        `number_accuracy`: over players with a known number (0..99);
        `position_error_m`, `position_error_median_m`: over matched rows whose places are known.
    """
    found, roles, teams, numbers = [], [], [], []
    errors_m: list[np.ndarray] = []
    for truth, predicted in sequences:
        a, b = _matched_rows(truth, predicted, match_iou)
        matched = defaultdict(list)
        for row, track in enumerate(a.track_ids.tolist()):
            matched[track].append(row)
        everybody = truth.select(truth.roles != ROLES.index("ball"))
        for track in np.unique(everybody.track_ids).tolist():
            found.append(track in matched)
            if track not in matched:
                continue
            mine = everybody.select(everybody.track_ids == track)
            said = b.select(np.array(matched[track]))
            role, number = _mode(mine.roles), _mode(mine.numbers)
            team = _mode(mine.teams)
            if role != UNKNOWN:
                roles.append((role, _mode(said.roles)))
            if role in (_PLAYER, _GOALKEEPER) and team != UNKNOWN:
                teams.append((team, _mode(said.teams)))
            if role == _PLAYER and 0 <= number < NO_NUMBER:
                numbers.append((number, _mode(said.numbers)))
        errors_m.append(np.linalg.norm(a.positions_m - b.positions_m, axis=1))
    error_m = np.concatenate([*errors_m, np.empty(0)])
    error_m = error_m[np.isfinite(error_m)]
    return {
        "found_tracks": float(np.mean(found)) if found else UNDEFINED,
        "role_accuracy": _accuracy(roles),
        "role_macro_f1": _macro_f1(roles),
        "team_accuracy": _accuracy(teams),
        "number_accuracy": _accuracy(numbers),
        "position_error_m": float(error_m.mean()) if len(error_m) else UNDEFINED,
        "position_error_median_m": float(np.median(error_m)) if len(error_m) else UNDEFINED,
    }


def _matched_rows(
    truth: Athletes, predicted: Athletes, match_iou: float
) -> tuple[Athletes, Athletes]:
    """The matched rows of both sides, pair by pair."""
    frames = people_by_frame(truth, predicted)
    pairs: tuple[list[Athletes], list[Athletes]] = ([], [])
    for a, b, iou in zip(*frames, box_similarities(truth, predicted)[2], strict=True):
        rows, columns = linear_sum_assignment(np.where(iou >= match_iou, iou, 0), maximize=True)
        good = iou[rows, columns] >= match_iou
        pairs[0].append(a.select(rows[good]))
        pairs[1].append(b.select(columns[good]))
    return _concatenate(pairs[0], truth), _concatenate(pairs[1], predicted)


def _concatenate(parts: list[Athletes], like: Athletes) -> Athletes:
    parts = [like.select(slice(0, 0)), *parts]
    return Athletes(
        **{name: np.concatenate([getattr(part, name) for part in parts]) for name in vars(like)}
    )


def _mode(values: Int[np.ndarray, " n"]) -> int:
    unique, counts = np.unique(values, return_counts=True)
    return int(unique[counts.argmax()])


def _accuracy(pairs: list[tuple[int, int]]) -> float:
    return float(np.mean([a == b for a, b in pairs])) if pairs else UNDEFINED


def _macro_f1(pairs: list[tuple[int, int]]) -> float:
    """Mean over the annotated classes of their F1."""
    if not pairs:
        return UNDEFINED
    table: Float[np.ndarray, "n 2"] = np.array(pairs)
    f1 = []
    for value in np.unique(table[:, 0]):
        true, said = table[:, 0] == value, table[:, 1] == value
        f1.append(2 * (true & said).sum() / (true.sum() + said.sum()))
    return float(np.mean(f1))
