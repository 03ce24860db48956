"""Detectors of the YOLOv8 family through `ultralytics`.

Licence: ultralytics and its weights are AGPL-3.0 (or commercial), which reaches programs that are
built on them, network services included. Nothing in this library imports it but this file, when
this class is chosen; it is installed by the extra `yolo` alone. `TransformersDetector` is the
permissive choice.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from soccermaster.factory.adapters.detector_classes import class_table, frame_boxes
from soccermaster.factory.adapters.loading import LazyModel, import_extra, in_batches
from soccermaster.factory.adapters.user_weights import find_weights
from soccermaster.factory.models import FrameBoxes

_SYSTEM = "The YOLO detector"
_DOWNLOAD = (
    "yolo_v8x6_finetuned.pt of the SoccerMaster release, or yolov8x6.pt of ultralytics (AGPL-3.0)"
)


class UltralyticsDetector(LazyModel):
    """A YOLO model of a `.pt` file.

    Such a file is a pickle: reading it runs code of whoever wrote it. Take it from people you
    trust.

    Args:
        weights: the file.
        classes: class name to "person", "ball" or another role; `KNOWN_NAMES` when None.
        min_score: boxes below it are not reported; 0.4 in the official pipeline.
        max_iou: boxes of one class that overlap more are one (non-maximum suppression).
        image_size: longer side that frames are reduced to, in pixels; the model's own when None,
            which is what the official pipeline takes.
        batch_size: frames per pass.
    """

    name = "yolo"

    def __init__(
        self,
        weights: Path | str | None = None,
        classes: Mapping[str, str] | None = None,
        min_score: float = 0.4,
        max_iou: float = 0.7,
        image_size: int | None = None,
        batch_size: int = 16,
    ) -> None:
        self.weights = weights
        self.classes = None if classes is None else dict(classes)
        self.min_score = min_score
        self.max_iou = max_iou
        self.image_size = image_size
        self.batch_size = batch_size

    def _load(self, device: torch.device) -> None:
        ultralytics = import_extra("ultralytics", "yolo", _SYSTEM)
        path = find_weights(self.weights, _SYSTEM, "weights", _DOWNLOAD)
        self.network = ultralytics.YOLO(str(path), task="detect")
        self.table = class_table(self.network.names, self.classes, str(path))

    def detect(self, frames: UInt8[np.ndarray, "n H W 3"]) -> list[FrameBoxes]:
        """People and the ball in each frame, best first."""
        device = self._check_loaded()
        size = {} if self.image_size is None else {"imgsz": self.image_size}
        found = []
        for some in in_batches(frames, self.batch_size):
            results = self.network.predict(
                [np.ascontiguousarray(frame[..., ::-1]) for frame in some],  # BGR, as OpenCV reads
                conf=self.min_score,
                iou=self.max_iou,
                device=str(device),
                verbose=False,
                **size,
            )
            for frame, result in zip(some, results, strict=True):
                boxes = result.boxes.cpu().numpy()
                classes = self.table[boxes.cls.astype(int)]
                found.append(frame_boxes(frame, boxes.xyxy, boxes.conf, classes))
        return found
