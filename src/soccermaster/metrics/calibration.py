"""How well does a camera explain the annotated pitch lines? The SoccerNet calibration score.

For a threshold of t pixels, a class of pitch markings counts as right (true positive) when camera
and annotation both have it in the image and every annotated point is nearer than t to the projected
marking. JaC@t = TP / (TP + FP + FN) per image; the score is its mean over the images that have a
camera; completeness is the fraction of images that have one.

Everything is measured in the pixels of the official evaluator: 960x540, integers at pixel centres,
so annotations in fractions of the image are multiplied by (W - 1, H - 1).

Source: SoccerNet camera calibration development kit, evaluation of camera parameters; reimplemented
from its definition.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float

from soccermaster.geometry import Camera, Pitch
from soccermaster.geometry.camera import MIN_DEPTH_M
from soccermaster.geometry.distortion import distort
from soccermaster.vocabulary import CIRCLES, LINES

#: Size (W, H) at which the official evaluator measures.
EVALUATION_SIZE = (960, 540)
#: Pixels; 5 is the official one.
THRESHOLDS_PX = (5.0, 10.0, 20.0)
LINE_STEP_M = 0.9
CIRCLE_STEP_M = 0.2
#: From the library's pixels (corner of the first pixel) to the evaluator's (its centre).
_HALF_PIXEL = 0.5

Polylines = Mapping[str, Float[np.ndarray, "n 2"]]


@dataclass(frozen=True)
class Counts:
    """True positives, false positives and false negatives of one class, or of one image."""

    tp: int = 0
    fp: int = 0
    fn: int = 0

    def __add__(self, other: Counts) -> Counts:
        return Counts(self.tp + other.tp, self.fp + other.fp, self.fn + other.fn)

    @property
    def jac(self) -> float:
        """TP / (TP + FP + FN), 0..1; 0 if empty."""
        total = self.tp + self.fp + self.fn
        return self.tp / total if total else 0.0


@dataclass(frozen=True)
class ThresholdScores:
    """Scores at one threshold."""

    jac: float  #: mean over the images that have a camera, 0..1; NaN without any
    final: float  #: `jac` times completeness
    per_class: dict[str, Counts]  #: sums over the images, for the classes that occur
    num_rotated: int  #: images that are better explained with left and right exchanged


@dataclass(frozen=True)
class CalibrationScores:
    """Scores of a set of images."""

    num_images: int  #: with annotations
    num_predictions: int  #: of these, with a camera
    thresholds: dict[float, ThresholdScores]  #: by pixels

    @property
    def completeness(self) -> float:
        """Fraction of the images that have a camera."""
        return self.num_predictions / self.num_images


@dataclass
class CalibrationMetrics:
    """Scores of cameras, image by image.

    Attributes:
        thresholds_px: see `THRESHOLDS_PX`.
    """

    thresholds_px: Sequence[float] = THRESHOLDS_PX
    _images: list[dict[float, tuple[dict[str, Counts], bool]]] = field(default_factory=list)
    _num_images: int = 0

    def update(self, camera: Camera | None, annotation: Polylines) -> None:
        """Count one annotated image.

        Args:
            camera: of the image, at any size; None when there is none.
            annotation: points of each class in fractions of the image; classes other than lines
                and circles ("Goal unknown", ...) are ignored.
        """
        self._num_images += 1
        if camera is None:
            return
        projected_px = project_markings(camera)
        annotated_px = annotation_px(annotation)
        rotated_px = {_PITCH.rot180_name(name): p for name, p in annotated_px.items()}
        errors_px = class_errors(projected_px, annotated_px)
        rotated_errors_px = class_errors(projected_px, rotated_px)
        image = {}
        for threshold in self.thresholds_px:
            counts = class_counts(errors_px, threshold)
            rotated = class_counts(rotated_errors_px, threshold)
            # The kit takes the exchanged names unless the given ones are strictly better.
            exchanged = _total(rotated).jac >= _total(counts).jac
            image[threshold] = (rotated if exchanged else counts, exchanged)
        self._images.append(image)

    def compute(self) -> CalibrationScores:
        """The scores so far.

        Raises:
            ValueError: no image was counted.
        """
        if not self._num_images:
            raise ValueError("expected at least one annotated image, got none")
        completeness = len(self._images) / self._num_images
        thresholds = {}
        for threshold in self.thresholds_px:
            images = [image[threshold] for image in self._images]
            per_class: dict[str, Counts] = {}
            for counts, _ in images:
                for name, value in counts.items():
                    per_class[name] = per_class.get(name, Counts()) + value
            jacs = [_total(counts).jac for counts, _ in images]
            jac = float(np.mean(jacs)) if jacs else float("nan")
            thresholds[threshold] = ThresholdScores(
                jac=jac,
                final=jac * completeness if jacs else 0.0,
                per_class={n: per_class[n] for n in (*LINES, *CIRCLES) if n in per_class},
                num_rotated=sum(exchanged for _, exchanged in images),
            )
        return CalibrationScores(self._num_images, len(self._images), thresholds)


def annotation_px(annotation: Polylines) -> dict[str, Float[np.ndarray, "n 2"]]:
    """Annotated points in the evaluator's pixels, by class; classes without points are left out.

    Args:
        annotation: in fractions of the image; blanks around names do not matter.
    """
    scale = np.array(EVALUATION_SIZE) - 1
    points = {name.strip(): np.asarray(p, np.float64) for name, p in annotation.items()}
    return {name: points[name] * scale for name in _CLASSES if len(points.get(name, ()))}


def project_markings(camera: Camera) -> dict[str, Float[np.ndarray, "n 2"]]:
    """The visible part of each marking as a polyline, in the evaluator's pixels.

    Distortion is applied without regard to where its polynomials fold back, as the kit does.

    Args:
        camera: a single camera, at any size.
    """
    resized = camera.resize(EVALUATION_SIZE)
    points = resized.camera_from_world(_SAMPLES_M)
    kept = points[:, 2] > MIN_DEPTH_M
    points = points[kept]
    with np.errstate(over="ignore", invalid="ignore"):
        plane = points[:, :2] / points[:, 2:]
        if resized.has_distortion:
            plane = distort(plane, resized.distortion)
    points_px = plane @ resized.K[:2, :2].T + resized.K[:2, 2] - _HALF_PIXEL
    inside = ((points_px >= 0) & (points_px < EVALUATION_SIZE)).all(axis=1)
    index = _SAMPLE_CLASS[kept]
    visible = {}
    for i in np.unique(index[inside]):
        of_class = index == i
        visible[_CLASSES[i]] = np.array(list(_clip(points_px[of_class], inside[of_class])))
    return visible


def class_errors(projected_px: Polylines, annotated_px: Polylines) -> dict[str, float]:
    """Largest distance of an annotated point from the projected marking, by class, in pixels.

    Infinite for a class that is in the projection alone, NaN for one in the annotation alone.
    """
    errors = {}
    for name in _CLASSES:
        if name in projected_px and name in annotated_px:
            errors[name] = float(_distances(annotated_px[name], projected_px[name]).max())
        elif name in projected_px:
            errors[name] = np.inf
        elif name in annotated_px:
            errors[name] = np.nan
    return errors


def class_counts(errors_px: Mapping[str, float], threshold_px: float) -> dict[str, Counts]:
    """Which classes are right at a threshold, from `class_errors`."""
    counts = {}
    for name, error in errors_px.items():
        if np.isnan(error):
            counts[name] = Counts(fn=1)
        else:
            counts[name] = Counts(tp=1) if error < threshold_px else Counts(fp=1)
    return counts


def _total(counts: Mapping[str, Counts]) -> Counts:
    return sum(counts.values(), Counts())


def _clip(points_px: np.ndarray, inside: np.ndarray) -> Iterator[np.ndarray]:
    """The points inside, and one on the border wherever the polyline enters or leaves."""
    for i, point_px in enumerate(points_px):
        if i and inside[i] != inside[i - 1]:
            border_px = _border_point(points_px[i - 1], point_px)
            if border_px is not None:
                yield border_px
        if inside[i]:
            yield point_px


def _border_point(earlier_px: np.ndarray, later_px: np.ndarray) -> np.ndarray | None:
    """Where the line through two points crosses the border of the image, nearest to the later one.

    The kit takes the infinite line, so this is not always the crossing between the points.
    """
    direction = later_px - earlier_px
    crossings = []
    for axis in (0, 1):
        if direction[axis] == 0:
            continue
        for border in (0.0, EVALUATION_SIZE[axis] - 1.0):
            along = (border - later_px[axis]) / direction[axis]
            crossing = later_px + along * direction
            crossing[axis] = border
            other = 1 - axis
            if 0 <= crossing[other] < EVALUATION_SIZE[other]:
                crossings.append((np.hypot(*(crossing - later_px)), crossing))
    return min(crossings, key=lambda pair: pair[0])[1] if crossings else None


def _distances(points_px: np.ndarray, polyline_px: np.ndarray) -> np.ndarray:
    """Distance of each point (n, 2) from a polyline (m, 2) of at least one point."""
    start = polyline_px[:-1] if len(polyline_px) > 1 else polyline_px
    step = polyline_px[1:] - start if len(polyline_px) > 1 else np.zeros_like(polyline_px)
    offset = points_px[:, None] - start
    length_sq = (step**2).sum(axis=-1)
    along = (offset * step).sum(axis=-1) / np.where(length_sq > 0, length_sq, 1.0)
    nearest = np.clip(along, 0.0, 1.0)[..., None] * step
    return np.linalg.norm(offset - nearest, axis=-1).min(axis=1)


_PITCH = Pitch("exact")
_CLASSES = (*LINES, *CIRCLES)
_SAMPLES = _PITCH.polylines_m(LINE_STEP_M, CIRCLE_STEP_M)
_SAMPLES_M = np.concatenate([_SAMPLES[name] for name in _CLASSES])
_SAMPLE_CLASS = np.repeat(np.arange(len(_CLASSES)), [len(_SAMPLES[name]) for name in _CLASSES])
