from __future__ import annotations

import numpy as np
import pytest
import torch

from soccermaster.viz.contact_sheet import contact_sheet, heatmap_overlay, patch_pca


def plain(value: int, height: int = 40, width: int = 60) -> np.ndarray:
    return np.full((height, width, 3), value, np.uint8)


def test_pictures_stand_in_rows():
    sheet = contact_sheet([plain(100), plain(150), plain(200)], columns=2)
    assert sheet.shape == (2 * 44 + 4, 2 * 64 + 4, 3)
    assert (sheet[4:44, 4:64] == 100).all()
    assert (sheet[4:44, 68:128] == 150).all()
    assert (sheet[48:88, 4:64] == 200).all()
    assert (sheet[48:88, 68:128] == 32).all()


def test_captions_are_written_below():
    images = [plain(100), plain(150)]
    sheet = contact_sheet(images, columns=2, captions=["one", ""])
    bare = contact_sheet(images, columns=2)
    assert sheet.shape[0] > bare.shape[0]
    below = sheet[44:-4]
    assert below[:, :66].max() > 150
    assert below[:, 68:].max() == 32


def test_other_sizes_are_fitted_with_their_aspect():
    sheet = contact_sheet([plain(100), plain(200, 20, 20)], columns=2)
    cell = sheet[4:44, 68:128]
    assert (cell[:, 10:50] == 200).all()
    assert (cell[:, :10] == 32).all()


def test_a_sheet_needs_images_and_matching_captions():
    with pytest.raises(ValueError, match="at least one image"):
        contact_sheet([])
    with pytest.raises(ValueError, match="one caption per image"):
        contact_sheet([plain(1)], captions=["a", "b"])


def test_a_heatmap_is_painted_where_it_is_hot():
    heatmap = torch.zeros(2, 4, 6)
    heatmap[0, 0, 0], heatmap[1, 3, 5] = 1.0, 0.5
    frame = plain(60)
    shown = heatmap_overlay(frame, heatmap).astype(int)
    difference = np.abs(shown - frame).sum(-1)
    assert difference[2, 2] > difference[37, 57] > 30
    assert difference[20, 30] == 0


def test_an_empty_heatmap_leaves_the_frame_unchanged():
    assert np.array_equal(heatmap_overlay(plain(60), np.zeros((4, 6))), plain(60))


def test_pca_separates_two_kinds_of_patches():
    rng = np.random.default_rng(0)
    kind = np.arange(2 * 12).reshape(2, 12) % 2
    patches = rng.normal(size=(2, 12, 16)) + 20 * kind[..., None]
    colours = patch_pca(torch.from_numpy(patches), (3, 4))
    assert colours.shape == (2, 3, 4, 3)
    assert colours.dtype == np.uint8
    red = colours.reshape(2, 12, 3)[..., 0].astype(int)
    assert red[kind == 1].min() - red[kind == 0].max() > 100


def test_pca_does_not_depend_on_the_sign_of_a_run():
    patches = np.random.default_rng(0).normal(size=(1, 12, 8))
    assert np.array_equal(patch_pca(patches, (3, 4)), patch_pca(patches.copy(), (3, 4)))


def test_patches_that_do_not_vary_are_grey():
    assert (patch_pca(np.ones((1, 12, 8)), (3, 4)) == 128).all()
    two_wide = patch_pca(np.random.default_rng(0).normal(size=(1, 12, 2)), (3, 4))
    assert (two_wide[..., 2] == 128).all()
    assert (two_wide[..., 0] != 128).any()


def test_the_grid_must_fit_the_patches():
    with pytest.raises(ValueError, match="got 12"):
        patch_pca(np.ones((1, 12, 8)), (4, 4))
