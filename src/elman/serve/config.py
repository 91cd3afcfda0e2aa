"""The settings of `elman serve`: where it listens, how it batches, what it refuses."""

from __future__ import annotations

from elman.config import COUNT, NUMBER, Config, Rule, config, setting

ABOVE = Rule(lambda v: 0 < v < 1e9, "a number above 0")


@config
class ServeConfig(Config):
    """The same defaults hold in Python and on the command line."""

    host: str = setting("127.0.0.1", "--host", "the address to listen on; 0.0.0.0: every one of this machine")
    port: int = setting(
        8100, "--port", "the port to listen on; 0: any that is free", Rule(lambda v: 0 <= v < 65536, "0 to 65535")
    )
    token_file: str | None = setting(
        None, "--token-file", "a file with a token that requests must carry: Authorization: Bearer TOKEN"
    )
    reload: bool = setting(False, "--reload", "load a model again when its folder changes, as SIGHUP does at once")
    quiet: bool = setting(False, "--quiet", "log only what the server does, not each request")
    threads: int = setting(1, "--threads", "CPU threads of one batch", COUNT)
    # Batches
    batch_wait: float = setting(
        0.0,
        "--batch-wait",
        "seconds to wait for more when nothing is running; what waits is always batched",
        NUMBER,
    )
    batch_tokens: int = setting(2000, "--batch-tokens", "tokens of a batch", COUNT)
    long_text: int = setting(
        200, "--long-text", "tokens from which a text has a queue of its own, so that it holds up no others", COUNT
    )
    # Limits
    max_body: int = setting(1_000_000, "--max-body", "bytes of a request", COUNT)
    max_texts: int = setting(1000, "--max-texts", "texts of a request", COUNT)
    max_tokens: int = setting(20_000, "--max-tokens", "tokens of a request", COUNT)
    max_queue: int = setting(256, "--max-queue", "requests that may wait; one more is answered with 503", COUNT)
    timeout: float = setting(30.0, "--timeout", "seconds of a request, its reading and writing included", ABOVE)
    max_connections: int = setting(1000, "--max-connections", "connections at a time", COUNT)
    inspect_tokens: int = setting(
        60, "--inspect-tokens", "tokens of an inspected text; every output is backpropagated to every one", COUNT
    )
    inspect_rate: int = setting(30, "--inspect-rate", "inspections a minute; one more is answered with 429", COUNT)
    max_sessions: int = setting(1000, "--max-sessions", "sessions at a time", COUNT)
    session_age: float = setting(600.0, "--session-age", "seconds after which an unused session is closed", ABOVE)
