"""Which team a track plays for, and which goal that team defends.

The official rules: two clusters of the mean embeddings (`cluster_by_embedding`, the released code)
or of embeddings and places together (`cluster_by_embedding_and_place`, the paper's words), sides by
the mean x of the clusters, goalkeepers by the x of every detection. The guarded ones: clusters of
colour, appearance and place with a confidence, sides by what is seen in the same frames, one side
per goalkeeper's track.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int

from soccermaster.tracking.tracklets import known_rows, mean_embedding, rows_of_tracks
from soccermaster.vocabulary import ROLES, TEAMS, UNKNOWN

LEFT, RIGHT = TEAMS.index("left"), TEAMS.index("right")
_PLAYER, _GOALKEEPER = ROLES.index("player"), ROLES.index("goalkeeper")


@dataclass(frozen=True)
class TeamWeights:
    """How much each description of a track counts; each is scaled to a total variance of 1."""

    colour: float = 1.0
    embedding: float = 1.0
    position: float = 0.5


def cluster_by_embedding(
    track_id: Int[np.ndarray, " M"],
    roles: Int[np.ndarray, " M"],
    embeddings: Float[np.ndarray, "M D"],
    seed: int = 0,
) -> Int[np.ndarray, " M"]:
    """The released code's rule: two means of the mean embeddings of the tracks of players.

    Returns:
        Cluster 0 or 1 of each row of a player's track (a single track is 0); -1 for others.

    Source: the released pipeline, team stage.
    """
    return _cluster_tracks(track_id, roles, [(embeddings, 1.0, False)], seed)[0]


def cluster_by_embedding_and_place(
    track_id: Int[np.ndarray, " M"],
    roles: Int[np.ndarray, " M"],
    embeddings: Float[np.ndarray, "M D"],
    positions_m: Float[np.ndarray, "M 2"],
    seed: int = 0,
) -> Int[np.ndarray, " M"]:
    """The paper's words: two means of mean embedding and mean place, which count the same.

    Returns:
        As `cluster_by_embedding`.

    Source: SoccerMaster (CVPR 2026), team assignment from ReID embeddings and pitch coordinates.
    """
    features = [(embeddings, 1.0, True), (positions_m, 1.0, True)]
    return _cluster_tracks(track_id, roles, features, seed)[0]


def cluster_teams(
    track_id: Int[np.ndarray, " M"],
    roles: Int[np.ndarray, " M"],
    colours: Float[np.ndarray, "M C"] | None = None,
    embeddings: Float[np.ndarray, "M D"] | None = None,
    positions_m: Float[np.ndarray, "M 2"] | None = None,
    weights: TeamWeights = TeamWeights(),
    min_confidence: float = 0.0,
    seed: int = 0,
) -> tuple[Int[np.ndarray, " M"], Float[np.ndarray, " M"]]:
    """Two means of what is known of colour, appearance and place; long tracks count more.

    Args:
        track_id: of each row.
        roles: tracks whose rows are mostly players are clustered.
        colours: any description of the shirt's colour, such as its mean in Lab; NaN unknown.
        embeddings: see `tracklets`.
        positions_m: see `tracklets`.
        weights: of the three.
        min_confidence: tracks below it get no team (-1).
        seed: of the starts.

    Returns:
        cluster: 0 or 1 for each row of a player's track, else -1.
        confidence: 0 (half way between the means) .. 1 (at its own mean); 0 without a cluster.
    """
    given = [
        (values, weight, True)
        for values, weight in (
            (colours, weights.colour),
            (embeddings, weights.embedding),
            (positions_m, weights.position),
        )
        if values is not None and weight > 0
    ]
    if not given:
        raise ValueError(
            "expected colours, embeddings or positions_m with a weight above 0, got none. "
            "Give at least one description of the tracks."
        )
    clusters, confidence = _cluster_tracks(track_id, roles, given, seed, by_length=True)
    return np.where(confidence >= min_confidence, clusters, UNKNOWN), confidence


def sides_by_mean_x(
    clusters: Int[np.ndarray, " M"], positions_m: Float[np.ndarray, "M 2"]
) -> Int[np.ndarray, " M"]:
    """The official rule: the cluster with the larger mean x over all its rows is the right team.

    Returns:
        Team of each row; -1 without a cluster, or when a place of neither is known.

    Source: the released pipeline, team side stage.
    """
    clusters = np.asarray(clusters)
    x = np.asarray(positions_m, np.float64)[:, 0]
    means = [x[(clusters == c) & np.isfinite(x)] for c in (0, 1)]
    if not any(len(m) for m in means):
        return np.full(len(clusters), UNKNOWN)
    one_is_right = _mean(means[1], -np.inf) > _mean(means[0], -np.inf)
    return _as_teams(clusters, bool(one_is_right))


def sides_within_frames(
    frame: Int[np.ndarray, " M"],
    clusters: Int[np.ndarray, " M"],
    positions_m: Float[np.ndarray, "M 2"],
) -> Int[np.ndarray, " M"]:
    """The team that stands farther right in the frames that show both is the right team.

    Comparing within frames takes out where the camera looks.

    Args:
        frame: of each row.
        clusters: 0, 1 or -1.
        positions_m: see `tracklets`.

    Returns:
        The team of each row; -1 without a cluster, or when no frame shows both.
    """
    frame, clusters = np.asarray(frame), np.asarray(clusters)
    x = np.asarray(positions_m, np.float64)[:, 0]
    _, place = np.unique(frame, return_inverse=True)
    sums, counts = [], []
    for cluster in (0, 1):
        mine = (clusters == cluster) & np.isfinite(x)
        size = int(place.max(initial=-1)) + 1
        sums.append(np.bincount(place[mine], weights=x[mine], minlength=size))
        counts.append(np.bincount(place[mine], minlength=size))
    both = (counts[0] > 0) & (counts[1] > 0)
    if not both.any():
        return np.full(len(clusters), UNKNOWN)
    difference = sums[1][both] / counts[1][both] - sums[0][both] / counts[0][both]
    return _as_teams(clusters, bool(difference.mean() > 0))


def goalkeeper_side_per_row(
    roles: Int[np.ndarray, " M"],
    teams: Int[np.ndarray, " M"],
    positions_m: Float[np.ndarray, "M 2"],
) -> Int[np.ndarray, " M"]:
    """The official rule: a goalkeeper at x > 0 is of the right team, in every row by itself.

    Returns:
        `teams`, changed in the rows of goalkeepers; -1 where the place is unknown.

    Source: the released pipeline, team side stage.
    """
    x = np.asarray(positions_m, np.float64)[:, 0]
    side = np.where(np.isfinite(x), np.where(x > 0, RIGHT, LEFT), UNKNOWN)
    return np.where(np.asarray(roles) == _GOALKEEPER, side, teams)


def goalkeeper_side_per_track(
    track_id: Int[np.ndarray, " M"],
    roles: Int[np.ndarray, " M"],
    teams: Int[np.ndarray, " M"],
    positions_m: Float[np.ndarray, "M 2"],
) -> Int[np.ndarray, " M"]:
    """A goalkeeper's track is of the team in whose half most of its known places are.

    Decided by the median x over the rows that are goalkeepers; rows without a track are decided
    by themselves.
    """
    roles, x = np.asarray(roles), np.asarray(positions_m, np.float64)[:, 0]
    new = goalkeeper_side_per_row(roles, teams, positions_m)
    for rows in rows_of_tracks(track_id).values():
        keepers = rows[roles[rows] == _GOALKEEPER]
        placed = x[keepers][np.isfinite(x[keepers])]
        if len(keepers):
            middle = np.median(placed) if len(placed) else np.nan
            new[keepers] = UNKNOWN if np.isnan(middle) else RIGHT if middle > 0 else LEFT
    return new


def teams_of_field_roles(
    roles: Int[np.ndarray, " M"], teams: Int[np.ndarray, " M"]
) -> Int[np.ndarray, " M"]:
    """Teams of players and goalkeepers; everybody else has none (-1)."""
    return np.where(np.isin(roles, (_PLAYER, _GOALKEEPER)), teams, UNKNOWN)


def two_means(
    features: Float[np.ndarray, "n F"],
    weights: Float[np.ndarray, " n"] | None = None,
    seed: int = 0,
    starts: int = 10,
    iterations: int = 100,
) -> tuple[Int[np.ndarray, " n"], Float[np.ndarray, "2 F"]]:
    """k-means for k = 2 from several k-means++ starts; the tightest solution.

    Args:
        features: at least one row.
        weights: of the rows; None: all the same.
        seed: of the starts.
        starts: how many.
        iterations: at most, per start.

    Returns:
        Cluster of each row, the first row in cluster 0, and the two means.

    Source: Arthur and Vassilvitskii, k-means++, SODA 2007.
    """
    rng = np.random.default_rng(seed)
    n = len(features)
    weights = np.ones(n) if weights is None else np.asarray(weights, np.float64)
    if n == 1:
        return np.zeros(1, int), np.repeat(features, 2, axis=0).astype(np.float64)
    best: tuple[float, np.ndarray, np.ndarray] | None = None
    for _ in range(starts):
        first = int(rng.choice(n, p=weights / weights.sum()))
        far = weights * ((features - features[first]) ** 2).sum(axis=1)
        second = int(rng.choice(n, p=far / far.sum())) if far.sum() > 0 else first
        means = features[[first, second]].astype(np.float64)
        labels = np.full(n, UNKNOWN)
        for _ in range(iterations):
            squares = ((features[:, None] - means[None]) ** 2).sum(axis=2)
            new = squares.argmin(axis=1)
            if (new == labels).all():
                break
            labels = new
            for c in (0, 1):
                if (labels == c).any():
                    means[c] = np.average(
                        features[labels == c], axis=0, weights=weights[labels == c]
                    )
        spread = float((weights * squares[np.arange(n), labels]).sum())
        if best is None or spread < best[0]:
            best = (spread, labels, means)
    _, labels, means = best
    return (labels, means) if labels[0] == 0 else (1 - labels, means[::-1])


def _cluster_tracks(
    track_id: Int[np.ndarray, " M"],
    roles: Int[np.ndarray, " M"],
    columns: list[tuple[Float[np.ndarray, "M d"], float, bool]],
    seed: int,
    by_length: bool = False,
) -> tuple[Int[np.ndarray, " M"], Float[np.ndarray, " M"]]:
    """Cluster and confidence of each row; columns come with a weight and whether to scale them."""
    roles = np.asarray(roles)
    clusters = np.full(len(roles), UNKNOWN)
    confidence = np.zeros(len(roles))
    tracks = [rows for rows in rows_of_tracks(track_id).values() if _is_players(roles[rows])]
    blocks = []
    for values, weight, scale in columns:
        means = np.array([mean_embedding(np.asarray(values)[rows]) for rows in tracks])
        if len(means):
            blocks.append(_block(means, weight, scale))
    if not tracks:
        return clusters, confidence
    described = np.any([known_rows(block) for block in blocks], axis=0)
    if not described.any():
        return clusters, confidence
    features = np.nan_to_num(np.concatenate(blocks, axis=1))[described]
    tracks = [rows for rows, known in zip(tracks, described, strict=True) if known]
    lengths = np.array([len(rows) for rows in tracks], float)
    labels, means = two_means(features, lengths if by_length else None, seed)
    distances = np.linalg.norm(features[:, None] - means[None], axis=2)
    own = distances[np.arange(len(labels)), labels]
    total = distances.sum(axis=1)
    sure = np.where(total > 0, 1 - 2 * own / np.where(total > 0, total, 1), 0.0)
    for rows, label, value in zip(tracks, labels, sure, strict=True):
        clusters[rows], confidence[rows] = label, value
    return clusters, confidence


def _is_players(roles: Int[np.ndarray, " n"]) -> Bool[np.ndarray, ""]:
    return (roles == _PLAYER).sum() * 2 > len(roles)


def _block(means: Float[np.ndarray, "K d"], weight: float, scale: bool) -> Float[np.ndarray, "K d"]:
    """Centred; scaled to a total variance of weight ** 2; NaN where unknown."""
    if not scale or not known_rows(means).any():
        return means * weight
    centred = means - np.nanmean(means, axis=0)
    spread = np.sqrt(np.nanmean((centred**2).sum(axis=1)))
    return centred * (weight / spread if spread > 0 else 0.0)


def _as_teams(clusters: Int[np.ndarray, " M"], one_is_right: bool) -> Int[np.ndarray, " M"]:
    sides = (LEFT, RIGHT) if one_is_right else (RIGHT, LEFT)
    return np.select([clusters == 0, clusters == 1], sides, UNKNOWN)


def _mean(values: np.ndarray, default: float) -> float:
    return float(values.mean()) if len(values) else default
