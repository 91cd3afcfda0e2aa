"""The report, opened in a real browser: what it shows is what the View holds, and nothing leaves the page."""

import base64
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import numpy as np
import pytest
import views

from elman.errors import ResourceError
from elman.inspect.report import html, write
from elman.inspect.report.markup import Markup, element, equation
from elman.inspect.report.page import Panel, Program, page
from elman.inspect.report.payload import NAN, Pool, payload
from elman.inspect.report.source import listing, operands

VIEWS = {**views.VIEWS, "everything": views.everything}
OVERLAYS = "document.querySelectorAll('.band, .row').forEach(mark => mark.remove())"


@pytest.fixture(scope="module")
def made():
    """Every View, made once, and its page."""
    found = {}

    def get(name):
        if name not in found:
            view = VIEWS[name]()
            found[name] = view, html(view)
        return found[name]

    return get


@pytest.fixture
def show(browser, made, tmp_path):
    """show(name) opens the page of a View from disk; at the end of the test nothing must have gone wrong in it."""
    trouble, contexts = [], []

    def open_page(name, width=1280, text=None, **options):
        context = browser.new_context(viewport={"width": width, "height": 900}, **options)
        contexts.append(context)
        opened = context.new_page()
        opened.on("console", lambda message: trouble.append(f"console {message.type}: {message.text}"))
        opened.on("pageerror", lambda error: trouble.append(f"error: {error}"))
        opened.on("dialog", lambda dialog: (trouble.append(f"dialog: {dialog.message}"), dialog.dismiss()))
        file = tmp_path / f"{name}.html"
        file.write_bytes((text or made(name)[1]).encode("utf-8"))

        def asked(route, request):
            if request.url.startswith("data:") or request.url == file.as_uri():
                return route.continue_()
            trouble.append(f"request: {request.url}")
            return route.abort()

        opened.route("**/*", asked)
        opened.goto(file.as_uri())
        if options.get("java_script_enabled", True) and text is None:
            opened.wait_for_selector("html.live")
        return opened

    open_page.trouble = trouble
    yield open_page
    for context in contexts:
        context.close()
    assert not trouble, "\n".join(trouble)


def pixels(shot):
    """(height, width, 3) of a screenshot."""
    from PIL import Image

    return np.asarray(Image.open(io.BytesIO(shot)).convert("RGB"), dtype=int)


def cell(view, place, step):
    return f'#graph svg [role=button][data-place="{view.places[place].name}"][data-step="{step}"]'


def number(text):
    return float(text.replace("−", "-"))


# Every page


@pytest.mark.parametrize("name", VIEWS)
def test_opens_without_a_word_draws_every_panel_and_fits_a_narrow_screen(show, made, name):
    view, _ = made(name)
    page = show(name)
    assert page.locator("html.live").count()
    ids = page.locator("section").evaluate_all("all => all.map(section => section.id)")
    extras = ("alignment", "written", "horizon", "probe", "history", "confusion", "reliability", "transitions")
    expected = ["graph", "equation", "states", "gradients", "contributions", "outputs"]
    assert ids == expected + [key for key in extras if key in view.extras]
    assert page.locator("nav a").evaluate_all("all => all.map(a => a.hash.slice(1))") == ids
    whole = pixels(page.screenshot(full_page=True))
    for drawing in page.locator("section .drawing:visible").all():
        box = {key: int(value) for key, value in drawing.bounding_box().items()}
        part = whole[box["y"] : box["y"] + box["height"], box["x"] : box["x"] + box["width"]]
        colours = np.unique(part @ [65536, 256, 1])
        assert part.size and len(colours) > 8, drawing.get_attribute("aria-label")
    for key in ids:
        shown = page.locator(f"#{key} .drawing:visible")
        assert shown.count(), f"nothing is drawn in {key}"
    assert page.locator("[role=note]").all_inner_texts() == [f"Note: {warning}" for warning in view.warnings]
    assert page.locator("#states figure.shown").count() == page.locator("#contributions figure.shown").count() == 1
    page.set_viewport_size({"width": 400, "height": 800})
    assert page.evaluate("document.scrollingElement.scrollWidth") <= 400
    controls = (
        "all => all.map(e => e.getBoundingClientRect()).filter(box => box.width).map(box => [box.left, box.right])"
    )
    for left, right in page.locator("button, select, input, nav").evaluate_all(controls):
        assert left >= 0 and right <= 400


def test_hostile_text_is_shown_as_text(show, made):
    view, _ = made("hostile")
    page = show("hostile")
    chips = page.locator("header .chip").all_text_contents()
    assert chips[:4] == list(view.tokens[:4]) and chips[4:8] == list(view.tokens[4:8])
    assert page.title().startswith(view.title)
    assert page.locator("img, script:not([nonce]):not([type='application/json'])").count() == 0
    page.locator("header .chip").nth(1).hover()
    assert view.tokens[1] in page.locator("#readout").inner_text()


def test_the_policy_stops_what_has_no_nonce(show):
    evil = Markup("<script>document.title = 'owned'</script><img src='data:,' onerror='document.title = 1'>")
    text = page(
        "Title",
        Markup(""),
        [Panel("a", "A", evil, Markup(""))],
        Markup(""),
        Program(data={"view": ("application/json", "{}")}),
    )
    opened = show("evil", text=text)

    def refused() -> int:
        return sum("Content Security Policy" in line or "violates" in line for line in show.trouble)

    for _ in range(2000):  # what the browser says of it comes when it comes
        if refused() >= 2:
            break
        opened.wait_for_timeout(100)
    assert refused() >= 2, show.trouble
    assert opened.title() == "Title"
    show.trouble.clear()


def test_without_scripts_the_drawings_are_there(show, made):
    view, _ = made("ordinary")
    page = show("ordinary", java_script_enabled=False)
    shown = page.locator("#states figure:visible")
    assert shown.count() == sum(len(place.states) + len(place.gates) for place in view.places)
    assert page.locator("#contributions figure:visible").count() == len(view.contributions) + 1
    assert page.locator("#equation .source:visible").count() == len(view.places)
    assert not page.locator("select:visible, input:visible, button:visible").count()


# What is shown


def test_a_click_shows_the_numbers_of_that_cell(show, made):
    view, _ = made("ordinary")
    page = show("ordinary")
    for place, step, unit in ((3, 4, 2), (0, 0, 7), (1, 11, 0)):
        page.locator(cell(view, place, step)).click()
        page.locator("#equation [data-bind=unit]").fill(str(unit))
        shown = page.locator("#equation .choice.shown")
        assert shown.count() == 1 and shown.get_attribute("data-place") == view.places[place].name
        takes = {"unit": lambda row, unit=unit: row[unit], "mean": np.mean, "min": np.min, "max": np.max}
        for name, values in view.places[place].quantities.items():
            bound = np.abs(values).max() / 32767 + 1e-4  # what int16 keeps, and the digits shown
            for take, of in takes.items():
                text = shown.locator(f'[data-quantity="{name}"][data-take={take}]').inner_text()
                assert number(text) == pytest.approx(of(values[step]), abs=bound), (name, take)
        lines = shown.locator(".source li")
        for line, names in view.places[place].assigned.items():
            values = [lines.nth(line).locator(f'b[data-quantity="{name}"]').inner_text() for name in names]
            expected = [
                view.places[place].quantities[name][step, unit]
                for name in names
                if name in view.places[place].quantities
            ]
            assert [number(text) for text in values] == pytest.approx(expected, abs=2e-4)
        tip = shown.locator('.operand[data-quantity="x.f"]').first.get_attribute("title")
        name, value = tip.split(" = ")
        assert name == "x.f"
        assert number(value) == pytest.approx(view.places[place].quantities["x.f"][step, unit], abs=3e-4)


def test_the_unit_shown_at_first_is_the_one_with_the_largest_state(show, made):
    view, _ = made("ordinary")
    page = show("ordinary")
    unit = page.locator("#equation [data-bind=unit]")
    for place, step in ((0, 11), (2, 5), (3, 0)):
        page.locator(cell(view, place, step)).click()
        assert int(unit.input_value()) == np.abs(view.places[place].states["h"][step]).argmax()
    unit.fill("1")
    page.locator(cell(view, 0, 3)).click()
    assert unit.input_value() == "1"
    page.locator("#largest").click()
    assert int(unit.input_value()) == np.abs(view.places[0].states["h"][3]).argmax()


def test_the_tables_have_the_numbers_of_the_selected_output(show, made):
    view, _ = made("ordinary")
    page = show("ordinary")
    for j in (11, 4):
        page.locator("#outputs [data-bind=output]").select_option(str(j))
        for row, place in enumerate(view.places):
            cells = page.locator(f'[data-grid=gradient] [data-row="{row}"] td').all_inner_texts()
            assert [number(text) for text in cells] == pytest.approx(place.gradient[j], rel=6e-3)
        for row, values in enumerate((view.attribution, view.left_out)):
            cells = page.locator(f'[data-grid=attribution] [data-row="{row}"] td').all_inner_texts()
            missing = [text == "–" for text in cells]
            assert missing == list(np.isnan(values[j]))
            there = [number(text) for text in cells if text != "–"]
            assert there == pytest.approx(values[j][~np.isnan(values[j])], rel=6e-3)
        said = page.locator("[data-says=output]").inner_text()
        assert view.outputs[j].target in said and f"{100 * view.outputs[j].top[0][1]:.1f} %" in said
    strongest = page.locator("[data-grid=gradient] td[style*='--share: 1.000']")
    assert strongest.count() == 1
    row, step = np.unravel_index(np.argmax([place.gradient[4] for place in view.places]), (4, 12))
    assert strongest.get_attribute("data-step") == str(step)
    assert strongest.locator("xpath=..").get_attribute("data-row") == str(row)


@pytest.mark.parametrize("name", ["ordinary", "classifier"])
def test_the_slider_takes_away_the_cells_that_are_too_far_apart(show, made, name):
    view, _ = made(name)
    page = show(name)
    names = list(view.contributions)
    J, T = len(view.outputs), len(view.tokens)
    ends = np.array([T - 1 if output.step is None else output.step for output in view.outputs])
    away = np.abs(ends[:, None] - np.arange(T))
    slider = page.locator("#contributions input[type=range]")
    for parameter in (names[0], names[1]):
        page.locator("[data-bind=parameter]").select_option(parameter)
        image = page.locator("#contributions figure.shown image").first

        def centres(image=image):
            page.evaluate(OVERLAYS)
            shot = pixels(image.screenshot())
            rows, columns = ((np.arange(n) + 0.5) / n * size for n, size in ((J, shot.shape[0]), (T, shot.shape[1])))
            return shot[rows.astype(int)][:, columns.astype(int)]

        slider.fill(str(T))
        whole = centres()
        coloured = (whole != 255).any(-1)
        assert coloured.mean() > 0.4, "too faint to be told from nothing"
        for k in (1, 3, T - 1, T):
            slider.fill(str(k))
            found = centres()
            assert (found[away >= k] == 255).all(), f"{parameter}: something is left at k = {k}"
            assert (found[away < k] == whole[away < k]).all(), f"{parameter}: too much is taken at k = {k}"
            lost = view.lost[parameter][k]
            said = page.locator("[data-says=kept]").inner_text()
            assert f"k = {k} keeps {100 * (1 - lost):.1f} %" in said and f"{100 * lost:.1f} % is lost" in said
            assert parameter in said


def test_a_place_and_a_gate_are_chosen_in_the_heat_maps(show, made):
    view, _ = made("ordinary")
    page = show("ordinary")
    page.locator("#states [data-bind=what]").select_option("gate f")
    page.locator("#states [data-bind=place]").select_option("2")
    shown = page.locator("#states figure.shown")
    assert shown.count() == 1
    assert shown.get_attribute("data-place") == view.places[2].name and shown.get_attribute("data-what") == "gate f"
    assert page.locator("#gradients [data-bind=place]").input_value() == "2"
    box = shown.locator("image").first.bounding_box()
    unit, step = 6, 3
    at = {"x": box["width"] * (step + 0.5) / 12, "y": box["height"] * (unit + 0.5) / 8}
    shown.locator("image").first.click(position=at)
    assert page.locator("#states [data-bind=unit]").input_value() == "6"
    assert page.locator("#equation [data-bind=step]").input_value() == "3"
    values = view.places[2].gates["f"][:, unit]
    chips = page.locator("[data-chips=unit] .chip")
    shares = chips.evaluate_all("all => all.map(chip => Number(chip.style.getPropertyValue('--share')))")
    assert shares == pytest.approx(np.sqrt(values / values.max()), abs=2e-3)
    assert [number(t) for t in chips.evaluate_all("all => all.map(chip => chip.title)")] == pytest.approx(
        values, abs=6e-3
    )
    assert f"f = {values[step]:.4f}"[:7] in page.locator("#readout").inner_text()


# Links, keys, themes


def worst(view):
    """The step of the output with the largest loss."""
    return max(view.outputs, key=lambda output: output.loss).step


def test_a_step_under_the_pointer_is_marked_everywhere(show, made):
    view, _ = made("ordinary")
    page = show("ordinary")
    image = page.locator("#contributions figure.shown image").first
    image.scroll_into_view_if_needed()
    box = image.bounding_box()
    for step in (3, 8):
        page.mouse.move(box["x"] + box["width"] * (step + 0.5) / 12, box["y"] + box["height"] * 0.3)
        here = page.locator("header .chip.here")
        assert here.count() == 1 and here.inner_text() == view.tokens[step]
        band = page.locator("#graph .band").bounding_box()
        for place in range(4):
            marked = page.locator(cell(view, place, step)).bounding_box()
            other = page.locator(cell(view, place, step + 1)).bounding_box()
            assert band["x"] <= marked["x"] + 1 and marked["x"] + marked["width"] <= band["x"] + band["width"] + 1
            assert band["x"] + band["width"] < other["x"] + other["width"]
        matrix = page.locator("#gradients figure.shown")
        column, whole = matrix.locator(".band").bounding_box(), matrix.locator("image").first.bounding_box()
        assert column["x"] == pytest.approx(whole["x"] + whole["width"] * step / 12, abs=1.5)
        assert page.locator("#readout").inner_text().startswith(f"step {step} “{view.tokens[step]}”")
    page.mouse.move(1, 1)
    assert page.locator("#readout").inner_text().startswith(f"step {worst(view)} ")


def test_keys_alone_select_and_move(show, made):
    view, _ = made("ordinary")
    page = show("ordinary")

    def focused():
        return page.evaluate("({...document.activeElement.dataset})")

    for _ in range(60):  # to the one cell of the graph that Tab stops at
        page.keyboard.press("Tab")
        if "place" in focused() and "step" in focused():
            break
    start = worst(view)  # what is shown at first
    assert focused()["place"] == view.places[0].name and focused()["step"] == str(start)
    for key in ("ArrowRight", "ArrowRight", "ArrowRight", "ArrowLeft", "ArrowUp"):
        page.keyboard.press(key)
    assert focused()["place"] == view.places[1].name and focused()["step"] == str(start + 2)
    step, place = (page.locator(f"#equation [data-bind={key}]").input_value() for key in ("step", "place"))
    assert (step, place) == (str(start + 2), "1")
    assert page.evaluate("getComputedStyle(document.activeElement).stroke") != page.evaluate(
        f"getComputedStyle(document.querySelector('{cell(view, 0, 2)}')).stroke"
    )
    page.keyboard.press("Tab")  # to the one output
    assert focused()["output"] == str(start) and "place" not in focused()
    page.keyboard.press("ArrowLeft")
    assert page.locator("#outputs [data-bind=output]").input_value() == str(start - 1)
    page.locator("#states figure.shown .drawing").focus()
    unit = page.locator("#states [data-bind=unit]")
    before = int(unit.input_value())
    way = "ArrowDown" if before < 7 else "ArrowUp"
    page.keyboard.press(way)
    assert int(unit.input_value()) == before + (1 if way == "ArrowDown" else -1)
    page.locator(cell(view, 2, 5)).focus()
    page.keyboard.press("Enter")
    assert page.locator("#equation [data-bind=step]").input_value() == "5"
    assert page.locator("#equation [data-bind=place]").input_value() == "2"
    for _ in range(20):  # the ends hold
        page.keyboard.press("ArrowRight")
    assert page.locator("#equation [data-bind=step]").input_value() == "11"


def test_what_is_typed_out_of_bounds_is_put_right(show):
    page = show("ordinary")
    box = page.locator("#equation [data-bind=step]")
    for typed, expected in (("99", "11"), ("-3", "0"), ("", "0")):
        box.fill(typed)
        box.blur()
        assert box.input_value() == expected


def luminance(colour):
    shares = [int(c) / 255 for c in re.findall(r"\d+", colour)[:3]]
    r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares)
    return 0.2126 * r + 0.7152 * g + 0.0722 * b


def contrast(a, b):
    dark, light = sorted((luminance(a), luminance(b)))
    return (light + 0.05) / (dark + 0.05)


def test_light_and_dark_differ_and_both_are_legible(show):
    found = {}
    for scheme in ("light", "dark"):
        page = show("ordinary", color_scheme=scheme)
        for way in ("system", "button"):
            if way == "button":
                page.locator("#theme").click()
            style = "selector => getComputedStyle(document.querySelector(selector))"
            ground = page.evaluate(f"({style})('section').backgroundColor")
            for selector in ("section p", ".anchor", "code", "a", ".values", ".says"):
                colour = page.evaluate(f"({style})('main {selector}').color")
                assert contrast(colour, ground) >= 4.5, (scheme, way, selector, colour, ground)
            bar = page.evaluate(f"(({style})('#readout').color) + '|' + ({style})('#readout').backgroundColor")
            assert contrast(*bar.split("|")) >= 4.5
            # The strongest box of a table: its ground as it is painted, under the page's ink.
            strong = page.locator("[data-grid=gradient] td[style*='--share: 1.000']")
            shot = pixels(strong.screenshot())
            colours, counts = np.unique(shot @ [65536, 256, 1], return_counts=True)
            most = int(colours[counts.argmax()])
            painted = f"{most >> 16}, {most >> 8 & 255}, {most & 255}"
            assert contrast(page.evaluate(f"({style})('td').color"), painted) >= 4.5
            found[scheme, way] = ground, pixels(page.locator("#graph .drawing").last.screenshot()).mean()
    assert found["light", "system"][0] == found["dark", "button"][0] != found["dark", "system"][0]
    assert found["dark", "system"][0] == found["light", "button"][0]
    assert found["light", "system"][1] > 150 > found["dark", "system"][1]


# Without a browser


class Balance(HTMLParser):
    """Complains of an end tag that does not fit; keeps the ids, and what asks for an address."""

    def __init__(self):
        super().__init__()
        self.open, self.ids, self.addresses = [], [], []

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.ids += [given["id"]] if "id" in given else []
        self.addresses += [given[key] for key in ("src", "href") if given.get(key)]
        if tag not in ("meta", "link", "input"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.handle_starttag(tag, attributes)
        if tag not in ("meta", "link", "input"):
            self.handle_endtag(tag)

    def handle_endtag(self, tag):
        assert self.open and self.open.pop() == tag


@pytest.mark.parametrize("name", VIEWS)
def test_the_page_is_well_formed_and_names_no_address(made, name):
    _, text = made(name)
    found = Balance()
    found.feed(text)
    found.close()
    assert not found.open and len(found.ids) == len(set(found.ids))
    assert all(address.startswith(("#", "data:")) for address in found.addresses)
    assert made(name)[1] == html(VIEWS[name]()), "the same View gave two pages"


def test_the_page_of_sixty_tokens_stays_small():
    view = views.view([views.WORDS[i % 12] for i in range(60)], layers=2, units=128)
    assert len(payload(view)) < 3_000_000
    assert len(html(view).encode()) < 6_000_000


def read(entry):
    kind = "int16" if "int16" in entry else "float32"
    numbers = np.frombuffer(base64.b64decode(entry[kind]), "<i2" if kind == "int16" else "<f4")
    values = np.where(numbers == NAN, np.nan, numbers * entry["scale"]) if kind == "int16" else numbers
    return values.reshape(entry["shape"])


@pytest.mark.parametrize("name", VIEWS)
def test_the_payload_holds_the_numbers_of_the_view(name):
    view = VIEWS[name]()
    text = payload(view)
    assert "<" not in text and text.isascii()
    data = json.loads(text)
    for place, found in zip(view.places, data["places"], strict=True):
        for kind in ("quantities", "states", "gates"):
            for key, values in getattr(place, kind).items():
                kept = read(data["arrays"][found[kind][key]])
                np.testing.assert_allclose(kept, values, atol=np.abs(values).max() / 65534 * 1.001)
        np.testing.assert_allclose(read(data["arrays"][found["gradient"]]), place.gradient, rtol=1e-6)
    for name in ("attribution", "left_out"):
        np.testing.assert_allclose(read(data["arrays"][data[name]]), getattr(view, name), rtol=1e-6)
    for name, values in view.lost.items():
        np.testing.assert_allclose(read(data["arrays"][data["lost"][name]]), values, rtol=1e-6)


def test_arrays_that_are_alike_lie_once_and_what_is_not_finite_stays_so():
    pool = Pool()
    values = np.array([[1.0, np.nan], [-2.0, 0.5]])
    assert pool.small(values) == pool.small(values.copy()) == 0 and pool.small(values[:1]) == 1
    np.testing.assert_allclose(read(pool.arrays[0]), values, atol=2 / 65534)
    assert pool.wide(np.array([np.inf, np.nan, 1e-30])) == 2
    np.testing.assert_allclose(read(pool.arrays[2]), [np.inf, np.nan, 1e-30])
    zeros = read(pool.arrays[pool.small(np.zeros((2, 3)))])
    assert zeros.shape == (2, 3) and not zeros.any()


def test_operands_are_found_in_code_and_not_in_strings():
    names = {"x.f", "s.c", "f", "c", "h"}
    line = '    c = f * s.c + gate("f", x.f.abs())  # not f'
    found = [(line[start:end], name) for start, end, name in operands(line, names)]
    assert found == [("c", "c"), ("f", "f"), ("s.c", "s.c"), ("x.f", "x.f")]
    assert [name for *_, name in operands("self.f + fs.c + x.fh + g(s).h", names)] == []
    text = listing([line, "a < b"], {0: ("c",)}, names)
    assert re.sub("<[^>]*>", "", text).startswith("    c = f * s.c + gate(&quot;f&quot;")
    assert "a &lt; b" in text and text.count("<b ") == 1


def test_markup_escapes_all_that_is_not_markup():
    assert element("p", "<b>", Markup("<i>"), class_='"', hidden=True, id=None) == (
        '<p class="&quot;" hidden>&lt;b&gt;<i></p>'
    )
    assert element("input", data_bind="k") == '<input data-bind="k">'
    assert "\x00" not in element("p", "\x00\ud800") and element("p", "\ud800").encode("utf-8")
    assert equation("W_{ij} x^2 < y") == ('<span class="equation">W<sub>ij</sub> x<sup>2</sup> &lt; y</span>')


def test_a_cell_without_source_and_a_model_without_a_name_have_their_page_too(show):
    view = views.single()
    places = tuple(replace(place, source=(), assigned={}) for place in view.places)
    page = show("bare", text=html(replace(view, title="", places=places)))
    assert page.title() == page.locator("h1").inner_text() == "A model"
    assert not page.locator(".source").count()
    shown = page.locator('#equation .shown [data-quantity="h"][data-take=max]').inner_text()
    assert number(shown) == pytest.approx(view.places[0].states["h"][0].max(), abs=1e-4)


def test_a_report_is_written_whole_or_not_at_all(made, tmp_path):
    view, text = made("single")
    file = tmp_path / "report.html"
    write(view, file)
    assert file.read_text(encoding="utf-8") == text and [f.name for f in tmp_path.iterdir()] == ["report.html"]
    with pytest.raises(ResourceError, match="nowhere"):
        write(view, tmp_path / "nowhere" / "report.html")
