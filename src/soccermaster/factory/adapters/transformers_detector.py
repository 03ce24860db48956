"""Any detector of `transformers`: RT-DETR, RT-DETRv2, D-FINE, Deformable DETR, RF-DETR and others.

The default weights, PekingU/rtdetr_v2_r50vd, are Apache-2.0, trained on COCO: people and the ball,
no roles. scripts/finetune_detector.py trains on soccer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from soccermaster.factory.adapters.detector_classes import class_table, frame_boxes
from soccermaster.factory.adapters.loading import LazyModel, choose_dtype, in_batches
from soccermaster.factory.adapters.user_weights import find_pretrained
from soccermaster.factory.models import FrameBoxes

_SYSTEM = "The transformers detector"
DOWNLOAD = "PekingU/rtdetr_v2_r50vd (Apache-2.0) from the Hugging Face hub"


class TransformersDetector(LazyModel):
    """A detector from a folder of `save_pretrained` or from the hub.

    Args:
        weights: a folder with config.json, model.safetensors and preprocessor_config.json, or a
            hub id.
        classes: class name to "person", "ball" or another role; `KNOWN_NAMES` when None.
        min_score: boxes below it are not reported.
        batch_size: frames per pass.
        dtype: "float32", "bfloat16", "float16" or "auto" (bfloat16 where it is fast). bfloat16 has
            8 bits, which moves the edges of boxes by several pixels of a 1920 pixel frame.
    """

    name = "transformers_detector"

    def __init__(
        self,
        weights: Path | str | None = "PekingU/rtdetr_v2_r50vd",
        classes: Mapping[str, str] | None = None,
        min_score: float = 0.4,
        batch_size: int = 8,
        dtype: str = "float32",
    ) -> None:
        self.weights = weights
        self.classes = None if classes is None else dict(classes)
        self.min_score = min_score
        self.batch_size = batch_size
        self.dtype = dtype

    def _load(self, device: torch.device) -> None:
        from transformers import AutoImageProcessor, AutoModelForObjectDetection

        folder = find_pretrained(self.weights, _SYSTEM, "weights", DOWNLOAD)
        dtype = choose_dtype(self.dtype, device)
        self.processor = AutoImageProcessor.from_pretrained(folder)
        network = AutoModelForObjectDetection.from_pretrained(folder, dtype=dtype)
        self.table = class_table(network.config.id2label, self.classes, str(self.weights))
        self.network = network.eval().to(device)

    @torch.no_grad()
    def detect(self, frames: UInt8[np.ndarray, "n H W 3"]) -> list[FrameBoxes]:
        """People and the ball in each frame, best first."""
        device = self._check_loaded()
        found = []
        for some in in_batches(frames, self.batch_size):
            inputs = self.processor(
                images=list(some), return_tensors="pt", input_data_format="channels_last"
            )
            inputs = inputs.to(device=device, dtype=self.network.dtype)
            outputs = self.network(**inputs)
            outputs.logits, outputs.pred_boxes = outputs.logits.float(), outputs.pred_boxes.float()
            results = self.processor.post_process_object_detection(
                outputs,
                threshold=self.min_score,
                target_sizes=[frame.shape[:2] for frame in some],
            )
            found += [self._convert(frame, r) for frame, r in zip(some, results, strict=True)]
        return found

    def _convert(self, frame: np.ndarray, result: Mapping[str, torch.Tensor]) -> FrameBoxes:
        boxes, scores, labels = (result[k].cpu().numpy() for k in ("boxes", "scores", "labels"))
        return frame_boxes(frame, boxes, scores, self.table[labels])
