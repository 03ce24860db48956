"""A person as a simple articulated figure: joints in the world, their box, and drawing them."""

from __future__ import annotations

import functools
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Float, Int

from soccermaster.data.synthetic.people import Color, Person
from soccermaster.data.synthetic.scene import POSES
from soccermaster.geometry import Camera
from soccermaster.vocabulary import NO_NUMBER

# fmt: off
(FOOT_L, FOOT_R, KNEE_L, KNEE_R, HIP_L, HIP_R, SHOULDER_L, SHOULDER_R, ELBOW_L, ELBOW_R,
 HAND_L, HAND_R, HEAD, HAIR) = range(14)
# fmt: on
#: Half the thickness of the body at each joint, in metres.
JOINT_RADIUS_M = np.array(
    [0.06, 0.06, 0.07, 0.07, 0.10, 0.10, 0.08, 0.08, 0.05, 0.05, 0.045, 0.045, 0.115, 0.105]
)
#: Pixels per half integer of OpenCV's fixed-point coordinates.
_SHIFT = 4
_ONE = 1 << _SHIFT


@dataclass(frozen=True)
class Figures:
    """The people of one frame in the image; P people, J joints.

    Attributes:
        joints_px: projected joints; NaN behind the camera.
        px_per_m: scale at each person.
        depth_m: distance along the optical axis.
        boxes_xyxy_px: tight around the figure, not clipped.
        number_px: top left, top right and bottom left corner of the number on the back.
        facing_away: -1 (faces the camera) .. 1 (shows his back).
        joints_fixed: joints in OpenCV's fixed-point coordinates.
        feet_px: on the ground below the body.
        feet_m: the same in the world.
        tall_m: height of the body as it is.
    """

    joints_px: Float[np.ndarray, "P J 2"]
    px_per_m: Float[np.ndarray, " P"]
    depth_m: Float[np.ndarray, " P"]
    boxes_xyxy_px: Float[np.ndarray, "P 4"]
    number_px: Float[np.ndarray, "P 3 2"]
    facing_away: Float[np.ndarray, " P"]
    joints_fixed: Int[np.ndarray, "P J 2"]
    feet_px: Float[np.ndarray, "P 2"]
    feet_m: Float[np.ndarray, "P 2"]
    tall_m: Float[np.ndarray, " P"]


def place_figures(
    people: list[Person],
    positions_m: Float[np.ndarray, "P 2"],
    headings_rad: Float[np.ndarray, " P"],
    speeds_mps: Float[np.ndarray, " P"],
    stride_rad: Float[np.ndarray, " P"],
    fallen: Float[np.ndarray, " P"],
    gestures: Int[np.ndarray, " P"],
    camera: Camera,
) -> Figures:
    """Pose everybody and project the joints.

    Args:
        people: bodies.
        positions_m: on the ground, below the body.
        headings_rad: 0 faces +x.
        speeds_mps: widens the gait.
        stride_rad: phase of the gait.
        fallen: 0 upright .. 1 on the ground.
        gestures: index in `scene.POSES`.
        camera: of the frame.
    """
    heights_m = np.array([p.height_m for p in people])
    joints, number = _pose(heights_m, speeds_mps, stride_rad, fallen, gestures)
    wide = np.array([1.0 if p.number > 9 else 0.6 for p in people])
    number[..., 1] *= wide[:, None]
    local = np.concatenate([joints, number], axis=1)  # (P, J + 3, 3): forward, left, up
    cosine, sine = np.cos(headings_rad)[:, None], np.sin(headings_rad)[:, None]
    world = np.empty_like(local)
    world[..., 0] = positions_m[:, :1] + local[..., 0] * cosine + local[..., 1] * sine
    world[..., 1] = positions_m[:, 1:] + local[..., 0] * sine - local[..., 1] * cosine
    world[..., 2] = -local[..., 2]
    ground_m = np.concatenate([positions_m, np.zeros((len(people), 1))], axis=1)
    world = np.concatenate([world, ground_m[:, None]], axis=1)
    points_px, depth = camera.project(world.reshape(-1, 3))
    points_px = points_px.reshape(*world.shape[:2], 2)
    depth_m = depth.reshape(world.shape[:2])[:, HIP_L]
    px_per_m = camera.K[0, 0] / np.maximum(depth_m, 1e-3)
    joints_px = points_px[:, : len(JOINT_RADIUS_M)]
    radius_px = np.maximum(JOINT_RADIUS_M * px_per_m[:, None], 0.5)[..., None]
    boxes = np.concatenate(
        [(joints_px - radius_px).min(axis=1), (joints_px + radius_px).max(axis=1)], axis=-1
    )
    from_camera = positions_m - camera.position_m[:2]
    from_camera /= np.linalg.norm(from_camera, axis=-1, keepdims=True)
    facing_away = from_camera[:, 0] * cosine[:, 0] + from_camera[:, 1] * sine[:, 0]
    fixed = np.rint((np.nan_to_num(joints_px, nan=-1e5) - 0.5) * _ONE)
    return Figures(
        joints_px=joints_px,
        px_per_m=px_per_m,
        depth_m=depth_m,
        boxes_xyxy_px=boxes,
        number_px=points_px[:, len(JOINT_RADIUS_M) : -1],
        facing_away=np.where(fallen > 0.3, -1.0, facing_away),
        joints_fixed=np.clip(fixed, -(2**20), 2**20).astype(np.int32),
        feet_px=points_px[:, -1],
        feet_m=positions_m,
        tall_m=local[:, HAIR, 2],
    )


def draw_figure(image: np.ndarray, figures: Figures, index: int, person: Person) -> None:
    """Draw one person into an RGB image.

    Args:
        image: (H, W, 3) uint8, changed in place.
        figures: placed people.
        index: which of them.
        person: his colours and number.
    """
    scale = float(figures.px_per_m[index])
    p = figures.joints_fixed[index]
    kit = person.kit
    small = scale < _DETAIL_PX_PER_M
    thighs, arms = p[_THIGHS], p[_ARMS]
    _limbs(image, p[_SHINS], kit.socks, 0.11 * scale)
    _limbs(image, thighs, kit.shorts if small else person.skin, 0.14 * scale)
    if not small:
        thighs[:, 1] = thighs.mean(axis=1)
        _limbs(image, thighs, kit.shorts, 0.19 * scale)
        _limbs(image, p[None, [HIP_L, HIP_R]], kit.shorts, 0.2 * scale)
        for foot in (FOOT_L, FOOT_R):
            _dot(image, p[foot], 0.05 * scale, (25, 25, 30))
    shirt, sleeves = kit.shirt, kit.shirt
    if kit.pattern == "sleeves":
        sleeves = kit.second
    elif kit.pattern != "plain" and small:
        shirt = tuple((2 * a + b) // 3 for a, b in zip(kit.shirt, kit.second, strict=True))
    torso = p[_TORSO]
    cv2.fillConvexPoly(image, torso, shirt, cv2.LINE_AA, _SHIFT)
    _limbs(image, torso[None], shirt, 0.16 * scale, closed=True)
    if not small:
        _draw_pattern(image, torso, kit.pattern, kit.second, scale)
    _limbs(image, arms[:, :2], sleeves, 0.10 * scale)
    _limbs(image, arms[:, 1:], person.skin, 0.08 * scale)
    _dot(image, p[HAIR], JOINT_RADIUS_M[HAIR] * scale, person.hair)
    if figures.facing_away[index] < 0.6:
        _dot(image, p[HEAD], 0.1 * scale, person.skin)
    readable = figures.facing_away[index] > 0.2 and not small
    if person.number != NO_NUMBER and readable and number_height_px(figures, index) >= 4:
        _draw_number(image, figures.number_px[index], person)


def number_height_px(
    figures: Figures, index: int | slice = slice(None)
) -> Float[np.ndarray, " P"] | float:
    """Height of the number on the back in the image."""
    corners = figures.number_px[index]
    return np.linalg.norm(corners[..., 2, :] - corners[..., 0, :], axis=-1)


_DETAIL_PX_PER_M = 9
_SHINS = np.array([(KNEE_L, FOOT_L), (KNEE_R, FOOT_R)])
_THIGHS = np.array([(HIP_L, KNEE_L), (HIP_R, KNEE_R)])
_ARMS = np.array([(SHOULDER_L, ELBOW_L, HAND_L), (SHOULDER_R, ELBOW_R, HAND_R)])
_TORSO = np.array([SHOULDER_L, SHOULDER_R, HIP_R, HIP_L])

#: Elbow and hand of the left and the right arm in each gesture: forward (m), out (m) and up (in
#: body heights). NaN follows the gait.
_FREE = ((np.nan,) * 3, (np.nan,) * 3)
_UP = ((0.0, 0.27, 0.98), (0.05, 0.20, 1.17))
_GESTURES = np.array(
    [
        {
            "none": (_FREE, _FREE),
            "lie": (_FREE, _FREE),
            "arms": (_UP, _UP),
            "arm": (_FREE, _UP),
            "point": (_FREE, ((0.33, 0.24, 0.84), (0.68, 0.24, 0.88))),
            "screen": (((0.25, 0.32, 0.80), (0.38, 0.42, 1.0)),) * 2,
            "ear": (_FREE, ((0.10, 0.36, 0.84), (0.05, 0.13, 0.93))),
            "head": (((0.05, 0.36, 0.93), (0.0, 0.10, 1.01)),) * 2,
            "crouch": (((0.35, 0.20, 0.62), (0.45, 0.16, 0.36)),) * 2,
            "protest": (((0.10, 0.44, 0.72), (0.28, 0.68, 0.80)),) * 2,
            "hold": (((0.08, 0.28, 0.62), (0.30, 0.12, 0.66)),) * 2,
        }[name]
        for name in POSES
    ]
)  # (pose, side, elbow or hand, 3)


def _pose(
    heights_m: np.ndarray,
    speeds_mps: np.ndarray,
    stride_rad: np.ndarray,
    fallen: np.ndarray,
    gestures: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Joints (P, J, 3) and number corners (P, 3, 3) in the body's axes: forward, left, up (m)."""
    h = heights_m
    run = np.clip(speeds_mps / 6.0, 0.04, 1.2)
    swing, cycle = np.sin(stride_rad), np.cos(stride_rad)
    joints = np.zeros((len(h), len(JOINT_RADIUS_M), 3))

    def put(joint: int, forward, left, up) -> None:
        joints[:, joint, 0], joints[:, joint, 1], joints[:, joint, 2] = forward, left, up

    lean = 0.10 * run * h
    arms = _GESTURES[gestures]  # (P, side, elbow or hand, 3)
    follows_gait = np.isnan(arms[..., 0])
    for side, foot, knee, hip in ((1, FOOT_L, KNEE_L, HIP_L), (-1, FOOT_R, KNEE_R, HIP_R)):
        reach = side * swing * 0.30 * run * h
        lift = np.clip(side * cycle, 0, None) * 0.16 * run * h
        put(foot, reach - 0.25 * lift, side * 0.11, 0.05 + lift)
        put(knee, 0.6 * reach + 0.04 * h * run + 0.3 * lift, side * 0.10, 0.27 * h + 0.3 * lift)
        put(hip, 0.15 * lean, side * 0.10, 0.51 * h)
    for place, (side, shoulder, elbow, hand) in enumerate(
        ((1, SHOULDER_L, ELBOW_L, HAND_L), (-1, SHOULDER_R, ELBOW_R, HAND_R))
    ):
        reach = -side * swing * 0.22 * run * h
        bent = np.where(run > 0.4, 0.60, 0.48)
        put(shoulder, lean, side * 0.19, 0.80 * h)
        put(elbow, lean + 0.6 * reach - 0.02, side * 0.27, 0.63 * h)
        put(hand, lean + reach + 0.06 * h * run, side * 0.27, bent * h)
        for part, joint in enumerate((elbow, hand)):
            way = arms[:, place, part] * np.stack([np.ones_like(h), np.full_like(h, side), h], -1)
            way[:, 0] += lean
            free = follows_gait[:, place, part, None]
            joints[:, joint] = np.where(free, joints[:, joint], way)
    put(HEAD, 1.15 * lean + 0.03, 0.0, 0.925 * h)
    put(HAIR, 1.15 * lean - 0.02, 0.0, 0.945 * h)
    number = _NUMBER[None] * np.stack([np.zeros_like(h), np.ones_like(h), h], axis=-1)[:, None]
    number[..., 0] = lean[:, None] * _NUMBER[:, 2] * 1.1 - 0.12
    low = gestures == POSES.index("crouch")
    joints[low, :, 2] *= 0.62
    joints[low, HIP_R + 1 :, 0] += 0.18
    if fallen.any():
        angle = 0.5 * np.pi * fallen[:, None]
        sine, cosine = np.sin(angle), np.cos(angle)
        forward, up = joints[..., 0], joints[..., 2]
        middle = sine * 0.5 * h[:, None]
        tipped = forward * cosine + up * sine - middle
        height = up * cosine + sine * (0.14 + 0.35 * np.abs(forward))
        joints[..., 0], joints[..., 2] = tipped, height
    return joints, number


#: Top left, top right and bottom left corner of the number: forward (m), left (m), up (heights).
_NUMBER = np.array([(0, 0.17, 0.78), (0, -0.17, 0.78), (0, 0.17, 0.60)])


def _draw_pattern(
    image: np.ndarray, torso: np.ndarray, pattern: str, color: Color, scale: float
) -> None:
    """Draw the second colour into the four corners of a shirt: shoulders left, right, hips."""
    left_top, right_top, right_hip, left_hip = torso.astype(np.float64)
    if pattern == "stripes":
        ways = [
            (left_top + u * (right_top - left_top), left_hip + u * (right_hip - left_hip))
            for u in (0.0, 0.5, 1.0)
        ]
        width_m = 0.07
    elif pattern == "hoops":
        ways = [
            (left_top + u * (left_hip - left_top), right_top + u * (right_hip - right_top))
            for u in (0.15, 0.5, 0.85)
        ]
        width_m = 0.09
    elif pattern == "sash":
        ways, width_m = [(left_top, right_hip)], 0.13
    elif pattern == "halves":
        half = [left_top, 0.5 * (left_top + right_top), 0.5 * (left_hip + right_hip), left_hip]
        cv2.fillConvexPoly(image, np.rint(half).astype(np.int32), color, cv2.LINE_AA, _SHIFT)
        ways, width_m = [(left_top, left_hip)], 0.15
    else:
        return
    _limbs(image, np.rint(ways).astype(np.int32), color, width_m * scale)


def _limbs(
    image: np.ndarray, ways: np.ndarray, color: Color, width_px: float, closed: bool = False
) -> None:
    """Draw thick lines (n, points, 2), in fixed-point coordinates."""
    cv2.polylines(image, list(ways), closed, color, max(1, round(width_px)), cv2.LINE_AA, _SHIFT)


def _dot(image: np.ndarray, centre: np.ndarray, radius_px: float, color: Color) -> None:
    cv2.circle(image, centre.tolist(), max(8, round(radius_px * _ONE)), color, -1, cv2.LINE_AA,
               _SHIFT)  # fmt: skip


@functools.lru_cache(maxsize=256)
def _digits(number: int, height: int) -> np.ndarray:
    """A white number on black, cropped, `height` pixels high."""
    canvas = np.zeros((80, 120), np.uint8)
    cv2.putText(canvas, str(number), (8, 66), cv2.FONT_HERSHEY_DUPLEX, 2.2, 255, 7, cv2.LINE_AA)
    ys, xs = np.nonzero(canvas)
    crop = canvas[ys.min() : ys.max() + 1, xs.min() : xs.max() + 1]
    width = max(2, round(crop.shape[1] * height / crop.shape[0]))
    return cv2.resize(crop, (width, height), interpolation=cv2.INTER_AREA)


def _draw_number(image: np.ndarray, corners_px: np.ndarray, person: Person) -> None:
    size_px = np.linalg.norm(corners_px[2] - corners_px[0])
    mask = _digits(person.number, int(2 ** np.ceil(np.log2(max(size_px, 4)))))
    opposite = corners_px[1] + corners_px[2] - corners_px[0]
    quad = np.concatenate([corners_px, opposite[None]])
    low = np.maximum(np.floor(quad.min(axis=0)).astype(int) - 1, 0)
    high = np.minimum(np.ceil(quad.max(axis=0)).astype(int) + 2, image.shape[1::-1])
    if (high <= low).any():
        return
    source = np.array([[0, 0], [mask.shape[1], 0], [0, mask.shape[0]]], np.float32) - 0.5
    target = (corners_px - low - 0.5).astype(np.float32)
    alpha = cv2.warpAffine(
        mask, cv2.getAffineTransform(source, target), tuple((high - low).tolist())
    )
    region = image[low[1] : high[1], low[0] : high[0]]
    weight = alpha[..., None].astype(np.uint16)
    blended = region * (255 - weight) + np.array(person.kit.number, np.uint16) * weight
    region[:] = (blended // 255).astype(np.uint8)
