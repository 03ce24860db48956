"""How fast keypoints and line ends come from annotations: `python benchmarks/pitch_points.py`.

With a folder or zip file of SoccerNet calibration annotations as argument it measures on those,
otherwise on synthetic ones. One core: OMP_NUM_THREADS=1; times are of the thread, so other programs
disturb them little.
"""

from __future__ import annotations

import collections
import sys
import time

import cv2
import numpy as np

from soccermaster.downstream.calibration import read_annotations
from soccermaster.geometry import (
    Camera,
    Pitch,
    points_from_polylines,
    segments_from_polylines,
    visible_polylines,
)

SIZE = (960, 540)


def annotations(arguments: list[str]) -> list[dict[str, np.ndarray]]:
    """Polylines in pixels."""
    if arguments:
        scale = np.array(SIZE) - 1
        read = read_annotations(arguments[0]).values()
        return [{name: p * scale + 0.5 for name, p in image.items()} for image in read]
    rng = np.random.default_rng(0)
    pan_deg = rng.uniform(-40, 40, 200)
    cameras = Camera.from_pan_tilt_roll(pan_deg, 77, 0.2, 1900, (1, 66, -16), SIZE)
    clean = [visible_polylines(cameras[i], Pitch("exact"), 2.0) for i in range(len(pan_deg))]
    return [{n: p + rng.normal(0, 1, p.shape) for n, p in image.items()} for image in clean]


def main() -> None:
    """Print times and what was derived."""
    cv2.setNumThreads(1)
    images = annotations(sys.argv[1:])
    times_ms, num_points, num_registered = [], [], 0
    reasons: collections.Counter[str] = collections.Counter()
    for image in images:
        start = time.thread_time()
        found = points_from_polylines(image, SIZE)
        segments_from_polylines(image, SIZE, found.keypoints_px)
        times_ms.append(1e3 * (time.thread_time() - start))
        inside = ((found.keypoints_px >= 0) & (found.keypoints_px <= SIZE)).all(axis=1)
        num_points.append(int(inside.sum()))
        num_registered += found.image_from_pitch is not None
        reasons.update(found.reasons)
    median, p90, p99 = np.quantile(times_ms, [0.5, 0.9, 0.99])
    print(f"{len(images)} images, {num_registered} with a homography of the ground")
    print(f"time per image: median {median:.1f} ms, 90 % {p90:.1f} ms, 99 % {p99:.1f} ms")
    print(f"keypoints in the image: {np.mean(num_points):.1f} on average")
    for reason, count in reasons.most_common(8):
        print(f"  {count:4d} x {reason}")


if __name__ == "__main__":
    main()
