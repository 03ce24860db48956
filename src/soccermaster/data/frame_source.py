"""One interface to read frames from a video, a folder of pictures, or one picture."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
import simplejpeg
from jaxtyping import Float, UInt8

from soccermaster.data.images import (
    IMAGE_SUFFIXES,
    VideoError,
    decode_image,
    encoded_size,
    existing_file,
    image_paths,
    image_size,
    read_image,
    reduction,
    resize_image,
)
from soccermaster.data.video import (
    VideoInfo,
    checked_indices,
    frame_times,
    iter_frames,
    probe,
    read_frames,
    stream_frames,
)

_QUALITY = 95  # of JPEG, up to 100


class FrameSource(ABC):
    """Frames in order, wherever they come from. `len` counts them; iterating reads them all.

    Attributes:
        info: size and length.
    """

    info: VideoInfo

    @property
    def times_s(self) -> Float[np.ndarray, " n"]:
        """When each frame appears, in seconds from the first one."""
        return np.arange(self.info.num_frames) / self.info.fps

    @abstractmethod
    def read(
        self, indices: Sequence[int], size: tuple[int, int] | None = None
    ) -> UInt8[np.ndarray, "T H W 3"]:
        """The frames with these numbers (from 0), resized to `size` (H, W) if it is given.

        Raises:
            VideoError: no such frame, or one that does not decode.
        """

    @abstractmethod
    def stream(
        self, indices: Sequence[int], at_least: tuple[int, int] | None = None
    ) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """The frames with these ascending numbers, one in memory at a time.

        Args:
            indices: frame numbers, ascending.
            at_least: (h, w) that the caller can use. The frames may come at 1/2, 1/4 or 1/8 of
                their size, where that is no smaller and costs less to decode; all at one size.

        Raises:
            VideoError: no such frame, or one that does not decode.
        """

    @abstractmethod
    def iter(
        self, size: tuple[int, int] | None = None
    ) -> Iterator[tuple[int, float, UInt8[np.ndarray, "H W 3"]]]:
        """All frames: (number from 0, time in seconds, RGB), one in memory at a time.

        Raises:
            VideoError: a frame does not decode.
        """

    def encoded(self, indices: Sequence[int]) -> Iterator[bytes]:
        """The picture files of these ascending frames; what has none is encoded as JPEG.

        Raises:
            VideoError: no such frame, or one that does not decode.
        """
        for frame in self.stream(indices):
            yield encode_frame(frame)

    def __iter__(self) -> Iterator[tuple[int, float, UInt8[np.ndarray, "H W 3"]]]:
        return self.iter()

    def __len__(self) -> int:
        return self.info.num_frames


class VideoSource(FrameSource):
    """The frames of a video file."""

    def __init__(self, path: Path | str) -> None:
        self.info = probe(path)

    @property
    def times_s(self) -> Float[np.ndarray, " n"]:
        """See `FrameSource.times_s`; the rate of a video can vary."""
        return frame_times(self.info.path)

    def read(
        self, indices: Sequence[int], size: tuple[int, int] | None = None
    ) -> UInt8[np.ndarray, "T H W 3"]:
        """See `FrameSource.read`."""
        return read_frames(self.info.path, indices, size=size)

    def stream(
        self, indices: Sequence[int], at_least: tuple[int, int] | None = None
    ) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """See `FrameSource.stream`."""
        return stream_frames(self.info.path, indices, at_least)

    def iter(
        self, size: tuple[int, int] | None = None
    ) -> Iterator[tuple[int, float, UInt8[np.ndarray, "H W 3"]]]:
        """See `FrameSource.iter`."""
        return iter_frames(self.info.path, size)


class ImageSource(FrameSource):
    """Pictures of one size as frames.

    Args:
        paths: picture files in order, at least one.
        fps: how many of them make a second.
        path: what `info.path` names; the first picture if it is not given.
    """

    def __init__(self, paths: Sequence[Path], fps: float = 25.0, path: Path | None = None) -> None:
        self.paths = tuple(paths)
        if not fps > 0:
            raise VideoError(f"{path or self.paths[0]}: expected fps above 0, got {fps}")
        height, width = image_size(self.paths[0])
        for other in self.paths[1:]:
            self._check_size(other, (height, width))
        self.info = VideoInfo(
            path=path or self.paths[0],
            width=width,
            height=height,
            fps=fps,
            duration_s=len(self.paths) / fps,
            num_frames=len(self.paths),
        )

    def read(
        self, indices: Sequence[int], size: tuple[int, int] | None = None
    ) -> UInt8[np.ndarray, "T H W 3"]:
        """See `FrameSource.read`."""
        indices = checked_indices(indices, len(self.paths), self.info.path)
        height, width = size or (self.info.height, self.info.width)
        frames = np.empty((len(indices), height, width, 3), np.uint8)
        for row, index in enumerate(indices):
            frames[row] = self._read_one(index, size)
        return frames

    def stream(
        self, indices: Sequence[int], at_least: tuple[int, int] | None = None
    ) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """See `FrameSource.stream`."""
        expected = (self.info.height, self.info.width)
        for index in checked_indices(indices, len(self.paths), self.info.path):
            path = existing_file(self.paths[index])
            yield decode_frame(path.read_bytes(), path, expected, at_least)

    def encoded(self, indices: Sequence[int]) -> Iterator[bytes]:
        """The files as they are; each is decoded once, to see that it can be."""
        expected = (self.info.height, self.info.width)
        for index in checked_indices(indices, len(self.paths), self.info.path):
            data = existing_file(self.paths[index]).read_bytes()
            decode_frame(data, self.paths[index], expected)
            yield data

    def iter(
        self, size: tuple[int, int] | None = None
    ) -> Iterator[tuple[int, float, UInt8[np.ndarray, "H W 3"]]]:
        """See `FrameSource.iter`."""
        for index in range(len(self.paths)):
            yield index, index / self.info.fps, self._read_one(index, size)

    def _read_one(self, index: int, size: tuple[int, int] | None) -> UInt8[np.ndarray, "H W 3"]:
        return read_image(self.paths[index], size)

    def _check_size(self, path: Path, expected: tuple[int, int]) -> None:
        height, width = image_size(path)
        if (height, width) != expected:
            raise VideoError(
                f"{path}: expected {expected[1]}x{expected[0]} px as in {self.paths[0].name}, got "
                f"{width}x{height}. The frames of a folder have one size: move this picture "
                "elsewhere, or predict it by itself."
            )


class EncodedSource(FrameSource):
    """Pictures of one size in memory, as the bytes of their files.

    Args:
        images: jpg or png files in order, at least one.
        name: for messages.
        fps: how many of them make a second.

    Raises:
        VideoError: no pictures, or the first one is none.
    """

    def __init__(self, images: Sequence[bytes], name: str, fps: float = 25.0) -> None:
        if not images:
            raise VideoError(f"{name}: expected at least one picture, got none.")
        self.images = tuple(images)
        height, width = encoded_size(images[0], name)
        self.info = VideoInfo(
            path=Path(name),
            width=width,
            height=height,
            fps=fps,
            duration_s=len(images) / fps,
            num_frames=len(images),
        )

    def read(
        self, indices: Sequence[int], size: tuple[int, int] | None = None
    ) -> UInt8[np.ndarray, "T H W 3"]:
        """See `FrameSource.read`."""
        indices = checked_indices(indices, len(self.images), self.info.path)
        height, width = size or (self.info.height, self.info.width)
        frames = np.empty((len(indices), height, width, 3), np.uint8)
        for row, index in enumerate(indices):
            frames[row] = resize_image(self._decode(index, size), (height, width))
        return frames

    def stream(
        self, indices: Sequence[int], at_least: tuple[int, int] | None = None
    ) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """See `FrameSource.stream`."""
        for index in checked_indices(indices, len(self.images), self.info.path):
            yield self._decode(index, at_least)

    def encoded(self, indices: Sequence[int]) -> Iterator[bytes]:
        """The pictures as they are."""
        for index in checked_indices(indices, len(self.images), self.info.path):
            yield self.images[index]

    def iter(
        self, size: tuple[int, int] | None = None
    ) -> Iterator[tuple[int, float, UInt8[np.ndarray, "H W 3"]]]:
        """See `FrameSource.iter`."""
        for index in range(len(self.images)):
            yield index, index / self.info.fps, self.read([index], size)[0]

    def _decode(self, index: int, at_least: tuple[int, int] | None) -> UInt8[np.ndarray, "H W 3"]:
        expected = (self.info.height, self.info.width)
        name = f"{self.info.path}, frame {index}"
        return decode_frame(self.images[index], name, expected, at_least)


def encode_frame(frame: UInt8[np.ndarray, "H W 3"]) -> bytes:
    """A frame as a JPEG file of a quality at which the loss is hard to see."""
    return simplejpeg.encode_jpeg(np.ascontiguousarray(frame), _QUALITY, "RGB", "420")


def decode_frame(
    data: bytes,
    name: Path | str,
    expected: tuple[int, int],
    at_least: tuple[int, int] | None = None,
) -> UInt8[np.ndarray, "H W 3"]:
    """One picture of a clip, whose pictures all have the `expected` size (H, W).

    Args:
        data: the file.
        name: for messages.
        expected: size of the whole picture.
        at_least: (h, w); the picture may come at the `reduction` that this permits.

    Raises:
        VideoError: not a picture, cut short, or of another size.
    """
    frame = decode_image(data, name, at_least)
    factor = reduction(expected, at_least)
    if frame.shape[:2] not in (expected, (expected[0] // factor, expected[1] // factor)):
        height, width = encoded_size(data, name)
        raise VideoError(
            f"{name}: expected {expected[1]}x{expected[0]} px as in the first frame, got "
            f"{width}x{height}. The frames of a clip have one size: leave this one out."
        )
    return frame


def open_source(path: Path | str, fps: float = 25.0) -> FrameSource:
    """A video file, a folder of pictures (or one with `img1/` inside), or a picture, to read from.

    Args:
        path: file or folder.
        fps: frames per second of a folder; a video knows its own.

    Raises:
        VideoError: nothing there, or nothing that can be read.
    """
    path = Path(path)
    if path.is_dir():
        folder = path / "img1" if (path / "img1").is_dir() else path
        return ImageSource(image_paths(folder), fps, path)
    if existing_file(path).suffix.lower() in IMAGE_SUFFIXES:
        return ImageSource([path], fps)
    return VideoSource(path)
