"""The models that are served: loaded from their folders, warmed, and replaced when their folders change."""

from __future__ import annotations

import asyncio
import copy
import datetime
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from elman.errors import UsageError
from elman.serve.config import ServeConfig
from elman.serve.inspecting import Inspected
from elman.serve.lanes import Lane, Work
from elman.serve.messages import InspectRequest, ModelInfo, Push, SampleRequest
from elman.serve.operations import SESSIONS, Following, Operation, operations_of, samples
from elman.serve.problems import Problem
from elman.tasks.load import load

AT_ONCE = 16  # drawn tokens, after which others have their turn
HERE = 64  # tokens that are answered without another thread: a sentence or two
INSPECTIONS = 8  # that may wait
WATCHED = ("config.json", "model.safetensors")


class Hosted:
    """A loaded model, as it answers.

    quick: for texts that share batches, with what depends on a word alone remembered; slow: the same network, for the
    lane of long texts"""

    def __init__(self, name: str, folder: Path, model: Any) -> None:
        self.name, self.folder, self.slow = name, folder, model
        self.quick = copy.copy(model)
        self.operations = operations_of(model)
        self.inspected = Inspected(model)
        self.sessions = _has_sessions(self.quick)
        self.loaded = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
        self._lasting = ExitStack()
        self._lasting.enter_context(self.quick.remembering())

    @classmethod
    def load(cls, name: str, folder: Path, allow_code: bool) -> Hosted:
        """Load a model and warm it: its cells are compiled before the first request. Raises ModelError,
        and UsageError for a model of which nothing can be asked."""
        hosted = cls(name, folder, load(folder, allow_code=allow_code))
        if not hosted.info().operations:
            raise UsageError(f"{folder}: a model of the task {hosted.quick.task} answers nothing over HTTP")
        for operation in hosted.operations.values():
            item, _ = operation.item(hosted.quick, "a" if operation.name != "predict" else "a b")
            operation.run(hosted.quick, [item], operation.request())
        if hosted.sessions:
            hosted.follow(hosted.quick.session(), Push(["a"], True))
        return hosted

    @property
    def samples(self) -> bool:
        """Whether text can be drawn from it."""
        return hasattr(self.quick, "sample")

    def info(self) -> ModelInfo:
        more = {"sample": self.samples, "inspect": self.inspected.possible}
        names = [*self.operations, *(name for name, has in more.items() if has)]
        return ModelInfo(self.name, self.quick.task, self.quick.kind, names, self.sessions, self.loaded)

    def operation(self, name: str) -> Operation:
        """Raises Problem for one that it has not."""
        if name not in self.operations:
            raise self._lacks(name)
        return self.operations[name]

    def _lacks(self, name: str) -> Problem:
        names = ", ".join(self.info().operations)
        return Problem(
            404, f"a model of the task {self.quick.task} has no {name}; it has: {names}", expected=names, found=name
        )

    def work(self, operation: Operation, request: Any, texts: Sequence[tuple[Any, int]], long: bool) -> Work:
        """Answers to texts, which are (item, size)."""
        model, key = self.slow if long else self.quick, (id(self), operation.name, operation.key(request))

        def run(items: list[Any]) -> Sequence[Any]:
            return operation.run(model, items, request)

        return Work(key, run, [item for item, _ in texts], [size for _, size in texts], operation.cheap)

    def sampling(self, request: SampleRequest) -> Callable[[], Work]:
        """Each call is the work of drawing some more text: a list of pieces, empty at the end. Raises Problem."""
        if not self.samples:
            raise self._lacks("sample")
        drawn = samples(self.slow, request, AT_ONCE)
        return lambda: Work(object(), lambda items: [next(drawn, [])], [None], [AT_ONCE])

    def inspection(self, request: InspectRequest, most: int, as_page: bool) -> Work:
        """The work of looking inside of a text of at most so many tokens: a body. Raises Problem."""
        if not self.inspected.possible:
            raise self._lacks("inspect")
        return Work(object(), lambda _: [self.inspected.body(self.name, request, most, as_page)], [None], [most], False)

    @property
    def following(self) -> Following:
        """What its sessions answer."""
        return SESSIONS[self.quick.task]

    def follow(self, session: Any, push: Push) -> Any:
        """What a session answers to a push."""
        return self.following.answer(self.quick, session, push)


def _has_sessions(model: Any) -> bool:
    try:
        model.session()
    except UsageError:
        return False
    return model.task in SESSIONS


class Models:
    """All models, and the lanes that answer for them."""

    def __init__(self, hosted: Mapping[str, Hosted], settings: ServeConfig, allow_code: bool = False) -> None:
        self._hosted, self.settings, self._allow_code = dict(hosted), settings, allow_code
        self._seen = {name: _stamp(one.folder) for name, one in hosted.items()}
        self.changed: Callable[[str, str | None], None] = lambda name, problem: None
        self._loading = asyncio.Lock()
        lane = (settings.batch_tokens, settings.batch_wait, settings.max_queue)
        self.quick = Lane("short texts", *lane, here=HERE)
        self.slow = Lane("long texts", *lane)
        self.inspecting = Lane("inspections", 1, 0.0, INSPECTIONS)

    def __iter__(self) -> Iterator[Hosted]:
        return iter(self._hosted.values())

    def __getitem__(self, name: str) -> Hosted:
        """Raises Problem for an unknown one."""
        if name not in self._hosted:
            names = ", ".join(self._hosted)
            raise Problem(404, f"no model has this name; there are: {names}", expected=names, found=name[:100])
        return self._hosted[name]

    async def reload(self, changed_only: bool = False) -> None:
        """Load each model again, or those whose folders changed; one that cannot be loaded stays as it is."""
        async with self._loading:
            for name, old in list(self._hosted.items()):
                stamp = _stamp(old.folder)
                if changed_only and stamp == self._seen[name]:
                    continue
                self._seen[name] = stamp
                try:
                    self._hosted[name] = await asyncio.to_thread(Hosted.load, name, old.folder, self._allow_code)
                except Exception as problem:  # whatever it is, the old one goes on
                    self.changed(name, str(problem))
                else:
                    self.changed(name, None)

    async def watch(self) -> None:
        """Reload what changes, once it has been unchanged for a second."""
        before = dict(self._seen)
        while True:
            await asyncio.sleep(1)
            now = {name: _stamp(one.folder) for name, one in self._hosted.items()}
            if now == before and now != self._seen:
                await self.reload(changed_only=True)
            before = now

    async def close(self) -> None:
        """Answer what waits, and end."""
        await self.quick.close()
        await self.slow.close()
        await self.inspecting.close()


def _stamp(folder: Path) -> tuple[int, ...]:
    """What changes when the folder's model does."""
    stamps = []
    for name in WATCHED:
        try:
            about = (folder / name).stat()
        except OSError:
            stamps.append(0)
        else:
            stamps += [about.st_mtime_ns, about.st_size, about.st_ino]
    return tuple(stamps)


class OpenSession:
    """A session of a client. It stays with the model that it began with."""

    def __init__(self, hosted: Hosted, session: Any) -> None:
        self.hosted, self.session, self.used = hosted, session, time.monotonic()
        self.busy = False

    def reader(self, push: Push) -> Callable[[Push], Any]:
        """What answers the parts of a push, in its lane; peeking, by a copy."""
        copied: list[Any] = []

        def answer(part_of: Push) -> Any:
            if push.peek and not copied:
                copied.append(self.session.copy())
            return self.hosted.follow(copied[0] if push.peek else self.session, part_of)

        return answer


class Sessions:
    """The sessions of all clients, by their names, which are secrets: whoever has one can push to it."""

    def __init__(self, most: int, age: float) -> None:
        self.most, self.age = most, age
        self._open: dict[str, OpenSession] = {}

    def __len__(self) -> int:
        return len(self._open)

    def add(self, name: str, one: OpenSession) -> None:
        """Raises Problem if there are too many."""
        self.require_room()
        self._open[name] = one

    def require_room(self) -> None:
        """Raises Problem if there are too many."""
        self.sweep()
        if len(self._open) >= self.most:
            raise Problem(
                503, f"{self.most} sessions are open already; close some", headers={"retry-after": str(int(self.age))}
            )

    def get(self, model: str, name: str) -> OpenSession:
        """Raises Problem for one that does not exist."""
        one = self._open.get(name)
        if one is None or one.hosted.name != model or (not one.busy and time.monotonic() - one.used > self.age):
            raise Problem(404, "no session of this model has this name; it was closed, or not used for too long")
        return one

    def remove(self, model: str, name: str) -> None:
        """Raises Problem for one that does not exist."""
        self.get(model, name)
        del self._open[name]

    def forget(self, name: str) -> None:
        """Close one, if it is open."""
        self._open.pop(name, None)

    def sweep(self) -> None:
        """Close those that were not used for too long."""
        now = time.monotonic()
        old = [name for name, one in self._open.items() if not one.busy and now - one.used > self.age]
        for name in old:
            del self._open[name]
