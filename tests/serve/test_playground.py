"""The playground, opened in a real browser: it shows what the models answer, and notices when the server is gone."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest
from tests.serve.conftest import Server

TEXT = "the cat Sees dogs"
SHOWN = """[...document.querySelectorAll('[data-column]:not([hidden])')].every((one) =>
  one.dataset.text === document.getElementById('typed').value)"""
INSIDE = """[...document.querySelectorAll('[data-column]:not([hidden]) iframe')].every((one) =>
  one.contentDocument?.querySelector('html.live'))"""
CHIPS = "all => all.map(one => [...one.children].map(part => part.textContent))"


@pytest.fixture
def show(browser: Any) -> Iterator[Callable[..., Any]]:
    """show(url) opens the playground of a server; at the end nothing must have gone wrong in it, except what `allowed`
    says of its console."""
    trouble, contexts, allowed = list[str](), list[Any](), list[str]()

    def open_page(url: str, width: int = 1000, scheme: str = "light", allow: str = "", models: bool = True) -> Any:
        if allow:
            allowed.append(allow)
        contexts.append(browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme))
        page = contexts[-1].new_page()

        def said(message: Any) -> None:
            if not any(re.search(one, message.text) for one in allowed):
                trouble.append(f"console {message.type}: {message.text}")

        def asked(request: Any) -> None:
            if not request.url.startswith(("data:", "about:", f"{url}/")):
                trouble.append(f"request: {request.url}")

        page.on("console", said)
        page.on("request", asked)
        page.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        page.goto(f"{url}/")
        page.wait_for_selector("html.live")
        if models:
            page.wait_for_selector("#answers:not([hidden]) [data-is=model] option", state="attached")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert not trouble, "\n".join(trouble)


def until(page: Any, script: str, seconds: float = 90) -> None:
    """Wait until a script gives true; Playwright's own way would evaluate it in the page, which its policy forbids."""
    end = time.monotonic() + seconds
    while not page.evaluate(script):
        assert time.monotonic() < end, script + "\n" + page.inner_text("body")
        page.wait_for_timeout(30)


def choose(page: Any, name: str, column: int = 0) -> Any:
    page.locator("[data-is=model]").nth(column).select_option(name)
    until(page, SHOWN)
    return page.locator("[data-column]").nth(column)


def chips(column: Any) -> list[list[str]]:
    return column.locator("[data-is=answers] .chip").evaluate_all(CHIPS)


def bars(column: Any) -> list[tuple[str, str]]:
    rows = column.locator("[data-is=bars] tr").evaluate_all(CHIPS)
    return [(name, share) for name, share in rows]


def percents(values: list[float]) -> list[str]:
    return [f"{100 * value:.1f} %" for value in values]


def test_every_model_answers_what_is_typed(show: Callable[..., Any], server: Server, models: dict[str, Any]) -> None:
    page = show(server.url)
    names = page.locator("[data-is=model]").nth(0).locator("option").all_inner_texts()
    assert names == list(models)
    page.locator("#typed").press_sequentially(TEXT)
    words = TEXT.split()
    for name, model in models.items():
        column = choose(page, name)
        if model.task == "tag":
            (expected,) = model.predict([words], probabilities=True)
            found = chips(column)
            assert [one[:2] for one in found] == [list(pair) for pair in zip(words, expected.tags, strict=True)]
            if name in ("both", "hmm"):
                assert [one[2] for one in found] == percents(expected.probabilities)
        elif model.task == "classify":
            (expected,) = model.predict([TEXT], probabilities=True)
            ordered = sorted(expected.probabilities.items(), key=lambda one: -one[1])
            assert bars(column) == [(label, share) for label, p in ordered for share in percents([p])]
            assert expected.labels[0] in column.locator("[data-is=title]").inner_text()
        elif model.task == "lm":
            tokens = model.tokenizer.split(TEXT)
            shown = [one[0] for one in chips(column)][: len(tokens)]
            assert shown == [token.replace(" ", "␣") for token in tokens]
            if name != "ngram":
                best = sorted(model.next_distribution(TEXT), reverse=True)[:8]
                assert [share for _, share in bars(column)] == percents(best)
        else:
            expected = model.predict([TEXT], beam=5, nbest=5)[0].answers
            assert column.locator("[data-is=written]").inner_text() == expected[0].text.strip()


def test_a_session_follows_edits_anywhere(show: Callable[..., Any], server: Server, models: dict[str, Any]) -> None:
    page = show(server.url)
    page.click("#beside")
    first, second = choose(page, "delayed"), choose(page, "characters", 1)
    box, text = page.locator("#typed"), ""
    for keys in ("the ca", "t", " ", "  ", "run\n", "dogs", None, "Home", "x ", "End", " z"):
        if keys in ("Home", "End"):
            box.press(keys)
            continue
        if keys is None:
            box.press("Backspace")
        else:
            box.press_sequentially(keys)
        until(page, SHOWN)
        text = box.input_value()
        words = text.split()
        assert [one[:2] for one in chips(first)] == [
            list(pair) for pair in zip(words, models["delayed"](words), strict=True)
        ]
        assert [one[0] for one in chips(second)] == [c.replace(" ", "␣") for line in text.split("\n") for c in line]
    assert text == "the cat   run\nx dog z"
    best = sorted(models["characters"].next_distribution(text), reverse=True)[:8]
    assert [share for _, share in bars(second)] == percents(best)
    long = " ".join(TEXT for _ in range(300))
    box.fill(long)
    until(page, SHOWN)
    assert [one[1] for one in chips(first)] == models["delayed"](long.split())
    box.fill("")
    until(page, SHOWN)
    assert chips(first) == chips(second) == []


def test_the_inside_of_two_models(show: Callable[..., Any], server: Server) -> None:
    page = show(server.url)
    page.click("#beside")
    page.locator("#typed").fill(TEXT)
    choose(page, "both")
    choose(page, "lm", 1)
    page.locator("#typed").press("Control+Enter")
    until(page, INSIDE)
    frames = [handle.content_frame() for handle in page.query_selector_all("iframe")]
    assert [frame.inner_text("h1") for frame in frames] == ["both", "lm"]
    for frame in frames:  # its scripts run, and its links stay inside
        for step in (0, 1):
            frame.locator("header .chip").nth(step).click()
            assert frame.inner_text("#readout").startswith(f"step {step} ")
        frame.locator("nav a[href='#outputs']").click()
    until(page, "[...document.querySelectorAll('iframe')].every(one => one.contentWindow.scrollY > 500)")
    assert page.url == f"{server.url}/" and [frame.inner_text("h1") for frame in frames] == ["both", "lm"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 1000
    page.click("#theme")
    assert all(frame.evaluate("document.documentElement.dataset.theme") == "dark" for frame in frames)
    page.locator("#typed").press_sequentially("x")
    assert page.locator("[data-is=looked]").all_inner_texts() == ["below is an earlier text"] * 2
    choose(page, "hmm")
    assert page.locator("iframe:visible").count() == 1 and page.locator("[data-is=look]:visible").count() == 1


def test_a_language_model_writes_on(show: Callable[..., Any], server: Server) -> None:
    page = show(server.url)
    box = page.locator("#typed")
    box.fill("the cat")
    column = choose(page, "characters")
    column.locator("[data-option=tokens]").fill("40")
    column.locator("[data-is=write]").click()
    until(page, "!document.getElementById('typed').readOnly && document.getElementById('typed').value.length > 7")
    with httpx.stream(
        "POST",
        f"{server.url}/v1/models/characters/sample",
        json={"prompt": "the cat", "tokens": 40, "temperature": 1, "seed": 1},
        timeout=60,
    ) as reply:
        lines = [line for line in reply.iter_lines() if line.startswith('data: {"text"')]
    drawn = "".join(json.loads(line[6:])["text"] for line in lines)
    assert box.input_value() == "the cat" + drawn
    until(page, SHOWN)
    column.locator("[data-is=back]").click()
    assert box.input_value() == "the cat"


def test_the_server_goes_and_comes_back(
    start: Callable[..., Server], show: Callable[..., Any], models: dict[str, Any]
) -> None:
    server = start("delayed both")
    page = show(server.url, allow=r"ERR_CONNECTION_REFUSED|ERR_CONNECTION_RESET|ERR_EMPTY_RESPONSE|ERR_INCOMPLETE")
    page.click("#beside")
    page.locator("#typed").press_sequentially("the cat")
    until(page, SHOWN)
    server.process.kill()
    server.process.wait()
    until(page, "document.getElementById('state').textContent.includes('does not answer')")
    page.locator("#typed").press_sequentially(" Sees dogs")  # what is typed is kept
    assert page.locator("[role=status]:visible").first.inner_text()
    page.wait_for_timeout(300)
    start("delayed both", "--port", str(server.port))
    until(page, "document.getElementById('state').textContent === ''")
    until(page, SHOWN)
    for k, name in enumerate(("delayed", "both")):
        column = page.locator("[data-column]").nth(k)
        assert [one[1] for one in chips(column)] == models[name](TEXT.split())
        assert column.locator("[data-is=refused]").inner_text() == ""


def test_a_token_is_asked_for_and_not_kept_and_limits_are_said(
    start: Callable[..., Server], show: Callable[..., Any], tmp_path: Any
) -> None:
    (tmp_path / "token").write_text("secret-token")
    limits = ("--inspect-tokens", "3", "--max-tokens", "20")
    server = start("delayed", "--token-file", str(tmp_path / "token"), *limits)
    page = show(server.url, allow="status of (401|413)", models=False)
    assert page.locator("#login").is_visible() and not page.locator("#answers").is_visible()
    page.locator("#token").fill("wrong")
    page.locator("#token").press("Enter")
    until(page, "document.getElementById('state').textContent.includes('not the token')")
    page.locator("#token").fill("secret-token")
    page.locator("#token").press("Enter")
    page.wait_for_selector("#answers:not([hidden])")
    assert not page.locator("#login").is_visible()
    box, column = page.locator("#typed"), page.locator("[data-column]").first
    box.fill(TEXT)
    until(page, SHOWN)
    assert len(chips(column)) == 4
    box.press("Control+Enter")
    until(page, "document.querySelector('[data-is=looked]').textContent.includes('at most 3 tokens')")
    box.fill("word " * 100)
    until(page, "document.querySelector('[data-is=refused]').textContent.includes('at most 20 tokens')")
    box.fill("a b")
    until(page, SHOWN)
    assert column.locator("[data-is=refused]").inner_text() == "" and len(chips(column)) == 2
    kept = page.evaluate("[localStorage.length, sessionStorage.length, document.cookie, location.href]")
    assert kept == [0, 0, "", f"{server.url}/"]
    page.reload()
    page.wait_for_selector("html.live")
    assert page.locator("#login").is_visible() and page.locator("#token").input_value() == ""


@pytest.mark.parametrize(("width", "scheme"), [(400, "dark"), (1000, "light")])
def test_it_fits_in_light_and_dark(show: Callable[..., Any], server: Server, width: int, scheme: str) -> None:
    page = show(server.url, width, scheme)
    page.click("#beside")
    page.locator("#typed").fill(TEXT + " " + "long" * 40)
    for left, right in (("classifier", "seq2seq"), ("delayed", "characters"), ("both", "lm")):
        choose(page, left)
        choose(page, right, 1)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    if width == 400:
        page.locator("#typed").press("Control+Enter")
        until(page, INSIDE)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    paper = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (sum(map(int, re.findall(r"\d+", paper)[:3])) < 200) == (scheme == "dark")
    lefts = [box["x"] for box in (one.bounding_box() for one in page.locator("[data-column]").all())]
    assert (lefts[0] < lefts[1]) == (width == 1000)  # side by side where there is room


def test_by_keyboard_alone(show: Callable[..., Any], server: Server, models: dict[str, Any]) -> None:
    page = show(server.url)
    reached = set[str]()
    page.evaluate("document.activeElement.blur()")
    for _ in range(20):
        page.keyboard.press("Tab")
        reached.add(page.evaluate("document.activeElement.id || document.activeElement.dataset.is || ''"))
    assert {"theme", "typed", "beside", "model", "answers", "look"} <= reached
    page.locator("#beside").press("Enter")
    assert page.locator("#beside").get_attribute("aria-pressed") == "true"
    page.locator("#typed").focus()
    page.keyboard.type(TEXT)
    until(page, SHOWN)
    select = page.locator("[data-is=model]").first
    select.focus()
    page.keyboard.type("delayed")
    until(page, "document.querySelector('[data-is=about]').textContent.includes('session')")
    until(page, SHOWN)
    assert [one[1] for one in chips(page.locator("[data-column]").first)] == models["delayed"](TEXT.split())


def test_the_page_is_for_everyone_and_allows_nothing_else(http: httpx.Client) -> None:
    reply = http.get("/")
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    assert reply.headers["content-security-policy"] == "frame-ancestors 'none'"
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', reply.text)
    directives = policy.replace("&#x27;", "'").split("; ")
    assert directives[0] == "default-src 'none'" and "connect-src 'self'" in directives
    assert not [one for one in directives if "http" in one or "*" in one or "unsafe-eval" in one]
    assert not re.findall(r'(?:src|href)="(?!#|data:)', reply.text)
    assert http.post("/").status_code in (405, 415)
