"""Any vision-language model behind a server that speaks the OpenAI chat protocol.

    vllm serve Qwen/Qwen2.5-VL-7B-Instruct --port 8000

The pictures go as JPEG in base64. Nothing but the standard library is needed.
"""

from __future__ import annotations

import base64
import http.client
import json
import math
import os
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import cv2
import torch

from soccermaster.factory.adapters.qwen import reduced
from soccermaster.factory.adapters.vlm_answers import Rule
from soccermaster.factory.adapters.vlm_reader import Answer, VlmReader
from soccermaster.factory.models import ModelUnavailableError, Picture
from soccermaster.factory.stage import StageError

_FIRST_PAUSE_S = 0.5
_PASSING = (408, 425, 429)  # of the statuses below 500, those that may pass when asked again
_TOO_LATE = (408, 504)  # it was there, and took too long
_JPEG_QUALITY = 95


class ChatServerReader(VlmReader):
    """Questions over HTTP, several at a time.

    Args:
        base_url: of the server, up to and with "/v1".
        model: the name that the server has for it.
        rule: how answers are read, see `VlmReader`.
        timeout_s: for one answer.
        retries: how often a question is asked again after a timeout, a broken connection or an
            overloaded server; the pauses between double from half a second.
        workers: questions under way at a time.
        max_tokens: length of an answer.
        max_side: pictures with a longer side are reduced to it, in pixels.
        key_variable: environment variable with the key of the server, where it asks for one.
    """

    name = "chat_server"

    def __init__(
        self,
        base_url: str = "http://localhost:8000/v1",
        model: str = "Qwen/Qwen2.5-VL-7B-Instruct",
        rule: Rule = "guarded",
        timeout_s: float = 60.0,
        retries: int = 2,
        workers: int = 8,
        max_tokens: int = 16,
        max_side: int = 480,
        key_variable: str | None = None,
    ) -> None:
        super().__init__(rule)
        self.base_url = base_url.rstrip("/")
        self.model = model
        self.timeout_s = timeout_s
        self.retries = retries
        self.workers = workers
        self.max_tokens = max_tokens
        self.max_side = max_side
        self.key_variable = key_variable

    def _load(self, device: torch.device) -> None:
        if self.key_variable is not None and self.key_variable not in os.environ:
            raise ModelUnavailableError(
                f"The server {self.base_url} needs a key: set the environment variable "
                f"{self.key_variable}, or key_variable=null where it asks for none."
            )
        try:
            listed = self._send("models", None)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise ModelUnavailableError(
                f"The server {self.base_url} does not answer ({_one_line(error)}). Start one, for "
                f"example with 'vllm serve {self.model} --port 8000', and set base_url to it."
            ) from error
        names = _model_names(listed)
        if names and self.model not in names:
            raise ModelUnavailableError(
                f"The server {self.base_url} has no model {self.model!r}: it has "
                f"{', '.join(names)}. Set model to one of them."
            )

    def _ask(self, questions: Sequence[tuple[Picture, ...]], prompt: str) -> list[Answer]:
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(lambda pictures: self._ask_one(pictures, prompt), questions))

    def _ask_one(self, pictures: tuple[Picture, ...], prompt: str) -> Answer:
        content: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": _data_url(reduced(p, self.max_side))}}
            for p in pictures
        ]
        content.append({"type": "text", "text": prompt})
        body = {
            "model": self.model,
            "messages": [{"role": "user", "content": content}],
            "max_tokens": self.max_tokens,
            "temperature": 0,
            "logprobs": True,
        }
        answer = Answer(None)
        for attempt in range(self.retries + 1):
            if attempt:
                time.sleep(_FIRST_PAUSE_S * 2 ** (attempt - 1))
            answer = self._try(body)
            if answer.text is not None:
                break
        return answer

    def _try(self, body: Mapping[str, Any]) -> Answer:
        """The answer; without a text when it may help to ask again."""
        try:
            return _read_answer(self._send("chat/completions", body))
        except urllib.error.HTTPError as error:
            if error.code >= 500 or error.code in _PASSING:
                return Answer(None, reached=error.code in _TOO_LATE)
            raise StageError(f"{self.base_url} refused a question: {_one_line(error)}") from error
        except (OSError, http.client.HTTPException) as error:
            reason = getattr(error, "reason", error)  # of an URLError
            return Answer(None, reached=isinstance(reason, TimeoutError))
        except ValueError:  # it answered, but no JSON
            return Answer("")

    def _send(self, path: str, body: Mapping[str, Any] | None) -> Any:
        headers = {"Content-Type": "application/json"}
        if self.key_variable is not None:
            headers["Authorization"] = f"Bearer {os.environ[self.key_variable]}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.base_url}/{path}", data, headers)
        with urllib.request.urlopen(request, timeout=self.timeout_s) as response:
            return json.loads(response.read())


def _data_url(picture: Picture) -> str:
    written, jpeg = cv2.imencode(
        ".jpg", picture[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, _JPEG_QUALITY]
    )
    if not written:
        raise ValueError(f"cannot write a picture of shape {picture.shape} as JPEG")
    return "data:image/jpeg;base64," + base64.b64encode(jpeg.tobytes()).decode()


def _read_answer(reply: Any) -> Answer:
    """The words of a reply; empty words for a reply that is not one of the protocol."""
    try:
        choice = reply["choices"][0]
        text = choice["message"]["content"]
    except (KeyError, IndexError, TypeError):
        return Answer("")
    if not isinstance(text, str):
        return Answer("")
    try:
        logs = [float(token["logprob"]) for token in choice["logprobs"]["content"]]
    except (KeyError, TypeError, ValueError):
        logs = []
    confidence = math.exp(min(0.0, sum(logs))) if logs else math.nan
    return Answer(text.strip(), confidence)


def _model_names(listed: Any) -> list[str]:
    try:
        return [str(model["id"]) for model in listed["data"]]
    except (KeyError, TypeError):
        return []


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()) or type(error).__name__
