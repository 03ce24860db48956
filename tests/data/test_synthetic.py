import numpy as np
import pytest

from soccermaster.data.synthetic import ACTS, SyntheticSemantic, SyntheticSpatial, render_sequence
from soccermaster.data.synthetic.camera_work import draw_operator, film
from soccermaster.data.synthetic.commentary import comment
from soccermaster.data.synthetic.events import Story, act
from soccermaster.data.synthetic.figure import place_figures
from soccermaster.data.synthetic.lens import Lens
from soccermaster.data.synthetic.look import Look
from soccermaster.data.synthetic.motion import move
from soccermaster.data.synthetic.people import PLAYER, Kit, Person, draw_people
from soccermaster.data.synthetic.renderer import Renderer
from soccermaster.data.synthetic.scene import Script
from soccermaster.data.synthetic.take import annotate
from soccermaster.geometry import Camera, Pitch
from soccermaster.vocabulary import ANNOTATION_FIELDS, EVENTS, NO_NUMBER, ROLES

SIZE = (180, 320)
MAGENTA = (255, 0, 255)
PLAIN = Look(grass=2, crowd=0, grass_rgb=(50, 110, 40), line_rgb=(245, 245, 245),
             sky_rgb=(90, 110, 130), exposure=1.0, noise=0.0)  # fmt: skip


@pytest.fixture(scope="module")
def clips():
    dataset = SyntheticSpatial("train", 12, image_size=SIZE)
    return [dataset[i] for i in range(len(dataset))]


def test_a_take_can_be_annotated_without_drawing_it(clips):
    dataset = SyntheticSpatial("train", 12, image_size=SIZE)
    staged, drawn = annotate(dataset.take(3)), clips[3].annotations
    for group in ("athletes", "keypoints", "lines", "cameras"):
        for name, value in vars(getattr(staged, group)).items():
            np.testing.assert_array_equal(value, getattr(getattr(drawn, group), name), name)


def one_person(heading_rad, camera, number=14, speed_mps=0.0, xy_m=(0.0, 0.0)):
    kit = Kit(MAGENTA, MAGENTA, MAGENTA, MAGENTA)
    person = Person(PLAYER, 0, number, kit, MAGENTA, MAGENTA, 1.8, (0.5, 0.5))
    upright, no_gesture, speed = np.zeros(1), np.zeros(1, int), np.array([speed_mps])
    figures = place_figures(
        [person],
        np.array([xy_m]),
        np.array([heading_rad]),
        speed,
        np.array([0.7]),
        upright,
        no_gesture,
        camera,
    )
    return [person], figures


def close_camera():
    return Camera.from_pan_tilt_roll(0, 78, 0, 1800, (0, 60, -13), (640, 360))


def test_the_same_index_is_the_same_clip_and_others_differ():
    def first(split="train", seed=0, index=0):
        return SyntheticSpatial(split, 3, image_size=(72, 128), seed=seed)[index]

    clip, again = first(), first()
    assert (clip.frames == again.frames).all()
    assert (
        clip.annotations.athletes.boxes_xyxy_px == again.annotations.athletes.boxes_xyxy_px
    ).all()
    for other in (first("valid"), first(seed=1), first(index=1)):
        assert (clip.frames != other.frames).any()
        assert not np.array_equal(clip.annotations.cameras.R, other.annotations.cameras.R)


def test_shapes_and_fields(clips):
    clip = clips[0]
    assert clip.frames.shape == (2, *SIZE, 3)
    assert clip.frames.dtype == np.uint8
    assert clip.times_s.tolist() == pytest.approx([0, 0.04])
    assert clip.source == "synthetic_spatial"
    assert len({c.clip_id for c in clips}) == len(clips)
    assert clip.annotations.keypoints.points_px.shape == (2, 57, 2)
    assert clip.annotations.keypoints.known.all()
    assert clip.annotations.lines.segments_px.shape == (2, 23, 2, 2)
    assert clip.annotations.cameras.K.shape == (2, 3, 3)
    assert (np.diff(clip.annotations.athletes.frame) >= 0).all()
    assert SyntheticSpatial.provides | SyntheticSemantic.provides == set(ANNOTATION_FIELDS)
    assert SyntheticSemantic.provides == {"event", "text"}


def test_boxes_lie_in_the_frame_and_people_stand_at_their_bottom(clips):
    ball, whole_people = ROLES.index("ball"), 0
    for clip in clips:
        athletes, cameras = clip.annotations.athletes, clip.annotations.cameras
        boxes = athletes.boxes_xyxy_px
        assert (boxes[:, :2] >= 0).all()
        assert (boxes[:, 2:] <= (SIZE[1], SIZE[0])).all()
        assert (boxes[:, 2:] > boxes[:, :2]).all()
        stack = Camera(cameras.K, cameras.R, cameras.position_m, SIZE[::-1])
        for t in range(2):
            rows = athletes.select((athletes.frame == t) & (athletes.roles != ball))
            feet_m = np.concatenate([rows.positions_m, np.zeros((len(rows), 1))], axis=1)
            feet_px, _ = stack[t].project(feet_m)
            x1, y1, x2, y2 = rows.boxes_xyxy_px.T
            whole = (y2 < SIZE[0]) & (y1 > 0) & (x1 > 0) & (x2 < SIZE[1]) & (y2 - y1 > x2 - x1)
            offset = np.abs(feet_px[:, 1] - y2)[whole]
            assert (offset < 1.5 + 0.12 * (y2 - y1)[whole]).all()
            assert (np.abs(feet_px[:, 0] - (x1 + x2) / 2)[whole] < 1 + 0.6 * (x2 - x1)[whole]).all()
            whole_people += whole.sum()
    assert whole_people > 100


def test_identities_are_consistent(clips):
    for clip in clips:
        athletes = clip.annotations.athletes
        people = athletes.roles != ROLES.index("ball")
        assert (athletes.track_ids[~people] == 0).all()
        for t in range(2):
            ids = athletes.track_ids[athletes.frame == t]
            assert len(set(ids)) == len(ids)
        for track_id in set(athletes.track_ids):
            rows = athletes.select(athletes.track_ids == track_id)
            for field in ("roles", "numbers", "teams"):
                assert len(set(getattr(rows, field))) == 1
        in_team = np.isin(athletes.roles, [ROLES.index("player"), ROLES.index("goalkeeper")])
        assert ((athletes.teams >= 0) == in_team).all()
        assert ((athletes.numbers < NO_NUMBER) == in_team).all()
        assert (athletes.legibility[~in_team] == 0).all()
        assert ((athletes.legibility >= 0) & (athletes.legibility <= 1)).all()


def test_box_is_tight_around_the_drawn_figure():
    camera = close_camera()
    renderer = Renderer(camera.image_size, PLAIN, Pitch("exact"))
    ball_m = np.array([30.0, 0.0, -0.1])
    for heading_rad, speed_mps in ((0.0, 6.0), (-np.pi / 2, 0.0), (2.0, 3.0)):
        people, figures = one_person(heading_rad, camera, speed_mps=speed_mps)
        _, elsewhere = one_person(0.0, camera, xy_m=(-30.0, 0.0))
        drawn = renderer.render(camera, people, figures, ball_m).astype(int)
        empty = renderer.render(camera, people, elsewhere, ball_m).astype(int)
        changed = np.abs(drawn - empty).max(axis=-1) > 60  # the shadow is fainter
        rows, columns = np.nonzero(changed)
        found = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert np.abs(found - figures.boxes_xyxy_px[0]).max() <= 2


def test_people_have_natural_size():
    camera = close_camera()
    _, figures = one_person(0.0, camera)
    x1, y1, x2, y2 = figures.boxes_xyxy_px[0]
    px_per_m = camera.K[0, 0] / camera.project((0.0, 0.0, 0.0))[1]
    assert 1.6 < (y2 - y1) / px_per_m < 2.0
    assert 0.2 < (x2 - x1) / px_per_m < 0.8


def test_number_shows_on_the_back_the_right_way_round():
    camera = close_camera()
    _, back = one_person(-np.pi / 2, camera)  # runs away from the camera
    _, front = one_person(np.pi / 2, camera)
    assert back.facing_away[0] > 0.9
    assert front.facing_away[0] < -0.9
    top_left, top_right, bottom_left = back.number_px[0]
    assert top_left[0] < top_right[0]
    assert top_left[1] < bottom_left[1]


def test_keypoints_lie_on_drawn_markings():
    """Where lines cross, the picture is nearly white; a few pixels off it is grass."""
    pitch = Pitch("exact")
    people, hit, missed = [], 0, 0
    for pan_deg in (-35, -15, 0, 20, 36):
        camera = Camera.from_pan_tilt_roll(pan_deg, 77, 0.4, 1500, (1, 66, -16), (640, 360))
        renderer = Renderer(camera.image_size, PLAIN, pitch)
        people, away = one_person(0.0, camera, xy_m=(0.0, 200.0))
        image = renderer.render(camera, people, away, np.array([0.0, 200.0, 0.0]))
        points_px, _ = camera.project(pitch.keypoints_m[[*range(11), *range(19, 44)]])
        inside = ((points_px > 6) & (points_px < (634, 354))).all(axis=1)
        for x, y in np.floor(points_px[inside]).astype(int):
            near = image[y - 1 : y + 2, x - 1 : x + 2].min(axis=-1).max()
            around = np.median(image[y - 6 : y + 7, x - 6 : x + 7].min(axis=-1))
            hit += int(near > around + 50)
            missed += int(near <= around + 50)
    assert hit >= 20
    assert missed == 0


def test_annotated_segments_are_bright(clips):
    bright = []
    for clip in clips:
        for segment in clip.annotations.lines.segments_px[0, [12, 13, 14, 15, 16]]:
            if np.isfinite(segment).all() and np.linalg.norm(segment[0] - segment[1]) > 60:
                x, y = (
                    segment[0] + np.linspace(0.1, 0.9, 40)[:, None] * (segment[1] - segment[0])
                ).T
                rows, columns = np.clip(y.astype(int), 3, SIZE[0] - 4), x.astype(int)
                blue = clip.frames[0, ..., 2].astype(int)  # grass has the least of it
                on = np.max([blue[rows + d, columns] for d in (-1, 0, 1)], axis=0)
                beside = np.minimum(blue[rows - 3, columns], blue[rows + 3, columns])
                bright.append(np.mean(on > beside + 15))
    assert len(bright) >= 5
    assert np.median(bright) > 0.8


@pytest.mark.parametrize("event", ACTS)
def test_every_acted_event_gives_a_clip_with_text(event):
    dataset = SyntheticSemantic(
        "valid", 1, num_frames=3, fps=0.1, image_size=(72, 128), events=[event]
    )
    clip = dataset[0]
    assert event in EVENTS
    assert clip.annotations.event == event
    assert any(word in clip.annotations.text for word in ("[TEAM]", "[PLAYER]", "[REFEREE]"))
    assert "{" not in clip.annotations.text
    assert clip.frames.shape == (3, 72, 128, 3)
    assert clip.frames.std(axis=(1, 2)).min() > 5


@pytest.mark.parametrize("event", ACTS)
def test_acted_people_and_cameras_are_physically_possible(event):
    times_s = np.arange(-14.0, 14.0, 0.25)
    for seed in range(3):
        rng = np.random.default_rng(seed)
        script = Script(draw_people(rng), -16.0, 16.0)
        story = act(event, script, rng)
        assert story.event == event
        motion = move(script, times_s, seed)
        assert motion.speeds_mps.max() < 15
        assert np.percentile(motion.speeds_mps, 99) < 9
        assert np.isfinite(motion.positions_m).all()
        assert (motion.ball_m[:, 2] < 0).all()
        camera = film(draw_operator(rng), script, times_s, (640, 360))
        pan, tilt, roll = camera.pan_tilt_roll().T
        assert (np.abs(pan) < 48).all()
        assert ((tilt > 58) & (tilt < 86)).all()
        assert (np.abs(roll) < 1).all()
        assert (
            (camera.position_m > (-11.1, 41, -25.1)) & (camera.position_m < (11.1, 98.1, -8.5))
        ).all()


def test_all_events_of_the_vocabulary_are_acted():
    assert tuple(ACTS) == EVENTS


def test_comments_tell_side_and_outcome():
    rng = np.random.default_rng(0)
    texts = {comment(Story("penalty", "left", "saved", detail="near"), rng) for _ in range(30)}
    assert len(texts) >= 4
    for text in texts:
        assert "left" in text
        assert "save" in text or "guesses" in text
    with pytest.raises(KeyError, match="parade"):
        comment(Story("parade", "left", ""), rng)


def test_every_block_holds_each_class_once_and_unknown_ones_are_refused():
    def events(split):
        dataset = SyntheticSemantic(split, 6, num_frames=1, image_size=(36, 64), events=three)
        return [dataset[i].annotations.event for i in range(6)]

    three = ["goal", "corner", "injury"]
    assert events("valid") == three * 2
    train = events("train")
    assert train == events("train")
    assert sorted(train[:3]) == sorted(train[3:]) == sorted(three)
    dataset = SyntheticSemantic("train", 4, num_frames=1, image_size=(36, 64))
    with pytest.raises(ValueError, match="parade"):
        SyntheticSemantic("train", 1, events=["parade"])
    with pytest.raises(IndexError):
        dataset[4]


def test_number_of_clips_per_split():
    assert len(SyntheticSpatial("valid", {"train": 5, "valid": 2})) == 2
    with pytest.raises(ValueError, match="'test'"):
        SyntheticSpatial("test", {"train": 5})
    with pytest.raises(ValueError, match="split"):
        SyntheticSpatial("holdout", 1)


def test_a_bending_lens_takes_the_labels_with_it():
    """Bent lines are bright where the labels say, and the straight labels are elsewhere."""
    straight, bent = (
        SyntheticSpatial("train", 6, 1, image_size=SIZE, distortion=d) for d in (0.0, 0.15)
    )
    moved = 0
    for i in range(6):
        a, b = straight[i].annotations, bent[i].annotations
        before, after = a.lines.segments_px[0], b.lines.segments_px[0]
        size = np.array(SIZE[::-1])
        both = np.isfinite(before).all((1, 2)) & np.isfinite(after).all((1, 2))
        moved += int(both.sum())
        assert (after[both] >= 0).all() and (after[both] <= size).all()
        keypoints_px = b.keypoints.points_px[0]
        middle = size / 2
        far = np.linalg.norm(a.keypoints.points_px[0] - middle, axis=1)
        near = np.isfinite(keypoints_px).all(axis=1)
        assert (np.linalg.norm(keypoints_px - middle, axis=1)[near] <= far[near] + 1e-4).all()
        assert (bent[i].frames != straight[i].frames).any()
    assert moved > 10


def test_a_lens_bends_the_picture_as_it_bends_points():
    lens = Lens(-0.12, (320, 180))
    wide = np.zeros((180 + 2 * lens.margin_px, 320 + 2 * lens.margin_px, 3), np.uint8)
    for point in ((40.5, 30.5), (160.5, 90.5), (300.5, 160.5), (12.5, 90.5)):
        x, y = (int(v - 0.5) + lens.margin_px for v in point)
        wide[:] = 0
        wide[y - 1 : y + 2, x - 1 : x + 2] = 255
        bright = lens.bend_picture(wide)[..., 0].astype(float)
        rows, columns = np.mgrid[:180, :320] + 0.5
        found = np.array([(columns * bright).sum(), (rows * bright).sum()]) / bright.sum()
        np.testing.assert_allclose(found, lens.bend_points(np.array(point)), atol=0.1)
    with pytest.raises(ValueError, match="radial"):
        Lens(0.2, (320, 180))


def test_sequence_moves_smoothly():
    clip = render_sequence(3, 8, fps=25.0, image_size=(90, 160), event="corner")
    assert clip.frames.shape == (8, 90, 160, 3)
    assert clip.annotations.event == "corner"
    athletes = clip.annotations.athletes
    for track_id in set(athletes.track_ids) - {0}:
        rows = athletes.select(athletes.track_ids == track_id)
        step_m = np.linalg.norm(np.diff(rows.positions_m, axis=0), axis=1) / np.diff(rows.frame)
        assert (step_m < 0.5).all()
    steps = np.diff(clip.annotations.cameras.R, axis=0)
    assert np.abs(steps).max() < 0.02
