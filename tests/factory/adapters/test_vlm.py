"""Vision-language models: what answers mean, a model on this machine, a model behind a server."""

from __future__ import annotations

import base64
import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import cv2
import numpy as np
import pytest

from soccermaster.factory.adapters.chat_server import ChatServerReader
from soccermaster.factory.adapters.qwen import QwenReader, reduced
from soccermaster.factory.adapters.vlm_answers import (
    parse_legible,
    parse_number,
    parse_number_official,
    parse_role,
    parse_role_official,
)
from soccermaster.factory.models import ModelUnavailableError
from soccermaster.factory.stage import StageError
from soccermaster.vocabulary import ROLES

from .tiny_models import picture, save_qwen

NONE, UNCLEAR = 100, -1


@pytest.mark.parametrize(
    ("answer", "number", "official"),
    [
        ("10", 10, 10),
        (" 7.", 7, 7),
        ("#23", 23, 23),
        ("The number on the back is 99.", 99, 99),
        ('{"number": 4}', 4, 4),
        ("No. 10", 10, 10),
        ("10, yes: 10", 10, UNCLEAR),  # the release joins all digits: 1010
        ("0", 0, 0),
        ("07", 7, 7),
        ("No", NONE, NONE),
        ("no number can be seen", NONE, NONE),
        ("The number is not readable", NONE, NONE),
        ("None", NONE, NONE),
        ("8 or 9", UNCLEAR, 89),  # two different numbers
        ("No, but it may be 7", UNCLEAR, 7),
        ("100", UNCLEAR, UNCLEAR),
        ("2024", UNCLEAR, UNCLEAR),
        ("7.5", UNCLEAR, 75),
        ("-5", UNCLEAR, 5),
        ("90%", UNCLEAR, 90),
        ("A10", UNCLEAR, 10),
        ("12:45", UNCLEAR, UNCLEAR),
        ("ten", UNCLEAR, NONE),
        ("", UNCLEAR, NONE),
        ("\x00\ufffd banana", UNCLEAR, NONE),
    ],
)
def test_numbers_in_answers(answer, number, official):
    assert parse_number(answer) == number
    assert parse_number_official(answer) == official


@pytest.mark.parametrize(
    ("answer", "role", "official"),
    [
        ("player", "player", "player"),
        ("Goalkeeper", "goalkeeper", "goalkeeper"),
        ("Referee.", "referee", None),
        ("**Other**", "other", None),
        ("This is the goal keeper", "goalkeeper", None),
        ("an assistant referee", "referee", None),
        ("The goalie!", "goalkeeper", None),
        ("player or referee", None, None),
        ("not a player", None, None),
        ("ball", None, None),
        ("a banana", None, None),
        ("", None, None),
    ],
)
def test_roles_in_answers(answer, role, official):
    index = {None: UNCLEAR} | {name: i for i, name in enumerate(ROLES)}
    assert parse_role(answer) == index[role]
    assert parse_role_official(answer) == index[official]


def test_legibility_in_answers():
    answers = ["Yes.", "no", "It is not.", "yes and no", "maybe", ""]
    assert [parse_legible(a) for a in answers] == [True, False, False, None, None, None]


def test_reduced_pictures():
    assert reduced(picture(1080, 1920), 480).shape == (270, 480, 3)
    assert reduced(picture(900, 1), 300).shape == (300, 3, 3)
    assert reduced(picture(40, 20), 480).shape == (40, 20, 3)


@pytest.fixture(scope="module")
def qwen(tmp_path_factory) -> QwenReader:
    reader = QwenReader(
        save_qwen(tmp_path_factory.mktemp("qwen")), max_new_tokens=4, batch_size=2, dtype="float32"
    )
    reader.load("cpu")
    return reader


def test_qwen_on_this_machine(qwen):
    """A random model says nonsense; it is passed on as it came and understood as nothing."""
    crops, scenes = [picture(90, 40, i) for i in range(3)], [picture(135, 240, i) for i in range(3)]
    numbers = qwen.read_numbers(crops)
    roles = qwen.read_roles(crops, scenes)
    assert len(numbers) == len(roles) == 3
    for reading in [*numbers, *roles]:
        assert 0 <= reading.confidence <= 1 and isinstance(reading.answer, str)
    assert [r.number for r in numbers] == [parse_number(r.answer) for r in numbers]
    assert [r.role for r in roles] == [parse_role(r.answer) for r in roles]
    assert qwen.legibility(crops).shape == (3,)
    assert qwen.read_numbers([]) == []


def test_qwen_answers_do_not_depend_on_the_batch(qwen):
    crops = [picture(90, 40), picture(300, 1)]
    together = qwen.read_numbers(crops)
    alone = [qwen.read_numbers([crop])[0] for crop in crops]
    assert [r.answer for r in together] == [r.answer for r in alone]
    np.testing.assert_allclose(
        [r.confidence for r in together], [r.confidence for r in alone], rtol=1e-3
    )


class Server:
    """A server that speaks the protocol and does what the test says."""

    def __init__(self, answer) -> None:
        self.asked: list[dict] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.reply(200, {"data": [{"id": "tiny-vlm"}]})

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                body["authorization"] = self.headers["Authorization"]
                outer.asked.append(body)
                self.reply(*answer(len(outer.asked), body))

            def reply(self, status: int, content) -> None:
                text = content if isinstance(content, bytes) else json.dumps(content).encode()
                try:
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True  # the reader did not wait

            def log_message(self, *args) -> None:
                """Silent."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def reader(self, **options) -> ChatServerReader:
        url = f"http://127.0.0.1:{self.server.server_port}/v1"
        options = {"model": "tiny-vlm", "timeout_s": 5, "workers": 1, "retries": 1} | options
        reader = ChatServerReader(url, **options)
        reader.load("cpu")
        return reader


def says(text, logprobs=None) -> dict:
    choice = {"message": {"role": "assistant", "content": text}}
    if logprobs is not None:
        choice["logprobs"] = {"content": [{"token": "?", "logprob": p} for p in logprobs]}
    return {"choices": [choice]}


@pytest.fixture
def serve(monkeypatch):
    monkeypatch.setattr("soccermaster.factory.adapters.chat_server._FIRST_PAUSE_S", 0.01)
    running: list[Server] = []

    def start(answer) -> Server:
        running.append(Server(answer))
        return running[-1]

    yield start
    for server in running:
        server.server.shutdown()
        server.server.server_close()


def test_a_server_reads_numbers_from_jpeg_crops(serve):
    server = serve(lambda count, body: (200, says("10", [-0.1, -0.2])))
    crop = np.full((60, 30, 3), (200, 30, 40), np.uint8)
    (reading,) = server.reader().read_numbers([crop])
    assert (reading.number, reading.answer) == (10, "10")
    assert reading.confidence == pytest.approx(np.exp(-0.3))
    image, question = server.asked[0]["messages"][0]["content"]
    assert "behind" in question["text"]
    head, data = image["image_url"]["url"].split(",")
    assert head == "data:image/jpeg;base64"
    sent = cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), cv2.IMREAD_COLOR)
    np.testing.assert_allclose(sent[..., ::-1], crop, atol=6)


def test_a_server_reads_roles_with_the_scene_and_legibility(serve):
    server = serve(lambda n, body: (200, says("Yes" if "yes or no" in str(body) else "referee")))
    reader = server.reader()
    (role,) = reader.read_roles([picture(40, 20)], [picture(270, 480)])
    assert role.role == ROLES.index("referee") and np.isnan(role.confidence)
    assert len(server.asked[0]["messages"][0]["content"]) == 3
    np.testing.assert_array_equal(reader.legibility([picture(40, 20)]), [1.0])


@pytest.mark.parametrize(
    "nonsense",
    [
        says("I am a banana 12345"),
        says(""),
        says(None),
        {"choices": []},
        {"error": "what?"},
        ["no table"],
        b"<html>no JSON</html>",
    ],
)
def test_nonsense_is_understood_as_nothing(serve, nonsense):
    reader = serve(lambda count, body: (200, nonsense)).reader()
    assert reader.read_numbers([picture(40, 20)])[0].number == -1
    assert reader.read_roles([picture(40, 20)], [picture(27, 48)])[0].role == -1
    assert np.isnan(reader.legibility([picture(40, 20)])).all()


def test_an_overloaded_server_is_asked_again(serve):
    server = serve(lambda n, body: (503, {}) if n == 1 else (200, says("4")))
    assert server.reader().read_numbers([picture(40, 20)])[0].number == 4
    assert len(server.asked) == 2


def test_a_slow_server_times_out(serve):
    def answer(count, body):
        time.sleep(1.0)
        return 200, says("4")

    server = serve(answer)
    reader = server.reader()
    reader.timeout_s = 0.2
    with pytest.raises(TimeoutError, match="none of 2"):
        reader.read_numbers([picture(40, 20)] * 2)
    assert len(server.asked) == 4  # each question twice


def test_a_server_that_went_away_is_no_answer_that_came_late(serve):
    server = serve(lambda n, body: (503, {}))
    reader = server.reader()
    with pytest.raises(ConnectionError, match="chat_server was not there for any of 2"):
        reader.read_numbers([picture(40, 20)] * 2)
    server.server.shutdown()
    server.server.server_close()
    with pytest.raises(ConnectionError, match="for any of 1"):
        reader.legibility([picture(40, 20)])


def test_one_late_answer_does_not_lose_the_others(serve):
    server = serve(lambda n, body: (500, {}) if n in (1, 2) else (200, says("4")))
    first, second = server.reader().read_numbers([picture(40, 20)] * 2)
    assert (first.number, second.number) == (-1, 4)


def test_a_refused_question_ends_with_the_reason(serve):
    reader = serve(lambda count, body: (400, {"error": "too long"})).reader()
    with pytest.raises(StageError, match="400"):
        reader.read_numbers([picture(40, 20)])


def test_keys_come_from_the_environment(serve, monkeypatch):
    server = serve(lambda count, body: (200, says("4")))
    monkeypatch.setenv("TINY_KEY", "abc")
    server.reader(key_variable="TINY_KEY").read_numbers([picture(40, 20)])
    assert server.asked[0]["authorization"] == "Bearer abc"
    with pytest.raises(ModelUnavailableError, match="NO_SUCH_KEY"):
        server.reader(key_variable="NO_SUCH_KEY")


def test_what_is_missing_is_said_in_one_line(serve):
    with pytest.raises(ModelUnavailableError, match="tiny-vlm"):
        serve(lambda count, body: (200, {})).reader(model="other")
    for reader, hint in (
        (ChatServerReader("http://127.0.0.1:9/v1", timeout_s=1), "vllm serve"),
        (QwenReader(None), "Qwen/Qwen2.5-VL-7B-Instruct"),
    ):
        with pytest.raises(ModelUnavailableError, match=hint) as caught:
            reader.load("cpu")
        assert "\n" not in str(caught.value)


def test_the_official_rule_has_confidence_one_or_none(serve):
    reader = serve(lambda count, body: (200, says("8 or 9", [-1.0]))).reader(rule="official")
    (reading,) = reader.read_numbers([picture(40, 20)])
    assert (reading.number, reading.confidence) == (89, 1.0)
    with pytest.raises(ValueError, match="rule"):
        ChatServerReader(rule="guess")
