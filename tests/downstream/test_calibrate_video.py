"""Cameras of videos, from predictions that annotations make."""

from __future__ import annotations

import json

import numpy as np
import pytest

from soccermaster.data.frame_source import open_source
from soccermaster.data.images import write_png
from soccermaster.data.synthetic.calibration_files import markings_record
from soccermaster.data.synthetic.dataset import render_sequence
from soccermaster.data.video import probe
from soccermaster.downstream.calibrate_video import write_cameras
from soccermaster.downstream.calibration import evaluate_files
from soccermaster.downstream.shots import CutDetector
from soccermaster.geometry import Camera, Pitch, visible_segments
from soccermaster.predict import FramePredictions
from soccermaster.structures import KeypointsPrediction
from tests.downstream.heads import SIZE, camera_of, predictions, written_video

BLIND = (5,)  # frames of a clip in which nothing is found


@pytest.fixture(scope="module")
def clip():
    return render_sequence(3, 8, 25.0, SIZE[::-1])


def predicted(clip):
    for i, image in enumerate(clip.frames):
        yield predictions(i, image, None if i in BLIND else camera_of(clip, i))


def read(path):
    return json.loads(path.read_text())


def lines_of(files):
    return [json.loads(line) for line in files.index.read_text().splitlines()]


def markings(folder, clip):
    folder.mkdir()
    for i in range(len(clip.frames)):
        record = json.dumps(markings_record(camera_of(clip, i)))
        (folder / f"{i + 1:05d}.json").write_text(record)
    return folder


def test_a_clip_becomes_cameras_that_the_evaluation_reads(clip, tmp_path):
    source = written_video(tmp_path / "clip.mp4", clip.frames)
    out = tmp_path / "new" / "out"
    files = write_cameras(source, predicted(clip), out)
    assert (files.num_frames, files.num_cameras, files.num_shots) == (8, 8, 1)
    names = [f"camera_{i:05d}.json" for i in range(1, 9)]
    pictures = ["cameras.jsonl", "overlay.mp4", "pitch_map.mp4", "pitch_map.png"]
    assert sorted(p.name for p in out.iterdir()) == names + pictures
    scores = evaluate_files(out, markings(tmp_path / "truth", clip))
    assert scores.thresholds[5.0].jac > 0.9  # markings at the very border are in or out
    assert scores.completeness == 1
    for i in range(8):  # the frame without detections too
        found = Camera.from_soccernet(read(out / names[i]), (960, 540)).resize(SIZE)
        seen_px = visible_segments(camera_of(clip, i), Pitch())
        error_px = np.linalg.norm(visible_segments(found, Pitch()) - seen_px, axis=-1)
        assert np.nanmedian(error_px) < 0.5
    lines = lines_of(files)
    assert [line["camera"] for line in lines] == names
    assert all(line["valid"] and line["reason"] is None for line in lines)
    assert [i for i, line in enumerate(lines) if not line["observed"]] == list(BLIND)
    assert all(0 < line["confidence"] <= 1 for line in lines)
    drawn = probe(files.overlay)
    assert (drawn.width, drawn.height, drawn.num_frames) == (*SIZE, 8)
    assert probe(files.pitch_map).num_frames == 8


def test_the_overlay_lies_on_the_markings(clip, tmp_path):
    source = written_video(tmp_path / "clip.mp4", clip.frames[:1])
    files = write_cameras(source, [predictions(0, clip.frames[0], camera_of(clip, 0))], tmp_path)
    assert files.overlay.name == "overlay.png"
    (drawn,) = open_source(tmp_path / "overlay.mp4").read([0])
    (before,) = source.read([0])
    points_px = visible_segments(camera_of(clip, 0), Pitch()).mean(axis=1)
    inside = ((points_px > 8) & (points_px < np.array(SIZE) - 30)).all(axis=1)
    changed = np.abs(drawn.astype(int) - before).max(axis=2)
    at_markings = [changed[int(y) - 2 : int(y) + 3, int(x) - 2 : int(x) + 3].max()
                   for x, y in points_px[inside]]  # fmt: skip
    assert inside.sum() > 3
    assert min(at_markings) > 40
    assert np.median(changed) < 10


def test_shots_are_calibrated_one_by_one(clip, tmp_path):
    """Another camera after a cut, then black."""
    other = render_sequence(11, 4, 25.0, SIZE[::-1])
    black = np.zeros((3, *SIZE[::-1], 3), np.uint8)
    frames = [*clip.frames[:4], *other.frames, *black]
    cameras = [camera_of(clip, i) for i in range(4)] + [camera_of(other, i) for i in range(4)]
    cameras += [None] * 3
    source = written_video(tmp_path / "cut.mp4", frames)
    files = write_cameras(
        source,
        (predictions(i, f, c) for i, (f, c) in enumerate(zip(frames, cameras, strict=True))),
        tmp_path / "out",
    )
    lines = lines_of(files)
    assert [line["shot"] for line in lines] == [1] * 4 + [2] * 4 + [3] * 3
    assert [line["valid"] for line in lines] == [True] * 8 + [False] * 3
    assert {line["camera"] for line in lines[8:]} == {None}
    assert all("too few observations" in line["reason"] for line in lines[8:])
    assert len(list(files.folder.glob("camera_*.json"))) == 8
    found = Camera.from_soccernet(read(files.folder / "camera_00006.json"), (960, 540))
    assert np.linalg.norm(found.position_m - cameras[5].position_m) < 1


def test_windows_bound_what_is_calibrated_together(clip, tmp_path):
    source = written_video(tmp_path / "clip.mp4", clip.frames)
    files = write_cameras(source, predicted(clip), tmp_path / "out", window_frames=3)
    assert (files.num_cameras, files.num_shots) == (8, 1)


def test_a_black_video_has_no_camera_and_says_why(tmp_path):
    black = np.zeros((3, *SIZE[::-1], 3), np.uint8)
    source = written_video(tmp_path / "black.mp4", black)
    files = write_cameras(
        source, (predictions(i, f, None) for i, f in enumerate(black)), tmp_path / "out"
    )
    assert files.num_cameras == 0
    assert list(files.folder.glob("camera_*.json")) == []
    for line in lines_of(files):
        assert (line["valid"], line["camera"], line["confidence"]) == (False, None, 0)
        assert "too few observations" in line["reason"]
    assert files.best_map.is_file()


def test_pictures_give_their_names_to_cameras(clip, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i, name in enumerate(("00037", "00120")):
        write_png(folder / f"{name}.png", clip.frames[i])
    files = write_cameras(
        open_source(folder),
        (predictions(i, clip.frames[i], camera_of(clip, i)) for i in range(2)),
        tmp_path / "out",
    )
    cameras = sorted(p.name for p in files.folder.glob("camera_*"))
    assert cameras == ["camera_00037.json", "camera_00120.json"]
    write_png(folder / "00037.jpg", clip.frames[0])
    with pytest.raises(ValueError, match="several called '00037'"):
        write_cameras(open_source(folder), [], tmp_path / "out")


def test_one_picture_has_a_picture_as_overlay(clip, tmp_path):
    write_png(tmp_path / "frame.png", clip.frames[0])
    files = write_cameras(
        open_source(tmp_path / "frame.png"),
        [predictions(0, clip.frames[0], camera_of(clip, 0))],
        tmp_path / "out",
    )
    assert (files.folder / "camera_frame.json").is_file()
    assert files.overlay == tmp_path / "out" / "overlay.png"
    assert files.overlay.is_file()


def test_a_model_without_pitch_heads_is_refused(clip, tmp_path):
    write_png(tmp_path / "frame.png", clip.frames[0])
    nothing = FramePredictions(0, 0.0, clip.frames[0])
    with pytest.raises(ValueError, match="pitch_keypoints"):
        write_cameras(open_source(tmp_path / "frame.png"), [nothing], tmp_path / "out")
    assert not list((tmp_path / "out").iterdir())


def test_cameras_of_an_earlier_call_are_replaced_and_others_are_kept(clip, tmp_path):
    source = written_video(tmp_path / "clip.mp4", clip.frames[:2])
    seen = [predictions(i, clip.frames[i], camera_of(clip, i)) for i in range(2)]
    blind = [predictions(i, clip.frames[i], None) for i in range(2)]
    out = tmp_path / "out"
    write_cameras(source, seen, out)
    write_cameras(source, blind, out)
    assert list(out.glob("camera_*.json")) == []
    (out / "camera_00001.json").write_text("of somebody else")
    with pytest.raises(FileExistsError, match=r"camera_00001\.json"):
        write_cameras(source, seen, out)
    assert (out / "camera_00001.json").read_text() == "of somebody else"


def test_an_interrupted_call_leaves_the_earlier_files(clip, tmp_path):
    source = written_video(tmp_path / "clip.mp4", clip.frames[:2])
    seen = [predictions(i, clip.frames[i], camera_of(clip, i)) for i in range(2)]
    out = tmp_path / "out"
    write_cameras(source, seen, out)
    before = {p.name: p.read_bytes() for p in out.iterdir()}
    with pytest.raises(ValueError, match="zip"):
        write_cameras(source, seen[:1], out)
    assert {p.name: p.read_bytes() for p in out.iterdir()} == before


def test_cuts(clip):
    other = render_sequence(11, 3, 25.0, SIZE[::-1])
    detector = CutDetector()
    found = [detector.begins_shot(f) for f in (*clip.frames[:4], *other.frames)]
    assert found == [True, False, False, False, True, False, False]


def test_thresholds_are_those_of_the_heads(clip):
    frame = predictions(0, clip.frames[0], camera_of(clip, 0))
    points_px, lines_px = frame.pitch_px()
    assert len(points_px) > 3
    assert len(lines_px) > 1
    assert frame.pitch_px(0.31) == ({}, {})
    strict = FramePredictions(
        0, 0.0, frame.image,
        keypoints=KeypointsPrediction(frame.keypoints.points_norm, frame.keypoints.scores, 0.35),
        lines=frame.lines,
    )  # fmt: skip
    assert strict.pitch_px()[0] == {}
    assert strict.pitch_px()[1] == lines_px
    assert strict.pitch_px(0.1)[0] == points_px
