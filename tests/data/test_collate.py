import dataclasses

import numpy as np
import pytest
import torch

from soccermaster.data.augment import ResizeClip
from soccermaster.data.collate import collate_clips
from soccermaster.structures import Annotations
from soccermaster.vocabulary import ANNOTATION_FIELDS

from .clips import exact_clip

SPATIAL = frozenset(ANNOTATION_FIELDS) - {"event", "text"}


def test_frames_become_channels_first_images():
    clips = [exact_clip(), exact_clip()]
    batch = collate_clips(clips, SPATIAL, "exact")
    assert batch.images.shape == (2, 3, 3, 90, 160) and batch.images.dtype == torch.uint8
    np.testing.assert_array_equal(batch.images[1, 2, 0].numpy(), clips[1].frames[2, :, :, 0])
    assert batch.frame_mask.all() and batch.clip_ids == ("exact", "exact")
    assert batch.provides == SPATIAL and batch.source == "exact"
    assert batch.events == () and batch.texts == ()


def test_short_clips_are_padded_with_their_last_frame():
    short, long = exact_clip(2), exact_clip(4)
    batch = collate_clips([short, long], SPATIAL, "exact")
    assert batch.frame_mask.tolist() == [[True, True, False, False], [True] * 4]
    assert torch.equal(batch.images[0, 3], batch.images[0, 1])
    assert not batch.keypoints.known[0, 2:].any() and not batch.lines.known[0, 2:].any()
    assert batch.keypoints.known[1].any() and batch.cameras.K[0, 2:].isnan().all()
    np.testing.assert_allclose(batch.cameras.K[1], long.annotations.cameras.K, rtol=1e-6)


def test_padding_inside_a_clip_stays_padding():
    clip = dataclasses.replace(exact_clip(), frame_mask=np.array([True, True, False]))
    assert collate_clips([clip], SPATIAL, "exact").frame_mask.tolist() == [[True, True, False]]


def test_athletes_know_their_frame_in_the_batch():
    clips = [exact_clip(3), exact_clip(2)]
    athletes = collate_clips([*clips, exact_clip(1)], SPATIAL, "exact").athletes
    assert athletes.frame[::3].tolist() == [0, 1, 2, 3, 4, 6]
    second = athletes.boxes_xyxy_px[9:15]
    np.testing.assert_allclose(second, clips[1].annotations.athletes.boxes_xyxy_px)
    assert athletes.roles.dtype == torch.int64 and second.dtype == torch.float32


def test_only_what_the_dataset_provides_is_in_the_batch():
    batch = collate_clips([exact_clip()], {"event", "text"}, "exact")
    assert batch.athletes is batch.keypoints is batch.lines is batch.cameras is None
    assert batch.events == ("corner",) and batch.texts[0].startswith("[PLAYER]")


def test_a_clip_without_lines_is_unknown_not_empty():
    batch = collate_clips(
        [exact_clip(lines=None, keypoints=None, cameras=None), exact_clip()], SPATIAL, "exact"
    )
    assert not batch.lines.known[0].any() and not batch.keypoints.known[0].any()
    assert batch.lines.known[1].all() and batch.cameras.R[0].isnan().all()


def test_clips_that_do_not_fit_are_refused():
    clip = exact_clip()
    with pytest.raises(ValueError, match=r"\(45, 80\), \(90, 160\).*ResizeClip"):
        collate_clips([clip, ResizeClip((45, 80))(clip)], SPATIAL, "exact")
    with pytest.raises(ValueError, match="expected athletes"):
        collate_clips([dataclasses.replace(clip, annotations=Annotations())], SPATIAL, "exact")
    with pytest.raises(ValueError, match="at least one clip"):
        collate_clips([], SPATIAL, "exact")
    with pytest.raises(ValueError, match="'box'"):
        collate_clips([clip], {"box"}, "exact")
