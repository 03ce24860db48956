import dataclasses

import cv2
import numpy as np
import pytest
import torch
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from soccermaster.data.augment import Augmentation, AugmentClip, ResizeClip, flip_clip, warp_clip
from soccermaster.data.photometric import Photometric, apply_photometric
from soccermaster.geometry import Pitch, apply_homography, visible_keypoints, visible_segments
from soccermaster.ops.heatmaps import Canvas
from soccermaster.structures import Annotations, Athletes, Clip

from .clips import SIZE, camera_of, exact_clip


def draw(places_px, method):
    """Every point or segment of some frames into a map of its own, with cells of 2 px."""
    canvas, shape = Canvas(), places_px.shape[:2]
    maps = canvas.clear((*shape, 45, 80), torch.device("cpu"))
    places = torch.from_numpy(places_px / 2).float().flatten(0, 1)
    method(canvas, places, torch.arange(len(places)), 1.5)
    return maps.numpy()


def scale_and_crop(scale, x, y):
    return np.array([[scale, 0, x], [0, scale, y], [0, 0, 1.0]])


def turn(angle_deg, centre=(80, 45)):
    c, s = np.cos(np.radians(angle_deg)), np.sin(np.radians(angle_deg))
    x, y = centre
    return np.array([[c, -s, x - c * x + s * y], [s, c, y - s * x - c * y], [0, 0, 1.0]])


def spot(x, y, size=SIZE):
    """A frame with one blurred bright spot centred at (x, y) in continuous pixels."""
    ys, xs = np.mgrid[: size[0], : size[1]] + 0.5
    blob = 255 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * 4.0**2))
    return np.repeat(blob[..., None], 3, axis=2).astype(np.uint8)


def centroid(frame):
    weight = frame[..., 0].astype(float)
    ys, xs = np.mgrid[: frame.shape[0], : frame.shape[1]] + 0.5
    return np.array([(xs * weight).sum(), (ys * weight).sum()]) / weight.sum()


def plain_clip(frames):
    return Clip(np.asarray(frames), np.zeros(len(frames)), Annotations(), "c", "test")


# ----- warps


@given(
    angle=st.floats(-10, 10),
    scale=st.floats(0.3, 1.5),
    tilt=st.floats(-3e-4, 3e-4),
    x=st.floats(60, 100),
    y=st.floats(35, 55),
)
@settings(max_examples=30, deadline=None)
def test_pixels_and_points_move_together(angle, scale, tilt, x, y):
    homography = scale_and_crop(scale, 3.0, -2.0) @ turn(angle)
    homography = np.array([[1, 0, 0], [0, 1, 0], [tilt, 0, 1.0]]) @ homography
    warped = warp_clip(plain_clip([spot(x, y)]), homography, (150, 260))
    expected = apply_homography(homography, [[x, y]])[0]
    np.testing.assert_allclose(centroid(warped.frames[0]), expected, atol=0.15)


def test_a_plain_resize_averages_over_areas():
    clip = exact_clip()
    small = ResizeClip((30, 40))(clip)
    expected = cv2.resize(clip.frames[1], (40, 30), interpolation=cv2.INTER_AREA)
    np.testing.assert_array_equal(small.frames[1], expected)


def test_shrinking_warps_do_not_alias():
    stripes = np.zeros((1, 128, 128, 3), np.uint8)
    stripes[:, :, ::2] = 255
    small = warp_clip(plain_clip(stripes), scale_and_crop(0.25, 0.3, 0.1) @ turn(3), (24, 24))
    assert np.ptp(small.frames[0, 6:18, 6:18]) < 30


def test_two_warps_equal_the_composed_one():
    clip = exact_clip()
    first, second = scale_and_crop(1.1, -4, -2) @ turn(2), scale_and_crop(0.9, 3, 2) @ turn(-3)
    chained = warp_clip(warp_clip(clip, first, SIZE), second, SIZE).annotations
    composed = warp_clip(clip, second @ first, SIZE).annotations
    np.testing.assert_allclose(
        chained.keypoints.points_px, composed.keypoints.points_px, rtol=1e-4, atol=1e-2
    )
    both = np.isfinite(chained.lines.segments_px) & np.isfinite(composed.lines.segments_px)
    assert both.sum() > 50
    inside = (composed.lines.segments_px > 12) & (composed.lines.segments_px < 78) & both
    inside = inside.all(axis=(-1, -2))  # clipped by neither frame
    np.testing.assert_allclose(
        chained.lines.segments_px[inside], composed.lines.segments_px[inside], atol=1e-2
    )


def test_an_inverse_warp_brings_everything_back():
    clip = exact_clip(athletes=None)
    homography = scale_and_crop(0.5, 10, 5)
    back = warp_clip(warp_clip(clip, homography, SIZE), np.linalg.inv(homography), SIZE)
    before, after = clip.annotations, back.annotations
    np.testing.assert_allclose(
        after.keypoints.points_px, before.keypoints.points_px, rtol=1e-4, atol=1e-3
    )
    np.testing.assert_allclose(after.lines.segments_px, before.lines.segments_px, atol=1e-3)
    np.testing.assert_allclose(after.cameras.K, before.cameras.K)


@pytest.mark.parametrize(
    "transform",
    [
        ResizeClip((60, 60)),
        AugmentClip((60, 90), affine=0, perspective=0),
        AugmentClip((60, 90), affine=1, max_shear_deg=0, perspective=0),
    ],
)
def test_the_camera_projects_to_the_moved_keypoints_and_lines(transform):
    pitch = Pitch("exact")
    for seed in range(6):  # with and without the mirror
        clip = transform(exact_clip(), np.random.default_rng(seed))
        size = clip.frames.shape[1:3]
        camera = camera_of(clip.annotations.cameras, size)
        np.testing.assert_allclose(np.linalg.det(camera.R), 1.0)
        np.testing.assert_allclose(
            visible_keypoints(camera, pitch), clip.annotations.keypoints.points_px,
            rtol=1e-4, atol=1e-2,
        )  # fmt: skip
        seen = np.isfinite(clip.annotations.lines.segments_px).all(axis=(-1, -2))
        projected = visible_segments(camera, pitch)
        assert seen.any() and np.isfinite(projected[seen]).all()


def test_cameras_turn_with_the_picture():
    clip = exact_clip()
    turned = warp_clip(clip, turn(7) @ scale_and_crop(1.2, -8, 3), SIZE)
    camera = camera_of(turned.annotations.cameras, SIZE)
    np.testing.assert_allclose(np.linalg.det(camera.R), 1.0)
    np.testing.assert_allclose(camera.K[:, 0, 1], 0.0)
    expected = visible_keypoints(camera_of(clip.annotations.cameras, SIZE), Pitch("exact"))
    expected = apply_homography(turn(7) @ scale_and_crop(1.2, -8, 3), expected)
    projected, _ = camera.project(Pitch("exact").keypoints_m)
    seen = np.isfinite(expected).all(axis=-1)
    np.testing.assert_allclose(projected[seen], expected[seen], rtol=1e-5, atol=1e-2)


@pytest.mark.parametrize(
    "homography",
    [
        [[1, 0.1, 0], [0, 1, 0], [0, 0, 1]],  # shear
        [[1, 0, 0], [0, 1, 0], [1e-4, 0, 1]],  # perspective
        [[0.5, 0, 0], [0, 1, 0], [0, 0, 1]] @ turn(5) @ np.diag([0.5, 1, 1]),
    ],
)
def test_cameras_do_not_survive_what_no_camera_does(homography):
    assert warp_clip(exact_clip(), np.array(homography), SIZE).annotations.cameras is None


def boxes_clip(*boxes_xyxy):
    clip = exact_clip()
    athletes = Athletes.from_boxes(np.zeros(len(boxes_xyxy)), np.array(boxes_xyxy, np.float32))
    annotations = dataclasses.replace(clip.annotations, athletes=athletes)
    return dataclasses.replace(clip, annotations=annotations)


def test_boxes_are_clipped_and_dropped_when_little_is_left():
    clip = boxes_clip((10, 10, 20, 30), (96, 10, 104, 30), (93, 10, 103, 30), (120, 10, 130, 30))
    moved = warp_clip(clip, scale_and_crop(1.0, 60, 0), SIZE).annotations.athletes
    np.testing.assert_allclose(
        moved.boxes_xyxy_px, [[70, 10, 80, 30], [156, 10, 160, 30], [153, 10, 160, 30]]
    )
    moved = warp_clip(clip, scale_and_crop(1.0, 62, 0), SIZE).annotations.athletes
    assert len(moved) == 3  # exactly a quarter is left of the second
    moved = warp_clip(clip, scale_and_crop(1.0, 62.1, 0), SIZE).annotations.athletes
    assert len(moved) == 2


def test_a_turned_box_is_the_hull_of_its_corners():
    turned = warp_clip(boxes_clip((70, 35, 90, 55)), turn(45), SIZE).annotations.athletes
    half = 10 * np.sqrt(2)
    np.testing.assert_allclose(
        turned.boxes_xyxy_px[0], [80 - half, 45 - half, 80 + half, 45 + half], rtol=1e-5
    )


def test_lines_outside_become_known_to_be_absent():
    moved = warp_clip(exact_clip(), scale_and_crop(1.0, 500, 0), SIZE).annotations.lines
    assert np.isnan(moved.segments_px).all() and moved.known.all()


def test_mirrors_and_singular_homographies_are_refused():
    for homography in (np.diag([-1.0, 1, 1]), np.diag([0.0, 1, 1])):
        with pytest.raises(ValueError, match="keeps the orientation"):
            warp_clip(exact_clip(), homography, SIZE)


def test_clips_without_annotations_stay_without():
    clip = AugmentClip((40, 60))(plain_clip([spot(80, 45)]), np.random.default_rng(0))
    assert clip.annotations == Annotations() and clip.frames.shape == (1, 40, 60, 3)


# ----- mirror


def test_flipping_twice_changes_nothing_but_the_numbers():
    clip = exact_clip()
    twice = flip_clip(flip_clip(clip))
    np.testing.assert_array_equal(twice.frames, clip.frames)
    old, new = clip.annotations, twice.annotations
    for part in ("athletes", "keypoints", "lines", "cameras"):
        for field in dataclasses.fields(getattr(old, part)):
            if field.name != "numbers":
                np.testing.assert_allclose(
                    getattr(getattr(new, part), field.name),
                    getattr(getattr(old, part), field.name),
                    atol=1e-4,
                )
    assert (new.event, new.text) == (old.event, old.text)
    assert new.athletes.numbers.tolist() == [-1, 100, -1] * 3


def test_the_mirror_renames_left_and_right():
    clip = exact_clip()
    flipped = flip_clip(clip).annotations
    width = SIZE[1]
    before = clip.annotations.keypoints.points_px[0, 0]  # the corner at the far left
    after = flipped.keypoints.points_px[0, 2]  # is now the one at the far right
    np.testing.assert_allclose(after, [width - before[0], before[1]], rtol=1e-5)
    assert flipped.athletes.teams.tolist() == [1, 0, -1] * 3
    np.testing.assert_allclose(
        flipped.athletes.positions_m, clip.annotations.athletes.positions_m * [-1, 1]
    )
    assert flipped.text == "[PLAYER] swings it in from the right."
    assert not flipped.keypoints.known[:, Pitch().keypoint_flip[40]].any()


def test_a_mirrored_camera_sees_the_mirrored_pitch():
    flipped = flip_clip(exact_clip()).annotations
    camera = camera_of(flipped.cameras, SIZE)
    assert (camera.K[:, 0, 0] > 0).all()
    np.testing.assert_allclose(np.linalg.det(camera.R), 1.0)
    np.testing.assert_allclose(
        visible_keypoints(camera, Pitch("exact")), flipped.keypoints.points_px, rtol=1e-4, atol=1e-2
    )


@pytest.mark.parametrize(
    ("text", "mirrored"),
    [
        ("A left-footed shot from the Right.", "A right-footed shot from the Left."),
        ("LEFT side, leftmost, rightwards", "RIGHT side, rightmost, leftwards"),
        ("A bright, upright cleft.", "A bright, upright cleft."),
        ("Wide of the right post.", "Wide of the left post."),
        ("Into the bottom left corner!", "Into the bottom right corner!"),
        ("A left-hand post, his right foot", "A right-hand post, his left foot"),
        ("To the right of the goal, on his left.", "To the left of the goal, on his right."),
        ("The right call.", "The right call."),
        ("He left the pitch right after the left-back.", None),
        ("Two minutes left, right now", "Two minutes left, right now"),
    ],
)
def test_words_in_the_mirror(text, mirrored):
    mirrored = mirrored or text.replace("left-back", "right-back")
    assert flip_clip(exact_clip(text=text)).annotations.text == mirrored
    assert flip_clip(exact_clip(text=None)).annotations.text is None


@pytest.mark.parametrize(
    ("text", "is_mirrored"),
    [
        (None, True),
        ("[PLAYER] scores.", True),
        ("It goes inside the left post, from the right.", True),
        ("The linesman makes the right call.", False),
        ("[PLAYER] left the pitch.", False),
        ("The right moment for a shot with his left foot.", False),
    ],
)
def test_clips_with_doubtful_words_are_not_mirrored(text, is_mirrored):
    clip = exact_clip(text=text)
    done = AugmentClip(SIZE, affine=0, perspective=0, crop=0, flip=1)(
        clip, np.random.default_rng(0)
    )
    left = Pitch().keypoints_m[:, 0] < 0
    seen = done.annotations.keypoints.points_px[0, left, 0]
    before = clip.annotations.keypoints.points_px[0, left, 0]
    assert np.allclose(seen, before, equal_nan=True, atol=1e-3) is not is_mirrored
    if not is_mirrored:
        assert done.annotations.text == text


# ----- random draws


def test_one_draw_for_all_frames_of_a_clip():
    still = plain_clip([spot(80, 45)] * 3)
    augmented = AugmentClip((60, 90))(still, np.random.default_rng(3)).frames
    np.testing.assert_array_equal(augmented[0], augmented[1])
    np.testing.assert_array_equal(augmented[0], augmented[2])


def test_the_same_generator_state_gives_the_same_clip():
    augment, clip = AugmentClip((60, 90)), exact_clip()
    first, second = (augment(clip, np.random.default_rng(7)) for _ in range(2))
    np.testing.assert_array_equal(first.frames, second.frames)
    other = augment(clip, np.random.default_rng(8))
    assert (first.frames != other.frames).any()


STILL = {"affine": 0, "perspective": 0, "crop": 0, "flip": 0}
PLAIN = {"brightness": 0, "contrast": 0, "saturation": 0, "hue": 0, "noise": 0, "blur": 0}


def test_without_strength_it_is_a_resize():
    clip = exact_clip()
    augmented = AugmentClip((60, 90), **STILL, **PLAIN)(clip, np.random.default_rng(0))
    np.testing.assert_array_equal(augmented.frames, ResizeClip((60, 90))(clip).frames)
    assert augmented.annotations.cameras is not None


def draws(number=300, **settings):
    rng, augment = np.random.default_rng(0), AugmentClip(SIZE, **settings)
    return [augment.draw(SIZE, rng) for _ in range(number)]


def test_affine_draws_stay_within_their_limits():
    drawn = draws(**STILL | {"affine": 1, "scale": (0.9, 1.5)}, max_shear_deg=0)
    matrices = np.array([d.output_from_input for d in drawn])
    centres = np.array([apply_homography(m, [[80, 45]])[0] for m in matrices])
    assert np.abs(centres - (80, 45)).max(axis=0) == pytest.approx((16, 9), rel=0.1)
    assert (np.abs(centres - (80, 45)) <= (16, 9)).all()
    scales = np.sqrt(np.linalg.det(matrices[:, :2, :2]))
    assert 0.9 <= scales.min() < 0.93 and 1.47 < scales.max() <= 1.5
    angles = np.degrees(np.arctan2(matrices[:, 1, 0], matrices[:, 0, 0]))
    assert 9 < np.abs(angles).max() <= 10
    sheared = np.array([d.output_from_input for d in draws(**STILL | {"affine": 1})])
    cosine = np.sum(sheared[:, :2, 0] * sheared[:, :2, 1], axis=1)
    cosine /= np.linalg.norm(sheared[:, :2, 0], axis=1) * np.linalg.norm(sheared[:, :2, 1], axis=1)
    assert 7 < np.degrees(np.arcsin(np.abs(cosine).max())) < 10.1  # 5 degrees on each axis


def test_perspectives_move_the_corners_inside():
    corners = np.array([[0, 0], [160, 0], [160, 90], [0, 90]], float)
    for drawn in draws(**STILL | {"perspective": 1}):
        moved = apply_homography(drawn.output_from_input, corners)
        assert (np.abs(moved - corners) <= np.array([0.15 * 160, 0.15 * 90]) + 1e-3).all()
        assert (moved >= -1e-3).all() and (moved <= np.array([160, 90]) + 1e-3).all()


def test_crops_fill_the_result_with_a_part_of_the_frame():
    sizes = []
    for drawn in draws(**STILL | {"crop": 1}):
        seen = apply_homography(np.linalg.inv(drawn.output_from_input), [[0, 0], [160, 90]])
        assert (seen > -1e-6).all() and (seen < np.array([160, 90]) + 1e-6).all()
        sizes.append((seen[1] - seen[0]) / (160, 90))
    assert np.min(sizes) == pytest.approx(0.6, abs=0.02) and np.min(sizes) >= 0.6
    assert np.max(sizes) == pytest.approx(1.0, abs=0.02)


def test_probabilities_are_those_of_the_paper(root):
    config = yaml.safe_load((root / "configs/augment/paper.yaml").read_text())
    settings = {key: value for key, value in config.items() if not key.startswith("_")}
    rng, augment = np.random.default_rng(0), AugmentClip(SIZE, **settings)
    drawn = [augment.draw(SIZE, rng) for _ in range(1000)]
    assert np.mean([d.flip for d in drawn]) == pytest.approx(0.5, abs=0.06)
    assert np.mean([d.photometric.noise_std > 0 for d in drawn]) == pytest.approx(0.3, abs=0.06)
    assert np.mean([d.photometric.blur_kernel > 0 for d in drawn]) == pytest.approx(0.2, abs=0.06)
    assert {d.photometric.blur_kernel for d in drawn} == {0, 3, 5, 7}
    bent = [bool(np.abs(d.output_from_input[2, :2]).max() > 1e-12) for d in drawn]
    assert np.mean(bent) == pytest.approx(0.5, abs=0.06)
    turned = [
        bool(abs(d.output_from_input[1, 0]) > 1e-12) or b for d, b in zip(drawn, bent, strict=True)
    ]
    assert np.mean(turned) == pytest.approx(0.75, abs=0.06)
    for name in ("brightness", "contrast", "saturation"):
        values = [getattr(d.photometric, name) for d in drawn]
        assert (min(values), max(values)) == pytest.approx((0.6, 1.4), abs=0.01)
    hues = [d.photometric.hue_rad / (2 * np.pi) for d in drawn]
    assert (min(hues), max(hues)) == pytest.approx((-0.2, 0.2), abs=0.01)
    assert max(d.photometric.noise_std for d in drawn) == pytest.approx(0.02, abs=0.001)


def test_colours_change_as_asked():
    grey = plain_clip(np.full((1, 8, 8, 3), 100, np.uint8))
    rng = np.random.default_rng(1)
    brighter = AugmentClip((8, 8), **STILL, **(PLAIN | {"brightness": 0.5}))
    values = [brighter(grey, rng).frames[0, 0, 0, 0] for _ in range(50)]
    assert min(values) < 60 and max(values) > 140 and min(values) >= 50 and max(values) <= 150
    # Grey has no colour and one grey level no contrast.
    for name in ("contrast", "saturation", "hue"):
        changed = AugmentClip((8, 8), **STILL, **(PLAIN | {name: 0.4}))(grey, rng)
        np.testing.assert_allclose(changed.frames.astype(int), 100, atol=1)
    red = plain_clip(np.full((1, 8, 8, 3), (200, 20, 20), np.uint8))
    augment = AugmentClip((8, 8), **STILL, **(PLAIN | {"hue": 0.2}))
    turned = augment(red, np.random.default_rng(4))
    assert np.ptp(turned.frames[0, 0, 0].astype(int) - (200, 20, 20)) > 30


def test_noise_is_new_in_every_frame_and_as_strong_as_asked():
    grey = np.full((3, 200, 200, 3), 100, np.uint8)
    apply_photometric(grey, Photometric(noise_std=0.02, noise_seed=1))
    noise = grey.astype(float) - 100
    assert noise.std() == pytest.approx(0.02 * 255, rel=0.03) and abs(noise.mean()) < 0.1
    for a, b in ((0, 1), (1, 2), (0, 2)):
        assert abs(np.corrcoef(noise[a].ravel(), noise[b].ravel())[0, 1]) < 0.02
    assert abs(np.corrcoef(noise[0, ..., 0].ravel(), noise[0, ..., 1].ravel())[0, 1]) < 0.02
    again = np.full((3, 200, 200, 3), 100, np.uint8)
    apply_photometric(again, Photometric(noise_std=0.02, noise_seed=1))
    np.testing.assert_array_equal(again, grey)


def test_blur_spreads_as_far_as_its_kernel():
    frames = np.zeros((1, 21, 21, 3), np.uint8)
    frames[0, 10, 10] = 255
    apply_photometric(frames, Photometric(blur_kernel=5, blur_sigma=1.0))
    lit = np.argwhere(frames[0, ..., 0])
    assert (lit.min(axis=0), lit.max(axis=0)) == (pytest.approx(8), pytest.approx(12))


def test_the_default_setting_changes_nothing():
    frames = np.random.default_rng(0).integers(0, 255, (2, 9, 9, 3), np.uint8)
    before = frames.copy()
    apply_photometric(frames, Photometric())
    np.testing.assert_array_equal(frames, before)


def test_bad_settings_are_refused():
    for wrong in (
        {"flip": 1.5}, {"scale": (1.2, 1.0)}, {"contrast": 1.0}, {"blur_kernel": (2, 4)},
        {"crop_size": (0.6, 1.1)}, {"max_corner_shift": 0.5},
    ):  # fmt: skip
        with pytest.raises(ValueError, match="expected"):
            AugmentClip((8, 8), **wrong)


# ----- properties of whole draws


@given(seed=st.integers(0, 10_000))
@settings(max_examples=20, deadline=None)
def test_a_composed_draw_equals_its_steps_to_a_hundredth_of_a_pixel(seed):
    augment, clip = AugmentClip(SIZE, affine=1, perspective=1, **PLAIN), exact_clip()
    rng = np.random.default_rng(seed)
    to_unit, from_unit = np.diag([1 / 160, 1 / 90, 1]), np.diag([160, 90, 1.0])
    rng.random()
    steps = [augment._affine(rng, 160 / 90)]
    rng.random()
    steps.append(augment._perspective(rng))
    rng.random()
    steps.append(augment._crop(rng))
    chained = clip.annotations.keypoints.points_px.astype(np.float64)
    for step in steps:
        chained = apply_homography(from_unit @ step @ to_unit, chained)
    drawn = augment.draw(SIZE, np.random.default_rng(seed))
    composed = dataclasses.replace(drawn, flip=False)(clip).annotations.keypoints.points_px
    near = np.isfinite(composed).all(axis=-1) & (np.abs(composed) < 1000).all(axis=-1)
    assert near.any()
    np.testing.assert_allclose(composed[near], chained[near], atol=0.01)


@pytest.mark.parametrize("flip", [False, True])
def test_targets_drawn_after_the_augmentation_are_the_warped_targets(flip):
    """Where a shift by whole cells and a mirror move the grid onto itself."""
    clip = exact_clip(num_frames=2)
    drawn = Augmentation(scale_and_crop(1.0, 12.0, -8.0), SIZE, flip=flip)
    before, after = clip.annotations, drawn(clip).annotations
    old, new = (draw(a.keypoints.points_px, Canvas.points) for a in (before, after))
    expected = np.zeros_like(old)
    expected[..., :-4, 6:] = old[..., 4:, :-6]
    if flip:
        expected = expected[..., ::-1][:, Pitch().keypoint_flip]
    inside = np.s_[..., :36, 12:-12]  # what came in over the border was not in the old picture
    assert expected[inside].max() > 0.9
    np.testing.assert_allclose(new[inside], expected[inside], atol=1e-5)

    old, new = (draw(a.lines.segments_px, Canvas.segments).max(1) for a in (before, after))
    expected = np.zeros_like(old)
    expected[..., :-4, 6:] = old[..., 4:, :-6]
    expected = expected[..., ::-1] if flip else expected
    assert expected[inside].max() > 0.9
    np.testing.assert_allclose(new[inside], expected[inside], atol=1e-4)


def test_the_mirror_of_the_pixels_is_exact():
    clip, still = exact_clip(), Augmentation(np.eye(3), SIZE)
    mirrored = dataclasses.replace(still, flip=True)(clip)
    np.testing.assert_array_equal(mirrored.frames, flip_clip(clip).frames)
