"""A set like the frozen benchmark, from another seed, as files that anyone can score.

The clips come from the datasets of the benchmark, at its sizes, so that a score computed from the
files agrees with the score of the benchmark up to the choice of clips:

* `SoccerNetGS/test/SNGS-116`: all frames of the spatial clips one after another, as one sequence in
  the format of SoccerNet-GSR (frames of different clips have different track ids);
* `calibration/test`: the polylines and the camera of each of those frames;
* `video_clip_json/MatchTime/classification_test.json`: the semantic clips, as videos of one frame
  per second;
* `benchmark_clips.mp4`: the same videos one after another, for one call of a predictor;
* `texts.txt`: the comments of these clips, one per line, for the predictor to rank.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import numpy as np

from soccermaster.data.datasets.match_clips import clip_list_path, video_folder
from soccermaster.data.synthetic.calibration_files import write_picture
from soccermaster.data.synthetic.dataset import SyntheticSemantic, SyntheticSpatial
from soccermaster.data.synthetic.files import derived_seed, refuse_existing, write_json
from soccermaster.data.synthetic.writers import (
    gsr_clip_ids,
    write_gsr_sequence,
    write_match_clip,
)
from soccermaster.data.video import VideoWriter
from soccermaster.geometry import Camera
from soccermaster.structures import Annotations, Athletes, Cameras, Clip

CLIPS_VIDEO = "benchmark_clips.mp4"
TEXTS_NAME = "texts.txt"
_SOURCE, _SPLIT = "MatchTime", "test"
#: Room for the people of one clip among the track ids.
_TRACKS_PER_CLIP = 1000


def write_benchmark(
    output: Path | str,
    *,
    seed: int,
    spatial: int = 240,
    semantic: int = 240,
    spatial_size: tuple[int, int] = (288, 512),
    semantic_size: tuple[int, int] = (96, 160),
    num_frames: int = 2,
    overwrite: bool = False,
    progress: Callable[[Iterable[int]], Iterable[int]] = iter,
) -> Path:
    """Writes a fresh set of the kind of the frozen benchmark.

    Args:
        output: folder for the set.
        seed: same seed, same set.
        spatial: number of spatial clips.
        semantic: number of semantic clips; a multiple of the number of classes is even.
        spatial_size: (H, W) of the spatial frames.
        semantic_size: (H, W) of the semantic frames.
        num_frames: of each spatial clip.
        overwrite: replace a set that is there.
        progress: goes around the loops over clips, to show how far they are.

    Returns:
        `output`.

    Raises:
        FileExistsError: a set is there and `overwrite` is False; nothing was written then.
    """
    output = Path(output)
    sequence = output / "SoccerNetGS" / _SPLIT / f"SNGS-{gsr_clip_ids(_SPLIT, 1)[0]}"
    list_path = clip_list_path(output, _SOURCE, _SPLIT)
    refuse_existing([sequence, list_path, output / CLIPS_VIDEO], overwrite)
    if spatial:
        dataset = SyntheticSpatial(
            _SPLIT, spatial, num_frames, image_size=spatial_size,
            seed=derived_seed(seed, "benchmark", "spatial"),
        )  # fmt: skip
        clip = _one_after_another([dataset[i] for i in progress(range(spatial))])
        write_gsr_sequence(sequence, clip, _SPLIT, 25)
        _write_cameras(output / "calibration" / _SPLIT, clip)
    if semantic:
        clips = SyntheticSemantic(
            _SPLIT, semantic, image_size=semantic_size,
            seed=derived_seed(seed, "benchmark", "semantic"),
        )  # fmt: skip
        videos, records = video_folder(output, _SOURCE, _SPLIT), []
        rng = np.random.default_rng(derived_seed(seed, "benchmark", "names"))
        with VideoWriter(output / CLIPS_VIDEO, 1, semantic_size, crf=_CRF) as writer:
            for index in progress(range(semantic)):
                clip = clips[index]
                for frame in clip.frames:
                    writer.write(frame)
                records.append(
                    write_match_clip(videos, _SOURCE, _SPLIT, index, clip, 1, rng, crf=_CRF)
                )
        write_json(list_path, records)
        texts = "\n".join(record["comments_text_anonymized"] for record in records)
        (output / TEXTS_NAME).write_text(texts + "\n", encoding="utf-8")
    return output


#: Small pictures suffer most from compression, and the benchmark has none of it.
_CRF = 10


def _one_after_another(clips: list[Clip]) -> Clip:
    """Clips as one long clip without events, each with its own track ids."""
    num_frames = len(clips[0].frames)
    rows: dict[str, list[np.ndarray]] = {}
    for place, clip in enumerate(clips):
        for name, value in vars(clip.annotations.athletes).items():
            if name == "frame":
                value = value + place * num_frames
            elif name == "track_ids":
                value = value + place * _TRACKS_PER_CLIP
            rows.setdefault(name, []).append(value)
    cameras = [clip.annotations.cameras for clip in clips]
    annotations = Annotations(
        athletes=Athletes(**{name: np.concatenate(values) for name, values in rows.items()}),
        cameras=Cameras(
            *(np.concatenate([getattr(c, n) for c in cameras]) for n in ("K", "R", "position_m"))
        ),
    )
    frames = np.concatenate([clip.frames for clip in clips])
    return Clip(frames, np.arange(len(frames)) / 25, annotations, "benchmark", "synthetic")


def _write_cameras(folder: Path, clip: Clip) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    cameras, size = clip.annotations.cameras, clip.frames.shape[2:0:-1]
    for t, frame in enumerate(clip.frames):
        camera = Camera(cameras.K[t], cameras.R[t], cameras.position_m[t], size)
        write_picture(folder, f"{t + 1:05d}", frame, camera)
