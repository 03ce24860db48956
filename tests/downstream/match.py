"""A short synthetic match and an untrained model, for the tests that look at videos."""

from __future__ import annotations

from pathlib import Path

from soccermaster.data.synthetic.match_files import write_match
from soccermaster.model import SoccerModel
from soccermaster.predict import Predictor
from soccermaster.training.run import model_config
from tests.configs import compose_train


def short_match(folder: Path) -> Path:
    """The video of a half: two moments, some 45 seconds at two frames per second."""
    return write_match(folder, 0, minutes=0.1, fps=2, image_size=(96, 160)) / "1_96p.mp4"


def predictor(*overrides: str) -> Predictor:
    """All five tasks unless told otherwise, untrained, with clips of ten seconds."""
    model = SoccerModel.from_config(model_config(compose_train("debug=smoke", *overrides)))
    return Predictor(model, clip_seconds=10.0)
