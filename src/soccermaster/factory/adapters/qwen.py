"""Qwen2.5-VL through `transformers`.

Weights: Qwen/Qwen2.5-VL-7B-Instruct, Apache-2.0 (the 3B model: for research alone; the 72B model:
Qwen licence).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from soccermaster.factory.adapters.loading import choose_dtype, in_batches
from soccermaster.factory.adapters.user_weights import find_pretrained
from soccermaster.factory.adapters.vlm_answers import Rule
from soccermaster.factory.adapters.vlm_reader import Answer, VlmReader
from soccermaster.factory.models import Picture

_SYSTEM = "Qwen2.5-VL"
_MAX_RATIO = 100  # of the sides of a picture; the model's own limit is 200
_DOWNLOAD = "Qwen/Qwen2.5-VL-7B-Instruct (Apache-2.0) from the Hugging Face hub"


class QwenReader(VlmReader):
    """A Qwen2.5-VL model on this machine, greedy decoding.

    Args:
        weights: a folder of `save_pretrained` or a hub id.
        rule: how answers are read, see `VlmReader`.
        max_new_tokens: length of an answer.
        max_side: pictures with a longer side are reduced to it, in pixels.
        batch_size: questions per pass.
        dtype: "auto", "float32", "bfloat16" or "float16".
    """

    name = "qwen2.5-vl"

    def __init__(
        self,
        weights: Path | str | None = "Qwen/Qwen2.5-VL-7B-Instruct",
        rule: Rule = "guarded",
        max_new_tokens: int = 16,
        max_side: int = 480,
        batch_size: int = 16,
        dtype: str = "auto",
    ) -> None:
        super().__init__(rule)
        self.weights = weights
        self.max_new_tokens = max_new_tokens
        self.max_side = max_side
        self.batch_size = batch_size
        self.dtype = dtype

    def _load(self, device: torch.device) -> None:
        from transformers import AutoProcessor, Qwen2_5_VLForConditionalGeneration

        folder = find_pretrained(self.weights, _SYSTEM, "weights", _DOWNLOAD)
        dtype = choose_dtype(self.dtype, device)
        self.processor = AutoProcessor.from_pretrained(folder)
        self.processor.tokenizer.padding_side = "left"  # answers begin where questions end
        network = Qwen2_5_VLForConditionalGeneration.from_pretrained(folder, dtype=dtype)
        self.network = network.eval().to(device)

    def _ask(self, questions: Sequence[tuple[Picture, ...]], prompt: str) -> list[Answer]:
        answers: list[Answer] = []
        for some in in_batches(questions, self.batch_size):
            answers += self._generate(some, prompt)
        return answers

    @torch.no_grad()
    def _generate(self, questions: Sequence[tuple[Picture, ...]], prompt: str) -> list[Answer]:
        messages = [_message(len(pictures), prompt) for pictures in questions]
        texts = [
            self.processor.apply_chat_template([message], add_generation_prompt=True)
            for message in messages
        ]
        images = [reduced(picture, self.max_side) for pictures in questions for picture in pictures]
        inputs = self.processor(text=texts, images=images, padding=True, return_tensors="pt")
        inputs = inputs.to(self.network.device, self.network.dtype)
        output = self.network.generate(
            **inputs,
            max_new_tokens=self.max_new_tokens,
            do_sample=False,
            output_logits=True,
            return_dict_in_generate=True,
        )
        tokens = output.sequences[:, inputs["input_ids"].shape[1] :]  # (n, new)
        words = self.processor.batch_decode(tokens, skip_special_tokens=True)
        confidences = self._probability(tokens, torch.stack(output.logits, dim=1))
        return [Answer(w.strip(), c) for w, c in zip(words, confidences.tolist(), strict=True)]

    def _probability(self, tokens: Tensor, logits: Float[Tensor, "n new V"]) -> Float[Tensor, " n"]:
        """The probability of each answer: the product over its tokens, the end mark included."""
        chosen = logits.float().log_softmax(-1).gather(-1, tokens[..., None])[..., 0]
        ends = torch.as_tensor(self.network.generation_config.eos_token_id, device=tokens.device)
        is_end = torch.isin(tokens, ends.flatten())
        after_end = (is_end.cumsum(-1) - is_end.long()) > 0
        return chosen.masked_fill(after_end, 0).sum(-1).exp()


def reduced(picture: Picture, max_side: int) -> Picture:
    """A picture with no side longer than `max_side`, nor than a hundred times the other one.

    Models refuse pictures that are thinner still.
    """
    height, width = picture.shape[:2]
    scale = min(1.0, max_side / max(height, width))
    least = math.ceil(max(height, width) * scale / _MAX_RATIO)
    size = (max(least, round(width * scale)), max(least, round(height * scale)))
    if size == (width, height):
        return np.ascontiguousarray(picture)
    return cv2.resize(picture, size, interpolation=cv2.INTER_AREA)


def _message(num_pictures: int, prompt: str) -> dict[str, Any]:
    pictures = [{"type": "image"} for _ in range(num_pictures)]
    return {"role": "user", "content": [*pictures, {"type": "text", "text": prompt}]}
