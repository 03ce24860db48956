"""SoccerNet game state reconstruction: clips of 750 frames with people, ball and pitch lines.

    root/SoccerNetGS/{train,valid,test}/SNGS-060/Labels-GameState.json
                                                 img1/000001.jpg ...

Source: Somers et al., "SoccerNet Game State Reconstruction", CVPRW 2024; label version 1.3.
"""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np

from soccermaster.data.datasets.base import ClipDataset, DatasetError
from soccermaster.data.datasets.game_state_file import GameState, read_game_state
from soccermaster.data.frame_source import ImageSource
from soccermaster.data.undecoded import UndecodedClip
from soccermaster.geometry import keypoints_from_polylines, segments_from_polylines
from soccermaster.structures import Annotations, Athletes, Clip, Keypoints, Lines


class SoccerNetGSR(ClipDataset):
    """Windows of consecutive frames of SoccerNet-GSR.

    What the labels leave open stays unknown: a frame without a pitch record has no known lines or
    keypoints, a `bbox_pitch` of null gives a NaN position, a shirt number that is no number (such
    as "X") is unknown. A shirt number of null means that there is none to read. SoccerNet has no
    legibility scores: `legibility` is NaN, which counts as readable wherever a number is given.
    Positions are as labelled: airborne balls and rays near the horizon give points far off the
    pitch.

    Args:
        root: folder that holds `SoccerNetGS`, or that folder itself.
        split: "train", "valid" or "test"; "challenge" has no labels.
        num_frames: T, frames per clip; a shorter rest of a sequence is left out.
        stride: frames from one window to the next; None: windows do not overlap.
        image_size: (H, W) to decode to; None keeps the size of the files.

    Raises:
        DatasetError: missing files, or labels that the format does not allow.
    """

    name = "soccernet_gsr"
    provides = frozenset(
        {
            "boxes",
            "roles",
            "numbers",
            "legibility",
            "track_ids",
            "teams",
            "positions",
            "keypoints",
            "lines",
        }
    )

    def __init__(
        self,
        root: Path | str,
        split: str,
        num_frames: int = 30,
        stride: int | None = None,
        image_size: tuple[int, int] | None = None,
    ) -> None:
        self.num_frames = num_frames
        self.image_size = None if image_size is None else tuple(image_size)
        self.sequences = [read_game_state(folder) for folder in _sequence_folders(root, split)]
        self.windows, unlabeled = [], 0
        for s, sequence in enumerate(self.sequences):
            last_start = len(sequence.frame_numbers) - num_frames
            for start in range(0, last_start + 1, stride or num_frames):
                if sequence.people_labeled[start : start + num_frames].all():
                    self.windows.append((s, start))
                else:
                    unlabeled += 1
        if unlabeled:
            warnings.warn(
                f"{root}, split {split}: left out {unlabeled} windows with frames in which people "
                f"are not labelled; {len(self.windows)} remain.",
                stacklevel=2,
            )
        if not self.windows:
            longest = max(len(s.frame_numbers) for s in self.sequences)
            raise DatasetError.at(
                f"{root}, split {split}",
                expected=f"a sequence of at least {num_frames} labelled frames",
                got=f"{len(self.sequences)} sequences of at most {longest} frames",
                fix="Lower num_frames.",
            )

    def __len__(self) -> int:
        return len(self.windows)

    def __getitem__(self, index: int) -> Clip:
        return self.undecoded(index).decode()

    def undecoded(self, index: int) -> UndecodedClip:
        """See `ClipDataset.undecoded`."""
        s, start = self.windows[index]
        sequence = self.sequences[s]
        window = range(start, start + self.num_frames)
        frames = ImageSource([sequence.image_paths[i] for i in window], sequence.fps)
        numbers = sequence.frame_numbers[start : window.stop]
        image_size = self.image_size or (frames.info.height, frames.info.width)
        return UndecodedClip(
            frames=frames,
            indices=tuple(range(self.num_frames)),
            image_size=image_size,
            times_s=(numbers - 1) / sequence.fps,
            annotations=Annotations(
                athletes=_athletes_of(sequence, window, image_size),
                keypoints=_keypoints_of(sequence, window, image_size),
                lines=_lines_of(sequence, window, image_size),
            ),
            clip_id=f"{sequence.name}/{numbers[0]:06d}",
            source=self.name,
        )


def _sequence_folders(root: Path | str, split: str) -> list[Path]:
    root = Path(root)
    parent = root / "SoccerNetGS" if (root / "SoccerNetGS").is_dir() else root
    folder = parent / split
    if not folder.is_dir():
        splits = sorted(p.name for p in parent.iterdir() if p.is_dir()) if parent.is_dir() else []
        raise DatasetError.at(
            folder,
            expected="a folder of SNGS-xxx sequences",
            got=f"nothing; {parent} holds {splits or 'no folders'}",
            fix="Name the folder that holds SoccerNetGS, and one of its splits.",
        )
    folders = sorted(p for p in folder.iterdir() if p.is_dir() and not p.name.startswith("."))
    if not folders:
        raise DatasetError.at(
            folder,
            expected="at least one SNGS-xxx folder",
            got="none",
            fix="Unpack the sequences of this split.",
        )
    return folders


def _athletes_of(sequence: GameState, window: range, image_size: tuple[int, int]) -> Athletes:
    first, last = np.searchsorted(sequence.athletes.frame, [window.start, window.stop])
    rows = sequence.athletes.select(np.arange(first, last))
    height, width = (new / old for new, old in zip(image_size, sequence.image_size, strict=True))
    rows.frame[:] -= window.start
    rows.boxes_xyxy_px[:] *= np.array([width, height, width, height], np.float32)
    return rows


def _keypoints_of(sequence: GameState, window: range, image_size: tuple[int, int]) -> Keypoints:
    found = [
        keypoints_from_polylines(sequence.polylines.of_frame(i, image_size), image_size[::-1])
        for i in window
    ]
    labeled = sequence.pitch_labeled[window.start : window.stop, None]
    return Keypoints(
        points_px=np.stack([points_px for points_px, _ in found]).astype(np.float32),
        known=np.stack([known for _, known in found]) & labeled,
    )


def _lines_of(sequence: GameState, window: range, image_size: tuple[int, int]) -> Lines:
    found = [
        segments_from_polylines(sequence.polylines.of_frame(i, image_size), image_size[::-1])
        for i in window
    ]
    labeled = sequence.pitch_labeled[window.start : window.stop, None]
    return Lines(
        segments_px=np.stack([segments_px for segments_px, _ in found]).astype(np.float32),
        known=np.stack([known for _, known in found]) & labeled,
    )
