from __future__ import annotations

import numpy as np
import pytest
import torch

from soccermaster.viz import draw_matrix


def brightness(image: np.ndarray) -> np.ndarray:
    return image.astype(float).sum(-1)


def test_high_values_are_brighter_and_rows_begin_on_top():
    image = brightness(draw_matrix(np.array([[0.0, 1.0], [2.0, 3.0]]), size_px=40))
    top = image.shape[0] - 4 - 40
    cells = image[top : top + 40, -44:-4]
    means = [cells[10, 10], cells[10, 30], cells[30, 10], cells[30, 30]]
    assert means == sorted(means)
    assert means[0] < means[1] < means[2] < means[3]


def test_a_range_keeps_pictures_comparable():
    one = draw_matrix(torch.tensor([[0.5]]), value_range=(0, 1), size_px=20)
    other = draw_matrix(torch.tensor([[1.0]]), value_range=(0, 1), size_px=20)
    assert brightness(one)[10, 10] < brightness(other)[10, 10]


def test_labels_stand_beside_the_cells_and_do_not_overlap():
    values = np.zeros((30, 30))
    bare = draw_matrix(values, size_px=300)
    labels = [str(i) for i in range(30)]
    image = draw_matrix(values, labels, labels, size_px=300)
    left, top = image.shape[1] - bare.shape[1], image.shape[0] - bare.shape[0]
    assert left > 0
    assert top > 0
    assert image[top:, :left].max() > 150  # rows
    assert image[:top, left:].max() > 150  # columns


def test_labels_must_be_one_per_row():
    with pytest.raises(ValueError, match=r"one label per row \(2\), got 1"):
        draw_matrix(np.zeros((2, 3)), labels=["a"])
    with pytest.raises(ValueError, match="finite"):
        draw_matrix(np.array([[np.nan]]))
