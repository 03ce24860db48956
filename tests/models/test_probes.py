"""Probes read features of any grid, and find what is there."""

from __future__ import annotations

import pytest
import torch

from soccermaster.models.probes import AttentiveProbe, LinearProbe


@pytest.mark.parametrize("kind", [LinearProbe, AttentiveProbe])
@pytest.mark.parametrize("grid", [(2, 3), (9, 16), (4, 4)])
def test_any_grid(kind: type, grid: tuple[int, int]):
    probe = kind(16, 5).eval()
    assert probe(torch.randn(3, grid[0] * grid[1], 16), grid).shape == (3, 5)


def test_a_linear_probe_is_linear():
    probe = LinearProbe(8, 2, cells=(1, 2)).eval()
    a, b = torch.randn(1, 6, 8), torch.randn(1, 6, 8)
    grid = (2, 3)
    middle = probe((a + b) / 2, grid)
    assert torch.allclose(middle, (probe(a, grid) + probe(b, grid)) / 2, atol=1e-6)


@pytest.mark.parametrize("kind", [LinearProbe, AttentiveProbe])
def test_a_probe_learns_where_a_mark_is(kind: type):
    generator = torch.Generator().manual_seed(0)
    grid, n = (6, 8), 256
    cells = torch.randint(48, (n,), generator=generator)
    patches = torch.randn(n, 48, 16, generator=generator) * 0.1
    patches[torch.arange(n), cells] += 1
    places = torch.stack([cells % 8 / 8, cells // 8 / 6], -1)
    probe = kind(16, 2)
    optimizer = torch.optim.Adam(probe.parameters(), lr=1e-2)
    for _ in range(200):
        loss = (probe(patches, grid) - places).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert loss < 0.3 * places.var(0).mean()
