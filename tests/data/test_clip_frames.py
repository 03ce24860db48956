from fractions import Fraction

import av
import cv2
import numpy as np
import pytest

from soccermaster.data.clip_frames import consecutive_frames, spread_frames
from soccermaster.data.frame_source import ImageSource, open_source
from soccermaster.data.video import VideoError

from .test_video import coded_frame, decode_index, write_coded


@pytest.fixture(scope="module", params=["mp4", "mkv", "folder"])
def source(request, tmp_path_factory):
    """Four seconds at 25 frames per second."""
    folder = tmp_path_factory.mktemp("clips")
    if request.param != "folder":
        return open_source(write_coded(folder / f"v.{request.param}", 100))
    for index in range(100):
        cv2.imwrite(str(folder / f"{index + 1:06d}.jpg"), coded_frame(index))
    return open_source(folder, fps=25.0)


def codes(source, indices):
    return [decode_index(frame) for frame in source.stream(indices.tolist())]


def test_thirty_consecutive_frames(source):
    indices = consecutive_frames(source, start_s=2.0)
    assert codes(source, indices) == list(range(50, 80)) == indices.tolist()
    assert consecutive_frames(source, start_s=2.8).tolist() == list(range(70, 100))
    half = consecutive_frames(source, num_frames=5, fps=12.5)
    assert half.tolist() == [0, 2, 4, 6, 8]


def test_thirty_frames_spread_over_the_video(source):
    indices, mask = spread_frames(source)
    assert mask.all() and codes(source, indices) == indices.tolist()
    np.testing.assert_allclose(source.times_s[indices], (np.arange(30) + 0.5) * 4 / 30, atol=0.041)
    part, _ = spread_frames(source, num_frames=2, start_s=1.0, duration_s=2.0)
    assert part.tolist() == [37, 62]


def test_videos_that_are_too_short(source):
    for wanted in ({"start_s": 3.0}, {"num_frames": 300}, {"start_s": -0.1}):
        with pytest.raises(VideoError, match="Leave this video out"):
            consecutive_frames(source, **wanted)
    with pytest.raises(VideoError, match="at least 300 frames, got 100"):
        spread_frames(source, num_frames=300)
    indices, mask = spread_frames(source, num_frames=300, short="pad")
    assert indices.tolist() == [*range(100), *[99] * 200] and mask.sum() == 100
    with pytest.raises(VideoError, match="Leave this video out"):
        spread_frames(source, start_s=2.0, duration_s=3.0)


def test_the_standard_clip_of_thirty_seconds(tmp_path):
    cv2.imwrite(str(tmp_path / "0.png"), np.zeros((8, 8, 3), np.uint8))
    source = ImageSource([tmp_path / "0.png"] * 750)
    assert spread_frames(source)[0].tolist() == list(range(12, 750, 25))


def test_a_variable_rate_is_read_by_time(tmp_path):
    """A second at 10 frames per second, then one at 50: the moments stay evenly spaced."""
    path = tmp_path / "vfr.mkv"
    shown_ms = [*range(0, 1000, 100), *range(1000, 2000, 20)]
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=50)
        stream.width, stream.height, stream.pix_fmt = 80, 48, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for index, time_ms in enumerate(shown_ms):
            frame = av.VideoFrame.from_ndarray(coded_frame(index), format="rgb24")
            frame.pts, frame.time_base = time_ms, Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    source = open_source(path)
    np.testing.assert_allclose(source.times_s, np.array(shown_ms) / 1000, atol=1e-3)
    indices, _ = spread_frames(source, num_frames=10, duration_s=2.0)
    np.testing.assert_allclose(source.times_s[indices], np.arange(0.1, 2.0, 0.2), atol=2e-3)
    assert codes(source, indices) == indices.tolist()
    steady = consecutive_frames(source, start_s=0.9, num_frames=5, fps=25.0)
    assert [shown_ms[i] for i in steady] == [900, 900, 900, 1020, 1060]


def test_streams_ascend(source):
    assert [decode_index(f) for f in source.stream([3, 3, 7])] == [3, 3, 7]
    if source.info.path.is_file():
        with pytest.raises(ValueError, match="ascending"):
            list(source.stream([7, 3]))


@pytest.mark.parametrize("at_least", [(10, 10), (12, 20), (13, 20), (24, 41), (48, 80), None])
def test_streams_come_no_smaller_than_asked(source, at_least):
    (frame,) = source.stream([77], at_least)
    height, width = frame.shape[:2]
    assert decode_index(frame.repeat(80 // width, axis=1)) == 77
    assert 80 // width in (1, 2, 4, 8) and 48 // height == 80 // width
    if at_least is not None:
        assert height >= at_least[0] and width >= at_least[1]
        assert height // 2 < at_least[0] or width // 2 < at_least[1] or 80 // width == 8
