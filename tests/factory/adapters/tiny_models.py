"""Tiny random models of the real architectures, saved as their authors save the large ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch


def picture(height: int = 108, width: int = 192, seed: int = 0) -> np.ndarray:
    """Noise, RGB."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def pictures(count: int, height: int = 108, width: int = 192) -> np.ndarray:
    """Different noise in each frame."""
    return np.stack([picture(height, width, seed) for seed in range(count)])


def save_detector(folder: Path, names: dict[int, str] | None = None) -> Path:
    """RT-DETRv2 with an image processor for its real input of 640 x 640; COCO classes."""
    from transformers import (
        RTDetrImageProcessor,
        RTDetrResNetConfig,
        RTDetrV2Config,
        RTDetrV2ForObjectDetection,
    )

    names = coco_names() if names is None else names
    backbone = RTDetrResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16, 16, 16],
        depths=[1, 1, 1, 1],
        layer_type="basic",
        out_features=["stage2", "stage3", "stage4"],
    )
    config = RTDetrV2Config(
        backbone_config=backbone,
        encoder_in_channels=[16, 16, 16],
        decoder_in_channels=[16, 16, 16],
        encoder_hidden_dim=16,
        encoder_ffn_dim=16,
        encoder_attention_heads=2,
        d_model=16,
        decoder_ffn_dim=16,
        decoder_attention_heads=2,
        decoder_n_points=2,
        decoder_layers=2,
        num_queries=30,
        num_denoising=4,
        id2label=names,
        label2id={name: index for index, name in names.items()},
    )
    torch.manual_seed(0)
    model = RTDetrV2ForObjectDetection(config)
    with torch.no_grad():  # chance would seldom say "person" among 80 classes
        for head in model.model.decoder.class_embed:
            head.bias[[i for i, name in names.items() if not name.startswith("class")]] += 2
    model.save_pretrained(folder)
    RTDetrImageProcessor(size={"height": 640, "width": 640}).save_pretrained(folder)
    return folder


def coco_names() -> dict[int, str]:
    """The 80 classes of COCO by their places; only those that matter here have their names."""
    return {index: f"class {index}" for index in range(80)} | {0: "person", 32: "sports ball"}


def save_siglip(folder: Path, side: int = 32) -> Path:
    """Both towers of SigLIP at a fixed resolution."""
    from transformers import SiglipConfig, SiglipModel

    text = {
        "vocab_size": 64,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "max_position_embeddings": 8,
        "projection_size": 16,
    }
    vision = {
        "image_size": side,
        "patch_size": 8,
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
    }
    torch.manual_seed(0)
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    return folder


def save_soccer_model(folder: Path) -> Path:
    """A checkpoint of this library with athletes and both pitch heads."""
    from soccermaster.model import SoccerModel

    tasks = "soccermaster.tasks"
    config = {
        "encoder": {
            "_target_": "soccermaster.models.encoder.VideoEncoder",
            "image_size": [64, 64],
            "patch_size": 16,
            "embed_dim": 32,
            "depth": 2,
            "temporal_depth": 1,
            "num_heads": 2,
            "mlp_dim": 32,
            "num_frames": 4,
        },
        "tasks": {
            "athletes": {
                "_target_": f"{tasks}.athletes.AthleteDetection",
                "embed_dim": 32,
                "num_queries": 12,
            },
            "pitch_keypoints": {
                "_target_": f"{tasks}.pitch_keypoints.PitchKeypoints",
                "embed_dim": 32,
                "channels": [8, 8, 8],
            },
            "pitch_lines": {
                "_target_": f"{tasks}.pitch_lines.PitchLines",
                "embed_dim": 32,
                "channels": [8, 8, 8],
            },
        },
    }
    torch.manual_seed(0)
    model = SoccerModel.from_config(config)
    model.save(folder)
    return folder
