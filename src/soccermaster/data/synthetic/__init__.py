"""Rendered broadcast-like clips with exact labels: the default that needs no download."""

from soccermaster.data.synthetic.dataset import (
    SyntheticSemantic,
    SyntheticSpatial,
    render_sequence,
)
from soccermaster.data.synthetic.events import ACTS

__all__ = ["ACTS", "SyntheticSemantic", "SyntheticSpatial", "render_sequence"]
