"""Whole runs over small videos, with stand-ins for the networks."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from soccermaster.data.images import write_png
from soccermaster.factory.compare import compare_runs
from soccermaster.factory.executors import LocalExecutor, RayExecutor
from soccermaster.factory.inputs import InputError, find_videos
from soccermaster.factory.models import ModelUnavailableError
from soccermaster.factory.runner import Report, build_dataset
from soccermaster.factory.stage import ChainError
from tests.factory.adapters.tiny_models import save_soccer_model
from tests.factory.clips import (
    ORDER,
    stand_in_chain,
    write_plain_video,
    write_still_video,
)

_STAND_INS = "tests.factory.stand_ins"
FRAMES = 16


@pytest.fixture(scope="module")
def videos(tmp_path_factory) -> tuple[Path, Path]:
    """A folder of two videos, and the keypoints of both: they share one camera."""
    folder = tmp_path_factory.mktemp("videos")
    _, points = write_still_video(folder, 3, FRAMES)
    write_still_video(folder, 4, FRAMES)
    return folder, points


@pytest.fixture(scope="module")
def finished(videos, tmp_path_factory) -> tuple[Path, Report]:
    """An uninterrupted run over both."""
    output = tmp_path_factory.mktemp("finished")
    return output, run(videos[0], output, stand_in_chain(videos[1]))


def run(given: Path, output: Path, chain, **options) -> Report:
    return build_dataset(given, output, chain, LocalExecutor(1, 2, "cpu"), **options)


def contents(output: Path) -> dict[str, bytes]:
    """Every file of a data set by its name, but the log of what ran when."""
    return {
        str(path.relative_to(output)): path.read_bytes()
        for path in sorted(output.rglob("*"))
        if path.is_file() and path.name not in ("log.jsonl", ".lock")
    }


def runs_of(output: Path) -> list[str]:
    lines = (output / "log.jsonl").read_text().splitlines()
    return [json.loads(line)["stage"] for line in lines]


def test_all_stages_run_and_the_report_says_so(finished):
    output, report = finished
    assert report.counts == {
        "videos_done": 2, "videos_failed": 0, "clips_done": 2, "clips_failed": 0,
    }  # fmt: skip
    assert json.loads((output / "report.json").read_text()) == report.to_json()
    summary = report.clips[0]["summary"]
    assert summary["frames_with_camera"] == FRAMES and summary["tracks"] > 5
    assert summary["detections_by_source"]["blobs"] > 50
    assert len(report.stages) == len(ORDER) and report.stages[-1]["stage"] == "export"


def test_a_rerun_has_nothing_to_do(finished, videos):
    output, report = finished
    before, lines = contents(output), len(runs_of(output))
    again = run(videos[0], output, stand_in_chain(videos[1]))
    assert again.to_json() == report.to_json()
    assert contents(output) == before and len(runs_of(output)) == lines


def test_a_rerun_resumes_at_the_first_changed_stage(finished, videos):
    output, _ = finished
    lines = len(runs_of(output))
    smooth = {"_target_": "soccermaster.factory.tracks.Smooth", "noise_m": 0.2}
    run(videos[0], output, stand_in_chain(videos[1], smooth=smooth))
    assert runs_of(output)[lines:] == ["smooth", "team", "side", "export"] * 2
    lines = len(runs_of(output))
    run(videos[0], output, stand_in_chain(videos[1]))
    assert runs_of(output)[lines:] == ["export"] * 2  # whose files the other run replaced


def test_two_runs_are_compared(finished, videos, tmp_path):
    output, _ = finished
    same = compare_runs(output, output)
    assert same.stages == [] and all(clip.stage is None for clip in same.clips)
    (output / "before.json").write_text((output / "report.json").read_text())
    chain = stand_in_chain(
        videos[1], drop_short={"_target_": "soccermaster.factory.tracks.DropShort", "min_rows": 99}
    )
    try:
        run(videos[0] / "play_3.mp4", output, chain)
        changed = compare_runs(output / "before.json", output)
    finally:
        (output / "before.json").unlink()
        run(videos[0], output, stand_in_chain(videos[1]))
    assert changed.stages == ["drop_short"] and len(changed.only_first) == 1
    (clip,) = changed.clips
    assert clip.stage == "drop_short" and clip.kinds["track_ids"][1] == 0
    assert clip.summary["tracks"][0] > clip.summary["tracks"][1] == 0
    assert "from drop_short on" in changed.to_text()
    with pytest.raises(InputError, match="expected the report of a finished run"):
        compare_runs(output, tmp_path)


def kill_when(process_id: int, output: Path, stages: int) -> None:
    """End a process as soon as so many stages are logged."""
    while stages and os.waitpid(process_id, os.WNOHANG) == (0, 0):
        log = output / "log.jsonl"
        if log.exists() and log.read_text().count("\n") >= stages:
            break
        time.sleep(0.005)
    else:
        time.sleep(0.02)
    with contextlib.suppress(ProcessLookupError, ChildProcessError):
        os.kill(process_id, signal.SIGKILL)
        os.waitpid(process_id, 0)


def test_killed_at_any_moment_and_run_again_gives_the_same(finished, videos, tmp_path):
    chain = stand_in_chain(videos[1])
    for stages in (0, 2, 7, 13, 24, 29, 40, 47):
        child = os.fork()
        if child == 0:
            try:
                run(videos[0], tmp_path, chain)
            finally:
                os._exit(0)
        kill_when(child, tmp_path, stages)
    run(videos[0], tmp_path, chain)
    expected = contents_of_chain(finished[0], tmp_path)
    assert contents(tmp_path).keys() == expected.keys()
    assert contents(tmp_path) == expected


def contents_of_chain(output: Path, like: Path) -> dict[str, bytes]:
    """The files of an output that another one has too: further configurations lie beside."""
    names = {path.name for path in (like / "records").glob("*/*")}
    return {
        name: data
        for name, data in contents(output).items()
        if not name.startswith("records/") or Path(name).parts[2] in names
    }


def test_a_crash_loses_one_stage_of_one_clip_at_most(videos, tmp_path):
    fails = {"_target_": f"{_STAND_INS}.FailsAt", "word": "play_4", "once": str(tmp_path / "once")}
    order = ["shots", "detect", "colour", "fails"]
    chain = stand_in_chain(videos[1], order, fails=fails)
    report = build_dataset(videos[0], tmp_path, chain, LocalExecutor(1, 2, "cpu"))
    assert report.counts["clips_done"] == 2  # the second attempt went through
    assert sorted(runs_of(tmp_path)) == sorted(["shots", "detect", "colour", "fails"] * 2)


def test_a_failed_clip_is_reported_and_the_rest_goes_on(videos, tmp_path):
    fails = {"_target_": f"{_STAND_INS}.FailsAt", "word": "play_3"}
    chain = stand_in_chain(videos[1], ["shots", "fails", "detect"], fails=fails)
    report = run(videos[0], tmp_path, chain)
    first, second = report.clips
    assert first["status"] == "failed" and first["failed_stage"] == "fails"
    assert first["error"] == "RuntimeError: this clip cannot be done"
    assert second["status"] == "done"
    assert "this clip cannot be done" in report.to_text(tmp_path)


@pytest.mark.slow
def test_a_worker_that_dies_takes_no_other_clip_along(videos, tmp_path):
    fails = {"_target_": f"{_STAND_INS}.FailsAt", "word": "play_3", "how": "die"}
    chain = stand_in_chain(videos[1], ["shots", "fails", "detect"], fails=fails)
    report = build_dataset(videos[0], tmp_path, chain, LocalExecutor(2, 2, "cpu"))
    assert [clip["status"] for clip in report.clips] == ["failed", "done"]
    assert report.clips[0]["failed_stage"] == "worker"


@pytest.mark.slow
def test_processes_give_what_one_process_gives(finished, videos, tmp_path):
    build_dataset(videos[0], tmp_path, stand_in_chain(videos[1]), LocalExecutor(2, 2, "cpu"))
    assert contents(tmp_path) == contents_of_chain(finished[0], tmp_path)


@pytest.mark.slow
def test_the_command_killed_and_run_again_gives_the_same(finished, videos, tmp_path, root):
    chain = stand_in_chain(videos[1])
    (tmp_path / "configs/factory").mkdir(parents=True)
    preset = {"order": list(chain.order), "stages": dict(chain.stages)}
    (tmp_path / "configs/factory/small.yaml").write_text(json.dumps(preset))
    command = [
        sys.executable, "scripts/build_dataset.py", "--config-dir", str(tmp_path / "configs"),
        "factory=small", f"input={videos[0]}", f"output={tmp_path / 'out'}", "executor.workers=1",
        "executor.device=cpu",
    ]  # fmt: skip
    environment = os.environ | {"PYTHONPATH": f"{root / 'src'}:{root}"}
    for stages in (5, 20, 35):
        process = subprocess.Popen(command, cwd=root, env=environment)
        kill_when(process.pid, tmp_path / "out", stages)
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "2 videos and 2 clips done" in done.stdout
    assert contents(tmp_path / "out") == contents_of_chain(finished[0], tmp_path / "out")


def test_two_runs_do_not_work_on_one_folder(videos, tmp_path):
    import fcntl

    with (tmp_path / ".lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        with pytest.raises(BlockingIOError, match="another run works on this folder"):
            run(videos[0], tmp_path, stand_in_chain(videos[1]))


def test_a_missing_model_stops_the_run_at_its_start(videos, tmp_path):
    chain = stand_in_chain(tmp_path / "keypoints.npy")
    with pytest.raises(ModelUnavailableError, match=r"put them at .*keypoints.npy"):
        run(videos[0], tmp_path, chain)
    assert not (tmp_path / "log.jsonl").exists()  # no video was looked through


def test_what_is_stored_needs_no_model(videos, tmp_path):
    keypoints = tmp_path / "keypoints.npy"
    keypoints.write_bytes(videos[1].read_bytes())
    chain = stand_in_chain(keypoints, ["shots", "detect", "calibrate"])
    report = run(videos[0], tmp_path / "out", chain)
    keypoints.unlink()
    assert run(videos[0], tmp_path / "out", chain).to_json() == report.to_json()


def test_a_chain_in_the_wrong_order_stops_before_anything_runs(videos, tmp_path):
    chain = stand_in_chain(videos[1], ["shots", "detect", "side"])
    with pytest.raises(ChainError, match="side: expected"):
        run(videos[0], tmp_path / "out", chain)
    assert not (tmp_path / "out").exists()
    with pytest.raises(ChainError, match="expected shots before the stages of clips"):
        run(videos[0], tmp_path / "out", stand_in_chain(videos[1], ["detect", "shots"]))
    with pytest.raises(ChainError, match="got dream"):
        run(videos[0], tmp_path / "out", stand_in_chain(videos[1], ["dream"]))


@pytest.mark.parametrize(
    ("colour", "num_frames", "remark"),
    [
        ((0, 0, 0), 40, "no shot of the main camera"),
        ((120, 60, 60), 40, "no shot of the main camera"),
        ((60, 140, 50), 1, None),
    ],
    ids=["black", "no pitch", "one frame of grass"],
)
def test_videos_without_anything_end_with_a_report(videos, tmp_path, colour, num_frames, remark):
    video = write_plain_video(tmp_path / "plain.mp4", colour, num_frames)
    report = run(video, tmp_path / "out", stand_in_chain(videos[1]))
    assert report.counts["videos_failed"] == report.counts["clips_failed"] == 0
    assert report.videos[0].get("remark") == remark
    assert not list((tmp_path / "out").rglob("*.jpg"))


def test_no_pitch_gives_no_camera_and_nobody_a_position(videos, tmp_path):
    video = write_plain_video(tmp_path / "black.mp4", (0, 0, 0), 20)
    chain = stand_in_chain(videos[1], ORDER[1:])  # without shots: all of it is a clip
    report = run(video, tmp_path / "out", chain)
    (clip,) = report.clips
    assert clip["status"] == "done"
    assert clip["summary"]["frames_with_camera"] == 0 and clip["rows"]["project"]["positions"] == 0
    assert "no camera: no pitch was recognised" in clip["summary"]["remarks"]
    assert "nobody was found" in clip["summary"]["remarks"]


@pytest.mark.parametrize(
    ("reader", "roles_understood"), [({"number": -1}, True), ({"late": True}, False)],
    ids=["nonsense", "timeout"],
)  # fmt: skip
def test_a_reader_without_a_usable_answer_invents_no_numbers(
    videos, tmp_path, reader, roles_understood
):
    mute = {"_target_": f"{_STAND_INS}.Reader", **reader}
    chain = stand_in_chain(
        videos[1],
        numbers={"_target_": "soccermaster.factory.read.Numbers", "reader": mute},
        roles={"_target_": "soccermaster.factory.read.Roles", "reader": mute},
    )
    report = run(videos[0] / "play_3.mp4", tmp_path, chain)
    (clip,) = report.clips
    assert clip["status"] == "done" and clip["summary"]["tracks_with_number"] == 0
    remarks = clip["summary"]["remarks"]
    assert "the reader of numbers gave no answer that was understood" in remarks
    no_roles = "the reader of roles gave no answer that was understood" in remarks
    assert no_roles != roles_understood
    exported = json.loads(next((tmp_path / "extracted_info").glob("*.json")).read_text())
    people = [person for frame in exported.values() for person in frame["people"]]
    assert people and all(person["jersey_number"] is None for person in people)


def test_a_reader_that_is_late_everywhere_is_remarked_on(videos, tmp_path):
    late = {"_target_": f"{_STAND_INS}.Reader", "late": True}
    chain = stand_in_chain(
        videos[1],
        legibility={"_target_": "soccermaster.factory.read.Legibility", "model": late},
        numbers={"_target_": "soccermaster.factory.read.Numbers", "reader": late},
        roles={"_target_": "soccermaster.factory.read.Roles", "reader": late},
    )
    report = run(videos[0] / "play_3.mp4", tmp_path, chain)
    (clip,) = report.clips
    assert clip["status"] == "done" and clip["summary"]["numbers_asked"] == 0
    for remark in (
        "the model of legibility gave no answer that was understood",
        "the reader of roles gave no answer that was understood",
        "no number was read: nobody asked, or none was legible",
    ):
        assert remark in clip["summary"]["remarks"]


def test_a_broken_video_is_reported_and_the_others_go_on(videos, tmp_path):
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video")
    files = tmp_path / "files.txt"
    files.write_text(f"broken.mp4 # cut short\nmissing.mp4\n{videos[0] / 'play_3.mp4'}\n")
    report = run(files, tmp_path / "out", stand_in_chain(videos[1], ["shots", "detect"]))
    assert [video["status"] for video in report.videos] == ["failed", "failed", "done"]
    assert "broken.mp4" in report.videos[0]["error"]
    assert report.counts["clips_done"] == 1


def test_long_shots_are_cut(videos, tmp_path):
    chain = stand_in_chain(videos[1], ["shots", "detect"])
    report = run(videos[0] / "play_3.mp4", tmp_path, chain, clip_frames=10)
    assert [clip["frames"] for clip in report.clips] == [[0, 10], [10, 16]]
    assert [clip["number"] for clip in report.clips] == [1, 2]


def clips_of(output: Path) -> set[str]:
    """The clips that the readers of data sets would find, in any layout."""
    places = ["extracted_info/*", "predictions/*", "sn500/*", "SoccerNetGS/train/*", "yolo/*/*/*"]
    return {path.name[:10] for place in places for path in output.glob(place)}


def test_clips_of_an_earlier_run_do_not_stay_in_the_export(videos, tmp_path):
    chain, video = stand_in_chain(videos[1]), videos[0] / "play_3.mp4"
    before = run(video, tmp_path, chain)
    assert clips_of(tmp_path) == {"SNGS-10001"} and not before.remarks
    after = run(video, tmp_path, chain, clip_frames=8)
    assert clips_of(tmp_path) == {"SNGS-10002", "SNGS-10003"}
    assert after.remarks == json.loads((tmp_path / "report.json").read_text())["remarks"]
    assert "removed the files of 1 clips of earlier runs" in after.to_text(tmp_path)
    lines = len(runs_of(tmp_path))
    run(video, tmp_path, chain)
    assert clips_of(tmp_path) == {"SNGS-10001"}
    assert runs_of(tmp_path)[lines:] == ["export"]  # out of the records


def test_pictures_that_are_gone_are_written_again(videos, tmp_path):
    chain, video = stand_in_chain(videos[1]), videos[0] / "play_3.mp4"
    run(video, tmp_path, chain)
    before = contents(tmp_path)
    (tmp_path / "sn500/SNGS-10001/img1/000004.jpg").unlink()
    run(video, tmp_path, chain)
    assert contents(tmp_path) == before


def test_a_rerun_without_people_leaves_no_export_of_another_configuration(videos, tmp_path):
    video = videos[0] / "play_3.mp4"
    strict = {"_target_": "soccermaster.factory.tracks.DropShort", "min_rows": 99}
    for drop_short, clips in ((strict, set()), (None, {"SNGS-10001"}), (strict, set())):
        changed = {} if drop_short is None else {"drop_short": drop_short}
        run(video, tmp_path, stand_in_chain(videos[1], **changed))
        assert clips_of(tmp_path) == clips


def test_a_failure_after_the_clips_is_in_the_report(videos, tmp_path):
    spoils = {"_target_": f"{_STAND_INS}.FailsAtTheEnd"}
    chain = stand_in_chain(videos[1], ["shots", "detect", "spoils"], spoils=spoils)
    report = run(videos[0], tmp_path, chain)
    assert report.counts["clips_done"] == 2
    assert report.failure == "spoils: OSError: the disk is full"
    assert json.loads((tmp_path / "report.json").read_text())["errors"] == [report.failure]


def test_a_run_whose_clips_all_fail_has_failed(videos, tmp_path):
    fails = {"_target_": f"{_STAND_INS}.FailsAt", "word": "play"}
    chain = stand_in_chain(videos[1], ["shots", "fails"], fails=fails)
    assert run(videos[0], tmp_path, chain).failure == "every clip failed"


def test_inputs_are_videos_folders_and_lists(videos, tmp_path):
    folder = videos[0]
    assert [video.name for video in find_videos(folder)] == ["play_3", "play_4"]
    assert [video.name for video in find_videos(folder / "play_3.mp4")] == ["play_3"]
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for name in ("a", "b"):
        (tmp_path / name / "1_720p.mkv").touch()
    names = [video.name for video in find_videos(tmp_path)]
    assert len(set(names)) == 2 and all(name.startswith("1_720p_") for name in names)
    with pytest.raises(InputError, match="got none"):
        find_videos(tmp_path / "nothing")


def test_what_a_run_wrote_is_no_input(videos, tmp_path):
    shutil.copy(videos[0] / "play_3.mp4", tmp_path)
    output = tmp_path / "out"
    for _ in range(2):
        report = run(tmp_path, output, stand_in_chain(videos[1]))
        assert [video["name"] for video in report.videos] == ["play_3"]
    with pytest.raises(InputError, match="got none"):
        find_videos(output, output)
    assert [video.name for video in find_videos(output / "sn500", output)] == ["SNGS-10001"]


def test_lists_name_each_video_once_and_may_have_comments(tmp_path):
    for name in ("a.mp4", "b#2.mp4", "c #3.mp4"):
        (tmp_path / name).touch()
    files = tmp_path / "files.txt"
    files.write_text("# all\na.mp4 # the first\nb#2.mp4\nc #3.mp4\n\n")
    names = [video.path.name for video in find_videos(files)]
    assert names == ["a.mp4", "b#2.mp4", "c #3.mp4"]
    files.write_text(f"a.mp4\n{tmp_path / 'a.mp4'}\n")
    with pytest.raises(InputError, match=r"every video once, got .*a\.mp4 twice"):
        find_videos(files)


def test_ray_names_its_extra_when_it_is_missing(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(ModelUnavailableError, match=r"pip install 'soccermaster\[ray\]'"):
        RayExecutor()


@pytest.mark.slow
def test_ray_gives_what_one_process_gives(finished, videos, tmp_path, root, monkeypatch):
    pytest.importorskip("ray", reason="the extra ray is not installed")
    monkeypatch.setenv("PYTHONPATH", f"{root / 'src'}:{root}")  # of the workers
    build_dataset(videos[0], tmp_path, stand_in_chain(videos[1]), RayExecutor())
    assert contents(tmp_path) == contents_of_chain(finished[0], tmp_path)


def test_a_cluster_needs_shared_storage():
    with pytest.raises(ValueError, match="storage_is_shared=true"):
        RayExecutor(address="auto")


def test_weights_that_changed_under_their_name_are_noticed(videos, tmp_path):
    weights = save_soccer_model(tmp_path / "model")
    pitch = "soccermaster.factory.adapters.soccer_model.SoccerPitch"
    chain = stand_in_chain(
        videos[1],
        ["shots", "detect", "calibrate"],
        calibrate={
            "_target_": "soccermaster.factory.register.Calibrate",
            "detector": {"_target_": pitch, "weights": str(weights)},
        },
    )
    video, output = videos[0] / "play_3.mp4", tmp_path / "out"
    first = run(video, output, chain)
    for file in weights.rglob("*.safetensors"):
        os.utime(file, (0, 0))  # another time alone is no change
    assert run(video, output, chain).to_json() == first.to_json()
    save_soccer_model(tmp_path / "model", seed=1)
    again = run(video, output, chain)
    assert runs_of(output) == ["shots", "detect", "calibrate", "calibrate"]
    assert again.stages[2]["config_hash"] != first.stages[2]["config_hash"]


def test_the_rate_of_pictures_counts(videos, tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for t in range(3):
        write_png(folder / f"{t:03d}.png", np.full((96, 160, 3), (60, 140, 50), np.uint8))
    chain = stand_in_chain(videos[1], ["detect", "colour"])
    for fps in (25.0, 25.0, 50.0):
        run(folder, tmp_path / "out", chain, fps=fps)
    assert runs_of(tmp_path / "out") == ["detect", "colour"] * 2
