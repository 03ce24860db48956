"""A clip whose frames are still encoded, so that a transform can say how large it needs them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, UInt8

from soccermaster.data.frame_source import FrameSource
from soccermaster.structures import Annotations, Clip


@dataclass(frozen=True)
class UndecodedClip:
    """Everything about a `Clip` but its pixels.

    Attributes:
        frames: where the pixels come from.
        indices: which of them make the clip, ascending; T of them.
        image_size: (H, W) that the annotations refer to; the files may be of another size.
        times_s, annotations, clip_id, source, frame_mask: those of the `Clip`.
    """

    frames: FrameSource
    indices: tuple[int, ...]
    image_size: tuple[int, int]
    times_s: Float[np.ndarray, " T"]
    annotations: Annotations
    clip_id: str
    source: str
    frame_mask: Bool[np.ndarray, " T"] | None = None

    def decode(self) -> Clip:
        """The clip with frames of `image_size`.

        Raises:
            VideoError: a frame is missing or does not decode.
        """
        file_size = (self.frames.info.height, self.frames.info.width)
        size = None if file_size == tuple(self.image_size) else tuple(self.image_size)
        return self.with_frames(self.frames.read(self.indices, size))

    def stream(
        self, at_least: tuple[int, int] | None = None
    ) -> Iterator[UInt8[np.ndarray, "H W 3"]]:
        """The T frames one by one; see `FrameSource.stream`."""
        return self.frames.stream(self.indices, at_least)

    def with_frames(self, frames: UInt8[np.ndarray, "T H W 3"]) -> Clip:
        """The clip with these frames."""
        return Clip(
            frames=frames,
            times_s=self.times_s,
            annotations=self.annotations,
            clip_id=self.clip_id,
            source=self.source,
            frame_mask=self.frame_mask,
        )
