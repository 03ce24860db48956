import numpy as np
import pytest

from soccermaster.factory.records import Records
from soccermaster.factory.stage import (
    ChainError,
    check_chain,
    config_hash,
    crop_pictures,
    stage_labels,
)
from soccermaster.factory.store import ClipStore, chain_keys, discard_partial, fingerprint_of
from soccermaster.factory.tracks import Fill, Side, Smooth, Team, Vote
from tests.factory.stand_ins import Slow
from tests.factory.test_records import detections

GIVEN = frozenset({"detections", "track_ids", "numbers", "roles", "positions"})


def test_a_chain_in_order_passes():
    check_chain([Vote(), Team(), Side()], GIVEN)


def test_a_chain_out_of_order_says_what_to_move():
    with pytest.raises(ChainError, match=r"stage 1, side: .*track_clusters.*Move team before it"):
        check_chain([Side(), Team()], GIVEN)


def test_a_chain_that_lacks_a_stage_says_so():
    with pytest.raises(ChainError, match=r"stage 1, fill: .*positions.*Add a stage"):
        check_chain([Fill()], frozenset({"detections", "track_ids"}))


def test_a_stage_that_comes_twice_is_numbered():
    assert stage_labels([Vote(), Smooth(), Vote()]) == ["vote", "smooth", "vote2"]


def test_the_hash_follows_every_value_and_the_version():
    base = config_hash({"a": 1, "b": {"c": 2}}, 1)
    assert base == config_hash({"b": {"c": 2}, "a": 1}, 1)
    assert (
        len(
            {base, config_hash({"a": 1, "b": {"c": 3}}, 1), config_hash({"a": 1, "b": {"c": 2}}, 2)}
        )
        == 3
    )


def test_keys_change_from_the_changed_stage_on():
    before, after = chain_keys("clip", ["a", "b", "c"]), chain_keys("clip", ["a", "x", "c"])
    assert before[0] == after[0] and before[1] != after[1] and before[2] != after[2]


def test_the_fingerprint_follows_file_and_frames(tmp_path):
    file = tmp_path / "video.mp4"
    file.write_bytes(b"one")
    first = fingerprint_of(file)
    assert first == fingerprint_of(file) != fingerprint_of(file, range(5))
    file.write_bytes(b"other")
    assert fingerprint_of(file) != first


def test_a_stored_stage_is_found_by_its_key_alone(tmp_path):
    store = ClipStore(tmp_path / "clip")
    records = Records({"detections": detections([0, 1])})
    store.write("detect", "k1" * 32, records, ["detections"], {"stage": "detect"})
    stored = store.find("detect", "k1" * 32)
    assert stored.rows == {"detections": 2}
    assert stored.load()["detections"].equals(records["detections"])
    assert store.find("detect", "k2" * 32) is None


def test_what_is_damaged_does_not_count(tmp_path):
    store, key = ClipStore(tmp_path / "clip"), "k1" * 32
    records = Records({"detections": detections([0])})
    stored = store.write("detect", key, records, ["detections"], {})
    (stored.folder / "detections.parquet").write_bytes(b"half")
    assert store.find("detect", key) is None
    store.write("detect", key, records, ["detections"], {})
    assert store.find("detect", key) is not None


def test_half_written_stages_are_removed(tmp_path):
    partial = tmp_path / "clip" / ".detect-1234.99.partial"
    partial.mkdir(parents=True)
    discard_partial(tmp_path)
    assert not partial.exists()


def test_crops_are_clipped_and_never_empty():
    frame = np.arange(10 * 20 * 3, dtype=np.uint8).reshape(10, 20, 3)
    inside, outside = crop_pictures(frame, np.array([[2.2, 1, 5, 4], [50, 50, 60, 60]]))
    assert inside.shape == (3, 3, 3) and outside.shape == (1, 1, 3)
    np.testing.assert_array_equal(inside, frame[1:4, 2:5])


def test_a_stage_without_models_has_nothing_to_load():
    Slow().prepare("cpu")
