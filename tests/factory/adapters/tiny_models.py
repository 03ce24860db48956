"""Tiny random models of the real architectures, saved as their authors save the large ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

#: HRNet with one exchange unit per stage and four channels.
TINY_HRNET = {"width": 4, "modules": [1, 1, 1], "blocks": 1}


def picture(height: int = 108, width: int = 192, seed: int = 0) -> np.ndarray:
    """Noise, RGB."""
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def pictures(count: int, height: int = 108, width: int = 192) -> np.ndarray:
    """Different noise in each frame."""
    return np.stack([picture(height, width, seed) for seed in range(count)])


def save_detector(
    folder: Path,
    names: dict[int, str] | None = None,
    likely: tuple[str, ...] = ("person", "sports ball"),
    num_queries: int = 30,
) -> Path:
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
        num_queries=num_queries,
        num_denoising=4,
        initializer_range=0.3,  # at the usual 0.01, features this narrow die out
        id2label=names,
        label2id={name: index for index, name in names.items()},
    )
    torch.manual_seed(0)
    model = RTDetrV2ForObjectDetection(config)
    with torch.no_grad():  # chance would seldom say one of these
        for head in model.model.decoder.class_embed:
            head.bias[[i for i, name in names.items() if name in likely]] += 2
    model.save_pretrained(folder)
    RTDetrImageProcessor(size={"height": 640, "width": 640}).save_pretrained(folder)
    return folder


def save_yolo(path: Path) -> Path:
    """YOLOv8n with random weights; the person of COCO in some of the 240 coarsest cells."""
    from ultralytics import YOLO

    torch.manual_seed(0)
    model = YOLO("yolov8n.yaml", task="detect", verbose=False)
    model.model.names = coco_names()
    coarsest = model.model.model[-1].cv3[-1][-1]
    with torch.no_grad():
        coarsest.weight[0].normal_()
        coarsest.bias[0] = 0.0
    model.save(path)
    return path


def coco_names() -> dict[int, str]:
    """The 80 classes of COCO by their places; only those that matter here have their names."""
    return {index: f"class {index}" for index in range(80)} | {0: "person", 32: "sports ball"}


def save_part_reid(path: Path) -> tuple[Path, dict]:
    """The part-based network, and the arguments that make it this small."""
    from soccermaster.factory.adapters.part_reid import PartReidNetwork

    torch.manual_seed(0)
    torch.save(PartReidNetwork(**TINY_HRNET).state_dict(), path)
    return path, TINY_HRNET


def save_heatmap_network(path: Path, num_channels: int) -> Path:
    """In the names of the published files: HRNet's own, and the head."""
    from soccermaster.factory.adapters.pnl_heatmaps import HeatmapNetwork

    torch.manual_seed(0)
    state = HeatmapNetwork(num_channels, **TINY_HRNET).state_dict()
    torch.save({name.removeprefix("backbone."): t for name, t in state.items()}, path)
    return path


def save_legibility(path: Path) -> Path:
    """ResNet-34 in its real size."""
    from safetensors.torch import save_file

    from soccermaster.factory.adapters.legibility_resnet import LegibilityNetwork

    torch.manual_seed(0)
    save_file(LegibilityNetwork().state_dict(), path)
    return path


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


def save_soccer_model(
    folder: Path,
    heads: tuple[str, ...] = ("athletes", "pitch_keypoints", "pitch_lines"),
    seed: int = 0,
) -> Path:
    """A checkpoint of this library."""
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
    config["tasks"] = {name: config["tasks"][name] for name in heads}
    torch.manual_seed(seed)
    model = SoccerModel.from_config(config)
    model.save(folder)
    return folder


def save_sam2(folder: Path) -> Path:
    """SAM 2 video for its real input of 1024 x 1024, with a memory of two frames."""
    from transformers import (
        Sam2ImageProcessor,
        Sam2VideoConfig,
        Sam2VideoModel,
        Sam2VideoProcessor,
        Sam2VideoVideoProcessor,
    )

    backbone = {
        "model_type": "sam2_hiera_det_model",
        "hidden_size": 8,
        "num_attention_heads": 1,
        "blocks_per_stage": [1, 1, 2, 1],
        "embed_dim_per_stage": [8, 16, 32, 64],
        "num_attention_heads_per_stage": [1, 2, 4, 8],
        "global_attention_blocks": [3],
    }
    vision = {
        "backbone_config": backbone,
        "backbone_channel_list": [64, 32, 16, 8],
        "fpn_hidden_size": 128,
    }
    decoder = {"hidden_size": 128, "mlp_dim": 32, "num_attention_heads": 2}
    config = Sam2VideoConfig(
        vision_config=vision,
        prompt_encoder_config={"hidden_size": 128},
        mask_decoder_config=decoder,
        memory_attention_hidden_size=128,
        memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32,
        memory_encoder_hidden_size=128,
        memory_fuser_embed_dim=128,
        memory_fuser_intermediate_dim=16,
        memory_fuser_num_layers=1,
        mask_downsampler_embed_dim=128,
        num_maskmem=2,
        max_object_pointers_in_encoder=2,
    )
    torch.manual_seed(0)
    Sam2VideoModel(config).save_pretrained(folder)
    processor = Sam2VideoProcessor(Sam2ImageProcessor(), Sam2VideoVideoProcessor())
    processor.save_pretrained(folder)
    return folder


def save_qwen(folder: Path) -> Path:
    """Qwen2.5-VL with an alphabet of bytes, its real marks, patches and chat of one turn."""
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2Tokenizer,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )
    from transformers.convert_slow_tokenizer import bytes_to_unicode

    marks = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>"]
    marks += ["<|image_pad|>", "<|video_pad|>"]
    words = [*bytes_to_unicode().values(), *marks]
    vocab = {word: index for index, word in enumerate(words)}
    tokenizer = Qwen2Tokenizer(vocab=vocab, merges=[])
    tokenizer.add_special_tokens({"additional_special_tokens": marks[1:]})
    tokenizer.eos_token, tokenizer.pad_token = "<|im_end|>", "<|endoftext|>"
    text = {
        "vocab_size": len(vocab),
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "rope_parameters": {"rope_type": "default", "mrope_section": [1, 1, 2]},
        "bos_token_id": vocab["<|endoftext|>"],
        "eos_token_id": vocab["<|im_end|>"],
        "pad_token_id": vocab["<|endoftext|>"],
    }
    vision = {"depth": 2, "hidden_size": 32, "num_heads": 2, "intermediate_size": 32}
    vision |= {"out_hidden_size": 32, "fullatt_block_indexes": [1]}
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=vision,
        image_token_id=vocab["<|image_pad|>"],
        video_token_id=vocab["<|video_pad|>"],
        vision_start_token_id=vocab["<|vision_start|>"],
        vision_end_token_id=vocab["<|vision_end|>"],
    )
    torch.manual_seed(0)
    model = Qwen2_5_VLForConditionalGeneration(config)
    model.generation_config.eos_token_id = vocab["<|im_end|>"]
    model.generation_config.pad_token_id = vocab["<|endoftext|>"]
    model.save_pretrained(folder)
    template = (
        "{% for message in messages %}<|im_start|>{{ message['role'] }}\n"
        "{% for part in message['content'] %}{% if part['type'] == 'image' %}"
        "<|vision_start|><|image_pad|><|vision_end|>{% else %}{{ part['text'] }}{% endif %}"
        "{% endfor %}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    Qwen2_5_VLProcessor(
        Qwen2VLImageProcessor(), tokenizer, Qwen2VLVideoProcessor(), chat_template=template
    ).save_pretrained(folder)
    return folder
