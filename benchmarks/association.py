"""Learned identities against a Kalman filter: `python benchmarks/association.py`.

Trains `experiment=association` (a few minutes on two cores; or takes `--checkpoint DIR`), then lets
the model and trackers without appearance follow the same noisy boxes of unseen clips.
"""

from __future__ import annotations

import argparse
import dataclasses
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from tracking import missed_in_bursts  # beside this file

from soccermaster.data.collate import collate_clips
from soccermaster.data.synthetic import SyntheticSpatial
from soccermaster.metrics.tracking import tracking_scores
from soccermaster.model import SoccerModel, load_model
from soccermaster.structures import Athletes, Clip
from soccermaster.tracking.tracker import TrackerConfig, track_clip
from soccermaster.vocabulary import ROLES, UNKNOWN

IMAGE_SIZE = (144, 256)
BY_OVERLAP = TrackerConfig(
    use_pitch=False, use_cameras=False, gate=0.0, max_age=30, max_iou_age=30
)  # boxes move by the Kalman filter and are matched by IoU alone
TRACKERS = {
    "Kalman + IoU": BY_OVERLAP,
    "Kalman + IoU, of the frame before": dataclasses.replace(BY_OVERLAP, max_iou_age=1, max_age=1),
    "Kalman gate, then IoU": dataclasses.replace(BY_OVERLAP, gate=0.99, max_iou_age=1),
}
SCORES = ("idf1", "hota", "assa", "mota")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--checkpoint", type=Path, help="of a model with the task 'association'")
    parser.add_argument("--steps", type=int, default=200)
    parser.add_argument("--clips", type=int, default=8)
    parser.add_argument("--frames", type=int, default=100)
    args = parser.parse_args()
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        checkpoint = args.checkpoint or train(args.steps, Path(folder))
        model = load_model(str(checkpoint)).eval()
    print(f"model ready after {time.perf_counter() - start:.0f} s")
    table = Table("follows", *SCORES)
    for name, scores in compare(model, args.clips, args.frames).items():
        table.add_row(name, *(f"{100 * scores[key]:.1f}" for key in SCORES))
    Console().print(table)


def train(steps: int, folder: Path) -> Path:
    """A checkpoint of the experiment's model."""
    from hydra import compose, initialize_config_dir

    from soccermaster.cli import register_resolvers
    from soccermaster.training.run import train as run

    register_resolvers()
    configs = Path(__file__).resolve().parent.parent / "configs"
    overrides = ["experiment=association", f"trainer.max_steps={steps}", f"paths.output={folder}"]
    with initialize_config_dir(str(configs), version_base="1.3"):
        run(compose("train", overrides=[*overrides, "logger=[csv]"]))
    return folder


def compare(
    model: SoccerModel, num_clips: int, num_frames: int, seed: int = 11
) -> dict[str, dict[str, float]]:
    """Scores of the model and of the trackers, on the same boxes."""
    dataset = SyntheticSpatial("test", num_clips, num_frames, image_size=IMAGE_SIZE, seed=seed)
    pairs: dict[str, list[tuple[Athletes, Athletes]]] = {"association": []}
    pairs |= {name: [] for name in TRACKERS}
    for index in range(num_clips):
        clip = dataset[index]
        truth = clip.annotations.athletes
        truth = truth.select(truth.roles != ROLES.index("ball"))
        boxes, scores = noisy_boxes(np.random.default_rng([seed, index]), truth, num_frames)
        followed = follow(model, clip, boxes)
        pairs["association"].append((truth, dataclasses.replace(boxes, track_ids=followed)))
        for name, config in TRACKERS.items():
            ids = track_clip(boxes.frame, boxes.boxes_xyxy_px, scores, config=config)
            pairs[name].append((truth, dataclasses.replace(boxes, track_ids=ids)))
    return {name: tracking_scores(found) for name, found in pairs.items()}


def follow(model: SoccerModel, clip: Clip, boxes: Athletes) -> np.ndarray:
    """Track ids that the model gives to the boxes."""
    detected = dataclasses.replace(clip.annotations, athletes=boxes)
    detected = dataclasses.replace(clip, annotations=detected)
    batch = collate_clips([detected], frozenset({"boxes", "track_ids"}), "detections")
    task = model.tasks["association"]
    with torch.no_grad():
        output = model.run(batch)["association"]
        predictions = task.decode(output, batch)
    return torch.cat([p.track_ids for p in predictions]).numpy()


def noisy_boxes(
    rng: np.random.Generator, truth: Athletes, num_frames: int
) -> tuple[Athletes, np.ndarray]:
    """What a detector might find, and its scores.

    8 % of the boxes are missed in bursts of 3 to 25 frames, there are 0.3 false boxes per frame,
    and the rest jitter by 3 % of their height.
    """
    seen = truth.select(~missed_in_bursts(rng, truth.track_ids))
    extra = int(0.3 * num_frames)
    height = (seen.boxes_xyxy_px[:, 3] - seen.boxes_xyxy_px[:, 1])[:, None]
    boxes = seen.boxes_xyxy_px + 0.03 * height * rng.normal(size=(len(seen), 4))
    size = np.median(seen.boxes_xyxy_px[:, 2:] - seen.boxes_xyxy_px[:, :2], axis=0)
    corner = rng.uniform((0, 0), (IMAGE_SIZE[1] - size[0], IMAGE_SIZE[0] - size[1]), (extra, 2))
    frame = np.concatenate([seen.frame, rng.integers(0, num_frames, extra)])
    order = np.argsort(frame, kind="stable")
    found = Athletes.from_boxes(
        frame[order],
        np.concatenate([boxes, np.concatenate([corner, corner + size], axis=1)])[order],
        track_ids=np.concatenate([seen.track_ids, np.full(extra, UNKNOWN)])[order],
    )
    scores = np.concatenate([rng.uniform(0.6, 0.98, len(seen)), rng.uniform(0.4, 0.6, extra)])
    return found, scores[order]


if __name__ == "__main__":
    main()
