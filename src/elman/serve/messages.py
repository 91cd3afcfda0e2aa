"""What requests and answers hold, as msgspec structs; the OpenAPI description is made from them."""

from __future__ import annotations

from typing import Annotated, Generic, TypeVar

from msgspec import Meta, Struct

A = TypeVar("A")

Count = Annotated[int, Meta(ge=0, le=100)]
Word = Annotated[str, Meta(min_length=1)]
Probability = Annotated[float, Meta(ge=0, le=1)]


class Request(Struct, forbid_unknown_fields=True, omit_defaults=True):
    """What all requests for answers to texts have: one `text`, or a list of `texts`."""


class TagRequest(Request):
    """A text is a list of words, or text whose words are between spaces."""

    text: str | list[Word] | None = None
    texts: list[str | list[Word]] | None = None
    probabilities: bool = False
    nbest: Count = 0


class TagPath(Struct):
    """One of the best tag sequences."""

    tags: list[str]
    probability: Probability


class TagAnswer(Struct, omit_defaults=True):
    """One tag for each word."""

    words: list[str]
    tags: list[str]
    probabilities: list[float] | None = None
    nbest: list[TagPath] | None = None


class ClassifyRequest(Request):
    """Texts to label."""

    text: str | None = None
    texts: list[str] | None = None
    probabilities: bool = False


class LabelAnswer(Struct, omit_defaults=True):
    """The labels of a text and their probabilities; unknown_share: of its tokens that the model does not know."""

    labels: list[str]
    chances: list[float]
    label_probabilities: dict[str, float] | None = None
    unknown_share: float | None = None


class PlainRequest(Request):
    """Texts, without options."""

    text: str | None = None
    texts: list[str] | None = None


class VectorAnswer(Struct):
    """The vector of a text."""

    vector: list[float]


class ScoreAnswer(Struct):
    """The tokens of a text, the ends of its lines included, and the natural log-probability of each and of all."""

    tokens: list[str]
    log_probabilities: list[float]
    log_probability: float


class Source(Struct, forbid_unknown_fields=True):
    """A text with features beside it."""

    text: str
    features: list[str] = []


class TranslateRequest(Request):
    """Texts to answer. beam, nbest, length_penalty, max_length: how the answers are searched for."""

    text: str | Source | None = None
    texts: list[str | Source] | None = None
    beam: Annotated[int, Meta(ge=1, le=100)] | None = None
    nbest: Annotated[int, Meta(ge=1, le=100)] = 1
    length_penalty: Annotated[float, Meta(ge=0, le=10)] | None = None
    max_length: Annotated[int, Meta(ge=1, le=1000)] | None = None


class Translation(Struct):
    """One answer to a source; complete: False if it was cut off at the maximum length."""

    text: str
    log_probability: float
    score: float
    complete: bool
    symbols: list[str]
    alignment: list[int] | None


class TranslateAnswer(Struct):
    """The answers to a source, best first."""

    answers: list[Translation]


class SampleRequest(Struct, forbid_unknown_fields=True):
    """What to draw. temperature 0: the likeliest token each time; top_k 0 and top_p 1: among all tokens."""

    prompt: str = ""
    tokens: Annotated[int, Meta(ge=0, le=100_000)] = 100
    temperature: Annotated[float, Meta(ge=0, le=100)] = 1.0
    top_k: Annotated[int, Meta(ge=0, le=2**31)] = 0
    top_p: Annotated[float, Meta(gt=0, le=1)] = 1.0
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] | None = None


class Piece(Struct):
    """A part of the drawn text."""

    text: str


class InspectRequest(Struct, forbid_unknown_fields=True):
    """A text to look inside of. targets: what its outputs are scored against, instead of the model's own answers."""

    text: str | list[Word] | Source
    targets: list[str] | None = None


class Push(Struct, forbid_unknown_fields=True):
    """The next tokens of a session's text: words of a tagger, tokens of a language model, pieces of text of a
    classifier. finish: the text is complete, another may follow. nbest: how many next tokens a language model names.
    text: what the model itself cuts into tokens, after `tokens`; it ends where a token ends. peek: answer, and be as
    before."""

    tokens: list[Word] = []
    finish: bool = False
    nbest: Count = 10
    text: str = ""
    peek: bool = False


class TagsPushed(Struct, omit_defaults=True):
    """The tags that are now known, in the order of the words. read: the words of the push's `text`, if it had one."""

    tags: list[str]
    read: list[str] | None = None


class Next(Struct):
    """A token that may come next."""

    token: str
    log_probability: float


class NextPushed(Struct, omit_defaults=True):
    """The likeliest next tokens, best first. read: the tokens of the push's `text`, if it had one, and the natural
    log-probability of each."""

    next: list[Next]
    read: list[str] | None = None
    log_probabilities: list[float] | None = None


class Opened(Struct):
    """A new session. idle_seconds: after so many without a push it is closed."""

    session: str
    idle_seconds: float


class Answers(Struct, Generic[A], omit_defaults=True):
    """`answer` to one `text`; `answers` to `texts`, in their order."""

    answer: A | None = None
    answers: list[A] | None = None


class ModelInfo(Struct):
    """A model that is served. operations: the last parts of its paths; sessions: whether it has them."""

    name: str
    task: str
    kind: str
    operations: list[str]
    sessions: bool
    loaded: str


class ModelList(Struct):
    """All models that are served."""

    models: list[ModelInfo]


class Health(Struct):
    """Whether the server answers; status: ok, or what it is doing instead."""

    status: str
