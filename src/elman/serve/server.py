"""Starting and stopping: the folders, the socket, the signals."""

from __future__ import annotations

import asyncio
import contextlib
import signal
import socket
import sys
from collections.abc import AsyncIterator, Generator, Mapping
from pathlib import Path
from typing import Any

import torch
import uvicorn

from elman.errors import ResourceError, UsageError
from elman.serve.app import App
from elman.serve.config import ServeConfig
from elman.serve.hosting import Hosted, Models
from elman.serve.logs import Log
from elman.serve.protocol import Protocol

SWITCH = 0.0005  # seconds for which a thread may keep the others from running Python


def serve(
    folders: Mapping[str, Path], settings: ServeConfig, *, allow_code: bool = False, log: Log | None = None
) -> None:
    """Serve models, by name, until SIGTERM or Ctrl-C; then answer what was asked before, and return.

    SIGHUP loads every model again. Raises ModelError for a folder that cannot be loaded, UsageError for a token file
    that cannot be read, ResourceError for an address that is taken."""
    log = log or Log(requests=not settings.quiet)
    token = None if settings.token_file is None else read_token(Path(settings.token_file))
    torch.set_num_threads(settings.threads)
    sys.setswitchinterval(SWITCH)
    hosted = {name: Hosted.load(name, folder, allow_code) for name, folder in folders.items()}
    opened = listen(settings.host, settings.port)
    with opened, asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(_serve(hosted, settings, allow_code, token, opened, log))


def read_token(path: Path) -> bytes:
    """The token in a file, without white space around it. Raises UsageError."""
    try:
        token = path.read_bytes().strip()
    except OSError as problem:
        raise UsageError(f"--token-file {path}: cannot be read: {problem.strerror or problem}") from None
    if not token or any(not 33 <= byte <= 126 for byte in token):
        raise UsageError(f"--token-file {path}: expected one token of visible ASCII characters, found something else")
    return token


def listen(host: str, port: int) -> socket.socket:
    """An open socket. Raises ResourceError for an address that is not there or taken."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with contextlib.ExitStack() as closing:
            opened = closing.enter_context(socket.socket(family, kind, protocol))
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            opened.bind(address)
            opened.listen(1024)
            closing.pop_all()
    except OSError as problem:
        raise ResourceError(
            f"cannot listen on {host}:{port}: {problem.strerror}; choose another --host or --port"
        ) from None
    return opened


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


class _Server(uvicorn.Server):
    """uvicorn, with our signals: it would kill itself with the signal that ended it."""

    @contextlib.contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        yield


async def _serve(
    hosted: Mapping[str, Hosted],
    settings: ServeConfig,
    allow_code: bool,
    token: bytes | None,
    opened: socket.socket,
    log: Log,
) -> None:
    models = Models(hosted, settings, allow_code)
    app = App(models, token, log)

    class OurProtocol(Protocol):
        most, patience = settings.max_connections, settings.timeout

    server = _Server(
        uvicorn.Config(
            app,
            http=OurProtocol,
            ws="websockets-sansio",
            ws_max_size=settings.max_body,
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=int(settings.timeout) + 1,
        )
    )

    def stop() -> None:
        if not server.should_exit:
            app.draining = server.should_exit = True
            log.write("stopping", waiting=len(models.quick) + len(models.slow))

    host, port = opened.getsockname()[:2]
    names = {one.name: str(one.folder) for one in models}
    async with _background(app, settings) as reload:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop)
        loop.add_signal_handler(signal.SIGHUP, reload)
        log.write("serving", host=host, port=port, models=names)
        await server.serve([opened])
    await models.close()
    log.write("stopped")


@contextlib.asynccontextmanager
async def _background(app: App, settings: ServeConfig) -> AsyncIterator[Any]:
    """What runs beside the server: watching folders, closing old sessions. Gives what reloads all models."""
    tasks: set[asyncio.Task[None]] = set()

    def begin(work: Any) -> None:
        task = asyncio.create_task(work)
        tasks.add(task)
        task.add_done_callback(tasks.discard)

    async def sweep() -> None:
        while True:
            await asyncio.sleep(min(settings.session_age, 10))
            app.sessions.sweep()

    begin(sweep())
    if settings.reload:
        begin(app.models.watch())
    try:
        yield lambda: begin(app.models.reload())
    finally:
        for task in list(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
