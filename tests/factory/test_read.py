"""Which crops are asked about, and what becomes of those that nobody answers for."""

import dataclasses

import numpy as np
import pyarrow as pa
import pytest

from soccermaster.data.frame_source import FrameSource
from soccermaster.data.video import VideoInfo
from soccermaster.factory.models import NumberReading
from soccermaster.factory.people import gather_people
from soccermaster.factory.read import DetectorRoles, Legibility, Numbers, best_rows
from soccermaster.factory.records import array
from soccermaster.factory.stage import ClipContext, StageError
from soccermaster.vocabulary import ROLES, UNKNOWN
from tests.factory.test_tracks import tracked


class Grey(FrameSource):
    """Twenty grey frames."""

    def __init__(self):
        self.info = VideoInfo("grey", 200, 100, 25.0, 0.8, 20)

    def read(self, indices, size=None):
        return np.full((len(indices), 100, 200, 3), 90, np.uint8)

    def stream(self, indices, at_least=None):
        yield from self.read(indices)

    def iter(self, size=None):
        yield from ((t, t / 25, self.read([t])[0]) for t in range(20))


class Asked:
    """Counts what it is asked; reads 7, but does not answer after so many batches."""

    name = "asked"

    def __init__(self, batches: int = 99, error: type[OSError] = TimeoutError) -> None:
        self.crops, self.batches, self.error = 0, batches, error

    def load(self, device):
        self.device = device

    def legibility(self, crops):
        self._answer(crops)
        return np.ones(len(crops))

    def read_numbers(self, crops):
        self._answer(crops)
        return [NumberReading(7, 0.9, "7")] * len(crops)

    def _answer(self, crops):
        self.crops += len(crops)
        self.batches -= 1
        if self.batches < 0:
            raise self.error("no answer")


CLIP = ClipContext("grey", Grey(), range(20))
PEOPLE = tracked([(t, track, 0, 0) for t in range(20) for track in (1, 2)])


class Numbered(Grey):
    """Frames whose grey is their number."""

    def read(self, indices, size=None):
        return np.stack([np.full((100, 200, 3), t, np.uint8) for t in indices])


def test_another_range_of_a_clip_has_its_own_pictures():
    clip = ClipContext("numbered", Numbered(), range(20))
    assert clip.read([0])[0].max() == 0
    assert dataclasses.replace(clip, frames=range(5, 20)).read([0])[0].max() == 5


@pytest.mark.parametrize(
    ("quality", "count", "gap", "frames"),
    [
        ([1, 2, 9, 8, 1, 1], 2, 3, [2, 5]),  # frame 3 is too near the best
        ([1, 2, 9, 8, 1, 1], 2, 1, [2, 3]),
        ([1, 2, 9, 8, 1, 1], 4, 3, [1, 2, 3, 5]),  # not enough far apart: filled up
        ([1, 2, 9, 8, 1, 1], 9, 3, [0, 1, 2, 3, 4, 5]),
    ],
)
def test_best_rows_are_apart_in_time(quality, count, gap, frames):
    people = gather_people(tracked([(t, 1, 0, 0) for t in range(6)]))
    rows = best_rows(people, np.arange(6), np.array(quality, float), count, gap)
    assert people.frame[rows].tolist() == frames


@pytest.mark.parametrize(("crops_per_track", "asked"), [(None, 40), (3, 6)])
def test_a_dear_model_sees_the_best_crops_alone(crops_per_track, asked):
    model = Asked()
    records = Legibility(model, crops_per_track).run(CLIP, PEOPLE)
    assert model.crops == records["legibility"].num_rows == asked
    legible = gather_people(records).legibility
    assert np.isnan(legible).sum() == 40 - asked  # nobody looked: not known
    numbers = Numbers(model, crops_per_track=2).run(CLIP, records)
    assert numbers["numbers"].num_rows == 4


def test_crops_without_an_answer_have_no_number():
    records = Legibility(Asked()).run(CLIP, PEOPLE)
    numbers = array(Numbers(Asked(batches=1), None).run(CLIP, records)["numbers"], "number")
    assert (numbers == 7).sum() == 16 and (numbers == UNKNOWN).sum() == 24


def test_roles_of_a_detector_come_without_a_confidence():
    said = [ROLES.index("player"), ROLES.index("referee"), UNKNOWN]
    people = tracked([(t, 1, 0, 0) for t in range(3)])
    detections = people["detections"]
    place = detections.schema.get_field_index("category")
    detections = detections.set_column(
        place, detections.schema.field(place), pa.array(said, pa.int8())
    )
    roles = DetectorRoles().run(CLIP, people.replace(detections=detections))["roles"]
    assert array(roles, "role").tolist() == said[:2]
    assert np.isnan(array(roles, "confidence")).all()


@pytest.mark.parametrize("what", ["legibility", "numbers"])
def test_a_silent_model_is_not_asked_for_ever(what):
    people = tracked([(t, track, 0, 0) for t in range(20) for track in range(1, 9)])  # ten batches
    model = Asked(batches=0)
    if what == "legibility":
        records = Legibility(model).run(CLIP, people)
        assert np.isnan(array(records["legibility"], "confidence")).all()
    else:
        Numbers(model, None).run(CLIP, Legibility(Asked()).run(CLIP, people))
    assert model.crops == 3 * 16


@pytest.mark.parametrize("batches", [0, 2])
def test_a_model_that_goes_away_fails_the_clip_which_is_tried_again(batches):
    model = Asked(batches=batches, error=ConnectionRefusedError)
    with pytest.raises(StageError, match=r"no answer\. Start it and run again"):
        Legibility(model).run(CLIP, PEOPLE)
