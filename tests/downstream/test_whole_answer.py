"""The whole answer about a video, from predictions that annotations make."""

from __future__ import annotations

import json

import numpy as np
import torch

from soccermaster.data.synthetic.dataset import render_sequence
from soccermaster.downstream.reconstruct import reconstruct
from soccermaster.downstream.whole_answer import write_answer
from soccermaster.predict import ClipPredictions
from soccermaster.predict_files import frame_record
from soccermaster.structures import EventPrediction
from tests.downstream.heads import SIZE, camera_of, nobody, people_of, predictions, written_video
from tests.downstream.test_game_state import rules


def test_a_line_per_frame_and_per_clip_says_everything(tmp_path):
    clip = render_sequence(3, 4, 25.0, SIZE[::-1])
    black = np.zeros_like(clip.frames[0])
    source = written_video(tmp_path / "match.mp4", [*clip.frames, black])
    frames = [
        predictions(i, image, camera_of(clip, i), people_of(clip, i))
        for i, image in enumerate(clip.frames)
    ]
    frames.append(predictions(4, black, None, nobody()))
    states = list(reconstruct(source, frames, rules()))
    event = EventPrediction(("corner", "goal"), torch.tensor([0.75, 0.25]))
    clips = [ClipPredictions(0, 2, event), ClipPredictions(3, 4, None)]
    markings = [frame_record(frame, 0.3, None) for frame in frames]
    write_answer(tmp_path / "answer.jsonl", markings, states, clips)
    lines = [json.loads(line) for line in (tmp_path / "answer.jsonl").read_text().splitlines()]
    assert [line.get("frame", line.get("clip")) for line in lines] == [
        1,
        2,
        3,
        [1, 3],
        4,
        5,
        [4, 5],
    ]
    assert lines[3]["event"] == "corner" and lines[6]["event"] is None
    first, last = lines[0], lines[5]
    assert first["keypoints"] and first["lines"] and len(first["athletes"]) > 5
    assert len({person["id"] for person in first["athletes"]}) == len(first["athletes"])
    K, R, t = (np.array(first["camera"][name]) for name in "KRt")
    away_px = []
    for person in first["athletes"]:
        x0, _, x1, y1 = person["box_xyxy_px"]
        seen = K @ (R @ [*person["position_m"], 0.0] + t)
        away_px.append(np.linalg.norm(seen[:2] / seen[2] - [(x0 + x1) / 2, y1]))
    assert np.median(away_px) < 2  # places are smoothed over time
    assert last["camera"] is None and "too few observations" in last["no_camera"]
    assert (last["shot"], last["athletes"], last["keypoints"]) == (2, [], {})
