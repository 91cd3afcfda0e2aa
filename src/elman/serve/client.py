"""`Client`: a model behind `elman serve`, with the methods of the model itself."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from itertools import islice
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, TypeVar
from urllib.parse import urlsplit

import msgspec
import numpy as np
from numpy.typing import NDArray

from elman.errors import DataError, ElmanError, ResourceError, UsageError
from elman.serve import messages
from elman.serve.problems import ProblemReply
from elman.tasks.classification.answers import LabelPrediction
from elman.tasks.language_model.base import Scored
from elman.tasks.seq2seq.answers import Answer, SequencePrediction
from elman.tasks.tagging.base import TagPrediction
from elman.text import Sentence
from elman.text.example import Example
from elman.text.pair import Pair

if TYPE_CHECKING:
    import httpx

T = TypeVar("T")
AT_ONCE = 100  # texts of a request
PASSING = (429, 502, 503, 504)  # of a server that is busy, or about to be there again


class Client:
    """A model that `elman serve` serves at a URL.

        client = elman.Client("http://127.0.0.1:8100", "my-tagger")
        client(["Ada", "lives", "in", "London"])

    model:   its name there; None if the server has one model
    token:   what its --token-file holds
    timeout: seconds until a request fails
    retries: how often a request is tried again when the server cannot be reached, is busy or breaks off. Only what can
             be asked twice is: answers to texts, never a push to a session
    Its methods are those of the model, with the same answers. Raises UsageError for what the server refuses,
    ResourceError where it cannot be reached or is busy.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        *,
        token: str | None = None,
        timeout: float = 30.0,
        retries: int = 4,
    ) -> None:
        try:
            import httpx
        except ModuleNotFoundError:
            raise UsageError("Client needs httpx; install it: pip install 'elman[serve]'") from None
        if retries < 0:
            raise UsageError(f"expected retries of 0 or more, found {retries}")
        self._httpx, self._retries = httpx, retries
        headers = {} if token is None else {"authorization": f"Bearer {token}"}
        try:
            parts = urlsplit(url)
            right = parts.scheme in ("http", "https") and bool(parts.hostname)
        except ValueError:
            right = False
        if not right:
            raise UsageError(f"expected a URL such as http://127.0.0.1:8100, found {url!r}")
        self._http = httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False)
        self.url, self._name = url, model
        self._about: messages.ModelInfo | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    # What is there

    def models(self) -> list[messages.ModelInfo]:
        """Everything that the server serves."""
        reply = self._send("GET", "/v1/models")
        return msgspec.json.decode(reply.content, type=messages.ModelList).models

    @property
    def about(self) -> messages.ModelInfo:
        """What is known of the model."""
        if self._about is None:
            if self._name is None:
                names = [one.name for one in self.models()]
                if len(names) != 1:
                    raise UsageError(f"{self.url} serves {', '.join(names)}: name one, Client(url, model)")
                self._name = names[0]
            reply = self._send("GET", f"/v1/models/{self._name}")
            self._about = msgspec.json.decode(reply.content, type=messages.ModelInfo)
        return self._about

    @property
    def task(self) -> str:
        """The model's task."""
        return self.about.task

    # The methods of the model

    def __call__(self, text: Any) -> Any:
        """The answer to one text: tags, the label, or what is written."""
        (answer,) = self.predict([text])
        if isinstance(answer, TagPrediction):
            return answer.tags
        return answer.label if isinstance(answer, LabelPrediction) else answer.text

    def predict(self, texts: Iterable[Any], **options: Any) -> list[Any]:
        """The answers to many texts, as the model's `predict` gives them."""
        if isinstance(texts, str):
            raise UsageError(f"expected a list of texts, found a single text {texts[:40]!r}; put it in a list")
        name, answer, read = _PREDICTIONS.get(self.task, _PREDICTIONS["tag"])  # which the server refuses
        return [read(one) for one in self._asked(name, texts, answer, options)]

    def score(self, lines: Iterable[str]) -> Iterator[Scored]:
        """Each line's tokens with their log-probabilities. Unlike the model's own, each line is read from the start."""
        for one in self._asked("score", lines, messages.ScoreAnswer, {}):
            yield Scored(one.tokens, one.log_probabilities)

    def encode(self, texts: Iterable[str | Example]) -> NDArray[np.float32]:
        """(texts, dim) the vectors of texts."""
        rows = [one.vector for one in self._asked("encode", texts, messages.VectorAnswer, {})]
        return np.array(rows, dtype=np.float32)

    def sample(self, tokens: int = 100, **options: Any) -> Iterator[str]:
        """Text drawn from a language model, as it comes; options as for the model's `sample`, but for precision."""
        body = {"tokens": tokens, **{key: value for key, value in options.items() if value is not None}}
        ended = False
        with self._open("POST", f"/v1/models/{self.about.name}/sample", body) as reply:
            for line in reply.iter_lines():
                ended = ended or line == "event: end"
                if line.startswith("data: ") and not ended:
                    yield msgspec.json.decode(line[6:], type=messages.Piece).text
        if not ended:
            raise ResourceError(f"{self.url}: the answer broke off")

    def session(self) -> ClientSession:
        """A session of the model, on the server: `push`, `finish`, `close`."""
        return ClientSession(self)

    # Requests

    def _asked(self, name: str, texts: Iterable[Any], answer: type[T], options: Mapping[str, Any]) -> Iterator[T]:
        given = {key: value for key, value in options.items() if value is not None}
        path, reply = f"/v1/models/{self.about.name}/{name}", messages.Answers[answer]  # type: ignore[valid-type]
        decoder = msgspec.json.Decoder(reply)
        coming = iter(texts)
        while some := [_sent(text) for text in islice(coming, AT_ONCE)]:
            content = self._send("POST", path, {"texts": some, **given}).content
            yield from decoder.decode(content).answers or []

    def _send(self, method: str, path: str, body: Any = None, *, again: bool = True) -> httpx.Response:
        """One request, tried again where that is safe. Raises what the server says."""
        for left in reversed(range(1 + self._retries * again)):
            try:
                content = None if body is None else msgspec.json.encode(body)
                headers = None if body is None else {"content-type": "application/json"}
                reply = self._http.request(method, path, content=content, headers=headers)
            except self._httpx.TransportError as problem:
                failed: Exception = ResourceError(f"{self.url}: no answer ({type(problem).__name__}: {problem})")
                wait = 0.0
            except (msgspec.MsgspecError, UnicodeEncodeError, TypeError) as problem:
                raise UsageError(f"the texts cannot be sent as JSON: {problem}") from None
            else:
                if reply.is_success:
                    return reply
                failed = _refused(reply, self.url)
                if reply.status_code not in PASSING:
                    raise failed
                stated = reply.headers.get("retry-after", "")
                wait = min(float(stated), 10.0) if stated.isdigit() else 0.0
            if not left:
                raise failed
            tried = self._retries - left
            time.sleep(max(wait, 0.1 * 2**tried) * random.uniform(0.5, 1.5))  # not all at the same moment
        raise AssertionError

    def _open(self, method: str, path: str, body: Any) -> Any:
        """A streamed request, not tried again once it has begun."""
        return _Streamed(self, method, path, body)


class _Streamed:
    def __init__(self, client: Client, method: str, path: str, body: Any) -> None:
        self._client = client
        self._request = client._http.stream(
            method, path, content=msgspec.json.encode(body), headers={"content-type": "application/json"}
        )

    def __enter__(self) -> httpx.Response:
        try:
            reply = self._request.__enter__()
        except self._client._httpx.TransportError as problem:
            raise ResourceError(f"{self._client.url}: no answer ({type(problem).__name__})") from None
        if not reply.is_success:
            reply.read()
            self._request.__exit__(None, None, None)
            raise _refused(reply, self._client.url)
        return reply

    def __exit__(self, kind: Any, problem: Any, trace: Any) -> None:
        self._request.__exit__(kind, problem, trace)
        if isinstance(problem, self._client._httpx.TransportError):
            raise ResourceError(f"{self._client.url}: the answer broke off ({type(problem).__name__})") from None


class ClientSession:
    """A session on the server. It ends with `close`, at the end of a `with`, or when it is not used for too long."""

    def __init__(self, client: Client) -> None:
        self._client = client
        reply = client._send("POST", f"/v1/models/{client.about.name}/sessions", {})
        name = msgspec.json.decode(reply.content, type=messages.Opened).session
        self._path = f"/v1/models/{client.about.name}/sessions/{name}"

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def push(self, *tokens: str) -> Any:
        """Read on. A tagger's tags that are now known; the label so far, with the probability of every label; of a
        language model, [(token, log-probability)] of the likeliest next tokens. It is never sent twice, so after a
        ResourceError it is not known whether it was read."""
        return self._pushed({"tokens": list(tokens)})

    def finish(self) -> Any:
        """The text is complete; another may follow."""
        return self._pushed({"finish": True})

    def close(self) -> None:
        """End the session; one that has ended already is fine."""
        reply = self._client._http.delete(self._path)
        if reply.status_code not in (204, 404):
            raise _refused(reply, self._client.url)

    def _pushed(self, body: Mapping[str, Any]) -> Any:
        content = self._client._send("POST", f"{self._path}/push", body, again=False).content
        if self._client.task == "tag":
            return msgspec.json.decode(content, type=messages.TagsPushed).tags
        if self._client.task == "lm":
            following = msgspec.json.decode(content, type=messages.NextPushed).next
            return [(one.token, one.log_probability) for one in following]
        return _labels(msgspec.json.decode(content, type=messages.LabelAnswer))


def _sent(text: Any) -> Any:
    """A text as JSON has it."""
    if isinstance(text, Sentence):
        return text.words
    if isinstance(text, Example):
        return text.text
    if isinstance(text, Pair):
        return {"text": text.source, "features": list(text.features)}
    return text if isinstance(text, str) else list(text)


def _tags(one: messages.TagAnswer) -> TagPrediction:
    best = None if one.nbest is None else [(path.tags, path.probability) for path in one.nbest]
    return TagPrediction(one.tags, one.probabilities, best)


def _labels(one: messages.LabelAnswer) -> LabelPrediction:
    return LabelPrediction(one.labels, one.chances, one.label_probabilities, one.unknown_share)


def _written(one: messages.TranslateAnswer) -> SequencePrediction:
    return SequencePrediction(
        [Answer(a.text, a.symbols, a.score, a.log_probability, a.complete, a.alignment) for a in one.answers]
    )


# Task -> the operation, what it answers, and how that is read
_PREDICTIONS: dict[str, tuple[str, type[Any], Callable[[Any], Any]]] = {
    "tag": ("predict", messages.TagAnswer, _tags),
    "classify": ("predict", messages.LabelAnswer, _labels),
    "seq2seq": ("translate", messages.TranslateAnswer, _written),
}


def _refused(reply: httpx.Response, url: str) -> ElmanError:
    """What an answer that is an error means here."""
    try:
        problem = msgspec.json.decode(reply.content, type=ProblemReply)
    except msgspec.MsgspecError:
        return ResourceError(f"{url}: expected an elman server, found one that answers {reply.status_code}")
    where = f" ({problem.where})" if problem.where else ""
    text = f"{url}: {problem.detail}{where}"
    if reply.status_code == 413:
        return DataError(text)
    return UsageError(text) if 400 <= reply.status_code < 500 else ResourceError(text)
