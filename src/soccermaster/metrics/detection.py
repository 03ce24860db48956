"""How well are people found, and their role and shirt number read? COCO AP and accuracies.

AP follows COCO: no score cut, up to 100 detections per frame, a detection may take the next best
annotation that is free. There is one class, person: balls are left out on both sides.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from faster_coco_eval import COCO, COCOeval_faster
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soccermaster import vocabulary
from soccermaster.metrics.samples import (
    UNDEFINED,
    SampleMetric,
    check_batch,
    first_of_each,
    frame_keys,
    ratio,
)
from soccermaster.ops.boxes import box_iou
from soccermaster.structures import Athletes, AthletesPrediction, Batch

#: Columns of the count table.
_COUNTS: tuple[str, ...] = ("role_hits", "role_total", "number_hits", "number_total")


class AthletesMetrics(SampleMetric):
    """`ap`, `ap50` and `ap75` of people; `role_accuracy` and `number_accuracy` of those found.

    The accuracies are over one-to-one matches by score. Roles count where annotated, numbers where
    annotated and readable in that frame.
    """

    def __init__(
        self,
        role_names: Sequence[str] = vocabulary.ROLES,
        max_detections: int = 100,
        match_iou: float = 0.5,
        **kwargs: Any,
    ) -> None:
        """No frames yet.

        Args:
            role_names: what the role indices mean, in batches and predictions.
            max_detections: the best ones of a frame that count.
            match_iou: least overlap of a match, for the accuracies.
            **kwargs: of torchmetrics.Metric.
        """
        super().__init__(**kwargs)
        self.role_names = tuple(role_names)
        self.max_detections = max_detections
        self.match_iou = match_iou
        self.add_table("keys")  # a row per frame here and in `sizes` and `counts`
        self.add_table("sizes", 2)  # detections and annotations of the frame
        self.add_table("counts", len(_COUNTS))
        self.add_table("detected", 5, dtype=torch.float32)  # box and score, frame by frame
        self.add_table("annotated", 4, dtype=torch.float32)  # box, frame by frame

    def update(self, predictions: list[AthletesPrediction], batch: Batch) -> None:
        """Add the frames of one batch.

        Args:
            predictions: one per frame, clip by clip; those of padding frames are ignored.
            batch: with athletes.
        """
        num_frames = len(batch.images) * batch.num_frames
        check_batch(self, predictions, batch, ("athletes",), num_frames)
        height, width = batch.image_size
        scale = torch.tensor([width, height, width, height], dtype=torch.float32)
        truth = _on_cpu(batch.athletes)
        truth = truth.select(truth.roles != self._role("ball"))
        keys = frame_keys(batch)
        for frame in batch.frame_mask.flatten().nonzero().flatten().tolist():
            people = truth.select(truth.frame == frame)
            boxes = people.boxes_xyxy_px / scale
            found = self._best(_on_cpu(predictions[frame]))
            matches = greedy_matches(box_iou(found.boxes_xyxy_norm, boxes), self.match_iou)
            self.append("keys", [keys[frame]])
            self.append("sizes", [len(found.scores), len(boxes)])
            self.append("counts", self._count_attributes(found, people, matches))
            detected = torch.cat([found.boxes_xyxy_norm, found.scores.unsqueeze(1)], 1)
            self.append("detected", detected)
            self.append("annotated", boxes)

    def compute(self) -> dict[str, float]:
        """Scores by name; NaN where there is nothing to score."""
        frames = first_of_each(self.table("keys")).cpu()
        sizes = self.table("sizes").cpu()
        detected = _rows_of_frames(self.table("detected").cpu(), sizes[:, 0], frames)
        annotated = _rows_of_frames(self.table("annotated").cpu(), sizes[:, 1], frames)
        role_hits, role_total, number_hits, number_total = self.table("counts")[frames].sum(0)
        return average_precision(
            [rows[:, :4] for rows in detected],
            [rows[:, 4] for rows in detected],
            annotated,
            self.max_detections,
        ) | {
            "role_accuracy": ratio(role_hits, role_total),
            "number_accuracy": ratio(number_hits, number_total),
        }

    def _role(self, name: str) -> int:
        """Index of a role; one that is no index of any label where the role is not in use."""
        return self.role_names.index(name) if name in self.role_names else len(self.role_names)

    def _best(self, prediction: AthletesPrediction) -> AthletesPrediction:
        rows = prediction.scores.sort(descending=True, stable=True).indices
        rows = rows[prediction.roles[rows] != self._role("ball")][: self.max_detections]
        return AthletesPrediction(**{name: value[rows] for name, value in vars(prediction).items()})

    def _count_attributes(
        self, found: AthletesPrediction, people: Athletes, matches: Int[Tensor, " n"]
    ) -> list[int]:
        matched = matches >= 0
        pairs = people.select(matches[matched])
        roles_known = pairs.roles >= 0
        role_hits = (found.roles[matched] == pairs.roles) & roles_known
        readable = has_readable_number(pairs, self._role("player"))
        number_hits = (found.numbers[matched] == pairs.numbers) & readable
        counts = (role_hits, roles_known, number_hits, readable)
        return [int(count.sum()) for count in counts]


def has_readable_number(people: Athletes, player: int) -> Bool[Tensor, " M"]:
    """Rows with a shirt number that can be read in the frame.

    Where nobody said how legible the number is, it counts for players.

    Args:
        people: annotated athletes.
        player: index of the role of field players.
    """
    legible = people.legibility > vocabulary.LEGIBLE_ABOVE
    assumed = people.legibility.isnan() & (people.roles == player)
    numbered = (people.numbers >= 0) & (people.numbers < vocabulary.NO_NUMBER)
    return numbered & (legible | assumed)


def greedy_matches(iou: Float[Tensor, "n m"], threshold: float) -> Int[Tensor, " n"]:
    """Match detections to annotations one to one: each takes the best that is still free.

    Args:
        iou: overlap of detections (best score first) and annotations.
        threshold: least overlap of a match.

    Returns:
        The annotation of each detection, -1 where there is none.
    """
    free = iou.numpy().copy()
    matches = torch.full((len(iou),), -1)
    for row in np.flatnonzero((free >= threshold).any(1)):
        best = int(free[row].argmax())
        if free[row, best] >= threshold:
            matches[row] = best
            free[:, best] = -1
    return matches


def average_precision(
    detected: Sequence[Float[Tensor, "n 4"]],
    scores: Sequence[Float[Tensor, " n"]],
    annotated: Sequence[Float[Tensor, "m 4"]],
    max_detections: int = 100,
) -> dict[str, float]:
    """COCO average precision of one class.

    The overlap does not change when width and height are scaled apart, so boxes may be in any unit.

    Args:
        detected: boxes (xyxy) of each frame.
        scores: of the boxes.
        annotated: boxes (xyxy) of each frame.
        max_detections: the best ones of a frame that count.

    Returns:
        `ap` (mean over IoU 0.50, 0.55, ..., 0.95), `ap50` and `ap75`; NaN without annotated boxes.

    Source: Lin et al., Microsoft COCO, ECCV 2014; computed by faster-coco-eval.
    """
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": frame} for frame in range(len(annotated))],
        "categories": [{"id": 1, "name": "person"}],
        "annotations": _coco_records(annotated),
    }
    truth.createIndex()
    records = _coco_records(detected)
    for record, score in zip(records, torch.cat([*scores, torch.empty(0)]).tolist(), strict=True):
        record["score"] = score
    evaluation = COCOeval_faster(truth, truth.loadRes(records), iouType="bbox")
    evaluation.params.maxDets = [max_detections]
    evaluation.params.areaRng = [[0.0, np.inf]]
    evaluation.params.areaRngLbl = ["all"]
    evaluation.evaluate()
    evaluation.accumulate()
    precision = evaluation.eval["precision"].reshape(len(evaluation.params.iouThrs), -1)
    by_iou = precision.mean(1) if (precision > -1).all() else np.full(len(precision), UNDEFINED)
    return {"ap": float(by_iou.mean()), "ap50": float(by_iou[0]), "ap75": float(by_iou[5])}


def _coco_records(boxes_of_frames: Sequence[Float[Tensor, "n 4"]]) -> list[dict[str, Any]]:
    records = []
    for frame, boxes in enumerate(boxes_of_frames):
        for x_min, y_min, x_max, y_max in boxes.double().tolist():
            width, height = x_max - x_min, y_max - y_min
            records.append(
                {
                    "id": len(records) + 1,  # 0 would mean "not matched"
                    "image_id": frame,
                    "category_id": 1,
                    "bbox": [x_min, y_min, width, height],
                    "area": width * height,
                    "iscrowd": 0,
                    "segmentation": [],  # keeps loadRes from building a polygon per box
                }
            )
    return records


def _rows_of_frames(rows: Tensor, sizes: Int[Tensor, " f"], frames: Int[Tensor, " u"]) -> list:
    """Cut a table into the rows of each frame and keep the given frames."""
    blocks = rows.split(sizes.tolist())
    return [blocks[frame] for frame in frames.tolist()]


def _on_cpu(value: Any) -> Any:
    """A dataclass of tensors with all of them on the CPU."""
    return type(value)(**{name: tensor.detach().cpu() for name, tensor in vars(value).items()})
