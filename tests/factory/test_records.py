import numpy as np
import pytest

from soccermaster.factory.people import athletes_of, gather_people
from soccermaster.factory.records import (
    SCHEMAS,
    Records,
    RecordsError,
    array,
    check_table,
    empty_table,
    make_table,
    read_table,
    rows_of,
    values_of,
    write_table,
)
from soccermaster.vocabulary import NO_NUMBER, ROLES


def detections(frames, ids=None, source="net"):
    n = len(frames)
    return make_table(
        "detections",
        source=source,
        frame=frames,
        detection_id=np.arange(n) if ids is None else ids,
        box_xyxy_px=np.tile([10.0, 20.0, 30.0, 60.0], (n, 1)),
        category=np.full(n, -1),
        confidence=np.full(n, 0.9),
    )


def test_rows_are_sorted_by_time_and_keep_their_source():
    table = detections([5, 2, 2], ids=[7, 9, 8], source=np.array(["a", "b", "c"], object))
    assert array(table, "frame").tolist() == [2, 2, 5]
    assert array(table, "detection_id").tolist() == [8, 9, 7]
    assert array(table, "source").tolist() == ["c", "b", "a"]


def test_a_confidence_that_nobody_gave_is_nan():
    table = make_table("track_ids", source="x", frame=[0], detection_id=[0], track_id=[4])
    assert np.isnan(array(table, "confidence")).all()


@pytest.mark.parametrize("kind", SCHEMAS)
def test_every_kind_survives_the_disk(kind, tmp_path):
    write_table(tmp_path / "t.parquet", empty_table(kind))
    assert read_table(tmp_path / "t.parquet", kind).equals(empty_table(kind))


def test_vectors_survive_the_disk(tmp_path):
    table = make_table(
        "embeddings", source="x", frame=[1, 0], detection_id=[1, 0], vector=np.eye(2, 5)
    )
    write_table(tmp_path / "t.parquet", table)
    read = read_table(tmp_path / "t.parquet", "embeddings")
    np.testing.assert_array_equal(array(read, "vector"), np.eye(2, 5)[::-1])


def test_other_columns_are_refused():
    with pytest.raises(RecordsError, match="expected the columns"):
        make_table("legibility", source="x", frame=[0])
    with pytest.raises(RecordsError, match="one length"):
        make_table("track_ids", source="x", frame=[0, 1], detection_id=[0], track_id=[1])
    with pytest.raises(RecordsError, match="expected a kind of"):
        empty_table("cats")


def test_an_id_comes_once():
    with pytest.raises(RecordsError, match="every detection_id once"):
        check_table("detections", detections([0, 1], ids=[3, 3]))


def test_what_is_missing_names_what_is_there():
    with pytest.raises(RecordsError, match="got \\['detections'\\]"):
        Records({"detections": detections([0])})["cameras"]


def test_lookups_by_id():
    table = detections([0, 1, 2], ids=[30, 10, 20])
    assert rows_of(table, np.array([10, 30, 99])).tolist() == [1, 0, -1]
    found = values_of(table, "confidence", np.array([20, 99]), np.nan)
    assert found[0] == pytest.approx(0.9) and np.isnan(found[1])
    assert rows_of(empty_table("detections"), np.array([1])).tolist() == [-1]


def test_people_join_what_is_known_and_leave_the_rest_unknown():
    records = Records(
        {
            "detections": detections([0, 1]),
            "track_ids": make_table(
                "track_ids", source="x", frame=[1], detection_id=[1], track_id=[5]
            ),
            "track_numbers": make_table(
                "track_numbers", source="x", track_id=[5], number=[9], votes=[3]
            ),
        }
    )
    people = gather_people(records)
    assert people.track_id.tolist() == [-1, 5]
    assert people.final_numbers.tolist() == [-1, 9]
    assert people.final_roles.tolist() == [-1, -1]
    assert np.isnan(people.positions_m).all() and people.embeddings.shape == (2, 1)


def test_only_tracked_people_are_athletes_and_unknown_numbers_are_none():
    records = Records(
        {
            "detections": detections([0, 1]),
            "track_ids": make_table(
                "track_ids", source="x", frame=[0], detection_id=[0], track_id=[5]
            ),
            "roles": make_table(
                "roles", source="x", frame=[0], detection_id=[0], role=[ROLES.index("player")],
                answer=["player"],
            ),
        }
    )  # fmt: skip
    athletes = athletes_of(records)
    assert len(athletes) == 1 and athletes.numbers.tolist() == [NO_NUMBER]
    assert ROLES[athletes.roles[0]] == "player"


def test_an_empty_clip_is_no_athletes():
    assert len(athletes_of(Records({"detections": empty_table("detections")}))) == 0
