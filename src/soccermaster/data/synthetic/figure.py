"""A person as a simple articulated figure: joints in the world, their box, and drawing them."""

from __future__ import annotations

import functools
import itertools
from dataclasses import dataclass

import cv2
import numpy as np
from jaxtyping import Bool, Float

from soccermaster.data.synthetic.scene import Color, Person
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
    """

    joints_px: Float[np.ndarray, "P J 2"]
    px_per_m: Float[np.ndarray, " P"]
    depth_m: Float[np.ndarray, " P"]
    boxes_xyxy_px: Float[np.ndarray, "P 4"]
    number_px: Float[np.ndarray, "P 3 2"]
    facing_away: Float[np.ndarray, " P"]


def place_figures(
    people: list[Person],
    positions_m: Float[np.ndarray, "P 2"],
    headings_rad: Float[np.ndarray, " P"],
    speeds_mps: Float[np.ndarray, " P"],
    stride_rad: Float[np.ndarray, " P"],
    lying: Bool[np.ndarray, " P"],
    arms_up: Bool[np.ndarray, " P"],
    camera: Camera,
) -> Figures:
    """Pose everybody and project the joints.

    Args:
        people: bodies.
        positions_m: on the ground, below the body.
        headings_rad: 0 faces +x.
        speeds_mps: widens the gait.
        stride_rad: phase of the gait.
        lying: on the back, on the ground.
        arms_up: both arms above the head.
        camera: of the frame.
    """
    heights_m = np.array([p.height_m for p in people])
    joints, number = _pose(heights_m, speeds_mps, stride_rad, lying, arms_up)
    wide = np.array([1.0 if p.number > 9 else 0.6 for p in people])
    number[..., 1] *= wide[:, None]
    local = np.concatenate([joints, number], axis=1)  # (P, J + 3, 3): forward, left, up
    cosine, sine = np.cos(headings_rad)[:, None], np.sin(headings_rad)[:, None]
    world = np.stack(
        [
            positions_m[:, :1] + local[..., 0] * cosine + local[..., 1] * sine,
            positions_m[:, 1:] + local[..., 0] * sine - local[..., 1] * cosine,
            -local[..., 2],
        ],
        axis=-1,
    )
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
    return Figures(
        joints_px=joints_px,
        px_per_m=px_per_m,
        depth_m=depth_m,
        boxes_xyxy_px=boxes,
        number_px=points_px[:, len(JOINT_RADIUS_M) :],
        facing_away=np.where(lying, -1.0, facing_away),
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
    p = [
        (int(x), int(y))
        for x, y in np.rint((figures.joints_px[index] - 0.5) * _ONE).astype(np.int64)
    ]
    kit = person.kit
    small = scale < 9

    def limb(color: Color, width_m: float, *joints: int) -> None:
        width = max(1, round(width_m * scale))
        for a, b in itertools.pairwise(joints):
            cv2.line(image, p[a], p[b], color, width, cv2.LINE_AA, _SHIFT)

    for hip, knee, foot in ((HIP_L, KNEE_L, FOOT_L), (HIP_R, KNEE_R, FOOT_R)):
        limb(kit.socks, 0.11, knee, foot)
        limb(kit.shorts if small else person.skin, 0.14, hip, knee)
        if not small:
            middle = ((p[hip][0] + p[knee][0]) // 2, (p[hip][1] + p[knee][1]) // 2)
            width = max(1, round(0.19 * scale))
            cv2.line(image, p[hip], middle, kit.shorts, width, cv2.LINE_AA, _SHIFT)
            _dot(image, p[foot], 0.05 * scale, (25, 25, 30))
    if not small:
        limb(kit.shorts, 0.2, HIP_L, HIP_R)
    torso = np.array([p[SHOULDER_L], p[SHOULDER_R], p[HIP_R], p[HIP_L]])
    cv2.fillConvexPoly(image, torso, kit.shirt, cv2.LINE_AA, _SHIFT)
    limb(kit.shirt, 0.16, SHOULDER_L, HIP_L)
    limb(kit.shirt, 0.16, SHOULDER_R, HIP_R)
    limb(kit.shirt, 0.16, SHOULDER_L, SHOULDER_R)
    for shoulder, elbow, hand in (
        (SHOULDER_L, ELBOW_L, HAND_L),
        (SHOULDER_R, ELBOW_R, HAND_R),
    ):
        limb(kit.shirt, 0.10, shoulder, elbow)
        limb(person.skin, 0.08, elbow, hand)
    _dot(image, p[HAIR], JOINT_RADIUS_M[HAIR] * scale, person.hair)
    if figures.facing_away[index] < 0.6:
        _dot(image, p[HEAD], 0.1 * scale, person.skin)
    readable = figures.facing_away[index] > 0.2 and number_height_px(figures)[index] >= 4
    if person.number != NO_NUMBER and readable:
        _draw_number(image, figures.number_px[index], person)


def number_height_px(figures: Figures) -> Float[np.ndarray, " P"]:
    """Height of the number on the back in the image."""
    return np.linalg.norm(figures.number_px[:, 2] - figures.number_px[:, 0], axis=-1)


def _pose(
    heights_m: np.ndarray,
    speeds_mps: np.ndarray,
    stride_rad: np.ndarray,
    lying: np.ndarray,
    arms_up: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    """Joints (P, J, 3) and number corners (P, 3, 3) in the body's axes: forward, left, up (m)."""
    h = heights_m
    run = np.clip(speeds_mps / 6.0, 0.04, 1.2)
    swing, cycle = np.sin(stride_rad), np.cos(stride_rad)
    joints = np.zeros((len(h), len(JOINT_RADIUS_M), 3))

    def put(joint: int, forward, left, up) -> None:
        joints[:, joint, 0], joints[:, joint, 1], joints[:, joint, 2] = forward, left, up

    lean = 0.10 * run * h
    for side, foot, knee, hip in ((1, FOOT_L, KNEE_L, HIP_L), (-1, FOOT_R, KNEE_R, HIP_R)):
        reach = side * swing * 0.30 * run * h
        lift = np.clip(side * cycle, 0, None) * 0.16 * run * h
        put(foot, reach - 0.25 * lift, side * 0.11, 0.05 + lift)
        put(knee, 0.6 * reach + 0.04 * h * run + 0.3 * lift, side * 0.10, 0.27 * h + 0.3 * lift)
        put(hip, 0.15 * lean, side * 0.10, 0.51 * h)
    for side, shoulder, elbow, hand in (
        (1, SHOULDER_L, ELBOW_L, HAND_L),
        (-1, SHOULDER_R, ELBOW_R, HAND_R),
    ):
        reach = -side * swing * 0.22 * run * h
        put(shoulder, lean, side * 0.19, 0.80 * h)
        up, out = np.where(arms_up, 0.98, 0.63) * h, np.where(arms_up, 0.27, 0.27)
        put(elbow, lean + 0.6 * np.where(arms_up, 0, reach) - 0.02, side * out, up)
        bent = np.where(run > 0.4, 0.60, 0.48)
        up, out = np.where(arms_up, 1.17, bent) * h, np.where(arms_up, 0.20, 0.27)
        put(hand, lean + np.where(arms_up, 0.05, reach + 0.06 * h * run), side * out, up)
    put(HEAD, 1.15 * lean + 0.03, 0.0, 0.925 * h)
    put(HAIR, 1.15 * lean - 0.02, 0.0, 0.945 * h)
    corners = ((0.17, 0.78), (-0.17, 0.78), (0.17, 0.60))
    number = np.stack(
        [np.stack([lean * up * 1.1 - 0.12, np.full_like(h, left), up * h], -1)
         for left, up in corners], axis=1,
    )  # fmt: skip
    down = lying[:, None]
    flat = np.stack(
        [joints[..., 2] - 0.5 * h[:, None], joints[..., 1], 0.14 + 0.35 * np.abs(joints[..., 0])],
        axis=-1,
    )
    return np.where(down[..., None], flat, joints), number


def _dot(image: np.ndarray, centre: tuple[int, int], radius_px: float, color: Color) -> None:
    cv2.circle(image, centre, max(8, round(radius_px * _ONE)), color, -1, cv2.LINE_AA, _SHIFT)


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
