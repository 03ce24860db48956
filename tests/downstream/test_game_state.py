"""Game states of videos, from predictions that annotations make."""

from __future__ import annotations

import contextlib
import dataclasses
import io
import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from hydra.errors import InstantiationException
from hydra.utils import instantiate

from soccermaster.data.datasets.game_state_file import read_game_state, read_predictions
from soccermaster.data.frame_source import open_source
from soccermaster.data.synthetic.dataset import render_sequence
from soccermaster.data.synthetic.writers import write_gsr
from soccermaster.data.video import probe
from soccermaster.downstream.game_state import write_game_state
from soccermaster.downstream.reconstruct import ClipState, FrameCamera, TrackedPeople, reconstruct
from soccermaster.factory.records import Records
from soccermaster.factory.stage import Stage, StageError
from soccermaster.metrics.tracking import tracking_scores
from soccermaster.vocabulary import NO_NUMBER, ROLES
from tests.configs import compose_train
from tests.downstream.heads import SIZE, camera_of, nobody, people_of, predictions, written_video

FRAMES = 12


class Fails(Stage):
    """Cannot do its work on any clip."""

    name = "fails"

    def run(self, clip, records) -> Records:
        raise StageError("nothing can be said")


@pytest.fixture(scope="module")
def clip():
    return render_sequence(3, FRAMES, 25.0, SIZE[::-1])


def rules(**changed):
    """Those of the configuration."""
    cfg = compose_train("downstream=game_state", "checkpoint=x", "input=x", root="predict")
    chosen = cfg.downstream.predict.rules
    for key, value in changed.items():
        chosen[key] = value
    return instantiate(chosen)


def perfect(clip, frames=FRAMES, first=0):
    for i in range(frames):
        found = predictions(first + i, clip.frames[i], camera_of(clip, i), people_of(clip, i))
        yield found


def states_of(source, frames, **options):
    return list(reconstruct(source, frames, rules(), **options))


def truth_of(clip):
    people = clip.annotations.athletes
    return people.select(people.roles != ROLES.index("ball"))


def test_perfect_heads_give_the_people_of_the_clip(clip, tmp_path):
    source = written_video(tmp_path / "match.mp4", clip.frames)
    (state,) = states_of(source, perfect(clip))
    found, truth = state.people.athletes, truth_of(clip)
    assert tracking_scores([(truth, found)])["hota"] > 0.9
    assert all(camera.camera is not None for camera in state.cameras)
    same = [
        (row, other)
        for row, (t, box) in enumerate(zip(found.frame, found.boxes_xyxy_px, strict=True))
        for other in np.flatnonzero(truth.frame == t)
        if np.abs(truth.boxes_xyxy_px[other] - box).max() < 0.5
    ]
    mine, theirs = np.array(same).T
    assert len(mine) > 0.9 * len(found)
    assert (found.roles[mine] == truth.roles[theirs]).all()
    apart_m = np.linalg.norm(found.positions_m[mine] - truth.positions_m[theirs], axis=1)
    assert np.nanmedian(apart_m) < 0.5
    known = found.numbers[mine] != NO_NUMBER
    assert known.any() and (found.numbers[mine] == truth.numbers[theirs])[known].all()


def test_files_say_the_same_in_every_format(clip, tmp_path):
    source = written_video(tmp_path / "match.mp4", clip.frames)
    clips = states_of(source, perfect(clip))
    files = write_game_state(source, clips, tmp_path / "new" / "out")
    names = ["game_state.mp4", "match.json", "mot.txt", "report.json", "tracks.parquet"]
    assert sorted(path.name for path in files.gsr.parent.iterdir()) == names
    people = clips[0].people.athletes
    ids = tuple(f"0000{frame:06d}" for frame in range(1, FRAMES + 1))
    read = read_predictions(files.gsr, ids)
    placed = np.isfinite(people.positions_m).all(axis=1) & (people.roles >= 0)
    for field in ("frame", "track_ids", "roles", "numbers", "teams", "positions_m"):
        np.testing.assert_array_equal(getattr(read, field), getattr(people, field)[placed], field)
    mot = np.loadtxt(files.mot, delimiter=",")
    np.testing.assert_array_equal(mot[:, :2], np.stack([people.frame + 1, people.track_ids], 1))
    np.testing.assert_allclose(mot[:, 2:4] + mot[:, 4:6], people.boxes_xyxy_px[:, 2:], atol=0.011)
    table = pq.read_table(files.table).to_pydict()
    assert table["frame"] == (people.frame + 1).tolist()
    assert table["track_id"] == people.track_ids.tolist()
    assert [-1 if r is None else ROLES.index(r) for r in table["role"]] == people.roles.tolist()
    assert [NO_NUMBER if n is None else n for n in table["number"]] == people.numbers.tolist()
    video = probe(files.video)
    assert (video.num_frames, video.height) == (FRAMES, SIZE[1])
    assert video.width > 1.5 * SIZE[0]
    report = json.loads(files.report_file.read_text())
    assert report["frames_with_camera"] == report["frames"] == FRAMES
    assert report["tracks"] == len(set(table["track_id"])) > 5


def test_the_map_moves_with_the_people(clip, tmp_path):
    source = written_video(tmp_path / "match.mp4", clip.frames)
    files = write_game_state(source, states_of(source, perfect(clip)), tmp_path / "out")
    first, last = open_source(files.video).read([0, FRAMES - 1])[:, :, SIZE[0] :].astype(int)
    assert np.abs(first - last).max() > 60
    blue, red = ((first - c) ** 2 for c in ((70, 150, 255), (245, 90, 60)))
    assert max(blue.sum(axis=2).min(), red.sum(axis=2).min()) < 8000  # dots of both teams


def test_a_black_video_ends_with_a_report(tmp_path):
    black = np.zeros((4, *SIZE[::-1], 3), np.uint8)
    source = written_video(tmp_path / "black.mp4", black)
    frames = (predictions(i, f, None, nobody()) for i, f in enumerate(black))
    files = write_game_state(source, states_of(source, frames), tmp_path / "out")
    assert json.loads(files.gsr.read_text()) == {"predictions": []}
    assert files.mot.read_text() == "" and pq.read_table(files.table).num_rows == 0
    assert files.report["tracks"] == files.report["frames_with_camera"] == 0
    assert "no pitch was recognised" in files.to_text() and "nobody was found" in files.to_text()


def test_without_a_pitch_nobody_has_a_number_a_team_or_a_place(clip, tmp_path):
    source = written_video(tmp_path / "match.mp4", clip.frames)
    frames = (predictions(i, clip.frames[i], None, people_of(clip, i)) for i in range(FRAMES))
    clips = states_of(source, frames)
    people = clips[0].people.athletes
    assert len(people) > FRAMES  # boxes and tracks are there all the same
    assert set(people.numbers) == {NO_NUMBER} and set(people.teams) == {-1}
    assert np.isnan(people.positions_m).all()
    files = write_game_state(source, clips, tmp_path / "out")
    assert json.loads(files.gsr.read_text()) == {"predictions": []}
    assert files.report["tracks_with_number"] == 0
    assert set(pq.read_table(files.table)["number"].to_pylist()) == {None}


def test_one_frame_is_enough_for_places(clip, tmp_path):
    source = written_video(tmp_path / "one.mp4", clip.frames[:1])
    (state,) = states_of(source, perfect(clip, 1))
    assert len(state.people.athletes) > 5
    assert np.isfinite(state.people.athletes.positions_m).all(axis=1).sum() > 5
    assert set(state.people.athletes.numbers) == {NO_NUMBER}  # read once: not enough
    assert write_game_state(source, [state], tmp_path / "out").video.name == "game_state.png"


def test_tracks_end_at_a_cut_and_at_the_end_of_a_clip(clip, tmp_path):
    other = render_sequence(11, 6, 25.0, SIZE[::-1])
    source = written_video(tmp_path / "cut.mp4", [*clip.frames[:8], *other.frames])
    frames = [*perfect(clip, 8), *perfect(other, 6, first=8)]
    clips = states_of(source, frames, clip_frames=5)
    assert [(c.frames.start, c.frames.stop, c.shot) for c in clips] == [
        (0, 5, 1), (5, 8, 1), (8, 13, 2), (13, 14, 2),
    ]  # fmt: skip
    ids = [set(c.people.athletes.track_ids.tolist()) for c in clips]
    assert all(ids) and sum(map(len, ids)) == len(set.union(*ids))
    for c in clips:
        assert set(c.people.athletes.frame) <= set(c.frames)


def test_what_does_not_fit_together_is_refused(clip, tmp_path):
    with pytest.raises(InstantiationException, match=r"ChainError.*no_such"):
        rules(order=["no_such"])
    with pytest.raises(InstantiationException, match=r"ChainError.*embeddings"):
        rules(order=["track"])
    with pytest.raises(InstantiationException, match=r"ChainError.*positions"):
        rules(order=["reid", "track"])
    source = written_video(tmp_path / "match.mp4", clip.frames[:1])
    with pytest.raises(ValueError, match="athletes"):
        states_of(source, [predictions(0, clip.frames[0], None)])
    blind = dataclasses.replace(
        predictions(0, clip.frames[0], None, nobody()), keypoints=None, lines=None
    )
    with pytest.raises(ValueError, match="pitch_keypoints"):
        states_of(source, [blind])


def test_a_stage_that_gives_up_leaves_a_remark(clip, tmp_path):
    source = written_video(tmp_path / "match.mp4", clip.frames[:2])
    failing = rules()
    failing.stages.append(Fails())
    (state,) = reconstruct(source, perfect(clip, 2), failing)
    assert len(state.people.athletes) == 0
    assert "fails: nothing can be said" in state.summary["remarks"]


def test_the_evaluator_gives_a_perfect_prediction_100(tmp_path):
    trackeval = pytest.importorskip("trackeval", reason="pip install 'soccermaster[eval]'")
    (folder,) = write_gsr(tmp_path, "valid", ["021"], num_frames=4, image_size=SIZE[::-1])
    truth = read_game_state(folder)
    unknown = np.full(len(truth.athletes), np.nan)
    people = TrackedPeople(truth.athletes, truth.corners_m, unknown, unknown, unknown)
    no_ball = people.select(truth.athletes.roles != ROLES.index("ball"))
    cameras = (FrameCamera(None, False, 0.0, float("nan"), "not asked for"),) * 4
    state = ClipState(range(4), (0.0, 0.04, 0.08, 0.12), 1, no_ball, cameras,
                      {"tracks": 0, "remarks": []})  # fmt: skip
    output = tmp_path / "found" / "SoccerNetGS-valid" / "ours" / "data"
    files = write_game_state(open_source(folder), [state], output)
    assert files.gsr.name == "SNGS-021.json"
    first = json.loads(files.gsr.read_text())["predictions"][0]
    assert first["image_id"] == "2021000001" and len(first["bbox_pitch"]) == 6
    quiet = {"PRINT_CONFIG": False}
    with contextlib.redirect_stdout(io.StringIO()):
        dataset = trackeval.datasets.SoccerNetGS(
            quiet
            | {
                "GT_FOLDER": str(tmp_path / "SoccerNetGS"),
                "TRACKERS_FOLDER": str(tmp_path / "found"),
                "SEQ_INFO": {"SNGS-021": 4},
                "OUTPUT_FOLDER": str(tmp_path / "scores"),
            }
        )
        evaluator = trackeval.Evaluator(quiet | {"PLOT_CURVES": False, "USE_PARALLEL": False})
        results, _ = evaluator.evaluate([dataset], [trackeval.metrics.HOTA(quiet)])
    hota = results["SoccerNetGS"]["ours"]["COMBINED_SEQ"]["person"]["HOTA"]["HOTA"]
    np.testing.assert_allclose(hota, 1.0, atol=1e-9)
