"""Events over the time of a video, as a picture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

_MOST_ROWS = 10
_LEAST_SCORE = 0.2


def draw_timeline(
    times_s: Float[np.ndarray, "N 2"],
    scores: Float[np.ndarray, "N C"],
    classes: Sequence[str],
    size: tuple[int, int] = (360, 960),
) -> UInt8[np.ndarray, "H W 3"]:
    """A row per event class that is ever likely, darker where it is more likely.

    Args:
        times_s: begin and end of each clip; a clip is drawn from its middle halfway to its
            neighbours, since clips may overlap.
        scores: of the classes, 0..1.
        classes: their names.
        size: (H, W) of the picture in pixels.
    """
    figure = Figure(figsize=(size[1] / 100, size[0] / 100), dpi=100, layout="constrained")
    axes = figure.add_subplot()
    best = scores.max(axis=0) if len(scores) else np.zeros(len(classes))
    rows = [i for i in np.argsort(-best)[:_MOST_ROWS].tolist() if best[i] >= _LEAST_SCORE]
    if rows:
        middles_s = times_s.mean(axis=1)
        inner_s = (middles_s[1:] + middles_s[:-1]) / 2
        edges_s = np.concatenate([times_s[:1, 0], inner_s, times_s[-1:, 1]])
        for row, i in enumerate(rows):
            spans = np.stack([edges_s[:-1], np.diff(edges_s)], axis=1)
            colours = [(0.05, 0.35, 0.65, float(share)) for share in scores[:, i].clip(0, 1)]
            axes.broken_barh(spans.tolist(), (row - 0.4, 0.8), facecolors=colours)
        axes.set_yticks(range(len(rows)), [classes[i] for i in rows])
        axes.set_ylim(len(rows) - 0.5, -0.5)
        axes.set_xlim(edges_s[0], edges_s[-1])
    else:
        axes.text(0.5, 0.5, "no event is likely", ha="center", transform=axes.transAxes)
        axes.set_yticks([])
    axes.set_title("events over time")
    axes.set_xlabel("seconds")
    drawing = FigureCanvasAgg(figure)
    drawing.draw()
    return np.asarray(drawing.buffer_rgba())[..., :3].copy()
