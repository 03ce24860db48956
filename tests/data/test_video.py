import av
import cv2
import numpy as np
import pytest

from soccermaster.data.frame_source import open_source
from soccermaster.data.images import image_paths, read_image
from soccermaster.data.video import (
    VideoError,
    VideoWriter,
    frame_times,
    iter_frames,
    probe,
    read_frames,
)

SIZE = (48, 80)
BITS = 8


def coded_frame(index, size=SIZE):
    """Vertical bars that spell the frame number: they survive compression."""
    frame = np.zeros((*size, 3), np.uint8)
    bar = size[1] // BITS
    for bit in range(BITS):
        frame[:, bit * bar : (bit + 1) * bar] = 220 if index >> bit & 1 else 30
    return frame


def decode_index(frame):
    bars = frame.mean(axis=(0, 2)).reshape(BITS, -1).mean(axis=1)
    return sum(1 << bit for bit in range(BITS) if bars[bit] > 125)


def write_coded(path, num_frames, fps=25.0, size=SIZE, **options):
    with VideoWriter(path, fps, size, **options) as writer:
        for index in range(num_frames):
            writer.write(coded_frame(index, size))
    return path


@pytest.fixture(scope="module", params=["mp4", "mkv", "ts"])
def video(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("video")
    return write_coded(folder / f"v.{request.param}", 60, keyframe_interval=12)


def test_probe_tells_size_and_length(video):
    info = probe(video)
    assert (info.width, info.height, info.fps, info.num_frames) == (80, 48, 25.0, 60)
    assert info.duration_s == pytest.approx(2.4, abs=1e-3)


def test_any_order_of_indices_gives_exactly_those_frames(video):
    wanted = [59, 0, 13, 12, 12, 11, 37]
    frames = read_frames(video, wanted)
    assert frames.shape == (7, *SIZE, 3) and frames.dtype == np.uint8
    assert [decode_index(frame) for frame in frames] == wanted


def test_seeking_gives_the_same_pixels_as_decoding_everything(video):
    all_frames = np.stack([frame for _, _, frame in iter_frames(video)])
    np.testing.assert_array_equal(read_frames(video, [3, 30, 58]), all_frames[[3, 30, 58]])


def test_times_select_the_frame_on_screen(video):
    times_s = [0.0, 0.039, 0.041, 1.0, 2.39]
    assert [decode_index(f) for f in read_frames(video, times_s=times_s)] == [0, 0, 1, 25, 59]
    exact = frame_times(video)[[7, 20]]
    assert [decode_index(f) for f in read_frames(video, times_s=exact)] == [7, 20]


def test_iteration_counts_frames_and_seconds(video):
    seen = [(index, time_s, decode_index(frame)) for index, time_s, frame in iter_frames(video)]
    assert [i for i, _, _ in seen] == [code for _, _, code in seen] == list(range(60))
    np.testing.assert_allclose([t for _, t, _ in seen], np.arange(60) / 25, atol=1e-3)


def test_resizing_while_reading(video):
    frames = read_frames(video, [21], size=(24, 40))
    assert frames.shape == (1, 24, 40, 3) and decode_index(frames[0]) == 21


def test_frames_outside_of_the_video_are_refused(video):
    with pytest.raises(VideoError, match=r"0\.\.59.*60"):
        read_frames(video, [60])
    with pytest.raises(VideoError, match="-1"):
        read_frames(video, [-1])
    with pytest.raises(VideoError, match=r"2\.400"):
        read_frames(video, times_s=[2.5])
    with pytest.raises(ValueError, match="either indices or times_s"):
        read_frames(video)


def test_odd_sizes_are_padded_to_even(tmp_path):
    path = write_coded(tmp_path / "odd.mp4", 3, size=(31, 81))
    info = probe(path)
    assert (info.height, info.width) == (32, 82)


def test_the_writer_leaves_nothing_behind_after_an_exception(tmp_path):
    with pytest.raises(RuntimeError), VideoWriter(tmp_path / "v.mp4", 25, SIZE) as writer:
        writer.write(coded_frame(0))
        raise RuntimeError
    with (
        pytest.raises(VideoError, match="at least one frame"),
        VideoWriter(tmp_path / "v.mp4", 25, SIZE),
    ):
        pass
    assert list(tmp_path.iterdir()) == []


def test_the_writer_refuses_frames_of_another_size_or_type(tmp_path):
    with (
        pytest.raises(VideoError, match=r"\(48, 80, 3\).*\(80, 48, 3\)"),
        VideoWriter(tmp_path / "v.mp4", 25, SIZE) as writer,
    ):
        writer.write(np.zeros((80, 48, 3), np.uint8))
    with (
        pytest.raises(VideoError, match="float64"),
        VideoWriter(tmp_path / "v.mp4", 25, SIZE) as writer,
    ):
        writer.write(np.zeros((48, 80, 3)))


def test_what_is_no_video_is_named(tmp_path):
    junk = tmp_path / "junk.mp4"
    junk.write_bytes(b"not a video" * 100)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    for path in (junk, empty, tmp_path / "absent.mp4", tmp_path):
        with pytest.raises(VideoError, match=path.name):
            probe(path)


def test_a_file_without_pictures_is_named(tmp_path):
    path = tmp_path / "sound.wav"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        sound = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        sound.sample_rate = 8000
        container.mux(stream.encode(sound))
    with pytest.raises(VideoError, match="without pictures"):
        probe(path)


def test_a_video_cut_short_is_an_error(video, tmp_path):
    if video.suffix == ".ts":
        pytest.skip("a transport stream does not say how long it is")
    cut = tmp_path / video.name
    cut.write_bytes(video.read_bytes()[: video.stat().st_size // 2])
    with pytest.raises(VideoError, match=r"Fetch"):
        read_frames(cut, [0])
    with pytest.raises(VideoError, match=r"Fetch"):
        list(iter_frames(cut))


def test_damage_in_the_middle_is_an_error_not_a_replaced_frame(shared, tmp_path):
    data = bytearray((shared / "samples/video/bundesliga_08fd33.mp4").read_bytes())
    middle = len(data) // 2
    data[middle : middle + 20_000] = bytes(20_000)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(data)
    with pytest.raises(VideoError, match="does not decode"):
        read_frames(damaged, [160])
    with pytest.raises(VideoError, match="does not decode"):
        for _ in iter_frames(damaged):
            pass


def test_real_broadcast_video(shared):
    path = shared / "samples/video/bundesliga_08fd33.mp4"
    info = probe(path)
    assert (info.width, info.height, info.fps, info.num_frames) == (848, 478, 25.0, 169)
    sequential = {
        index: frame for index, _, frame in iter_frames(path, (120, 212)) if index in (40, 100)
    }
    frames = read_frames(path, [100, 40], size=(120, 212))
    np.testing.assert_array_equal(frames, [sequential[100], sequential[40]])


def test_folders_sort_naturally_and_read_like_videos(tmp_path):
    for index in (10, 2, 1):
        cv2.imwrite(str(tmp_path / f"{index}.png"), coded_frame(index))
    (tmp_path / "notes.txt").touch()
    assert [p.name for p in image_paths(tmp_path)] == ["1.png", "2.png", "10.png"]
    source = open_source(tmp_path, fps=2)
    assert (source.info.num_frames, source.info.duration_s, len(source)) == (3, 1.5, 3)
    assert [decode_index(f) for f in source.read([2, 0])] == [10, 1]
    assert [(i, t, decode_index(f)) for i, t, f in source] == [(0, 0, 1), (1, 0.5, 2), (2, 1, 10)]
    assert source.read([1], (24, 40)).shape == (1, 24, 40, 3)


def test_one_interface_for_video_clip_folder_and_picture(video, tmp_path):
    (tmp_path / "img1").mkdir()
    for index in (5, 6):
        cv2.imwrite(str(tmp_path / f"img1/{index:06d}.jpg"), coded_frame(index))
    assert decode_index(open_source(tmp_path).read([1])[0]) == 6
    assert [decode_index(f) for f in open_source(tmp_path / "img1/000005.jpg").read([0])] == [5]
    assert decode_index(open_source(video).read([9])[0]) == 9
    assert sum(1 for _ in open_source(video)) == 60


def test_real_folder_of_frames(shared):
    source = open_source(shared / "samples/frames/leicester_liverpool")
    assert (len(source), source.info.width, source.info.height) == (51, 512, 512)
    assert [p.stem for p in source.paths] == [str(i) for i in range(51)]


def test_pictures_that_cannot_be_read_are_named(tmp_path):
    with pytest.raises(VideoError, match="got none"):
        open_source(tmp_path)
    whole = tmp_path / "0.jpg"
    cv2.imwrite(str(whole), np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8))
    cut = tmp_path / "1.jpg"
    cut.write_bytes(whole.read_bytes()[:1500])
    with pytest.raises(VideoError, match=r"1\.jpg"):
        read_image(cut)
    junk = tmp_path / "2.png"
    junk.write_bytes(b"junk")
    with pytest.raises(VideoError, match=r"2\.png"):
        open_source(junk)
    cv2.imwrite(str(cut), np.zeros((32, 64, 3), np.uint8))
    with pytest.raises(VideoError, match=r"64x64.*64x32"):
        open_source(tmp_path).read([1])
    with pytest.raises(VideoError, match="absent"):
        open_source(tmp_path / "absent")


def encoded_with(path, options, num_frames=100):
    """A video of one encoder setting, every frame of which spells its number."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=25)
        stream.height, stream.width, stream.pix_fmt = *SIZE, "yuv420p"
        stream.options = options
        for index in range(num_frames):
            picture = av.VideoFrame.from_ndarray(coded_frame(index), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_groups_of_pictures_that_lean_on_the_one_before(tmp_path, suffix):
    options = {"x264-params": "open-gop=1:bframes=3:keyint=12:min-keyint=12:scenecut=0"}
    path = encoded_with(tmp_path / f"open.{suffix}", options)
    for index in range(100):
        assert decode_index(read_frames(path, [index])[0]) == index


def cut_without_encoding(source, path, start_s):
    """What `ffmpeg -ss START -i SOURCE -c copy PATH` does: it keeps the frames of the group before
    the start, and an edit list hides them."""
    with av.open(str(source)) as given, av.open(str(path), "w") as cut:
        stream = given.streams.video[0]
        copy = cut.add_stream_from_template(stream)
        given.seek(round(start_s / stream.time_base), stream=stream)
        for packet in given.demux(stream):
            if packet.dts is None:
                continue
            shift = round(start_s / stream.time_base)
            packet.pts, packet.dts, packet.stream = packet.pts - shift, packet.dts - shift, copy
            cut.mux(packet)
    return path


@pytest.mark.parametrize("start", [24, 30, 41])
def test_a_clip_that_was_cut_without_encoding(tmp_path, start):
    whole = write_coded(tmp_path / "whole.mp4", 96, keyframe_interval=24)
    cut = cut_without_encoding(whole, tmp_path / "cut.mp4", start / 25)
    shown = [decode_index(frame) for _, _, frame in iter_frames(cut)]
    assert shown[-1] == 95 and shown == list(range(shown[0], 96))
    assert probe(cut).num_frames == len(shown)
    wanted = [0, 3, len(shown) - 1]
    assert [decode_index(f) for f in read_frames(cut, wanted)] == [shown[i] for i in wanted]
