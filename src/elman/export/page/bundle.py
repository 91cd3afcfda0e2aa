"""A model as JavaScript: the modules that compute it, and the script that begins with its equations."""

from __future__ import annotations

import json
import re
from typing import Any

from elman.export.page.javascript import Function
from elman.export.page.letters import tables
from elman.export.page.payload import Payload, as_json
from elman.inspect.report.page import modules
from elman.tasks.plan import Plan, Rewriting

# What computes; the other scripts show it. In the order in which they need each other.
COMPUTING = ("maths", "payload", "text", "network", "paths", "random", "rewriting", "model")


class Bundle:
    """A plan as what scripts read. payload: its numbers; text: JSON of the rest."""

    def __init__(self, plan: Plan | Rewriting, weights: str) -> None:
        self.started = isinstance(plan, Rewriting)
        self.payload = Payload(plan, weights)
        self.data: dict[str, Any] = {**self.payload.data, "letters": tables(plan)}

    @property
    def text(self) -> str:
        return as_json(self.data)

    def steps(self) -> str:
        """The equations as functions, in a list STEPS, after the names of maths.js that they use."""
        uses = sorted(set().union(*(one.uses for one in self.payload.steps)))
        names = ", ".join(one.name for one in self.payload.steps)
        functions = "\n\n".join(written(one, self.started) for one in self.payload.steps)
        head = f'import {{ {", ".join(uses)} }} from "elman/maths";\n\n' if uses else ""
        return f"{head}{functions}\n\nconst STEPS = [{names}];\n"


def written(step: Function, started: bool = False) -> str:
    """A function with the equation in words above it, and below it the names of what it reads and writes.

    started: and what a state gives that no step has made, for a decoder"""
    about = "\n".join(f"// {line}".rstrip() for line in _plain(step.doc).splitlines())
    members = json.dumps(step.members, ensure_ascii=False)
    states = [f"{step.name}.{name} = (s, j) => {text};" for name, text in step.of_state.items()] if started else []
    return "\n".join([about, *step.source, f"{step.name}.members = {members};", *states])


def module(bundle: Bundle, bytes_: str) -> str:
    """One JavaScript module that exports `answer`, and whatever else the model does: for other pages, or Node.

    bytes_: the payload's, in base64"""
    scripts = modules(__package__)
    parts = [_closed(name, scripts[name]) for name in COMPUTING]
    return "\n".join(
        [
            "// A model that elman has trained, and all that is needed to run it.",
            *parts,
            _imports(bundle.steps()),
            f"const DATA = {bundle.text};",
            f'const BYTES = "{bytes_}";',
            "/** The model: answer(text), and for a language model sample({prompt, tokens, temperature, seed}). */",
            "export const model = model_.modelOf(payload_.unpack(DATA, BYTES, STEPS), DATA.letters);",
            "export const answer = (text) => model.answer(text);",
            "",
        ]
    )


def _closed(name: str, source: str) -> str:
    """A module as a function that is called once: what it exports are members of `name_`."""
    source = _imports(source)
    names = re.findall(r"^export (?:async )?(?:function\*?|class|const) (\w+)", source, re.MULTILINE)
    names += [one for group in re.findall(r"^export const \{([^}]*)\}", source, re.MULTILINE) for one in _words(group)]
    body = re.sub(r"^export ", "", source, flags=re.MULTILINE)
    return f"const {name}_ = (() => {{\n{body}\nreturn {{ {', '.join(names)} }};\n}})();"


def _imports(source: str) -> str:
    """Imports as members of other modules."""
    pattern = r'^import \{([^}]*)\} from "elman/(\w+)";$'
    return re.sub(pattern, r"const {\1} = \2_;", source, flags=re.MULTILINE)


def _words(group: str) -> list[str]:
    return re.findall(r"\w+", group)


def _plain(text: str) -> str:
    """A docstring that cannot end its comment nor the element that it stands in."""
    return text.replace("<", "\u2039").replace("\u2028", " ").replace("\u2029", " ").replace("\r", " ")
