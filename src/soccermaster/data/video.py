"""How video files are read, to the exact frame, and written. PyAV (FFmpeg) does the work.

Frames are RGB, uint8, (H, W, 3), counted from 0; times are seconds from the first frame. A frame
that cannot be decoded is an error: no frame is ever replaced by another one.
"""

from __future__ import annotations

import functools
import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from types import TracebackType

import av
import numpy as np
from jaxtyping import Float, UInt8

from soccermaster.data.images import VideoError, existing_file, reduction

__all__ = [
    "VideoError",
    "VideoInfo",
    "VideoWriter",
    "checked_indices",
    "frame_times",
    "iter_frames",
    "probe",
    "read_frames",
    "stream_frames",
]

# More decoder threads hardly help one video, and several worker processes share the cores.
_DECODER_THREADS = 2
# The last frame of a slow video may be shown for this long.
_LAST_FRAME_AT_MOST_S = 1.1


@dataclass(frozen=True)
class VideoInfo:
    """Size and length of a video, of a folder of pictures, or of a picture."""

    path: Path
    width: int  # px
    height: int  # px
    fps: float
    duration_s: float
    num_frames: int


class VideoWriter:
    """Writes H.264 (yuv420p, which every player reads); a context manager.

    The file gets its name when all is written; after an exception there is no file. An odd width
    or height is made even by repeating the last column or row.

    Args:
        path: ends in the suffix of the container, such as `.mp4`; its folder is made if necessary.
        fps: frames per second.
        size: (H, W) of the frames.
        crf: quality, 0 (lossless) to 51; 18 looks perfect, 23 is the default of the encoder.
        keyframe_interval: a key frame at least every so many frames; fewer seek faster.
    """

    def __init__(
        self,
        path: Path | str,
        fps: float,
        size: tuple[int, int],
        *,
        crf: int = 20,
        keyframe_interval: int = 50,
    ) -> None:
        self.path = Path(path)
        self.size = size
        self.num_frames = 0
        self._partial = self.path.with_name(
            f".{self.path.stem}.{os.getpid()}.partial{self.path.suffix}"
        )
        self._fps = Fraction(fps).limit_denominator(1001)
        self._options = {"crf": str(crf), "preset": "veryfast", "g": str(keyframe_interval)}

    def __enter__(self) -> VideoWriter:
        self.path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._container = av.open(str(self._partial), "w")
        except (av.FFmpegError, ValueError) as error:
            raise VideoError(
                f"{self.path}: expected a place for a .mp4 or .mkv file, got {error}. "
                "Choose another name or folder."
            ) from error
        self._stream = self._container.add_stream("libx264", rate=self._fps)
        self._stream.height, self._stream.width = (n + n % 2 for n in self.size)
        self._stream.pix_fmt = "yuv420p"
        self._stream.options = self._options
        return self

    def write(self, frame: UInt8[np.ndarray, "H W 3"]) -> None:
        """Appends one RGB frame.

        Raises:
            VideoError: another size or type than the writer was made for.
        """
        if frame.shape != (*self.size, 3) or frame.dtype != np.uint8:
            raise VideoError(
                f"{self.path}: expected uint8 frames of shape {(*self.size, 3)}, got "
                f"{frame.dtype} {frame.shape}. Resize or convert them before writing."
            )
        odd = [(0, n % 2) for n in self.size]
        frame = np.pad(frame, [*odd, (0, 0)], mode="edge") if any(map(any, odd)) else frame
        picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(frame), format="rgb24")
        self._container.mux(self._stream.encode(picture))
        self.num_frames += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        complete = kind is None and self.num_frames > 0
        try:
            if complete:
                self._container.mux(self._stream.encode())
            self._container.close()
            if complete:
                self._partial.replace(self.path)
        finally:
            self._partial.unlink(missing_ok=True)
        if kind is None and not complete:
            raise VideoError(
                f"{self.path}: expected at least one frame, got none. Nothing was written."
            )


def probe(path: Path | str) -> VideoInfo:
    """Size and length of a video file. The frames are counted, not decoded.

    Raises:
        VideoError: missing, not a video, or cut short.
    """
    path = existing_file(path)
    index = _frame_index(path)
    return VideoInfo(
        path=path,
        width=index.width,
        height=index.height,
        fps=index.fps,
        duration_s=index.duration_s,
        num_frames=len(index.pts),
    )


def frame_times(path: Path | str) -> Float[np.ndarray, " n"]:
    """The time in seconds at which each frame of a video appears; the first one is at 0.

    Raises:
        VideoError: missing, not a video, or cut short.
    """
    return _frame_index(existing_file(path)).times_s.copy()


def read_frames(
    path: Path | str,
    indices: Sequence[int] | None = None,
    *,
    times_s: Sequence[float] | None = None,
    size: tuple[int, int] | None = None,
) -> UInt8[np.ndarray, "T H W 3"]:
    """The frames with the given numbers, or the ones on screen at the given times.

    Starts at the key frame before each wanted frame, so the result is the same as from decoding
    everything. Any order; a repeated number gives a repeated frame.

    Args:
        path: video file.
        indices: frame numbers.
        times_s: times; give these or `indices`.
        size: (H, W) of the result; None keeps the size of the video.

    Raises:
        VideoError: missing or damaged video, or a frame outside of it.
        ValueError: both or none of `indices` and `times_s`.
    """
    if (indices is None) == (times_s is None):
        raise ValueError("expected either indices or times_s, got both or none. Give one of them.")
    path = existing_file(path)
    index = _frame_index(path)
    if indices is None:
        indices = index.at_times(times_s, path)
    indices = checked_indices(indices, len(index.pts), path)
    rows_of_pts: dict[int, list[int]] = {}
    for row, frame_index in enumerate(indices):
        rows_of_pts.setdefault(int(index.pts[frame_index]), []).append(row)

    height, width = size or (index.height, index.width)
    frames = np.empty((len(indices), height, width, 3), np.uint8)
    for frame in _decode_at(path, sorted(rows_of_pts), index):
        frames[rows_of_pts[frame.pts]] = _to_rgb(frame, size)
    return frames


def stream_frames(
    path: Path | str, indices: Sequence[int], at_least: tuple[int, int] | None = None
) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
    """The frames with the given ascending numbers, one in memory at a time.

    Args:
        path: video file.
        indices: frame numbers, ascending; a repeated one gives the frame again.
        at_least: (h, w); frames may come at the `reduction` of their size that this permits.

    Raises:
        VideoError: missing or damaged video, or a frame outside of it.
        ValueError: numbers that do not ascend.
    """
    path = existing_file(path)
    index = _frame_index(path)
    wanted = checked_indices(indices, len(index.pts), path)
    if wanted != sorted(wanted):
        raise ValueError(f"{path}: expected ascending frame numbers, got {wanted}. Sort them.")
    factor = reduction((index.height, index.width), at_least)
    size = (index.height // factor, index.width // factor)
    repeats = Counter(int(index.pts[i]) for i in wanted)
    for frame in _decode_at(path, sorted(repeats), index):
        image = _to_rgb(frame, size)
        for _ in range(repeats[frame.pts]):
            yield image


def iter_frames(
    path: Path | str, size: tuple[int, int] | None = None
) -> Iterator[tuple[int, float, UInt8[np.ndarray, "H W 3"]]]:
    """All frames in order, one at a time: (frame number, time in seconds, RGB).

    Memory does not grow with the length of the video, and the file is read once.

    Raises:
        VideoError: missing or damaged video.
    """
    path = existing_file(path)
    with _open_stream(path) as (container, stream):
        count, time_s, first_pts = 0, 0.0, None
        for count, frame in enumerate(_decoded(container, stream, path), start=1):
            first_pts = frame.pts if first_pts is None else first_pts
            time_s = float((frame.pts - first_pts) * stream.time_base)
            yield count - 1, time_s, _to_rgb(frame, size)
        if not count:
            raise _damaged(path, "no frames")
        expected = stream.frames
        if count < expected:  # the header also counts what an edit list hides
            expected = len(_frame_index(path).pts)
        _check_complete(stream, count, expected, time_s, path)


def checked_indices(indices: Sequence[int], num_frames: int, path: Path) -> list[int]:
    """Frame numbers as ints, all inside a video of `num_frames`.

    Raises:
        VideoError: some are outside.
    """
    wanted = [int(i) for i in indices]
    outside = [i for i in wanted if not 0 <= i < num_frames]
    if outside:
        raise VideoError(
            f"{path}: expected frame numbers in 0..{num_frames - 1}, got {outside[:3]}. "
            "Frames count from 0."
        )
    return wanted


@dataclass(frozen=True)
class _FrameIndex:
    """Where the frames of a video are, from its packets."""

    width: int
    height: int
    fps: float
    duration_s: float
    pts: np.ndarray  # of each frame, in display order
    keyframe_pts: np.ndarray  # ascending
    times_s: np.ndarray  # of each frame

    def at_times(self, times_s: Sequence[float], path: Path) -> np.ndarray:
        times = np.asarray(times_s, np.float64)
        # Times come from divisions: a hair before a frame means that frame.
        tolerance_s = 1e-6
        if times.size and not (
            times.min() >= -tolerance_s and times.max() <= self.duration_s + tolerance_s
        ):
            raise VideoError(
                f"{path}: expected times in 0..{self.duration_s:.3f} s, got "
                f"{times.min():.3f}..{times.max():.3f} s. Ask for times inside the video."
            )
        found = np.searchsorted(self.times_s, times + tolerance_s, side="right") - 1
        return np.maximum(found, 0)

    def group_of(self, pts: int) -> int:
        """Which key frame starts the group of pictures that shows `pts`."""
        return max(int(np.searchsorted(self.keyframe_pts, pts, side="right")) - 1, 0)


def _frame_index(path: Path) -> _FrameIndex:
    status = path.stat()
    return _cached_frame_index(path, status.st_mtime_ns, status.st_size)


@functools.lru_cache(maxsize=64)
def _cached_frame_index(path: Path, mtime_ns: int, num_bytes: int) -> _FrameIndex:
    with _open_stream(path) as (container, stream):
        try:
            every = [
                (packet.pts, packet.is_keyframe, packet.is_discard)
                for packet in container.demux(stream)
                if packet.size
            ]
        except av.FFmpegError as error:
            raise _damaged(path, error) from error
        # an edit list hides frames, of which others may be made
        packets = [(pts, is_keyframe) for pts, is_keyframe, is_hidden in every if not is_hidden]
        if not packets:
            raise _damaged(path, "no frames")
        if any(pts is None for pts, _ in packets):
            raise VideoError(
                f"{path}: expected a time stamp on every frame, got some without. "
                f"Write it anew: ffmpeg -i {path.name} new.mp4"
            )
        pts = np.unique([pts for pts, _ in packets])
        times_s = (pts - pts[0]) * float(stream.time_base)
        fps = float(stream.guessed_rate or stream.average_rate or 0)
        if fps <= 0:
            fps = 1 / float(np.median(np.diff(times_s))) if len(pts) > 1 else 25.0
        _check_complete(stream, len(every), stream.frames, float(times_s[-1]), path)
        return _FrameIndex(
            width=stream.width,
            height=stream.height,
            fps=fps,
            duration_s=float(times_s[-1]) + 1 / fps,
            pts=pts,
            keyframe_pts=np.unique([pts for pts, is_keyframe in packets if is_keyframe] or pts[:1]),
            times_s=times_s,
        )


def _decode_at(path: Path, wanted: list[int], index: _FrameIndex) -> Iterator[av.VideoFrame]:
    """The frames with the wanted time stamps (ascending), seeking over what is not needed."""
    done, groups_back, run_up = 0, 0, 0
    while done < len(wanted):
        group = max(index.group_of(wanted[done]) - groups_back - run_up, 0)
        # From the very start no seek is needed, and some containers cannot seek there.
        start_pts = int(index.keyframe_pts[group]) if group > 0 else None
        trusted_pts = int(index.keyframe_pts[group + run_up]) if group > 0 else None
        done_before = done
        try:
            # several threads do not go on after damage
            threads = 1 if run_up else _DECODER_THREADS
            with _open_stream(path, threads) as (container, stream):
                for frame in _decoded(container, stream, path, start_pts, trusted_pts):
                    if frame.pts < wanted[done]:
                        continue
                    if frame.pts > wanted[done]:
                        break
                    yield frame
                    done += 1
                    if done == len(wanted):
                        return
                    if index.group_of(wanted[done]) > index.group_of(frame.pts) + 1:
                        break
        except VideoError:
            if group == 0 or run_up:
                raise
            run_up = 1  # is it damage, or does the group lean on the one before?
            continue
        if done > done_before:
            groups_back = 0
        elif group > 0:
            # A container may seek too far; a longer run-up must meet the frame.
            groups_back = 2 * groups_back + 1
        else:
            time_s = index.times_s[np.searchsorted(index.pts, wanted[done])]
            raise _damaged(path, f"no frame at {time_s:.3f} s")


@contextmanager
def _open_stream(
    path: Path, threads: int = _DECODER_THREADS
) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    try:
        container = av.open(str(path))
    except (av.FFmpegError, OSError) as error:
        raise _damaged(path, error) from error
    with container:
        if not container.streams.video:
            raise VideoError(
                f"{path}: expected a video, got a file without pictures. Name a video file."
            )
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        stream.codec_context.thread_count = threads
        # or else the decoder hides damage by guessing from other frames
        stream.codec_context.options = {"err_detect": "explode"}
        yield container, stream


def _decoded(
    container: av.container.InputContainer,
    stream: av.VideoStream,
    path: Path,
    start_pts: int | None = None,
    trusted_pts: int | None = None,
) -> Iterator[av.VideoFrame]:
    """Frames in display order, from the key frame at `start_pts` or from the start.

    In open groups of pictures, what follows a key frame may lean on what is before it. So frames
    are given from the key frame at `trusted_pts` on, and damage before that is no matter.
    """
    try:
        key_pts, is_trusted = None, start_pts is None
        if start_pts is not None:
            container.seek(start_pts, stream=stream, backward=True)
        for packet in container.demux(stream):
            if start_pts is not None and packet.pts is not None:
                if key_pts is None and packet.is_keyframe:
                    key_pts = packet.pts
                if key_pts is None or packet.pts < key_pts:
                    continue  # shown before the key frame
                is_trusted = is_trusted or packet.pts >= trusted_pts
            try:
                frames = packet.decode()
            except av.FFmpegError:
                if is_trusted:
                    raise
                continue
            for frame in frames:
                if trusted_pts is not None and frame.pts is not None and frame.pts < trusted_pts:
                    continue
                if frame.is_corrupt or frame.pts is None:
                    raise _damaged(path, "a corrupt frame")
                yield frame
    except av.FFmpegError as error:
        raise _damaged(path, error) from error


def _to_rgb(frame: av.VideoFrame, size: tuple[int, int] | None) -> UInt8[np.ndarray, "H W 3"]:
    height, width = size or (frame.height, frame.width)
    shrinks = height <= frame.height and width <= frame.width
    method = "AREA" if shrinks else "BILINEAR"
    # One thread: waking others costs more than they save on a frame.
    rgb = frame.reformat(width, height, format="rgb24", interpolation=method, threads=1)
    plane = rgb.planes[0]
    rows = np.frombuffer(plane, np.uint8).reshape(height, plane.line_size)
    return rows[:, : 3 * width].reshape(height, width, 3)


def _check_complete(
    stream: av.VideoStream, count: int, expected: int, last_time_s: float, path: Path
) -> None:
    """Compares what was found with what the header promises."""
    if count < expected:
        raise _cut_short(path, f"{expected} frames", f"{count}")
    # Matroska does not count frames, but FFmpeg notes there how long each stream is.
    noted_s = _seconds(stream.metadata.get("DURATION", ""))
    if noted_s > last_time_s + _LAST_FRAME_AT_MOST_S:
        raise _cut_short(path, f"{noted_s:.1f} s", f"{last_time_s:.1f} s")


def _seconds(clock: str) -> float:
    match = re.fullmatch(r"(\d+):(\d+):(\d+(?:\.\d+)?)", clock.strip())
    if match is None:
        return 0.0
    hours, minutes, seconds = map(float, match.groups())
    return 3600 * hours + 60 * minutes + seconds


def _cut_short(path: Path, expected: str, got: str) -> VideoError:
    return VideoError(
        f"{path}: expected {expected}, got {got}: the file is cut short. Fetch it again."
    )


def _damaged(path: Path, reason: object) -> VideoError:
    return VideoError(
        f"{path}: expected a readable video, got one that does not decode ({reason}). "
        "Fetch or encode it again."
    )
