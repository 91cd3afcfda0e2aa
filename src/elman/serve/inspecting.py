"""The inside of a text, from `elman.inspect`: what `/inspect` answers, and how often it may be asked."""

from __future__ import annotations

import copy
import time
from collections import deque
from functools import cached_property
from typing import Any

import msgspec

from elman.inspect import html, look
from elman.inspect.sample import as_texts
from elman.inspect.subject import LONGEST
from elman.recurrent import Layer
from elman.serve.messages import InspectRequest, Source
from elman.serve.problems import Problem
from elman.text.pair import Pair

MINUTE = 60.0
CHARACTERS = 40  # of a token on average, where they are read too


class Inspected:
    """A model, to be looked into by one thread while others ask it.

    To look is to hook into the modules, so it has modules of its own, with the same weights; they are made when first
    needed."""

    def __init__(self, model: Any) -> None:
        self._model = model

    @property
    def possible(self) -> bool:
        """Whether it has recurrent layers to look into."""
        network = getattr(self._model, "network", None)
        return hasattr(self._model, "examine") and isinstance(getattr(network, "layers", None), Layer)

    @cached_property
    def _mine(self) -> Any:
        return copy.deepcopy(self._model, {id(one): one for one in self._model.network.parameters()})

    def body(self, title: str, request: InspectRequest, most: int, as_page: bool) -> bytes:
        """A View as JSON, or the report. Raises Problem for more than so many tokens, UsageError as `look` does."""
        text: Any = request.text
        if isinstance(text, Source):
            text = Pair(text.text, None, tuple(text.features))
        (tokens,), _ = as_texts(self._mine, [text])
        most = min(most, LONGEST)
        for what, found, limit in (
            ("tokens to inspect", len(tokens), most),
            ("characters to inspect", sum(map(len, tokens)), CHARACTERS * most),
            ("targets to inspect", len(request.targets or ()), most),
        ):
            if found > limit:
                expected = f"at most {limit:,} {what}"
                raise Problem(413, f"expected {expected}, found {found:,}", expected=expected, found=f"{found:,}")
        view = look(self._mine, text, request.targets, title=title)
        return html(view).encode() if as_page else msgspec.json.encode(view.to_json())


class Rate:
    """At most so many of something a minute."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._times: deque[float] = deque()

    def take(self) -> None:
        """One more. Raises Problem if there were too many."""
        now = time.monotonic()
        while self._times and now - self._times[0] >= MINUTE:
            self._times.popleft()
        if len(self._times) >= self.most:
            wait = int(MINUTE - (now - self._times[0])) + 1
            raise Problem(
                429,
                f"this server inspects {self.most} texts a minute; try again in {wait} seconds",
                headers={"retry-after": str(wait)},
            )
        self._times.append(now)
