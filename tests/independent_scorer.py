"""Scores of a benchmark set from files alone, in a few lines that share no code with the library.

    python scripts/make_synthetic.py output=SET split=benchmark seed=N
    python scripts/predict.py checkpoint=DIR input=SET/SoccerNetGS/test/SNGS-116/img1 \
        output=FRAMES athlete_threshold=0
    python scripts/predict.py checkpoint=DIR input=SET/benchmark_clips.mp4 output=CLIPS \
        texts=SET/texts.txt top_texts=100000
    python tests/independent_scorer.py SET FRAMES CLIPS

Only the places of the 57 keypoints on the pitch are taken from the library.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np

from soccermaster.geometry import Pitch


def read(folder: Path, name: str) -> list[dict]:
    return [json.loads(line) for line in (folder / name).read_text().splitlines()]


def clip_list(folder: Path) -> list[dict]:
    (path,) = folder.glob("video_clip_json/*/classification_test.json")
    return json.loads(path.read_text())


def frame_scores(folder: Path, predictions: Path) -> dict[str, float]:
    (path,) = folder.glob("SoccerNetGS/test/*/Labels-GameState.json")
    labels = json.loads(path.read_text())
    frames = [r for r in read(predictions, "predictions.jsonl") if "frame" in r]
    width, height = labels["images"][0]["width"], labels["images"][0]["height"]
    image_ids = {image["image_id"]: i for i, image in enumerate(labels["images"])}
    people: list[list] = [[] for _ in frames]
    lines: list[dict] = [{} for _ in frames]
    for row in labels["annotations"]:
        frame = image_ids[row["image_id"]]
        if "lines" in row:
            lines[frame] = row["lines"]
        elif row["attributes"]["role"] != "ball" and "bbox_image" in row:
            b = row["bbox_image"]
            box = (b["x"], b["y"], b["x"] + b["w"], b["y"] + b["h"])
            people[frame].append((box, row["attributes"]["role"]))

    hits, roles, scores = [], [], []
    for found, truth in zip(frames, people, strict=True):
        free = list(range(len(truth)))
        for person in sorted(found["athletes"], key=lambda p: -p["score"])[:100]:
            overlaps = [iou(person["box_xyxy_px"], truth[i][0]) for i in free]
            hit = bool(free) and max(overlaps) >= 0.5
            hits.append(hit)
            scores.append(person["score"])
            if hit:
                i = free.pop(int(np.argmax(overlaps)))
                roles.append(person["role"] == truth[i][1])
    order = np.argsort(-np.array(scores), kind="stable")
    true = np.cumsum(np.array(hits)[order])
    recall = true / sum(map(len, people))
    precision = np.maximum.accumulate((true / np.arange(1, len(true) + 1))[::-1])[::-1]
    places = np.searchsorted(recall, np.linspace(0, 1, 101))
    ap50 = np.mean([precision[i] if i < len(precision) else 0.0 for i in places])

    scale = np.array([width, height]) / 512
    keypoints, segments = np.zeros(3), np.zeros(3)  # hits, found, true
    for i, found in enumerate(frames):
        camera = json.loads((folder / f"calibration/test/camera_{i + 1:05d}.json").read_text())
        truth = project(camera, width, height)
        points = {int(k) - 1: np.array(v[:2]) for k, v in found["keypoints"].items()}
        near = [k in truth and gap(points[k], truth[k], scale) < 5 for k in points]
        keypoints += (sum(near), len(points), len(truth))
        ends = {n: np.array([v[0], v[-1]]) for n, v in lines[i].items() if "ircle" not in n}
        for name, (first, second, _) in found["lines"].items():
            if name not in ends:
                continue
            target = [(p["x"] * width, p["y"] * height) for p in ends[name]]
            segments[0] += (
                min(
                    max(gap(first, a, scale), gap(second, b, scale))
                    for a, b in (target, reversed_pair(target))
                )
                < 5
            )
        segments[1:] += (len(found["lines"]), len(ends))
    return {
        "athletes/ap50": float(ap50),
        "athletes/role_accuracy": float(np.mean(roles)) if roles else float("nan"),
        "pitch_keypoints/f1_5px": 2 * keypoints[0] / max(1, keypoints[1] + keypoints[2]),
        "pitch_lines/f1_5px": 2 * segments[0] / max(1, segments[1] + segments[2]),
    }


def clip_scores(folder: Path, predictions: Path) -> dict[str, float]:
    truth = clip_list(folder)
    clips = [r for r in read(predictions, "predictions.jsonl") if "clip" in r]
    right = [c["event"] == t["caption"] for c, t in zip(clips, truth, strict=True)]
    texts = [t["comments_text_anonymized"] for t in truth]
    similarity = [{r["text"]: r["score"] for r in c["retrieval"]} for c in clips]
    classes: dict[str, list[int]] = {}
    for i, clip in enumerate(truth):
        classes.setdefault(clip["caption"], []).append(i)
    most = max(map(len, classes.values()))
    pools = [[i for rows in classes.values() for i in rows[k : k + 2]] for k in range(0, most, 2)]
    return {
        "events/top1": float(np.mean(right)),
        "alignment/recall_at_1": recall(pools, similarity, texts),
        "alignment/recall_within_class": recall(list(classes.values()), similarity, texts),
    }


def recall(pools: list[list[int]], similarity: list[dict], texts: list[str]) -> float:
    hits = []
    for pool in pools:
        for i in pool:
            others = [similarity[i][texts[j]] for j in pool if texts[j] != texts[i]]
            hits.append(similarity[i][texts[i]] > max(others, default=-np.inf))
    return float(np.mean(hits))


def project(camera: dict, width: int, height: int) -> dict[int, np.ndarray]:
    """Keypoints inside of the frame, by index; the camera is one of a 960 x 540 frame."""
    points_m = Pitch(template="exact").keypoints_m - np.array(camera["position_meters"])
    x, y, z = np.array(camera["rotation_matrix"]) @ points_m.T
    focal = camera["x_focal_length"] * width / 960
    pixels = np.stack([width / 2 + focal * x / z, height / 2 + focal * y / z], axis=1)
    inside = (z > 0) & (pixels >= 0).all(1) & (pixels <= (width, height)).all(1)
    return {i: pixels[i] for i in np.flatnonzero(inside)}


def gap(a, b, scale: np.ndarray) -> float:
    """Distance in a 512 x 512 frame."""
    return float(np.linalg.norm((np.asarray(a) - np.asarray(b)) / scale))


def reversed_pair(pair: list) -> list:
    return [pair[1], pair[0]]


def iou(a, b) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    area = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (area - width * height)


if __name__ == "__main__":
    benchmark, frames_folder, clips_folder = map(Path, sys.argv[1:])
    everything = frame_scores(benchmark, frames_folder) | clip_scores(benchmark, clips_folder)
    for key, value in everything.items():
        print(f"{key:32s} {value:.4f}")
