"""Moments of a match by text: the index, its file, and the answers."""

from __future__ import annotations

import json
import shutil

import cv2
import numpy as np
import pytest
import torch

from soccermaster.data.frame_source import open_source
from soccermaster.downstream.search import (
    MomentIndex,
    SearchIndexError,
    embed_video,
    open_index,
    search_files,
)
from soccermaster.predict import Predictor
from tests.downstream.match import predictor as untrained
from tests.downstream.match import short_match


@pytest.fixture(scope="module")
def predictor() -> Predictor:
    return untrained()


@pytest.fixture(scope="module")
def video(tmp_path_factory):
    return short_match(tmp_path_factory.mktemp("match"))


@pytest.fixture(scope="module")
def index(predictor, video):
    return embed_video(predictor, open_source(video), stride_s=5.0)


def made(times_s, vectors):
    """An index whose vectors are given."""
    n = len(vectors)
    vectors = np.array(vectors, np.float32)
    return MomentIndex(
        vectors, np.array(times_s, float), np.zeros((n, 0), np.float32), (), (b"",) * n, {}
    )


class Words:
    """Stands for a predictor whose text vectors are known."""

    def embed_texts(self, texts):
        return torch.tensor([{"goal": [1.0, 0.0], "corner": [0.0, 1.0]}[t] for t in texts])


def test_clips_cover_the_video_and_have_pictures(index, video):
    duration_s = open_source(video).info.duration_s
    starts_s = index.times_s[:, 0]
    np.testing.assert_allclose(np.diff(starts_s)[:-1], 5.0, atol=0.51)
    np.testing.assert_allclose(index.times_s[:, 1] - starts_s, 10.0, atol=0.51)
    assert starts_s[0] == 0
    assert index.times_s[-1, 1] == pytest.approx(duration_s, abs=0.51)
    np.testing.assert_allclose(np.linalg.norm(index.vectors, axis=1), 1, atol=1e-3)
    np.testing.assert_allclose(index.event_scores.sum(axis=1), 1, atol=1e-3)
    pictures = [cv2.imdecode(np.frombuffer(t, np.uint8), 1) for t in index.thumbnails]
    assert {p.shape for p in pictures} == {(192, 320, 3)}


def test_a_clip_has_the_vector_that_prediction_gives_it(index, predictor, video):
    alone = predictor.predict_clip(open_source(video), 0, 20)
    np.testing.assert_allclose(index.vectors[0], alone.vector.numpy(), atol=1e-2)


def test_a_short_video_is_one_clip(predictor, video):
    long_clips = Predictor(predictor.model, clip_seconds=600.0)
    index = embed_video(long_clips, open_source(video))
    assert len(index.vectors) == 1
    assert index.times_s[0, 0] == 0


def test_the_best_moments_come_first_and_hardly_overlap():
    times_s = [(0, 30), (10, 40), (20, 50), (60, 90)]
    index = made(times_s, [(0.8, 0.6), (1.0, 0.0), (0.9, 0.43), (0.6, 0.8)])
    found = index.search(Words(), "goal", top_k=3)
    assert [m.start_s for m in found] == [10, 60]  # the others are mostly the first
    assert found[0].score == pytest.approx(1)
    assert [m.start_s for m in index.search(Words(), "corner", top_k=1)] == [60]


@pytest.mark.parametrize("sentence,top_k", [(" ", 3), ("goal", 0)])
def test_what_cannot_be_searched_is_refused(sentence, top_k):
    with pytest.raises(ValueError, match="expected a sentence and top_k of at least 1"):
        made([(0, 30)], [(1.0, 0.0)]).search(Words(), sentence, top_k)


def test_the_file_holds_the_index(index, tmp_path):
    index.save(tmp_path / "match.index")
    loaded = MomentIndex.load(tmp_path / "match.index")
    np.testing.assert_array_equal(loaded.vectors, index.vectors)
    np.testing.assert_array_equal(loaded.times_s, index.times_s)
    assert loaded.thumbnails == index.thumbnails
    assert loaded.event_classes == index.event_classes
    assert loaded.made_of == index.made_of
    assert [p.name for p in tmp_path.iterdir()] == ["match.index"]


def test_a_file_that_is_no_index_is_named(tmp_path):
    (tmp_path / "other").write_text("text")
    with pytest.raises(SearchIndexError, match="other"):
        MomentIndex.load(tmp_path / "other")


def test_a_match_is_embedded_once(predictor, video, index, tmp_path, monkeypatch):
    path = tmp_path / "match.index"
    index.save(path)

    def never(*arguments):
        raise AssertionError("embedded again")

    monkeypatch.setattr("soccermaster.downstream.search.embed_video", never)
    assert open_index(predictor, video, path, stride_s=5.0).made_of == index.made_of
    assert open_index(predictor, None, path).made_of == index.made_of
    assert open_index(predictor, video, path, stride_s=5.0, overwrite=True).made_of == index.made_of
    with pytest.raises(AssertionError, match="embedded again"):
        open_index(predictor, video, path, stride_s=7.0, overwrite=True)


def test_an_index_of_something_else_is_kept(predictor, video, index, tmp_path):
    path, other = tmp_path / "match.index", tmp_path / "other.mp4"
    index.save(path)
    before = path.read_bytes()
    shutil.copy(video, other)
    with pytest.raises(SearchIndexError, match=r"one of stride_s 5\.0 \(here: 7\.0\)"):
        open_index(predictor, video, path, stride_s=7.0)
    with pytest.raises(SearchIndexError, match=rf"video {video.name} \(here: other\.mp4\)"):
        open_index(predictor, other, path, stride_s=5.0)
    assert path.read_bytes() == before
    assert open_index(predictor, other, path, overwrite=True).made_of["video"] == "other.mp4"


def test_a_file_that_is_no_index_is_kept(predictor, video, tmp_path):
    path = tmp_path / "notes.txt"
    path.write_text("not an index")
    with pytest.raises(SearchIndexError, match=r"index=FILE, or make it again with .*overwrite"):
        open_index(predictor, video, path)
    assert path.read_text() == "not an index"
    open_index(predictor, video, path, overwrite=True)
    assert len(MomentIndex.load(path).vectors)


def test_an_index_of_another_model_is_refused(index, tmp_path):
    index.save(tmp_path / "match.index")
    torch.manual_seed(1)  # other weights
    with pytest.raises(SearchIndexError, match="of another"):
        open_index(untrained(), None, tmp_path / "match.index")


def test_answers_are_written_with_thumbnails(index, predictor, tmp_path):
    path = search_files(predictor, index, ["a goal", "a corner"], tmp_path, top_k=2)
    answers = json.loads(path.read_text())
    assert [a["query"] for a in answers] == ["a goal", "a corner"]
    for answer in answers:
        assert len(answer["moments"]) == 2
        scores = [m["score"] for m in answer["moments"]]
        assert scores == sorted(scores, reverse=True)
        for moment in answer["moments"]:
            assert 0 <= moment["start_s"] < moment["stop_s"]
            assert cv2.imread(str(tmp_path / moment["thumbnail"])) is not None
