"""SAM 2 video through `transformers`: several people at once, followed from boxes both ways.

Weights: facebook/sam2.1-hiera-large and its smaller siblings, Apache-2.0.
Source: Ravi et al., "SAM 2: Segment Anything in Images and Videos" (2024).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from soccermaster.factory.adapters.loading import LazyModel, choose_dtype
from soccermaster.factory.adapters.user_weights import find_pretrained
from soccermaster.factory.models import FrameMasks, Picture

_SYSTEM = "SAM 2"
_DOWNLOAD = "facebook/sam2.1-hiera-large (Apache-2.0) from the Hugging Face hub"


class Sam2Segmenter(LazyModel):
    """Follows people through one window of a video.

    The whole window is held on the CPU at 1024 x 1024 (12 MB a frame in float32, half of it in
    bfloat16), its masks at 256 x 256; the caller chooses windows that fit.

    Args:
        weights: a folder of `save_pretrained` or a hub id.
        dtype: "auto", "float32", "bfloat16" or "float16".
    """

    name = "sam2"

    def __init__(
        self,
        weights: Path | str | None = "facebook/sam2.1-hiera-large",
        dtype: str = "auto",
    ) -> None:
        self.weights = weights
        self.dtype = dtype

    def _load(self, device: torch.device) -> None:
        from transformers import Sam2VideoModel, Sam2VideoProcessor

        folder = find_pretrained(self.weights, _SYSTEM, "weights", _DOWNLOAD)
        self.processor = Sam2VideoProcessor.from_pretrained(folder)
        network = Sam2VideoModel.from_pretrained(folder, dtype=choose_dtype(self.dtype, device))
        self.network = network.eval().to(device)

    @torch.no_grad()
    def propagate(
        self,
        frames: Sequence[Picture],
        prompt_frames: Int[np.ndarray, " K"],
        boxes_xyxy_px: Float[np.ndarray, "K 4"],
    ) -> Iterator[FrameMasks]:
        """The masks of K objects in every frame, in order.

        Each object is followed forward and backward from its own frame. The score of a mask is the
        model's belief that the object is there times its mean belief in the pixels of the mask.

        Args:
            frames: a window of the video.
            prompt_frames: index of the frame in which each object is given by its box.
            boxes_xyxy_px: that box.

        Raises:
            ValueError: a frame of a box is not in the window.
        """
        device = self._check_loaded()
        prompt_frames = np.asarray(prompt_frames, np.int64).reshape(-1)
        boxes_xyxy_px = np.asarray(boxes_xyxy_px, np.float64).reshape(-1, 4)
        count = len(prompt_frames)
        if ((prompt_frames < 0) | (prompt_frames >= len(frames))).any():
            raise ValueError(
                f"expected boxes in the frames 0..{len(frames) - 1} of the window, got some in "
                f"{sorted(set(prompt_frames.tolist()))}"
            )
        if not count:
            for index in range(len(frames)):
                yield FrameMasks(index, np.zeros((0, 1, 1), bool), np.zeros(0, np.float32))
            return
        session = self.processor.init_video_session(
            video=[frames[i] for i in range(len(frames))],
            inference_device=device,
            video_storage_device="cpu",
            dtype=self.network.dtype,
        )
        self._prompt(session, prompt_frames, boxes_xyxy_px)
        forward = self._sweep(session, int(prompt_frames.min()), reverse=False)
        window = _Window([None] * len(frames))
        for index, masks, scores in forward:
            window.keep(index, masks, scores, prompt_frames <= index)
        if prompt_frames.max() > 0:
            for index, masks, scores in self._sweep(
                session, int(prompt_frames.max()), reverse=True
            ):
                window.keep(index, masks, scores, prompt_frames > index)
        yield from window.frames()

    def _prompt(self, session: Any, prompt_frames: np.ndarray, boxes_xyxy_px: np.ndarray) -> None:
        """Tell the model the objects, one frame after the other.

        An object must be known to the model in its own frame before it is asked about others.
        """
        for index in np.unique(prompt_frames).tolist():
            objects = np.flatnonzero(prompt_frames == index)
            self.processor.add_inputs_to_inference_session(
                session,
                frame_idx=index,
                obj_ids=objects.tolist(),
                input_boxes=[boxes_xyxy_px[objects].tolist()],
            )
            self.network(session, frame_idx=index)

    def _sweep(
        self, session: Any, start: int, reverse: bool
    ) -> Iterator[tuple[int, Bool[np.ndarray, "K h w"], Float[np.ndarray, " K"]]]:
        for output in self.network.propagate_in_video_iterator(session, start, reverse=reverse):
            order = np.argsort(output.object_ids)
            logits = output.pred_masks[:, 0].float()[order]  # (K, 256, 256)
            present = output.object_score_logits.float().flatten()[order].sigmoid()
            masks, scores = _masks(logits, present)
            yield int(output.frame_idx), masks.cpu().numpy(), scores.cpu().numpy()


@dataclass
class _Window:
    """What is known of each frame so far."""

    found: list[tuple[np.ndarray, np.ndarray] | None]

    def keep(
        self, index: int, masks: np.ndarray, scores: np.ndarray, which: Bool[np.ndarray, " K"]
    ) -> None:
        """Take the masks of some objects in a frame."""
        if self.found[index] is None:
            self.found[index] = (np.zeros_like(masks), np.zeros_like(scores))
        self.found[index][0][which] = masks[which]
        self.found[index][1][which] = scores[which]

    def frames(self) -> Iterator[FrameMasks]:
        for index, (masks, scores) in enumerate(self.found):
            yield FrameMasks(index, masks, scores)


def _masks(
    logits: Float[Tensor, "K h w"], present: Float[Tensor, " K"]
) -> tuple[Bool[Tensor, "K h w"], Float[Tensor, " K"]]:
    masks = logits > 0
    area = masks.sum(dim=(1, 2))
    inside = (logits.sigmoid() * masks).sum(dim=(1, 2)) / area.clamp(min=1)
    return masks, torch.where(area > 0, present * inside, 0.0)
