"""/openapi.json, made from the structs of the messages."""

from __future__ import annotations

from typing import Any

import msgspec

from elman import __version__
from elman.serve import messages
from elman.serve.operations import OPERATIONS, SESSIONS, Operation
from elman.serve.problems import ProblemReply

ANSWERING: dict[str, list[Operation]] = {}
for _operations in OPERATIONS.values():
    for _one in _operations:
        ANSWERING.setdefault(_one.name, []).append(_one)

MODEL = {"name": "model", "in": "path", "required": True, "schema": {"type": "string"}}
SESSION = {"name": "session", "in": "path", "required": True, "schema": {"type": "string"}}


def openapi() -> dict[str, Any]:
    """The description of every path."""
    kinds: list[Any] = [ProblemReply, messages.Health, messages.ModelInfo, messages.ModelList, messages.Opened]
    kinds += [messages.Push, messages.SampleRequest, messages.Piece, messages.InspectRequest]
    for operations in ANSWERING.values():
        kinds += [kind for one in operations for kind in (one.request, messages.Answers[one.answer], one.answer)]  # type: ignore[name-defined]
    kinds += [one.pushed for one in SESSIONS.values()]
    kinds = list(dict.fromkeys(kinds))
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    of = dict(zip(kinds, schemas, strict=True))

    def any_of(*wanted: Any) -> dict[str, Any]:
        found = [of[kind] for kind in dict.fromkeys(wanted)]
        return found[0] if len(found) == 1 else {"anyOf": found}

    def content(kind: str, *wanted: Any) -> dict[str, Any]:
        return {"content": {kind: {"schema": any_of(*wanted)}}}

    def path(what: str, answers: dict[str, Any], body: dict[str, Any] | None = None) -> dict[str, Any]:
        problem = {"description": "A problem", **content("application/problem+json", ProblemReply)}
        about: dict[str, Any] = {"summary": what, "responses": {**answers, "default": problem}}
        return about if body is None else about | {"requestBody": {"required": True, **body}}

    def ok(*wanted: Any, status: str = "200", kind: str = "application/json") -> dict[str, Any]:
        return {status: {"description": "Done", **content(kind, *wanted)}}

    one, session = "/v1/models/{model}", "/v1/models/{model}/sessions/{session}"
    text = {"200": {"description": "Done", "content": {"text/plain": {"schema": {"type": "string"}}}}}
    html: dict[str, Any] = {"200": {"description": "Done", "content": {"text/html": {"schema": {"type": "string"}}}}}
    anything: dict[str, Any] = {
        "200": {"description": "Done", "content": {"application/json": {"schema": {"type": "object"}}}}
    }
    unready = ok(messages.Health) | ok(messages.Health, status="503")
    paths: dict[str, Any] = {
        "/": {"get": path("The playground: a page to try the models", html)},
        "/healthz": {"get": path("Whether the server lives", ok(messages.Health))},
        "/readyz": {"get": path("Whether it takes requests", unready)},
        "/metrics": {"get": path("Counters for Prometheus", text)},
        "/openapi.json": {"get": path("This description", anything)},
        "/v1/models": {"get": path("What is served", ok(messages.ModelList))},
        one: {"parameters": [MODEL], "get": path("One model", ok(messages.ModelInfo))},
    }
    for name, operations in ANSWERING.items():
        answers = ok(*(messages.Answers[o.answer] for o in operations))  # type: ignore[name-defined]
        lines = content("application/x-ndjson", *(o.answer for o in operations))
        answers["200"]["content"] |= lines["content"]
        body = content("application/json", *(o.request for o in operations))
        body["content"] |= content("application/x-ndjson", *(o.request for o in operations))["content"]
        paths[f"{one}/{name}"] = {"parameters": [MODEL], "post": path(f"Texts to {name}", answers, body)}
    events = ok(messages.Piece, kind="text/event-stream")
    drawn = path("Draw text", events, content("application/json", messages.SampleRequest))
    opened = path("Open a session; as a WebSocket, each message is a push", ok(messages.Opened, status="201"))
    inside = {"200": {"description": "Done", "content": anything["200"]["content"] | html["200"]["content"]}}
    inspected = path(
        "The inside of a text: every lens as JSON, or as a page",
        inside,
        content("application/json", messages.InspectRequest),
    )
    pushed = ok(*(follow.pushed for follow in SESSIONS.values()))
    paths |= {
        f"{one}/sample": {"parameters": [MODEL], "post": drawn},
        f"{one}/inspect": {"parameters": [MODEL], "post": inspected},
        f"{one}/sessions": {"parameters": [MODEL], "post": opened},
        f"{session}/push": {
            "parameters": [MODEL, SESSION],
            "post": path("More of a session's text", pushed, content("application/json", messages.Push)),
        },
        session: {
            "parameters": [MODEL, SESSION],
            "delete": path("Close a session", {"204": {"description": "Closed"}}),
        },
    }
    return {
        "openapi": "3.1.0",
        "info": {"title": "elman serve", "version": __version__},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }
