"""What the frames of a clip look like after a draw, against averages over all their pixels."""

import cv2
import numpy as np
import pytest

from soccermaster.data.augment import AugmentClip, ResizeClip
from soccermaster.data.collate import collate_clips
from soccermaster.data.frame_source import EncodedSource, encode_frame, open_source
from soccermaster.data.images import read_image
from soccermaster.data.synthetic import SyntheticSpatial
from soccermaster.data.undecoded import UndecodedClip
from soccermaster.data.warp_frames import FrameWarp, resize_homography, translation
from soccermaster.structures import Annotations

PLAIN = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "noise": 0, "blur": 0}


def undecoded(source, num_frames=1):
    return UndecodedClip(
        frames=source,
        indices=tuple(range(num_frames)),
        image_size=(source.info.height, source.info.width),
        times_s=np.arange(num_frames) / 25,
        annotations=Annotations(),
        clip_id="c",
        source="test",
    )


def area_sampled(frame, output_from_input, size, samples=12):
    """Every pixel of the result is the mean of 144 samples of the whole picture."""
    matrix = np.diag([samples, samples, 1.0]) @ output_from_input
    matrix = translation((-0.5, -0.5)) @ matrix @ translation((0.5, 0.5))
    many = cv2.warpPerspective(frame, matrix, (size[1] * samples, size[0] * samples))
    return cv2.resize(many, size[::-1], interpolation=cv2.INTER_AREA)


def psnr(one, two):
    return 10 * np.log10(255**2 / np.mean((one.astype(float) - two) ** 2))


@pytest.fixture(scope="module")
def drawn_frame():
    frame = SyntheticSpatial("train", 10, num_frames=1, image_size=(1080, 1920))[3].frames[0]
    return EncodedSource([encode_frame(frame)], "drawn")


def check_quality(source, size, seeds):
    frame = source.read([0])[0]
    input_size = frame.shape[:2]
    resized = ResizeClip(size)(undecoded(source)).frames[0]
    assert psnr(resized, area_sampled(frame, resize_homography(input_size, size), size)) > 36
    for seed in seeds:
        draw = AugmentClip(size, flip=0, **PLAIN).draw(input_size, np.random.default_rng(seed))
        reference = area_sampled(frame, draw.output_from_input, size)
        assert psnr(draw(undecoded(source)).frames[0], reference) > 36


@pytest.mark.parametrize("size", [(512, 512), (144, 256)])
def test_augmented_frames_are_as_good_as_averages_over_areas(drawn_frame, size):
    check_quality(drawn_frame, size, seeds=range(6))


@pytest.mark.parametrize("size", [(512, 512), (200, 200)])
def test_real_frames_are_as_good_as_averages_over_areas(shared, size):
    picture = read_image(shared / "samples/frames/world_cup_2018.png")
    picture = np.tile(picture, (2, 2, 1))[:1080, :1920]  # as sharp as it is
    check_quality(EncodedSource([encode_frame(picture)], "real"), size, seeds=range(6))


def test_frames_of_a_video_and_of_pictures_look_alike(shared):
    source = open_source(shared / "samples/video/bundesliga_08fd33.mp4")
    check_quality(source, (120, 128), seeds=range(3))


def test_a_draw_asks_for_no_more_than_it_can_use():
    half = FrameWarp(resize_homography((1080, 1920), (540, 960)), (1080, 1920), (540, 960))
    assert half.at_least == (351, 624)  # 0.65 of the pixels of the result
    zoomed = np.diag([4.0, 4.0, 1.0]) @ resize_homography((1080, 1920), (540, 960))
    assert FrameWarp(zoomed, (1080, 1920), (540, 960)).at_least == (702, 1248)


def test_small_pictures_stand_for_large_ones(drawn_frame):
    """The annotations may refer to another size than that of the files."""
    whole = undecoded(drawn_frame)
    other = UndecodedClip(**{**vars(whole), "image_size": (540, 960)})
    draw = AugmentClip((128, 128), **PLAIN)
    one, two = (draw(clip, np.random.default_rng(2)).frames for clip in (whole, other))
    np.testing.assert_allclose(one.astype(int), two, atol=1)


def test_a_clip_of_thirty_frames_travels_light():
    dataset = SyntheticSpatial("train", 1, num_frames=30, image_size=(72, 128))
    batch = collate_clips([ResizeClip((512, 512))(dataset[0])], dataset.provides, "test")
    tensors = [batch.images, batch.frame_mask]
    for part in (batch.athletes, batch.keypoints, batch.lines, batch.cameras):
        tensors += vars(part).values()
    assert batch.images.shape == (1, 30, 3, 512, 512)
    assert sum(tensor.nbytes for tensor in tensors) <= 25 * 2**20
