"""The page of a model, opened in a real browser: it answers what the model answers, and nothing leaves it."""

from __future__ import annotations

import json
import math
import random
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import exported_models as small
import numpy as np
import plan_reading as reading
import pytest
import torch

from elman.cli.main import run
from elman.errors import UsageError
from elman.export import FORMATS, export
from elman.export.page.bundle import written
from elman.export.page.javascript import function_of
from elman.export.page.letters import CODES, tables
from elman.export.page.payload import encoded
from elman.inspect.figures import figure
from elman.inspect.report.page import modules
from elman.layers.plan import BestPath
from elman.recurrent.kernels.graph import Graph, evaluate
from elman.recurrent.kernels.operations import OPERATIONS
from elman.recurrent.plan import Equation
from elman.text.pair import Pair
from elman.text.subwords import Subwords
from elman.text.tokenizing import Words

draw = random.Random(3)
PIECES = [*small.WORDS, *" ".join(small.HOSTILE[:-1]).split(" ")]
PIECES = [piece for piece in PIECES if piece and len(piece) < 40]
SHORT = [" ".join(draw.choices(PIECES, k=n % 9)) for n in range(200)]
# numbers as lists, so that they can leave the browser
PLAIN = """(texts) => texts.map((text) => {
  const plain = (v) => ArrayBuffer.isView(v) ? [...v] : Array.isArray(v) ? v.map(plain) : v;
  return Object.fromEntries(Object.entries(elman.answer(text)).map(([name, value]) => [name, plain(value)]));
})"""


@pytest.fixture(scope="module")
def context(browser):
    """One for all pages."""
    made = browser.new_context()
    yield made
    made.close()


@pytest.fixture
def show(context, tmp_path):
    """show(name) opens the page of a small model from disk; at the end nothing must have gone wrong in it."""
    trouble, pages = [], []

    def open_page(name, width=1280, text="", weights="float32", scheme="light"):
        while pages:  # one at a time
            pages.pop().close()
        opened = context.new_page()
        pages.append(opened)
        opened.set_viewport_size({"width": width, "height": 900})
        opened.emulate_media(color_scheme=scheme)
        opened.on("console", lambda message: trouble.append(f"console {message.type}: {message.text}"))
        opened.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        file = tmp_path / "a model.html"
        export(small.model(name), "page", file, weights=weights, text=text)

        def asked(route, request):
            if request.url.startswith("data:") or request.url == file.as_uri():
                return route.continue_()
            trouble.append(f"request: {request.url}")
            return route.abort()

        opened.route("**/*", asked)
        opened.goto(file.as_uri())
        opened.wait_for_selector("html.live")
        return opened

    yield open_page
    for page in pages:
        page.close()
    assert not trouble, "\n".join(trouble)


# Answers


@pytest.mark.parametrize("name", small.MODELS)
def test_the_page_answers_what_the_model_answers(show, name):
    model = small.model(name)
    page = show(name)
    texts = [*SHORT, *small.HOSTILE]
    if model.task == "seq2seq":
        return writes(page, model, [*SHORT[:60], *(text[:60] for text in small.HOSTILE)])
    labels = model.labels
    if model.task == "lm":  # lines are carried from one to the next: every text is a new beginning
        texts = [*SHORT[:20], *SHORT[20:40], *small.HOSTILE]
    found = page.evaluate(PLAIN, texts)
    if model.task == "tag":
        tokens = [text.split() for text in texts]
        answers = model.predict(tokens, probabilities=True)
        for words, one, expected in zip(tokens, found, answers, strict=True):
            assert one["tokens"] == words and one["tags"] == expected.tags
            given = [p[labels.index(tag)] for p, tag in zip(one["probabilities"], one["tags"], strict=True)]
            np.testing.assert_allclose(given, expected.probabilities, atol=1e-4)
            assert all(abs(sum(p) - 1) < 1e-6 for p in one["probabilities"])
    elif model.task == "lm":
        for text, one in zip(texts, found, strict=True):
            (expected,) = model.score([text])
            assert one["tokens"] == ["</s>", *expected.tokens[:-1]]
            np.testing.assert_allclose(one["logs"], expected.log_probabilities[:-1], atol=1e-4)
            assert one["next"][labels.index("</s>")] == pytest.approx(expected.log_probabilities[-1], abs=1e-4)
        for text, one in zip(texts[:3], found, strict=False):
            np.testing.assert_allclose(np.exp(one["next"]), model.next_distribution(text), atol=1e-5)
    else:
        answers = model.predict(texts, probabilities=True)
        for one, expected in zip(found, answers, strict=True):
            assert one["labels"] == expected.labels
            np.testing.assert_allclose(one["probabilities"], list(expected.probabilities.values()), atol=1e-4)


@pytest.mark.parametrize("name", [name for name in small.MODELS if name.startswith("lm")])
def test_the_same_seed_writes_the_same_text(show, name):
    model, page = small.model(name), show(name)
    for prompt, temperature, seed in (("the Cat", 1.0, 1), ("", 0.7, 12345678901234567890123), ("a\nsees", 0.0, 3)):
        given = {"prompt": prompt, "tokens": 60, "temperature": temperature, "seed": str(seed)}
        found = page.evaluate("(given) => [...elman.model.sample(given)].join('')", given)
        assert found == "".join(model.sample(60, prompt=prompt, temperature=temperature, seed=seed))


def writes(page, model, texts):
    """A page that writes what the model does, greedily and by beam, from the same places."""
    features = ("PL", "new")
    for beam, some in ((1, texts), (3, texts[:12]), (None, texts[-14:-2])):
        found = page.evaluate(
            """([texts, features, beam]) => texts.map((text) => {
              const { text: written, symbols, score, complete, alignment, probabilities } =
                elman.model.answer(text, { features, beam: beam ?? undefined });
              return { written, symbols, score, complete, sums: probabilities.map((p) => p.reduce((a, b) => a + b, 0)),
                       places: alignment?.map((w) => w.indexOf(Math.max(...w))) ?? null };
            })""",
            [some, list(features), beam],
        )
        pairs = [Pair(text, None, features) for text in some]
        for one, prediction in zip(found, model.predict(pairs, beam=beam), strict=True):
            (expected,) = prediction.answers
            assert (one["written"], one["symbols"]) == (expected.text, expected.symbols)
            assert one["complete"] == expected.complete
            assert one["score"] == pytest.approx(expected.score, abs=1e-4)
            assert np.allclose(one["sums"], 1, atol=1e-6)
            if expected.alignment is not None:
                assert one["places"][: len(expected.symbols)] == expected.alignment


def test_an_alignment_is_shown_with_what_is_written(show):
    name = "seq2seq, monotonic, features"
    model, page = small.model(name), show(name, text="the Cat")
    (answer,) = model.predict([Pair("the Cat")], beam=1)[0].answers
    written = page.locator("[data-written] bdi").all_inner_texts()
    assert page.locator("#written").inner_text() == answer.text
    assert written == [*(symbol.replace(" ", "␣") for symbol in answer.symbols), *["</s>"] * answer.complete]
    weights = np.array(page.evaluate("() => elman.answer('the Cat').alignment.map((w) => [...w])"))
    sources = [*"the Cat", "</s>"]
    drawn = figure("alignment")(weights, sources, [*answer.symbols, "</s>"], "alignment", "posterior")
    found, expected = page.evaluate(MARKS, [None, "#alignment"]), page.evaluate(MARKS, [drawn.svg(), ""])
    assert found == expected
    page.locator("[data-written]").focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("[data-written] .chosen bdi").inner_text() == written[1]
    assert f"“{written[1]}”" in page.locator("#bars-title").inner_text()
    page.locator("#features").fill("PL; V")
    (answer,) = model.predict([Pair("the Cat", None, ("PL", "V"))], beam=1)[0].answers
    assert page.locator("#written").inner_text() == answer.text
    assert page.locator("[data-answers] bdi").all_inner_texts()[:2] == ["<PL>", "<V>"]


# an svg's marks: what is in a page, or is given; without what its scripts add
MARKS = """([given, where]) => {
  const holder = document.createElement("div");
  if (given) holder.innerHTML = given;
  const root = given ? holder.firstChild : document.querySelector(`${where} figure svg`);
  const kept = (a) => !["href", "class", "style", "role", "xmlns", "font-family"].includes(a.name);
  const short = (value) => value.replace(/, #[0-9a-f]+\\)/, ")").replaceAll(/[ML,]/g, " ").replaceAll("  ", " ").trim();
  const marks = [...root.querySelectorAll(":scope > *:not(.band, .row)")];
  return marks.map((e) => [
    e.tagName, e.textContent, ...[...e.attributes].filter(kept).map((a) => `${a.name}=${short(a.value)}`).sort(),
  ]);
}"""


def test_lines_that_carry_the_state_are_read_on_from_where_they_differ(show):
    model, page = small.model("lm, tied"), show("lm, tied")
    for text in ("the Cat\nsees", "the Cat\nsees dogs", "the\nsees dogs", "the\nsees dogs run\n", ""):
        (one,) = page.evaluate(PLAIN, [text])
        np.testing.assert_allclose(np.exp(one["next"]), model.next_distribution(text), atol=1e-5)


@pytest.mark.parametrize("weights", FORMATS["page"].weights)
def test_weights_are_those_that_were_stored(show, weights):
    model = small.model("classify, subwords")
    plan, page = model.plan(), show("classify, subwords", weights=weights)
    table, direction = plan.inputs[0].vectors, plan.layers[0].directions[0]
    found = page.evaluate(
        """() => [elman.model.plan.inputs[0].vectors.data, elman.model.plan.layers[0].directions[0].W.data]
            .map((v) => [...v])"""
    )
    for values, numbers, across in ((table, found[0], False), (direction.W, found[1], True)):
        stored = values if values.size < 1024 else rounded(values, weights, across)
        np.testing.assert_array_equal(np.array(numbers, np.float32), stored.ravel())
        assert np.abs(stored - values).max() <= {"float32": 0, "bfloat16": 2**-8, "int8": 1 / 127}[weights] * (
            np.abs(values).max()
        )


def rounded(values, weights, across):
    if weights == "float32":
        return values
    data, more = encoded(values, weights, across)
    if weights == "bfloat16":
        return torch.from_numpy(values).bfloat16().float().numpy()
    whole = np.frombuffer(data, np.int8).reshape(values.shape).astype(np.float32)
    largest = np.abs(values).max(0 if across else 1, keepdims=True)
    assert (np.abs(whole).max(0 if across else 1) == 127).all() and more["across"] == across
    return whole * (largest / np.float32(127)).astype(np.float32)


def test_a_small_file(tmp_path):
    sizes = [
        export(small.model("tag, window"), "page", tmp_path / "a.html", weights=weights)["files"]
        for weights in ("float32", "bfloat16", "int8")
    ]
    large, half, quarter = (next(iter(one.values())) for one in sizes)
    assert half < 0.6 * large and quarter < 0.4 * large


def test_of_equal_paths_the_same_one_wins(show):
    """Scores are small whole numbers, so that many paths are equal; some steps are forbidden."""
    page, source = show("tag, CRF"), np.random.default_rng(1)
    size = len(small.model("tag, CRF").labels)
    cases = []
    for n in range(60):
        start, end = source.integers(0, 2, (2, size)).astype(float)
        transitions = source.integers(0, 2, (size, size)).astype(float)
        transitions[source.random((size, size)) < 0.3] = -np.inf
        np.fill_diagonal(transitions, 0)
        cases.append((start, transitions, end, source.integers(0, 3, (1 + n % 8, size)).astype(float)))
    found = page.evaluate(
        """(cases) => cases.map(([start, transitions, end, rows]) => {
          const array = (v) => ({ data: Float64Array.from(v.flat(), (one) => one ?? -Infinity) });
          const path = { start: array(start), transitions: array(transitions), end: array(end), softmax: false };
          elman.model.plan.answer.path = path;
          elman.model.scores = () => rows.map((row) => Float32Array.from(row));
          return elman.answer(rows.map(() => "x").join(" ")).tags.map((tag) => elman.model.labels.indexOf(tag));
        })""",
        [[np.where(np.isinf(one), None, one).tolist() for one in case] for case in cases],
    )
    for (start, transitions, end, rows), path in zip(cases, found, strict=True):
        assert path == reading.best(BestPath(start, transitions, end, False), rows)


# Operations and equations

LOGIC = ("and", "or", "xor", "not")  # of a > 0 and b > 0


def test_every_operation_is_what_torch_computes(context):
    rows = np.random.default_rng(0).normal(0, 3, (2000, 3)).astype(np.float32)
    ends = [0.0, -0.0, 0.5, 1.5, 2.5, -0.5, -1.5, 1.0, -1.0, 88.0, -88.0, 1e-7, -1e-7, 1e6, np.inf, -np.inf, np.nan]
    pairs = np.array([(a, b, 1.0) for a in ends for b in ends], np.float32)
    rows = np.concatenate([rows, pairs, np.float32(0.1) * rows[:500], np.round(rows[:500])])
    forms = {}
    for op, operation in OPERATIONS.items():
        names = [f"({name} > 0)" if op in LOGIC or (op, name) == ("where", "a") else name for name in "abc"]
        forms[op] = operation.js.format(*names)
    names = ", ".join(sorted({one.partition("(")[0] for one in forms.values() if one[0].isalpha() and "(" in one}))
    table = ",\n".join(f"{json.dumps(op)}: (a, b, c) => Number({form})" for op, form in forms.items())
    names = ", ".join(name for name in names.split(", ") if name.isidentifier())
    maths = modules("elman.export.page")["maths"]
    page = context.new_page()
    page.add_script_tag(type="module", content=f"{maths}\nglobalThis.table = {{ {table} }};")
    page.wait_for_function("() => globalThis.table")
    given = [["NaN" if math.isnan(v) else "inf" if v == math.inf else "-inf" if v == -math.inf else v for v in row]
             for row in rows.tolist()]  # fmt: skip
    found = page.evaluate(
        """(rows) => {
          const number = (v) => v === "NaN" ? NaN : v === "inf" ? Infinity : v === "-inf" ? -Infinity : v;
          const text = (v) => Number.isFinite(v) ? v : String(v);
          const real = rows.map((row) => row.map(number));
          return Object.fromEntries(Object.entries(table).map(([op, f]) => [op, real.map((row) => text(f(...row)))]));
        }""",
        given,
    )
    page.close()
    columns = [torch.from_numpy(column.copy()) for column in rows.T]
    assert set(found) == set(OPERATIONS)
    for op, operation in OPERATIONS.items():
        count = 1 + max(int(k) for k in "012" if f"{{{k}}}" in operation.js)
        inputs = [v > 0 if op in LOGIC or (op == "where" and k == 0) else v for k, v in enumerate(columns[:count])]
        doubles = [v if v.dtype == torch.bool else v.double() for v in inputs]
        expected = operation.torch(*doubles).double().numpy()
        got = np.array([float(v.replace("Infinity", "inf")) if isinstance(v, str) else v for v in found[op]])
        np.testing.assert_allclose(got, expected, rtol=1e-6, atol=1e-12, err_msg=op)


def test_any_expression_keeps_its_meaning(context):
    """Random graphs over all operations: brackets where they are needed, names where they help."""
    source = random.Random(5)
    functions, expected = [], []
    arity = {op: 1 + max(int(k) for k in "012" if f"{{{k}}}" in one.js) for op, one in OPERATIONS.items()}
    plain = [op for op in OPERATIONS if op not in ("exp", "exp2", "expm1", "sinh", "cosh", "pow", "acosh", "tan")]
    numbers = {("x", i): torch.tensor([0.3 * i - 0.4, 0.7 - 0.2 * i], dtype=torch.float64) for i in range(3)}
    for n in range(150):
        graph = Graph()
        values = [graph.input("x", i) for i in range(3)] + [graph.const(-1.5), graph.const(2.0)]
        truths = [graph("gt", values[0], values[1])]
        while len(values) < 14:
            op = source.choice(plain)
            if op in LOGIC:
                truths.append(graph(op, *source.choices(truths, k=arity[op])))
                continue
            some = source.choices(values[-5:], k=arity[op])
            if op == "where":
                some[0] = source.choice(truths)
            made = graph(op, *some)
            (truths if made.truth else values).append(made)
            if made.truth:
                values.append(graph("where", made, values[-1], values[-2]))
        if n % 2:
            graph.names[values[8]] = source.choice(["r", "new", "tanh", "j", "gate", "h"])
        names = {node: name for node, name in graph.names.items() if node.op not in ("const",)}
        y = values[-1]
        fields = (values[-2], values[-2] if n % 3 else values[0])
        equation = Equation(
            "T", "", ("a", "b", "c"), (), ("h", "m"), (), 0, fields, y, fields[0], names, None, None, str(n)
        )
        functions.append("\n".join(function_of(equation, f"f{n}").source))
        expected.append([v.double().tolist() for v in evaluate([*fields, y, fields[0]], numbers)])
    page = context.new_page()
    maths = modules("elman.export.page")["maths"]
    every = ", ".join(f"f{n}" for n in range(len(functions)))
    page.add_script_tag(type="module", content="\n".join([maths, *functions, f"globalThis.functions = [{every}];"]))
    page.wait_for_function("() => globalThis.functions")
    found = page.evaluate(
        """(rows) => functions.map((f) => {
          const [x, after, gate, y, q] = [{ a: rows[0], b: rows[1], c: rows[2] }, { h: [], m: [] }, {}, [0, 0], [0, 0]];
          for (const name of ["r", "new", "tanh", "j", "gate", "h"]) gate[name] = [];
          f(x, {}, {}, {}, gate, after, y, q);
          return [after.h, after.m, y, q].map((v) => v.map(String));
        })""",
        [numbers["x", i].tolist() for i in range(3)],
    )
    page.close()
    for n, (one, other) in enumerate(zip(found, expected, strict=True)):
        got = [[float(v.replace("Infinity", "inf")) for v in row] for row in one]
        np.testing.assert_allclose(got, other, rtol=1e-6, atol=1e-9, err_msg=functions[n])


def test_a_docstring_cannot_end_its_script():
    graph = Graph()
    x = graph.input("x", 0)
    doc = "a </script><script>alert(1)</script> <!-- b\u2028c\rd"
    text = written(function_of(Equation("T", doc, ("a",), (), ("h",), (), 0, (x,), x, x, {}, None, None, "k"), "T"))
    assert "<" not in text.split("function T")[0]
    assert all(line.startswith("//") for line in text.split("function T")[0].splitlines())


# Text


def test_characters_are_what_they_are_in_python(show):
    page = show("tag, lstm")
    letters = [chr(code) for code in CODES if not 0xD800 <= code < 0xE000]
    texts = ["".join(letters[i : i + 5000]) for i in range(0, len(letters), 5000)]
    texts += [f"ΑΣ{c}" for c in draw.choices(letters[:8000], k=2000)] + [f"{c}Σ ΣΑ" for c in letters[:3000]]
    assert page.evaluate("(texts) => texts.map((text) => elman.model.text.lower(text))", texts) == [
        text.lower() for text in texts
    ]
    from elman.layers.features import shape

    words = ["".join(draw.choices(letters, k=6)) for _ in range(3000)] + ["McDonald's-1984", "ǅaa111"]
    assert page.evaluate("(texts) => texts.map((text) => elman.model.text.shape(text))", words) == [
        shape(word) for word in words
    ]
    blank = "a".join(letters[i] for i in range(0x3100))
    assert page.evaluate("(text) => elman.model.tokens(text)", blank) == blank.split()


def hard(count):
    letters = [chr(code) for code in CODES if not 0xD800 <= code < 0xE000]
    some = [*"aZ9 .,'’-‐@:/()\n\t_é\u0301\u200d", "www.", "https://", "don't", " 's", "  ", "北", "ﾞ"]
    return ["".join(draw.choice(some if draw.random() < 0.7 else letters) for _ in range(30)) for _ in range(count)]


def test_words_are_split_as_in_python(show):
    page, texts = show("classify, final"), hard(500)
    assert page.evaluate("(texts) => texts.map((text) => elman.model.tokens(text))", texts) == [
        Words().split(text) for text in texts
    ]


def test_subwords_are_split_as_in_python(show):
    page, texts = show("classify, subwords"), hard(500)
    stored = small.model("classify, subwords").plan().text.tokenizer
    tokenizer = Subwords.from_json(stored)
    assert page.evaluate("(texts) => texts.map((text) => elman.model.tokens(text))", texts) == [
        tokenizer.split(text) for text in texts
    ]


# What is shown


def typed(page, text):
    """Type a text, and wait until it is answered."""
    before = page.evaluate("document.querySelector('[data-answers]').dataset.text ?? ''")
    page.locator("#typed").fill(text)
    page.wait_for_function("(text) => document.querySelector('[data-answers]').dataset.text === text", arg=text)
    return before


def number(text):
    return float(text.replace("−", "-"))


def test_tags_are_shown_as_one_types(show):
    model, page = small.model("tag, lstm"), show("tag, lstm", text="the Cat")
    assert page.locator("[data-answers] .chip").count() == 2
    for text in ("the Cat sees", "the Cat sees İzmir <b>", "", "x"):
        typed(page, text)
        (expected,) = model.predict([text.split()], probabilities=True)
        assert page.locator("[data-answers] bdi").all_inner_texts() == text.split()
        assert page.locator("[data-answers] .tag").all_inner_texts() == expected.tags
        shares = page.locator("[data-answers] small").all_inner_texts()
        assert [float(share.rstrip(" %")) for share in shares] == pytest.approx(
            [100 * p for p in expected.probabilities], abs=0.06
        )
        assert page.locator("[data-chips=unit] .chip").count() == len(text.split())
    page.locator("#typed").press_sequentially(" dogs")
    page.wait_for_function("() => document.querySelectorAll('[data-answers] .chip').length === 2")


def test_a_click_shows_the_numbers_of_that_step(show):
    name = "tag, two layers, delays"
    model, page = small.model(name), show(name, text="the Cat sees dogs .")
    plan = model.plan()
    xs = np.concatenate([reading._read(one, ["the", "Cat", "sees", "dogs", "."]) for one in plan.inputs], -1)
    below, _ = reading._part(plan.layers[0], xs)
    page.locator("#equation [data-bind=place]").select_option("2")
    page.locator("[data-answers] .chip").nth(3).click()
    assert page.locator("#equation [data-bind=step]").input_value() == "3"
    page.locator("#equation [data-bind=unit]").fill("4")
    one = plan.layers[1].directions[0]
    ys, _ = reading._direction(one, below)
    shown = page.locator("#equation .choice.shown")
    assert shown.get_attribute("data-place") == "layer 2 forward"
    assert number(shown.locator("[data-quantity=h][data-take=unit]").inner_text()) == pytest.approx(ys[3, 4], abs=1e-4)
    projected = (below[3] @ one.W + one.b).reshape(-1, one.hidden_size)
    for i, gate in enumerate(one.equation.gates):
        slot = shown.locator(f'[data-quantity="x.{gate}"]').last
        value = number(shown.locator(f'[data-quantity="x.{gate}"][data-take=unit]').inner_text())
        assert value == pytest.approx(projected[i, 4], abs=1e-4) and slot.count()
    assert "layer 2 forward, unit 4" in page.locator("#readout").inner_text()
    names = {
        equation for line in shown.locator(".source .values").all_inner_texts() for equation in [line.split(" ")[0]]
    }
    assert {"r_", "h"} <= names or {"r", "h"} <= names


def test_keys_move_along_the_text_and_among_the_units(show):
    page = show("tag, lstm", text="the Cat sees dogs .")
    page.locator("[data-answers]").focus()
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("ArrowLeft")
    assert page.locator("#equation [data-bind=step]").input_value() == "2"
    assert page.locator("[data-answers] .here bdi").inner_text() == "sees"
    assert "sees" in page.locator("#bars-title").inner_text()
    unit = int(page.locator("#states [data-bind=unit]").input_value())
    page.locator("#states .drawing").focus()
    page.keyboard.press("ArrowDown")
    assert page.locator("#states [data-bind=unit]").input_value() == str(unit + 1)


@pytest.mark.parametrize("what", ["state h", "gate f"])
def test_states_are_drawn_as_the_report_draws_them(show, what):
    """The same marks at the same places; the image by its cells."""
    words = "the Cat sees 北京 Ωmega antidisestablishmentarianism ."
    page = show("tag, lstm", text=words)
    page.locator("#states [data-bind=what]").select_option(what)
    U = 6
    values = np.array(
        page.evaluate(
            """async () => {
              const records = [];
              elman.model.answer(document.getElementById("typed").value, { records });
              const [group, index] = elman.functions[0][WHAT];
              const numbers = records[0].of([group, index]);
              return Array.from({ length: numbers.rows }, (_, t) =>
                Array.from({ length: numbers.columns }, (_, u) => numbers.at(t, u)));
            }""".replace("[WHAT]", ".states.h" if what == "state h" else ".gates.f")
        )
    )
    assert values.shape == (len(words.split()), U)
    drawn = figure("heat")(values, words.split(), f"layer 1 forward: {what}", signed=what.startswith("state"))
    assert page.evaluate(MARKS, [None, "#states"]) == page.evaluate(MARKS, [drawn.svg(), ""])
    alphas = """async (at) => {
      const image = new Image();
      image.src = at ?? document.querySelector("#states figure image").getAttribute("href");
      await image.decode();
      const canvas = Object.assign(document.createElement("canvas"), { width: image.width, height: image.height });
      const context = canvas.getContext("2d");
      context.drawImage(image, 0, 0);
      return [image.width, image.height, ...context.getImageData(0, 0, image.width, image.height).data];
    }"""
    (first, *_) = [part.split('"')[0] for part in drawn.svg().split('href="')[1:]]
    (w, h, *found), (*size,) = page.evaluate(alphas, None), page.evaluate(alphas, first)
    assert [w, h] == size[:2] == [len(words.split()), U]
    assert np.abs(np.array(found)[3::4] - np.array(size[2:])[3::4]).max() <= 1


def test_a_language_model_writes_on_and_takes_back(show):
    model, page = small.model("lm, characters"), show("lm, characters", text="the ")
    page.locator("#tokens").fill("40")
    page.locator("#seed").fill("5")
    page.locator("#temperature").fill("0.8")
    page.locator("#write").click()
    page.wait_for_function("() => document.getElementById('write').textContent === 'Write on'")
    written_on = page.locator("#typed").input_value()
    assert written_on == "the " + "".join(model.sample(40, prompt="the ", temperature=0.8, seed=5))
    assert page.locator("[data-answers] .chip").count() == 1 + len(written_on)
    first = page.locator("#bars tr").first
    likeliest = model.next_distribution(written_on)
    assert first.locator("td").inner_text() == f"{100 * likeliest.max():.1f} %"
    page.locator("[data-answers] .chip").nth(3).click()  # "e", after which there was a blank
    assert page.locator("#bars-title").inner_text() == "What could follow “e”"
    (scored,) = model.score([written_on.split("\n")[0]])
    given = page.locator("#bars .given td").all_inner_texts()
    assert given in ([], [f"{100 * math.exp(scored.log_probabilities[3]):.1f} %"])
    page.locator("#back").click()
    assert page.locator("#typed").input_value() == "the "
    assert page.locator("[data-answers] .chip").count() == 5


def test_labels_are_shown_with_their_probabilities(show):
    name = "classify, several, wide"
    model, page = small.model(name), show(name, text="the Cat dogs")
    (expected,) = model.predict(["the Cat dogs"], probabilities=True)
    assert page.locator("#bars .given bdi").all_inner_texts() == expected.labels
    shares = sorted((f"{100 * p:.1f} %" for p in expected.probabilities.values()), key=lambda s: -float(s[:-2]))
    assert page.locator("#bars td").all_inner_texts() == shares
    assert ", ".join(expected.labels) in page.locator("#bars-title").inner_text() or not expected.labels


def test_a_text_that_is_too_long_is_refused(show):
    page = show("classify, mean", text="the Cat")
    page.evaluate("() => { elman.model.text.longest = 3; }")
    page.locator("#typed").fill("the Cat sees dogs")
    page.wait_for_function("() => document.getElementById('refused').textContent")
    assert page.locator("#refused").inner_text() == "expected at most 3 tokens, found 4; shorten the text"
    typed(page, "the Cat sees")
    assert page.locator("#refused").inner_text() == ""


def test_a_second_click_leads_to_the_equation(show):
    page = show("tag, lstm", width=400, text="the Cat sees dogs .")
    word = page.locator("[data-answers] .chip").nth(1)
    for clicks in (1, 2):
        word.click()
        page.wait_for_function("() => document.querySelector('#equation [data-bind=step]').value === '1'")
        if clicks == 2:
            page.wait_for_function("() => document.getElementById('equation').contains(document.activeElement)")
        else:
            assert not page.evaluate("document.getElementById('equation').contains(document.activeElement)")
    page.locator("[data-answers]").focus()
    page.keyboard.press("Enter")
    assert page.evaluate("document.getElementById('equation').contains(document.activeElement)")


def test_without_scripts_it_says_so(show, browser, tmp_path):
    export(small.model("tag, lstm"), "page", tmp_path / "a.html")
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto((tmp_path / "a.html").as_uri())
    assert "switched off" in page.locator("[role=note]").inner_text()
    assert not page.locator("button:visible, select:visible, input:visible").count()
    context.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_it_fits_a_narrow_screen_and_follows_the_system(show, scheme):
    for name in ("tag, CRF", "lm, characters", "classify, ngrams", "seq2seq, monotonic, features"):
        page = show(name, width=400, text=" ".join(small.WORDS) + " " + "x" * 80, scheme=scheme)
        assert page.evaluate("document.scrollingElement.scrollWidth") <= 400
        boxes = page.locator("button:visible, select:visible, input:visible, textarea").evaluate_all(
            "all => all.map(e => e.getBoundingClientRect()).map(box => [box.left, box.right])"
        )
        assert boxes and all(left >= 0 and right <= 400 for left, right in boxes)
        assert (
            page.evaluate("getComputedStyle(document.body).backgroundColor")
            == {
                "light": "rgb(244, 245, 247)",
                "dark": "rgb(12, 15, 18)",
            }[scheme]
        )


def test_every_control_has_a_name(show):
    for name in ("tag, CRF", "lm, characters", "classify, ngrams", "seq2seq, monotonic, features"):
        page = show(name, text="the Cat")
        nameless = page.locator("button, select, input, textarea").evaluate_all(
            "all => all.filter(e => !(e.labels?.length || e.textContent.trim() || e.ariaLabel)).map(e => e.outerHTML)"
        )
        assert not nameless
        unnamed = page.locator("[tabindex='0'][role], figure svg, table").evaluate_all(
            "all => all.filter(e => !e.ariaLabel && !e.getAttribute('aria-labelledby') && !e.closest('[aria-label]'))"
            ".map(e => e.outerHTML)"
        )
        assert not unnamed


def test_two_thousand_words_are_shown(show):
    page = show("tag, lstm")
    typed(page, small.HOSTILE[-1])
    assert page.locator("[data-answers] .chip").count() == 2000
    assert "1999" in page.locator("#readout").inner_text()


# Outside the page


def test_the_model_alone_runs_in_node(tmp_path):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    for name in ("tag, CRF", "lm, by lines, gru", "classify, several, wide"):
        model, file = small.model(name), tmp_path / "model.mjs"
        export(model, "page", file, weights="float32")
        (tmp_path / "run.mjs").write_text(
            """import { answer } from "./model.mjs";
            const { tags, labels, logs } = answer("the Cat sees dogs .");
            console.log(JSON.stringify(tags ?? labels ?? logs));""",
            encoding="utf-8",
        )
        ran = subprocess.run([node, tmp_path / "run.mjs"], capture_output=True, text=True, check=True)
        found, text = json.loads(ran.stdout), "the Cat sees dogs ."
        if model.task == "lm":
            (expected,) = model.score([text])
            np.testing.assert_allclose(found, expected.log_probabilities[:-1], atol=1e-4)
        else:
            (expected,) = model.predict([text.split() if model.task == "tag" else text])
            assert found == (expected.tags if model.task == "tag" else expected.labels)


def test_what_it_cannot_do_is_refused(tmp_path):
    stored = small.model("classify, subwords").plan().text.tokenizer
    changed = {**stored, "tokenizer": {**stored["tokenizer"], "normalizer": {"type": "Lowercase"}}}
    plan = small.model("classify, subwords").plan()
    with pytest.raises(UsageError, match="expected subwords as elman trains them"):
        tables(replace(plan, text=replace(plan.text, tokenizer=changed)))
    with pytest.raises(UsageError, match="expected weights bfloat16, int8, float32, found float16"):
        export(small.model("tag, lstm"), "page", tmp_path / "a.html", weights="float16")


DOCS = Path(__file__).parents[2] / "docs"


def snippets(language):
    """The code of the docs in a language."""
    texts = [path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("export*.md"))]
    return [code for text in texts for code in re.findall(rf"```{language}\n(.*?)```", text, re.DOTALL)]


def test_what_the_docs_say_runs(tmp_path, monkeypatch):
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed")
    monkeypatch.chdir(tmp_path)
    tagger, writer = small.model("tag, lstm"), small.model("lm, characters")
    (code,) = [one for one in snippets("python") if '"page"' in one]
    exec(code, {"tagger": tagger})
    assert Path("tagger.html").stat().st_size > 50_000
    for name, model in (("tagger", tagger), ("writer", writer)):
        export(model, "page", f"{name}.mjs", weights="float32")
    printed = []
    for code in snippets("js"):
        Path("run.mjs").write_text(code, encoding="utf-8")
        ran = subprocess.run([node, "run.mjs"], capture_output=True, text=True, check=True)
        printed.append(ran.stdout)
    (expected,) = tagger.predict([["the", "boys", "run"]], probabilities=True)
    lines = [line.split() for line in printed[0].splitlines()]
    assert [line[1] for line in lines] == expected.tags
    assert [float(line[2]) for line in lines] == pytest.approx(expected.probabilities, abs=6e-4)
    assert printed[1][:-1] == "".join(writer.sample(40, prompt="the ", temperature=0.8, seed=1))
    assert "function LSTM(" in printed[2] and printed[2].count("\nh ") == 3


def test_the_command_writes_a_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    small.model("tag, lstm").save(tmp_path / "tagger")
    command = ["export", "tagger", "--to", "page", "--text", "<the> boys & girls", "--weights", "int8"]
    assert run(command) == 0
    assert "tagger.html" in capsys.readouterr().out
    assert "&lt;the&gt; boys &amp; girls</textarea>" in Path("tagger.html").read_text(encoding="utf-8")
