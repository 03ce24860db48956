"""One run over two clips in which every adapter works, each with a tiny random model."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pytest

from soccermaster.factory.executors import LocalExecutor
from soccermaster.factory.runner import Chain, build_dataset
from tests.factory.clips import write_still_video

from .test_vlm import Server, says
from .tiny_models import (
    save_detector,
    save_heatmap_network,
    save_legibility,
    save_part_reid,
    save_qwen,
    save_sam2,
    save_siglip,
    save_soccer_model,
    save_yolo,
)

ADAPTERS = "soccermaster.factory.adapters"
STAGES = "soccermaster.factory"


def stage(target: str, role: str, model: dict, **options) -> dict:
    return {"_target_": f"{STAGES}.{target}", role: model, **options}


@pytest.mark.slow
def test_one_run_over_two_clips_uses_every_adapter(tmp_path, monkeypatch):
    monkeypatch.setenv("YOLO_CONFIG_DIR", str(tmp_path))
    for seed in (3, 4):
        write_still_video(tmp_path / "videos", seed, num_frames=3)
    server = Server(lambda n, body: (200, says("player" if "referee" in str(body) else "7")))
    reid, network = save_part_reid(tmp_path / "reid.pth")
    qwen = {
        "_target_": f"{ADAPTERS}.qwen.QwenReader",
        "weights": str(save_qwen(tmp_path / "qwen")),
        "max_new_tokens": 2,
    }
    chat = {
        "_target_": f"{ADAPTERS}.chat_server.ChatServerReader",
        "base_url": f"http://127.0.0.1:{server.server.server_port}/v1",
        "model": "tiny-vlm",
    }
    own = str(save_soccer_model(tmp_path / "own"))
    any_score = {"min_score": 0.0}
    stages = {
        "shots": {"_target_": f"{STAGES}.shots.Shots"},
        "detect_own": stage(
            "detect.Detect",
            "detector",
            {"_target_": f"{ADAPTERS}.soccer_model.SoccerDetector", "weights": own, **any_score},
            **any_score,
        ),
        "detect": stage(
            "detect.Detect",
            "detector",
            {
                "_target_": f"{ADAPTERS}.transformers_detector.TransformersDetector",
                "weights": str(save_detector(tmp_path / "detector", num_queries=3)),
                "classes": {"person": "person", "sports ball": "person"},
                **any_score,
            },
            **any_score,
        ),
        "part_reid": stage(
            "detect.Embed",
            "embedder",
            {
                "_target_": f"{ADAPTERS}.part_reid.PartReid",
                "weights": str(reid),
                "network": network,
            },
        ),
        "reid": stage(
            "detect.Embed",
            "embedder",
            {
                "_target_": f"{ADAPTERS}.siglip_reid.SiglipReid",
                "weights": str(save_siglip(tmp_path / "siglip")),
            },
        ),
        "colour": {"_target_": f"{STAGES}.detect.ShirtColour"},
        "calibrate_own": stage(
            "register.Calibrate",
            "detector",
            {"_target_": f"{ADAPTERS}.soccer_model.SoccerPitch", "weights": own},
        ),
        "calibrate": stage(
            "register.Calibrate",
            "detector",
            {
                "_target_": f"{ADAPTERS}.pnl_heatmaps.PnlHeatmaps",
                "keypoint_weights": str(save_heatmap_network(tmp_path / "kp.pth", 58)),
                "line_weights": str(save_heatmap_network(tmp_path / "lines.pth", 24)),
                "network": network,
            },
        ),
        "project": {"_target_": f"{STAGES}.register.Project"},
        "track": {"_target_": f"{STAGES}.track.Track"},
        "refine": stage(
            "refine.RefineWindows",
            "segmenter",
            {
                "_target_": f"{ADAPTERS}.sam2.Sam2Segmenter",
                "weights": str(save_sam2(tmp_path / "sam2")),
            },
            min_box_px=2.0,
        ),
        "legibility_qwen": stage("read.Legibility", "model", qwen),
        "legibility": stage(
            "read.Legibility",
            "model",
            {
                "_target_": f"{ADAPTERS}.legibility_resnet.LegibilityResnet",
                "weights": str(save_legibility(tmp_path / "legibility.safetensors")),
            },
        ),
        "numbers_qwen": stage("read.Numbers", "reader", qwen, min_legibility=0.0),
        "numbers": stage("read.Numbers", "reader", chat, min_legibility=0.0),
        "roles_qwen": stage("read.Roles", "reader", qwen),
        "roles": stage("read.Roles", "reader", chat),
        "vote": {"_target_": f"{STAGES}.tracks.Vote"},
        "team": {"_target_": f"{STAGES}.tracks.Team"},
        "side": {"_target_": f"{STAGES}.tracks.Side"},
        "export": {"_target_": f"{STAGES}.export.Export"},
    }
    if importlib.util.find_spec("ultralytics") is not None:
        yolo = {
            "_target_": f"{ADAPTERS}.ultralytics_detector.UltralyticsDetector",
            "weights": str(save_yolo(tmp_path / "yolo.pt")),
        }
        stages = {
            "shots": stages.pop("shots"),
            "yolo": stage("detect.Detect", "detector", yolo),
        } | stages
    output = tmp_path / "out"
    report = build_dataset(
        tmp_path / "videos", output, Chain(list(stages), stages), LocalExecutor(1, 1, "cpu")
    )
    assert report.counts["clips_done"] == 2 and report.counts["clips_failed"] == 0, report.to_json()
    ran = [json.loads(line)["stage"] for line in (output / "log.jsonl").read_text().splitlines()]
    assert len(ran) == 2 * len(stages)
    assert len(server.asked) > 0
    assert np.isfinite(report.clips[0]["summary"]["tracks"])
