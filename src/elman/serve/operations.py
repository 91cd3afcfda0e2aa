"""What can be asked of the models of each task: one row an operation."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

from elman.serve import messages

DIGITS = 6
CHARACTERS = 4  # of a token, where texts are not cut into tokens to count them


class Operation:
    """An answer to each text of a request, in batches.

    name:    the last part of the path; request, answer: what comes and what is given
    options: the keys of a request that are options; requests with the same share batches
    cheap:   whether a token costs little, whatever the options
    """

    name: ClassVar[str]
    request: ClassVar[type]
    answer: ClassVar[type]
    options: ClassVar[tuple[str, ...]] = ()
    cheap: ClassVar[bool] = True

    def key(self, request: Any) -> Hashable:
        """The options' values."""
        return tuple(getattr(request, name) for name in self.options)

    def item(self, model: Any, text: Any) -> tuple[Any, int]:
        """What `run` takes for a text, and its size in tokens."""
        return text, 1 + len(text) // (1 if by_characters(model) else CHARACTERS)

    def run(self, model: Any, items: list[Any], request: Any) -> Sequence[Any]:
        """The answers. request: one with the options of all."""
        raise NotImplementedError


def by_characters(model: Any) -> bool:
    """Whether a token is a character."""
    settings = model.settings.model
    return "characters" in (getattr(settings, "tokenizer", ""), getattr(settings, "source_tokenizer", ""))


class Tag(Operation):
    """Tags for words."""

    name, request, answer, options = "predict", messages.TagRequest, messages.TagAnswer, ("probabilities", "nbest")

    def item(self, model: Any, text: Any) -> tuple[Any, int]:
        words = text.split() if isinstance(text, str) else text
        return words, len(words) + 1

    def run(self, model: Any, items: list[Any], request: Any) -> Sequence[Any]:
        answers = model.predict(items, probabilities=request.probabilities, nbest=request.nbest)
        return [
            messages.TagAnswer(
                words,
                one.tags,
                None if one.probabilities is None else rounded(one.probabilities),
                None if one.nbest is None else [messages.TagPath(tags, round(p, DIGITS)) for tags, p in one.nbest],
            )
            for words, one in zip(items, answers, strict=True)
        ]


class Classify(Operation):
    """Labels for texts."""

    name, request, answer = "predict", messages.ClassifyRequest, messages.LabelAnswer
    options = ("probabilities",)

    def run(self, model: Any, items: list[Any], request: Any) -> Sequence[Any]:
        return [label_answer(one) for one in model.predict(items, probabilities=request.probabilities)]


def label_answer(one: Any) -> messages.LabelAnswer:
    """Of a `LabelPrediction`."""
    every = one.probabilities
    if every is not None:
        every = dict(zip(every, rounded(every.values()), strict=True))
    unknown = None if one.unknown is None else round(one.unknown, DIGITS)
    return messages.LabelAnswer(one.labels, rounded(one.chances), every, unknown)


def rounded(values: Iterable[float]) -> list[float]:
    """As many digits as do not depend on the other texts of a batch."""
    return [round(value, DIGITS) for value in values]


class Encode(Operation):
    """Vectors of texts."""

    name, request, answer = "encode", messages.PlainRequest, messages.VectorAnswer

    def run(self, model: Any, items: list[Any], request: Any) -> Sequence[Any]:
        return [messages.VectorAnswer(row) for row in model.encode(items).tolist()]


class Score(Operation):
    """Log-probabilities of the tokens of texts, each from a fresh start."""

    name, request, answer = "score", messages.PlainRequest, messages.ScoreAnswer

    def run(self, model: Any, items: list[Any], request: Any) -> Sequence[Any]:
        answers = []
        for text in items:
            lines = list(model.score(text.split("\n")))
            logs = [log for line in lines for log in line.log_probabilities]
            tokens = [token for line in lines for token in line.tokens]
            answers.append(messages.ScoreAnswer(tokens, rounded(logs), round(sum(logs), DIGITS)))
        return answers


class Translate(Operation):
    """Answers to sources."""

    name, request, answer = "translate", messages.TranslateRequest, messages.TranslateAnswer
    options = ("beam", "nbest", "length_penalty", "max_length")
    cheap = False

    def item(self, model: Any, text: Any) -> tuple[Any, int]:
        from elman.text.pair import Pair

        source = text if isinstance(text, messages.Source) else messages.Source(text)
        size = super().item(model, source.text)[1] + len(source.features)
        return Pair(source.text, None, tuple(source.features)), size

    def run(self, model: Any, items: list[Any], request: Any) -> Sequence[Any]:
        options = {name: getattr(request, name) for name in self.options}
        return [
            messages.TranslateAnswer(
                [
                    messages.Translation(
                        a.text,
                        round(a.log_probability, DIGITS),
                        round(a.score, DIGITS),
                        a.complete,
                        list(a.symbols),
                        a.alignment,
                    )
                    for a in one.answers
                ]
            )
            for one in model.predict(items, **options)
        ]


class Following:
    """What a session of a task's models answers. pushed: the struct."""

    pushed: ClassVar[type]

    def tokens(self, model: Any, text: str) -> list[str]:
        """What to push for a text."""
        raise NotImplementedError

    def answer(self, model: Any, session: Any, push: messages.Push) -> Any:
        """Push the tokens, of which some may come from a text, then finish if asked to."""
        raise NotImplementedError

    def joined(self, answers: Sequence[Any]) -> Any:
        """The answer to a push that was cut into several."""
        return answers[-1]


class FollowTags(Following):
    """A tagger's."""

    pushed = messages.TagsPushed

    def tokens(self, model: Any, text: str) -> list[str]:
        return text.split()

    def answer(self, model: Any, session: Any, push: messages.Push) -> Any:
        tags = [tag for word in push.tokens for tag in session.push(word)]
        read = push.tokens if push.text else None
        return messages.TagsPushed(tags + (session.finish() if push.finish else []), read)

    def joined(self, answers: Sequence[Any]) -> Any:
        return messages.TagsPushed(_joined(answers, "tags") or [], _joined(answers, "read"))


class FollowNext(Following):
    """A language model's."""

    pushed = messages.NextPushed

    def tokens(self, model: Any, text: str) -> list[str]:
        return list(model.tokenizer.split(text))

    def answer(self, model: Any, session: Any, push: messages.Push) -> Any:
        logs, of_read = session.next, []
        for token in push.tokens:
            of_read.append(logs[model.vocabulary[token]])
            logs = session.push(token)
        if push.finish:
            logs = session.finish()
        best = logs.argsort(kind="stable")[::-1][: push.nbest].tolist()
        return messages.NextPushed(
            [messages.Next(model.vocabulary.items[i], round(float(logs[i]), DIGITS)) for i in best],
            *((push.tokens, rounded(map(float, of_read))) if push.text else ()),
        )

    def joined(self, answers: Sequence[Any]) -> Any:
        return messages.NextPushed(answers[-1].next, _joined(answers, "read"), _joined(answers, "log_probabilities"))


class FollowLabel(Following):
    """A classifier's."""

    pushed = messages.LabelAnswer

    def tokens(self, model: Any, text: str) -> list[str]:
        return [text]

    def answer(self, model: Any, session: Any, push: messages.Push) -> Any:
        answer = session.answer
        for piece in push.tokens:
            answer = session.push(piece)
        return label_answer(session.finish() if push.finish else answer)


def _joined(answers: Sequence[Any], name: str) -> list[Any] | None:
    """Their lists of this name, one after the other; None where none was asked for."""
    lists = [getattr(one, name) for one in answers]
    return None if lists[0] is None else [item for one in lists for item in one]


# Task -> its operations; a model has those whose method it has.
OPERATIONS: dict[str, tuple[Operation, ...]] = {
    "tag": (Tag(),),
    "classify": (Classify(), Encode()),
    "lm": (Score(),),
    "seq2seq": (Translate(),),
}
METHODS = {"predict": "predict", "encode": "encode", "score": "score", "translate": "predict"}
SESSIONS: dict[str, Following] = {"tag": FollowTags(), "lm": FollowNext(), "classify": FollowLabel()}


def operations_of(model: Any) -> dict[str, Operation]:
    """Those that a model answers, by name."""
    return {one.name: one for one in OPERATIONS.get(model.task, ()) if hasattr(model, METHODS[one.name])}


def samples(model: Any, request: messages.SampleRequest, at_once: int) -> Iterator[list[str]]:
    """The drawn text, some pieces at a time. Raises UsageError for what the model cannot draw."""
    pieces = model.sample(
        request.tokens,
        prompt=request.prompt,
        temperature=request.temperature,
        top_k=request.top_k,
        top_p=request.top_p,
        seed=request.seed,
    )
    some: list[str] = []
    for piece in pieces:
        some.append(piece)
        if len(some) == at_once:
            yield some
            some = []
    if some:
        yield some
