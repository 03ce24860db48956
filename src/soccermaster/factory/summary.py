"""What the report says about a finished clip, in numbers."""

from __future__ import annotations

from typing import Any

import numpy as np

from soccermaster.factory.people import gather_people
from soccermaster.factory.records import Records, array
from soccermaster.tracking.tracklets import rows_of_tracks
from soccermaster.vocabulary import NO_NUMBER, ROLES, TEAMS, UNKNOWN


def summarise_clip(records: Records, num_frames: int) -> dict[str, Any]:
    """Counts of what was found, jitter of the places, and remarks about what is missing.

    Rows of tracks without a role or a place are not in the predictions for the evaluator.
    """
    summary: dict[str, Any] = {"frames": num_frames}
    remarks = []
    if "cameras" in records:
        cameras = records["cameras"]
        valid = array(cameras, "valid").astype(bool)
        errors = array(cameras, "error_px")[valid]
        errors = errors[np.isfinite(errors)]
        summary["frames_with_camera"] = int(valid.sum())
        summary["median_error_px"] = _round(np.median(errors)) if len(errors) else None
        if not valid.any():
            remarks.append("no camera: no pitch was recognised")
    if "detections" in records:
        people = gather_people(records)
        summary["detections"] = len(people)
        sources, counts = np.unique(array(records["detections"], "source"), return_counts=True)
        summary["detections_by_source"] = dict(zip(sources.tolist(), counts.tolist(), strict=True))
        if not len(people):
            remarks.append("nobody was found")
        tracks = rows_of_tracks(people.track_id, people.frame)
        summary["tracks"] = len(tracks)
        placed = np.isfinite(people.positions_m).all(axis=1) & (people.final_roles != UNKNOWN)
        summary["rows_not_in_predictions"] = int((people.tracked & ~placed).sum())
        first = np.array([rows[0] for rows in tracks.values()], int)
        numbers, roles, teams = (
            values[first] for values in (people.final_numbers, people.final_roles, people.teams)
        )
        summary["tracks_with_number"] = int(((numbers >= 0) & (numbers < NO_NUMBER)).sum())
        summary["tracks_by_role"] = _counts(roles, ROLES)
        summary["tracks_by_team"] = _counts(teams, TEAMS)
        summary["median_jitter_m"] = _jitter(people.frame, people.positions_m, tracks)
    if "legibility" in records and records["legibility"].num_rows:
        scores = array(records["legibility"], "confidence")
        summary["legibility_not_understood"] = int(np.isnan(scores).sum())
        if np.isnan(scores).all():
            remarks.append("the model of legibility gave no answer that was understood")
    if "roles" in records:
        answers = array(records["roles"], "role")
        summary["roles_asked"] = len(answers)
        summary["roles_not_understood"] = int((answers == UNKNOWN).sum())
        if len(answers) and (answers == UNKNOWN).all():
            remarks.append("the reader of roles gave no answer that was understood")
    if "numbers" in records:
        answers = array(records["numbers"], "number")
        summary["numbers_asked"] = len(answers)
        summary["numbers_not_understood"] = int((answers == UNKNOWN).sum())
        if len(answers) and (answers == UNKNOWN).all():
            remarks.append("the reader of numbers gave no answer that was understood")
        if not len(answers) and summary.get("tracks"):
            remarks.append("no number was read: nobody asked, or none was legible")
    summary["remarks"] = remarks
    return summary


def _counts(values: np.ndarray, names: tuple[str, ...]) -> dict[str, int]:
    known = {name: int((values == index).sum()) for index, name in enumerate(names)}
    return known | {"unknown": int((values == UNKNOWN).sum())}


def _jitter(frame: np.ndarray, positions_m: np.ndarray, tracks: dict) -> float | None:
    """Median length of the second difference of places in consecutive frames, in metres."""
    lengths = []
    for rows in tracks.values():
        step = np.diff(frame[rows])
        second = np.diff(positions_m[rows], n=2, axis=0)
        if len(second):
            lengths.append(np.linalg.norm(second[(step[1:] == 1) & (step[:-1] == 1)], axis=1))
    found = np.concatenate(lengths) if lengths else np.zeros(0)
    found = found[np.isfinite(found)]
    return _round(np.median(found)) if len(found) else None


def _round(value: float) -> float:
    return round(float(value), 3)
