"""Stages about tracks: who is off the pitch, votes, merges, holes, teams and sides.

Each applies one rule of `soccermaster.tracking` to the records; the rule's own words are there.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Literal

import numpy as np
from jaxtyping import Float, Int

from soccermaster.factory.people import People, corners_of, gather_people, track_table
from soccermaster.factory.records import Records, array, make_table, rows_of
from soccermaster.factory.refine import NewRow, with_new_rows
from soccermaster.factory.stage import ClipContext, Stage
from soccermaster.geometry import Camera
from soccermaster.tracking.merging import (
    MergeGuards,
    merge_by_number,
    merge_by_reid,
    merge_mean_embeddings,
    merge_number_groups,
)
from soccermaster.tracking.smoothing import crossable_gaps, smooth_positions
from soccermaster.tracking.splitting import short_tracks, tracks_off_pitch
from soccermaster.tracking.teams import (
    TeamWeights,
    cluster_by_embedding,
    cluster_by_embedding_and_place,
    cluster_teams,
    goalkeeper_side_per_row,
    goalkeeper_side_per_track,
    sides_by_mean_x,
    sides_within_frames,
    teams_of_field_roles,
)
from soccermaster.tracking.tracklets import rows_of_tracks
from soccermaster.tracking.voting import (
    vote_number,
    vote_number_neighbours,
    vote_role,
    vote_role_sum,
)
from soccermaster.vocabulary import NO_NUMBER, ROLES, UNKNOWN

_PLAYER = ROLES.index("player")
_WITH_NUMBER = (_PLAYER, ROLES.index("goalkeeper"))
TEAM_FEATURES = ("embedding", "embedding_and_place", "colour_embedding_place")


class RemoveOutside(Stage):
    """Tracks that are mostly off the pitch belong to nobody any more (`tracks_off_pitch`).

    Args:
        max_x_m: inside is |x| up to here.
        max_y_m: inside is |y| up to here.
        min_share_inside: of the known places of a track.
    """

    name = "remove_outside"
    requires = frozenset({"detections", "track_ids", "positions"})
    provides = frozenset({"track_ids"})

    def __init__(
        self, max_x_m: float = 62.5, max_y_m: float = 39.0, min_share_inside: float = 0.5
    ) -> None:
        self.limits = {
            "max_x_m": max_x_m,
            "max_y_m": max_y_m,
            "min_share_inside": min_share_inside,
        }

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        off = tracks_off_pitch(people.track_id, people.positions_m, **self.limits)
        track_id = np.where(off, UNKNOWN, people.track_id)
        return records.replace(track_ids=track_table(people, track_id, self.name))


class DropShort(Stage):
    """Tracks of fewer rows than `min_rows` belong to nobody any more (`short_tracks`).

    Args:
        min_rows: least rows of a track.
        enough_share: a track in this share of the clip's frames is kept however short; above 1:
            none.
    """

    name = "drop_short"
    requires = frozenset({"detections", "track_ids"})
    provides = frozenset({"track_ids"})

    def __init__(self, min_rows: int = 8, enough_share: float = math.inf) -> None:
        self.min_rows, self.enough_share = min_rows, enough_share

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        least = min(self.min_rows, self.enough_share * clip.num_frames)
        short = short_tracks(people.track_id, least)
        track_id = np.where(short, UNKNOWN, people.track_id)
        return records.replace(track_ids=track_table(people, track_id, self.name))


class Vote(Stage):
    """One number and one role per track, out of what was read in its rows.

    Args:
        rule: "guarded": most confidence, with a minimum of votes and a share of them all
            (`vote_number`, `vote_role`); "official": `vote_number_neighbours`, `vote_role_sum`.
        min_votes: of the winning number, in the guarded rule.
        min_ratio: its share of the confidence of all readings of the track.
        min_role_votes: the same for roles.
        min_role_ratio: the same for roles.
    """

    name = "vote"
    requires = frozenset({"detections", "track_ids", "numbers", "roles"})
    provides = frozenset({"track_numbers", "track_roles"})

    def __init__(
        self,
        rule: Literal["guarded", "official"] = "guarded",
        min_votes: int = 2,
        min_ratio: float = 0.5,
        min_role_votes: int = 1,
        min_role_ratio: float = 0.5,
    ) -> None:
        if rule not in ("guarded", "official"):
            raise ValueError(f"expected the rule 'guarded' or 'official', got {rule!r}")
        self.rule = rule
        self.number_limits = (min_votes, min_ratio)
        self.role_limits = (min_role_votes, min_role_ratio)

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        tracks = rows_of_tracks(people.track_id, people.frame)
        numbers = [self._number(people, rows) for rows in tracks.values()]
        roles = [self._role(people, rows) for rows in tracks.values()]
        return records.replace(
            track_numbers=_track_table("track_numbers", "number", tracks, numbers, self.rule),
            track_roles=_track_table("track_roles", "role", tracks, roles, self.rule),
        )

    def _number(self, people: People, rows: np.ndarray) -> tuple[int, int, float]:
        values = people.numbers[rows]
        values = np.where(values == NO_NUMBER, UNKNOWN, values)
        scores = _weights(people.number_scores[rows])
        if self.rule == "official":
            winner = vote_number_neighbours(values, scores)
        else:
            asked = values != UNKNOWN
            winner = vote_number(values[asked], scores[asked], *self.number_limits)
        return winner, *_support(values, scores, winner)

    def _role(self, people: People, rows: np.ndarray) -> tuple[int, int, float]:
        values, scores = people.roles[rows], _weights(people.role_scores[rows])
        if self.rule == "official":
            winner = vote_role_sum(values, scores)
        else:
            winner = vote_role(values, scores, *self.role_limits)
        return winner, *_support(values, scores, winner)


class MergeByNumber(Stage):
    """Tracks of the same number become one person.

    Args:
        rule: "guarded" (`merge_by_number`) or "official" (`merge_number_groups`).
        guards: of the guarded rule, see `MergeGuards`; fps comes from the clip.
    """

    name = "merge_by_number"
    requires = frozenset({"detections", "track_ids", "numbers", "roles"})
    provides = frozenset({"track_ids"})

    def __init__(
        self,
        rule: Literal["guarded", "official"] = "guarded",
        guards: Mapping[str, float | bool] | None = None,
    ) -> None:
        self.rule, self.guards = _checked_rule(rule), dict(guards or {})
        MergeGuards(**self.guards)

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        if self.rule == "official":
            merged = merge_number_groups(people.frame, people.track_id, people.final_numbers)
        else:
            merged = merge_by_number(
                people.frame,
                people.track_id,
                numbers=_players_numbers(people),
                guards=MergeGuards(**{"fps": clip.fps, **self.guards}),
                roles=people.final_roles,
                teams=provisional_teams(people),
                embeddings=people.embeddings,
                positions_m=people.positions_m,
            )
        return records.replace(track_ids=track_table(people, merged, self.name))


class MergeByReID(Stage):
    """Tracks that look alike become one person.

    Args:
        rule: "guarded" (`merge_by_reid`) or "official" (`merge_mean_embeddings`).
        guards: of the guarded rule, see `MergeGuards`; fps comes from the clip.
        max_distance: cosine distance of the official rule.
    """

    name = "merge_by_reid"
    requires = frozenset({"detections", "track_ids", "embeddings", "numbers", "roles"})
    provides = frozenset({"track_ids"})

    def __init__(
        self,
        rule: Literal["guarded", "official"] = "guarded",
        guards: Mapping[str, float | bool] | None = None,
        max_distance: float = 0.1,
    ) -> None:
        self.rule, self.guards = _checked_rule(rule), dict(guards or {})
        self.max_distance = max_distance
        MergeGuards(**self.guards)

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        if self.rule == "official":
            merged = merge_mean_embeddings(
                people.frame, people.track_id, people.embeddings, self.max_distance
            )
        else:
            merged = merge_by_reid(
                people.frame,
                people.track_id,
                people.embeddings,
                MergeGuards(**{"fps": clip.fps, **self.guards}),
                roles=people.final_roles,
                teams=provisional_teams(people),
                numbers=_players_numbers(people),
                positions_m=people.positions_m,
            )
        return records.replace(track_ids=track_table(people, merged, self.name))


class Fill(Stage):
    """Short holes in tracks (`crossable_gaps`) get rows on the straight line between both ends.

    The line is drawn on the pitch, and the boxes stand where the cameras see it; without cameras
    it is drawn in the image. The rows say `source` "interpolated" and have no confidence: nobody
    saw them.

    Args:
        max_gap_frames: longer holes stay open.
        max_speed_m_s: a hole that only a faster runner could cross stays open.
    """

    name = "fill"
    version = 2
    requires = frozenset({"detections", "track_ids", "positions"})
    provides = frozenset({"detections", "track_ids", "positions"})

    def __init__(self, max_gap_frames: int = 25, max_speed_m_s: float = 12.0) -> None:
        self.max_gap_frames, self.max_speed_m_s = max_gap_frames, max_speed_m_s

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        corners = corners_of(records)
        ends, shares = [], []
        for before, after in crossable_gaps(
            people.frame,
            people.track_id,
            people.positions_m,
            self.max_gap_frames,
            clip.fps,
            self.max_speed_m_s,
        ):
            steps = int(people.frame[after] - people.frame[before])
            ends += [(before, after)] * (steps - 1)
            shares += [step / steps for step in range(1, steps)]
        before, after = np.array(ends, int).reshape(-1, 2).T
        share = np.array(shares).reshape(-1, 1)

        def between(values: np.ndarray) -> np.ndarray:
            return (1 - share) * values[before] + share * values[after]

        frame = np.rint(between(people.frame[:, None])[:, 0]).astype(int)
        places, boxes = between(corners), between(people.boxes_xyxy_px)
        if "cameras" in records:
            aside_px = _feet_px(people.boxes_xyxy_px) - _seen_px(
                records, clip, people.frame, people.positions_m
            )
            seen = _seen_px(records, clip, frame, places[:, 2:4]) + between(aside_px)
            boxes += np.tile(np.nan_to_num(seen - _feet_px(boxes)), 2)
        rows = [
            NewRow(t, box, track, float("nan"))
            for t, box, track in zip(
                frame.tolist(), boxes, people.track_id[before].tolist(), strict=True
            )
        ]
        filled = with_new_rows(records, people, people.track_id, rows, "interpolated")
        ids = int(people.detection_id.max(initial=-1)) + 1 + np.arange(len(rows))
        known = np.flatnonzero(np.isfinite(places).all(axis=1))
        old = records["positions"]
        positions = make_table(
            "positions",
            source=np.array([*array(old, "source"), *(["interpolated"] * len(known))], object),
            frame=[*array(old, "frame"), *frame[known]],
            detection_id=[*array(old, "detection_id"), *ids[known]],
            left_middle_right_m=np.concatenate(
                [array(old, "left_middle_right_m").reshape(-1, 6), places[known]]
            ),
            confidence=[*array(old, "confidence"), *np.full(len(known), np.nan)],
        )
        return filled.replace(positions=positions)


class Smooth(Stage):
    """Places on the pitch move to a smooth curve per track (`smooth_positions`).

    Args:
        noise_m: of a place, per axis.
        acceleration_m_s2: how hard people change their velocity.
        max_gap_frames: a curve does not reach over longer holes.
    """

    name = "smooth"
    requires = frozenset({"detections", "track_ids", "positions"})
    provides = frozenset({"positions"})

    def __init__(
        self, noise_m: float = 0.4, acceleration_m_s2: float = 3.0, max_gap_frames: int = 25
    ) -> None:
        self.settings = {
            "noise_m": noise_m,
            "acceleration_m_s2": acceleration_m_s2,
            "max_gap_frames": max_gap_frames,
        }

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people, old = gather_people(records), records["positions"]
        smoothed = smooth_positions(
            people.frame, people.track_id, people.positions_m, clip.fps, **self.settings
        )
        shift = (smoothed - people.positions_m)[
            rows_of(records["detections"], array(old, "detection_id"))
        ]
        moved = array(old, "left_middle_right_m") + np.tile(np.nan_to_num(shift), 3)
        positions = make_table(
            "positions",
            source=np.array([f"{s}+smooth" if m else s for s, m in zip(
                array(old, "source"), (shift != 0).any(axis=1), strict=True)], object),
            frame=array(old, "frame"),
            detection_id=array(old, "detection_id"),
            left_middle_right_m=moved,
            confidence=array(old, "confidence"),
        )  # fmt: skip
        return records.replace(positions=positions)


class Team(Stage):
    """Two clusters of the tracks of players.

    Args:
        team_features: "embedding" is the released code's rule (`cluster_by_embedding`),
            "embedding_and_place" the paper's words (`cluster_by_embedding_and_place`),
            "colour_embedding_place" all that is known, with a confidence (`cluster_teams`).
        weights: of the last one, see `TeamWeights`.
        min_confidence: of the last one: tracks below get no team.
    """

    name = "team"
    requires = frozenset({"detections", "track_ids", "roles"})
    provides = frozenset({"track_clusters"})

    def __init__(
        self,
        team_features: str = "colour_embedding_place",
        weights: Mapping[str, float] | None = None,
        min_confidence: float = 0.0,
    ) -> None:
        if team_features not in TEAM_FEATURES:
            raise ValueError(
                f"expected team_features of {', '.join(TEAM_FEATURES)}, got {team_features!r}"
            )
        self.team_features, self.weights = team_features, TeamWeights(**(weights or {}))
        self.min_confidence = min_confidence

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        roles, confidence = people.final_roles, np.full(len(people), np.nan)
        if self.team_features == "embedding":
            clusters = cluster_by_embedding(people.track_id, roles, people.embeddings)
        elif self.team_features == "embedding_and_place":
            clusters = cluster_by_embedding_and_place(
                people.track_id, roles, people.embeddings, people.positions_m
            )
        else:
            clusters, confidence = cluster_teams(
                people.track_id,
                roles,
                people.colours,
                people.embeddings,
                people.positions_m,
                self.weights,
                self.min_confidence,
            )
        first = {i: rows[0] for i, rows in rows_of_tracks(people.track_id).items()}
        rows = np.array([r for r in first.values() if clusters[r] != UNKNOWN], int)
        table = make_table(
            "track_clusters",
            source=self.team_features,
            track_id=people.track_id[rows],
            cluster=clusters[rows],
            confidence=confidence[rows],
        )
        return records.replace(track_clusters=table)


class Side(Stage):
    """Which goal each team defends, and the goalkeepers' teams.

    Args:
        rule: "guarded": clusters compared within frames (`sides_within_frames`), one side per
            goalkeeper's track (`goalkeeper_side_per_track`); "official": mean x of the clusters
            (`sides_by_mean_x`), a goalkeeper's side in each row by its x.
    """

    name = "side"
    requires = frozenset({"detections", "track_ids", "positions", "roles", "track_clusters"})
    provides = frozenset({"teams"})

    def __init__(self, rule: Literal["guarded", "official"] = "guarded") -> None:
        self.rule = _checked_rule(rule)

    def run(self, clip: ClipContext, records: Records) -> Records:
        """See `Stage.run`."""
        people = gather_people(records)
        if self.rule == "official":
            teams = sides_by_mean_x(people.clusters, people.positions_m)
            teams = goalkeeper_side_per_row(people.final_roles, teams, people.positions_m)
        else:
            teams = sides_within_frames(people.frame, people.clusters, people.positions_m)
            teams = goalkeeper_side_per_track(
                people.track_id, people.final_roles, teams, people.positions_m
            )
        teams = teams_of_field_roles(people.final_roles, teams)
        rows = np.flatnonzero((teams != UNKNOWN) & people.tracked)
        table = make_table(
            "teams",
            source=self.rule,
            frame=people.frame[rows],
            detection_id=people.detection_id[rows],
            team=teams[rows],
        )
        return records.replace(teams=table)


def provisional_teams(people: People, min_confidence: float = 0.3) -> Int[np.ndarray, " M"]:
    """Clusters of what the tracks look like so far, where they are clear; -1 elsewhere."""
    if not people.tracked.any():
        return np.full(len(people), UNKNOWN)
    clusters, _ = cluster_teams(
        people.track_id,
        people.final_roles,
        people.colours,
        people.embeddings,
        None,
        min_confidence=min_confidence,
    )
    return clusters


def _players_numbers(people: People) -> Int[np.ndarray, " M"]:
    with_number = np.isin(people.final_roles, (*_WITH_NUMBER, UNKNOWN))
    return np.where(with_number, people.final_numbers, UNKNOWN)


def _feet_px(boxes_xyxy_px: Float[np.ndarray, "n 4"]) -> Float[np.ndarray, "n 2"]:
    """Middle of the lower edge."""
    return np.stack([boxes_xyxy_px[:, [0, 2]].mean(axis=1), boxes_xyxy_px[:, 3]], axis=1)


def _seen_px(
    records: Records,
    clip: ClipContext,
    frame: Int[np.ndarray, " n"],
    places_m: Float[np.ndarray, "n 2"],
) -> Float[np.ndarray, "n 2"]:
    """Where the camera of each frame sees a place on the pitch; NaN without a camera."""
    cameras, seen = records["cameras"], np.full((len(frame), 2), np.nan)
    which = rows_of(cameras, frame, "frame")
    there = np.flatnonzero((which >= 0) & np.isfinite(places_m).all(axis=1))
    there = there[array(cameras, "valid")[which[there]].astype(bool)]
    if len(there):
        camera = Camera(
            array(cameras, "K")[which[there]].reshape(-1, 3, 3),
            array(cameras, "R")[which[there]].reshape(-1, 3, 3),
            array(cameras, "position_m")[which[there]],
            clip.image_size,
        )
        ground_m = np.concatenate([places_m[there], np.zeros((len(there), 1))], axis=1)
        seen[there] = camera.project(ground_m[:, None])[0][:, 0]
    return seen


def _weights(scores: np.ndarray) -> np.ndarray:
    """Votes of a reader that does not say how sure it is (NaN) count 1."""
    return np.where(np.isnan(scores), 1.0, scores)


def _support(values: np.ndarray, scores: np.ndarray, winner: int) -> tuple[int, float]:
    """Votes for the winner, and their share of the confidence of all votes (NaN: none)."""
    if winner == UNKNOWN:
        return 0, float("nan")
    mine, total = values == winner, float(scores[values != UNKNOWN].sum())
    return int(mine.sum()), float(scores[mine].sum() / total) if total > 0 else float("nan")


def _track_table(kind: str, column: str, tracks: dict, decisions: list, source: str):
    values, votes, confidence = zip(*decisions, strict=True) if decisions else ((), (), ())
    columns = {"track_id": list(tracks), column: list(values), "votes": list(votes)}
    return make_table(kind, source=source, confidence=list(confidence), **columns)


def _checked_rule(rule: str) -> str:
    if rule not in ("guarded", "official"):
        raise ValueError(f"expected the rule 'guarded' or 'official', got {rule!r}")
    return rule
