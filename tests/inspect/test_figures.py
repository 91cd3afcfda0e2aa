"""Figures: every row of the registry drawn from made-up data, and its marks held against that data."""

import base64
import importlib.util
import io
import itertools
import math
import re
import struct
import sys
import xml.etree.ElementTree as ElementTree
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from elman.errors import ResourceError, UsageError
from elman.inspect.figures import EXTRAS, FIGURES, figure, figures_of, of_extra
from elman.inspect.figures.axes import Axis, Box, Curve, labels, linear, logarithmic, plot
from elman.inspect.figures.colours import DECADES, ramp
from elman.inspect.figures.columns import columns
from elman.inspect.figures.marks import encode_png, rgb
from elman.inspect.figures.scene import DARK, PALETTE, Circle, Figure, Line, Raster, Rect, Text
from elman.inspect.figures.wording import clean, fit, number, visible, width

specification = importlib.util.spec_from_file_location("inspect_views", Path(__file__).parent / "views.py")
views = importlib.util.module_from_spec(specification)
sys.modules["inspect_views"] = views
specification.loader.exec_module(views)

HOSTILE = "<script>alert('\"&')</script>\x07\ud800\ufffe"
SVG = "{http://www.w3.org/2000/svg}"
NAN = float("nan")


def random(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape)


def outputs_of(view):
    return [output.target for output in view.outputs]


def examples():
    """Figure -> its examples, the first of them an ordinary one with hostile text in it where it has text."""
    every = {name: make() for name, make in views.VIEWS.items()}
    hostile, extras = every["hostile"], views.extras()
    names, T = hostile.tokens, len(hostile.tokens)
    bad = np.full((T, 3), NAN)
    decay, rising = 0.5 ** np.arange(8), np.array([40.0, 55.5, 90.0])

    def off(by):
        return {HOSTILE: rising + by, "b": rising / 2 + by}

    none = {"a": np.full(4, NAN)}
    matrices = [
        (hostile.places[0].gradient, names, outputs_of(hostile), HOSTILE),
        (np.zeros((T, T)), names, names, "zeros"),
        (np.full((1, T), NAN), names, ["all"], "nan"),
        (np.ones((1, 1)), ["a"], ["b"], "one"),
        (np.zeros((0, 0)), [], [], "empty"),
        (np.abs(random(60, 60)), ["word"] * 60, ["tag"] * 60, "large"),
    ]
    history = [*extras["history"], {"epoch": 15, "loss": NAN, "dev": {}}]
    perplexity = [
        {"epoch": i, "loss": 3.0 / i, "dev": {"perplexity": 90 / i, "log_likelihood": -2 / i}} for i in (1, 2, 3)
    ]
    side = {"loss": 1 + decay, "gradient": decay}
    return {
        "compact": [(view,) for view in every.values()],
        "unrolled": [(view,) for view in every.values()],
        "heat": [
            (random(T, 40), names, HOSTILE),
            (bad, names, "nan"),
            (np.zeros((1, 1)), ["a"], "zero"),
            (np.zeros((0, 4)), [], "empty"),
            (random(2, 700), ["a", "b"], "many units"),
        ],
        "coloured_text": [(names, random(T), HOSTILE), (names, bad[:, 0], "nan"), ([], np.zeros(0), "empty")],
        "gradient_by_distance": [
            ({HOSTILE: decay, "GRU": decay**3},),
            ({"one": np.array([1, 0, NAN, 1e-9]), "none": np.full(3, NAN)},),
            ({"point": np.array([2.0])},),
            ({"fades": 10.0 ** -np.arange(0, 300, 10)},),
            ({},),
        ],
        "contributions": [*matrices],
        "lost": [
            (hostile.lost,),
            ({f"{HOSTILE}{i}": decay for i in range(20)},),
            ({"W": np.array([1.0, 0.0])},),
            ({},),
        ],
        "training_curves": [(history,), (perplexity,), (history[:1],), ([],)],
        "confusion": [
            ([HOSTILE, "b"], np.array([[3, 1], [0, 7]])),
            (list(map(str, range(40))), np.arange(1600).reshape(40, 40)),
            (["a"], np.zeros((1, 1), int)),
            ([], np.zeros((0, 0), int)),
        ],
        "reliability": [
            (extras["reliability"],),
            ([(0.0, 0.5, 0, None, None), (0.5, 1.0, 1, 1.0, 0.0)],),
            ([],),
        ],
        "transitions": [
            ([HOSTILE, "b"], random(2, 2), np.array([[True, False], [True, True]])),
            (["a"], np.array([[NAN]])),
            (["a", "b"], np.array([[-np.inf, 0], [0, 0]]), np.array([[False, True], [True, True]])),
            ([str(i) for i in range(70)], random(70, 70)),
        ],
        "probe": [({HOSTILE: (decay, decay / 2), "tag": (decay, decay * 0)},), ({},)],
        "horizon": [
            (extras["horizon"]["curves"], extras["horizon"]["found"]),
            ({"left": side}, {"left": (20, 4, 40)}),
            ({"left": side}, {}),
            ({}, {}),
        ],
        "probabilities": [
            (hostile.outputs, names),
            (every["classifier"].outputs, every["classifier"].tokens),
            ([], []),
        ],
        "spectral": [
            (hostile.places,),
            ([replace(p, radius=p.radius * NAN, jacobian=p.jacobian * NAN) for p in hostile.places],),
            ([],),
        ],
        "attribution": [*matrices],
        "alignment": [*matrices],
        "arcs": [(np.clip(np.abs(values), 0, 1), *names) for values, *names in matrices],
        **{
            name: [(np.abs(values), values, *names[:2]) for values, *names in matrices]
            for name in ("written", "written_gradient")
        },
        "accuracy_by_length": [
            ({HOSTILE: {2: 1.0, 9: 0.5, 20: 0.0}, "attention": {2: 1.0}},),
            ({"none": {}},),
            ({},),
        ],
        "learning_curve": [
            ([10, 30, 100], {HOSTILE: rising, "b": rising / 2}, off(-9), off(9), "training sentences", "accuracy in %"),
            ([100, 101, 102, 12544], {"a": np.array([NAN, 1, 2, NAN])}, none, none, "lines", "perplexity"),
            ([7], {"a": np.array([0.5])}, {"a": np.array([NAN])}, {"a": np.array([0.7])}, "texts", "F1"),
            (
                [1, 2],
                {str(i): np.array([i, i + 0.5]) for i in range(12)},
                *2 * [{str(i): NAN * rising for i in range(12)}],
                "x",
                "y",
            ),
            ([5], {"a": np.array([NAN])}, {"a": np.array([NAN])}, {"a": np.array([NAN])}, "texts", "F1"),
        ],
    }


EXAMPLES = examples()
CASES = [(name, i) for name in FIGURES for i in range(len(EXAMPLES.get(name, ())) or 1)]
case = pytest.mark.parametrize(("name", "i"), CASES, ids=[f"{name}-{i}" for name, i in CASES])


def draw(name, i=0, **more) -> Figure:
    assert name in EXAMPLES, f"the figure {name!r} has no example in this test"
    return figure(name)(*EXAMPLES[name][i], **more)


def of(drawing, kind, **data):
    """The marks of a kind whose data has these values; None: any value."""
    return [
        mark
        for mark in drawing.marks
        if isinstance(mark, kind) and all(k in mark.data and v in (None, mark.data[k]) for k, v in data.items())
    ]


def bounds(mark):
    """left, top, right, bottom; of a text by the guess that the layout goes by."""
    if isinstance(mark, Rect | Raster):
        return mark.x, mark.y, mark.x + mark.w, mark.y + mark.h
    if isinstance(mark, Circle):
        return mark.x - mark.r, mark.y - mark.r, mark.x + mark.r, mark.y + mark.r
    if isinstance(mark, Line):
        xs, ys = zip(*mark.points, *(mark.head() if mark.arrow else ()), strict=True)
        return min(xs), min(ys), max(xs), max(ys)
    assert isinstance(mark, Text)
    long = width(mark.text, mark.size, bold=mark.bold, mono=mark.mono)
    start = {"start": 0.0, "middle": -long / 2, "end": -long}[mark.anchor]
    half = mark.size / 2
    if mark.rotate == -90:
        return mark.x - half, mark.y - start - long, mark.x + half, mark.y - start
    assert mark.rotate == 0
    return mark.x + start, mark.y - half, mark.x + start + long, mark.y + half


def apart(a, b):
    return a[2] <= b[0] + 0.01 or b[2] <= a[0] + 0.01 or a[3] <= b[1] + 0.01 or b[3] <= a[1] + 0.01


# Every figure


def test_every_row_has_an_example_and_every_extra_a_row():
    assert set(EXAMPLES) == set(FIGURES)
    drawn = {name for names in EXTRAS.values() for name in names}
    assert drawn <= set(FIGURES) and set(EXTRAS) == set(views.extras())


@case
def test_svg_is_sound(name, i):
    drawing = draw(name, i)
    svg = drawing.svg()
    svg.encode("utf-8")
    root = ElementTree.fromstring(svg)
    assert root.tag == f"{SVG}svg" and root.get("aria-label") == clean(drawing.title)
    assert root.find(f"{SVG}title").text == clean(drawing.title)
    assert root.find(f"{SVG}desc").text == clean(drawing.description) and drawing.description.endswith(".")
    assert root.get("viewBox") == f"0 0 {root.get('width')} {root.get('height')}"
    assert {element.tag for element in root.iter()} <= {
        SVG + tag for tag in ("svg", "title", "desc", "rect", "circle", "path", "polygon", "text", "image")
    }
    focusable = any(element.get("tabindex") for element in root.iter())
    assert root.get("role") == ("group" if focusable else "img")
    for element in root.iter():
        for key, value in element.attrib.items():
            if not key.startswith(("data-", "aria-")):
                assert not re.search(r"(?i)\b(nan|inf|none)\b", value.replace('fill="none"', "")) or value == "none", (
                    key,
                    value,
                )
        assert not element.get("tabindex") or element.get("aria-label")
    for used, light in re.findall(r"var\(--(\w+), (#\w+)\)", svg):
        assert PALETTE[used] == light


@case
def test_everything_is_inside_the_picture(name, i):
    drawing = draw(name, i)
    for mark in drawing.marks:
        left, top, right, bottom = bounds(mark)
        inside = left >= -0.5 and top >= -0.5 and right <= drawing.width + 0.5 and bottom <= drawing.height + 0.5
        assert inside, (mark, drawing.width, drawing.height)


@case
def test_texts_do_not_lie_on_each_other(name, i):
    texts = [mark for mark in draw(name, i).marks if isinstance(mark, Text) and mark.text]
    for a, b in itertools.combinations(texts, 2):
        if abs(a.x - b.x) < 300 and abs(a.y - b.y) < 20:
            # Letters of two lines may come as near as the guess of their width and height is rough.
            (al, at, ar, ab), (bl, bt, br, bb) = bounds(a), bounds(b)
            overlap = min(ar, br) - max(al, bl), min(ab, bb) - max(at, bt)
            assert min(overlap) <= 1.5, (a, b)


@pytest.mark.parametrize("name", sorted(set(FIGURES) - {"reliability", "training_curves", "horizon"}))
def test_hostile_text_is_there_and_harmless(name):
    view, i = views.hostile(), {"compact": 2, "unrolled": 2, "lost": 1}.get(name, 0)
    if name == "spectral":
        drawing = figure(name)([replace(view.places[0], name=HOSTILE)])
    elif name == "compact":  # it shows no token
        drawing = figure(name)(replace(view, places=(replace(view.places[0], name=HOSTILE, cell=HOSTILE),)))
    else:
        drawing = draw(name, i)
    svg = drawing.svg()
    elements = list(ElementTree.fromstring(svg).iter())
    assert not any(key.startswith("on") for element in elements for key in element.attrib)
    assert "<script" not in svg and "\x07" not in svg and "\ud800" not in svg
    found = "".join(ElementTree.fromstring(svg).itertext())
    assert "<script>alert(" in found and "\\x07" in found and "\ufffd" in found


@pytest.mark.parametrize("name", FIGURES)
def test_png_is_as_large_as_it_should_be_and_not_blank(name, tmp_path):
    image = pytest.importorskip("PIL.Image", reason="PNGs are not tested: matplotlib, which brings Pillow, is missing")
    drawing = draw(name)
    drawing.png(tmp_path / "x.png", scale=1.0)
    with image.open(tmp_path / "x.png") as found:
        assert found.size == (math.floor(drawing.width + 1e-6), math.floor(drawing.height + 1e-6))
        pixels = np.asarray(found.convert("RGB"))
    assert (pixels[0, 0] == rgb("paper")).all()
    assert 0.003 < (pixels != rgb("paper")).any(-1).mean() < 0.9


@pytest.mark.filterwarnings("error")
def test_png_of_scripts_without_a_font_warns_of_nothing(tmp_path):
    pytest.importorskip("matplotlib", reason="PNGs are not tested: matplotlib is missing")
    Figure(60, 20, [Text(5, 10, "\U00012000 日本 $x$")], "t", "d.").png(tmp_path / "x.png")


def test_png_pixels_are_where_the_marks_are(tmp_path):
    image = pytest.importorskip("PIL.Image", reason="PNGs are not tested: matplotlib, which brings Pillow, is missing")
    cells = np.array([[[255, 0, 0, 255], [0, 255, 0, 255]]], np.uint8)
    marks = [Rect(10, 20, 30, 10, "series2"), Raster(60, 20, 20, 10, cells), Line(((0, 50), (90, 50)), "ink", 4)]
    Figure(100, 60, marks, "t", "d.").png(tmp_path / "x.png", scale=2)
    with image.open(tmp_path / "x.png") as found:
        pixels = np.asarray(found.convert("RGB"))
    assert pixels.shape == (120, 200, 3)
    for x, y, expected in (
        (25, 25, rgb("series2")),
        (9, 25, rgb("paper")),
        (41, 25, rgb("paper")),
        (65, 25, (255, 0, 0)),
        (75, 25, (0, 255, 0)),
        (65, 31, rgb("paper")),
        (45, 50, rgb("ink")),
        (95, 50, rgb("paper")),
    ):
        assert tuple(pixels[2 * y, 2 * x]) == expected, (x, y)


def test_png_without_matplotlib_names_the_extra(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(UsageError, match=r"pip install 'elman\[figures\]'"):
        Figure(10, 10, [], "t", "d.").png(tmp_path / "x.png")


def test_png_into_no_folder(tmp_path):
    pytest.importorskip("matplotlib", reason="PNGs are not tested: matplotlib is missing")
    with pytest.raises(ResourceError, match=r"cannot write .*none"):
        Figure(10, 10, [], "t", "d.").png(tmp_path / "none" / "x.png")


def test_unknown_names():
    with pytest.raises(UsageError, match="did you mean 'unrolled'"):
        figure("unroled")
    with pytest.raises(UsageError, match="did you mean 'probe'"):
        of_extra("prob", {})


@pytest.mark.parametrize("make", views.VIEWS.values(), ids=views.VIEWS)
def test_figures_of_a_view(make):
    view = make()
    found = figures_of(view)
    assert {"compact", "unrolled", "lost", "probabilities", "attribution", "gradient-by-distance"} <= set(found)
    for place in view.places:
        slug = place.name.replace(" ", "-")
        assert {f"states-{slug}", f"unit-{slug}", f"gradient-{slug}"} <= set(found)
        assert {f"gate-{gate}-{slug}" for gate in place.gates} <= set(found)
        assert {f"contributions-{name}-{slug}" for name in "WUb"} <= set(found)
    assert all(re.fullmatch(r"[\w-]+", name) for name in found)


def test_figures_of_extras_and_of_names_that_differ_in_capitals():
    view = views.everything()
    values = next(iter(view.contributions.values()))
    found = figures_of(replace(view, contributions={"u, p": values, "U, p": values * 2, "../x y": values}))
    assert {"history", "probe", "horizon", "confusion", "reliability", "transitions"} <= set(found)
    assert {"contributions-u-p", "contributions-U-p-2", "contributions-x-y"} <= set(found)
    assert len({name.casefold() for name in found}) == len(found)


def test_dark_and_light_have_the_same_names_and_letters_can_be_read():
    def luminance(name, palette):
        value = [int(palette[name][i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in value]
        return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    assert DARK.keys() == PALETTE.keys()
    for palette in (PALETTE, DARK):
        for name in ("ink", "muted", "forward", "backward", "accent", "warn"):
            a, b = sorted((luminance(name, palette), luminance("paper", palette)))
            assert (b + 0.05) / (a + 0.05) >= 4.5, name


# Marks and text


def test_a_raster_is_its_pixels():
    rgba = np.random.default_rng(0).integers(0, 256, (3, 5, 4), np.uint8)
    root = ElementTree.fromstring(Figure(9, 9, [Raster(0, 0, 5, 3, rgba)], "t", "d.").svg())
    address = root.find(f"{SVG}image").get("href")
    assert (decoded(base64.b64decode(address.removeprefix("data:image/png;base64,"))) == rgba).all()


def decoded(png):
    """The pixels of a PNG without filters."""
    at, parts = 8, {}
    while at < len(png):
        (size,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + size]
        assert struct.unpack(">I", png[at + 8 + size : at + 12 + size]) == (zlib.crc32(kind + data),)
        parts[kind], at = data, at + 12 + size
    cols, rows = struct.unpack(">II", parts[b"IHDR"][:8])
    lines = np.frombuffer(zlib.decompress(parts[b"IDAT"]), np.uint8).reshape(rows, 1 + 4 * cols)
    assert (lines[:, 0] == 0).all()
    return lines[:, 1:].reshape(rows, cols, 4)


def test_pillow_reads_our_png_too():
    image = pytest.importorskip("PIL.Image", reason="Pillow is missing")
    rgba = np.random.default_rng(1).integers(0, 256, (4, 2, 4), np.uint8)
    assert (np.asarray(image.open(io.BytesIO(encode_png(rgba)))) == rgba).all()


def test_a_mark_carries_data_title_and_focus():
    mark = Rect(1, 2, 3, 4, data={"step": 3, "place": 'a"<'}, title="x & y", focus=True)
    (rect,) = list(ElementTree.fromstring(Figure(9, 9, [mark], "t", "d.").svg()).iter(f"{SVG}rect"))[1:]
    assert rect.get("data-step") == "3" and rect.get("data-place") == 'a"<'
    assert (rect.get("tabindex"), rect.get("role"), rect.get("aria-label")) == ("0", "button", "x & y")
    assert rect.find(f"{SVG}title").text == "x & y"


@pytest.mark.parametrize("end", [(10.0, 0.0), (-10.0, 0.0), (0.0, 10.0), (3.0, -4.0)])
def test_an_arrow_points_at_its_end(end):
    tip, left, right = Line(((0.0, 0.0), end), arrow=True).head()
    middle = np.add(left, right) / 2
    way = np.subtract(tip, middle)
    assert tip == end and way @ np.array(end) == pytest.approx(np.linalg.norm(way) * np.linalg.norm(end))
    assert np.subtract(left, right) @ way == pytest.approx(0)


@given(st.text(st.characters(exclude_categories=())))
def test_any_text_makes_sound_xml(text):
    marks = [Text(1, 1, text, title=text, data={"token": text}), Text(1, 1, visible(text))]
    root = ElementTree.fromstring(Figure(9, 9, marks, text, text).svg().encode("utf-8"))
    first = next(root.iter(f"{SVG}text"))
    expected = clean(text)
    assert (first.find(f"{SVG}title").text if text else None) == (expected or None)
    assert "\n" not in visible(text) and visible(text)


def test_what_cannot_be_seen_is_shown():
    assert [visible(t) for t in ("\n", "\t", " ", "", "a b", "\x00", "\ud800")] == [
        "↵",
        "⇥",
        "␣",
        "∅",
        "a b",
        "\\x00",
        "\ufffd",
    ]


@given(st.text(min_size=1, max_size=40), st.floats(30, 200))
def test_a_cut_text_fits(text, room):
    shown, whole = fit(text, room, 12), visible(text)
    assert shown == whole or (shown.endswith("…") and whole.startswith(shown[:-1]) and len(shown) > 1)
    assert width(shown, 12) <= room or len(shown) == 2
    assert shown == whole or width(whole, 12) > room


def test_widths_of_scripts():
    assert width("日本", 10) == 20 and width("e\u0301", 10) == width("e", 10)


def test_numbers_for_people():
    found = [number(v) for v in (0, 0.03123, 1.5, 120, 12345, -0.5, 3.14e-7, 2e9)]
    assert found == ["0", "0.0312", "1.5", "120", "12345", "−0.5", "3.1e-7", "2.0e9"]


# Axes

finite = st.floats(-1e9, 1e9, allow_subnormal=False)


@given(st.lists(finite, min_size=1, max_size=20), st.booleans())
def test_a_linear_axis_holds_its_values_with_few_round_ticks(values, zero):
    axis = linear(values, 200, 20, zero=zero)
    for value in [*values, *([0] if zero else [])]:
        assert 20 - 1e-3 <= axis(value) <= 200 + 1e-3
        assert axis.value(axis(value)) == pytest.approx(value, abs=1e-6 * (axis.high - axis.low))
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 8
    steps = np.diff([value for value, _ in ticks])
    assert np.allclose(steps, steps[0])
    mantissa = steps[0] / 10.0 ** math.floor(math.log10(steps[0]) + 1e-9)
    assert min(abs(mantissa - m) for m in (1, 2, 5, 10)) < 1e-6
    for value, label in ticks:
        assert float(label.replace("−", "-")) == pytest.approx(value, abs=1e-3 * steps[0])
    assert len({label for _, label in ticks}) == len(ticks)


@given(st.lists(st.floats(1e-250, 1e100), min_size=1, max_size=20))
def test_a_logarithmic_axis_holds_its_values_between_decades(values):
    axis = logarithmic(values, 200, 20)
    for value in values:
        assert 20 - 1e-3 <= axis(value) <= 200 + 1e-3
        assert math.log10(axis.value(axis(value))) == pytest.approx(math.log10(value), abs=1e-6)
    ticks = axis.ticks()
    assert 2 <= len(ticks) <= 7 and all(math.log10(v) == pytest.approx(round(math.log10(v))) for v, _ in ticks)


def test_labels_of_decades():
    assert [label for _, label in Axis(1e-5, 1.0, 0, 1, True).ticks()] == ["10⁻⁵", "10⁻⁴", "0.001", "0.01", "0.1", "1"]
    assert [label for _, label in Axis(1e-12, 1e4, 0, 1, True).ticks(5)] == ["10⁻¹²", "10⁻⁸", "10⁻⁴", "1", "10⁴"]


def test_whole_ticks():
    assert [label for _, label in Axis(0, 3, 0, 100).ticks(8, whole=True)] == ["0", "1", "2", "3"]


@given(st.lists(st.floats(0, 200), min_size=1, max_size=12))
def test_labels_move_apart_and_stay_in_order(places):
    ends = [(Curve(str(i), np.zeros(1), np.zeros(1), "ink"), y) for i, y in enumerate(places)]
    found = [mark for mark in labels(ends, 0, 0, 200, 80) if isinstance(mark, Text)]
    ys = [mark.y for mark in found]
    assert all(b - a >= 14.99 for a, b in itertools.pairwise(ys)) and min(ys) >= 0 and max(ys) <= 200
    assert [places[int(mark.text)] for mark in found] == sorted(places)


@given(st.lists(st.one_of(st.floats(0.01, 100), st.just(NAN), st.just(0.0)), min_size=1, max_size=15), st.booleans())
def test_a_plotted_line_is_its_data(values, log):
    ys = np.array(values)
    marks, x, y = plot([Curve("a", np.arange(len(ys)), ys, "ink")], Box(50, 20, 300, 200), "", "", log=log)
    drawn = [p for m in marks if isinstance(m, Line) and m.data.get("name") == "a" for p in m.points]
    drawn += [(m.x, m.y) for m in marks if isinstance(m, Circle) and m.data.get("name") == "a"]
    expected = [(i, v) for i, v in enumerate(values) if math.isfinite(v) and (v > 0 or not log)]
    found = sorted((x.value(px), y.value(py)) for px, py in drawn)
    assert np.array(found).ravel() == pytest.approx(np.array(expected, float).ravel(), rel=1e-6, abs=1e-6)
    for mark in marks:  # no line leads over a gap
        if isinstance(mark, Line) and mark.data.get("name") == "a":
            assert np.diff([x.value(px) for px, _ in mark.points]) == pytest.approx(1)


# Heat maps and coloured text


@given(st.integers(0, 6), st.integers(0, 5), st.integers(0, 99), st.booleans())
def test_heat_is_alpha_by_size_and_hue_by_sign(T, U, seed, signed):
    values = random(T, U, seed=seed) if signed else 3 * np.abs(random(T, U, seed=seed))
    rasters = of(
        figure("heat")(values, ["w"] * T, "t", signed=signed, place="p", name="f"), Raster, place="p", name="f"
    )
    assert len(rasters) == (T * U > 0)
    if not rasters:
        return
    largest = max((abs(v) for v in values.ravel()), default=0)
    scale = largest if signed or not 0.25 <= largest <= 1 else 1
    for t, u in itertools.product(range(T), range(U)):
        *hue, alpha = rasters[0].rgba[u, t].tolist()
        assert abs(alpha - 255 * abs(values[t, u]) / scale) <= 0.5 + 1e-9
        assert tuple(hue) == rgb("negative" if values[t, u] < 0 else "positive")


def test_heat_of_shares_is_drawn_against_one_and_of_nothing_is_clear():
    (raster,) = of(figure("heat")(np.array([[0.5, 0.25]]), ["a"], "t", signed=False, name="f"), Raster, name="f")
    assert raster.rgba[:, 0, 3].tolist() == [128, 64]
    (raster,) = of(figure("heat")(np.array([[NAN, 0.0]]), ["a"], "t", name="f"), Raster, name="f")
    assert raster.rgba[..., 3].tolist() == [[0], [0]]


def test_heat_and_unrolled_have_the_same_columns():
    view = views.ordinary()
    graph, heat = draw("unrolled"), figure("heat")(view.places[0].states["h"], view.tokens, "t", name="h")
    graph = figure("unrolled")(view)
    (raster,) = of(heat, Raster, name="h")
    for step in range(len(view.tokens)):
        (above,), (below,) = ([m for m in of(d, Text, step=step) if "output" not in m.data] for d in (heat, graph))
        assert above.x == below.x and above.text == below.text
        assert above.x == pytest.approx(raster.x + (step + 0.5) * raster.w / len(view.tokens))
    assert columns(view.tokens).width >= 44


def test_heat_legend_has_the_scale():
    texts = [m.text for m in figure("heat")(np.array([[0.5, -2.0]]), ["a"], "t").marks if isinstance(m, Text)]
    assert {"−2", "2"} <= set(texts)


def test_coloured_text_is_opacity_by_size_in_order():
    values = np.array([1.0, -2.0, 0.0, NAN, 0.5] * 12)
    drawing = figure("coloured_text")([f"w{i}" for i in range(60)], values, "t")
    boxes = of(drawing, Rect, step=None)
    assert [box.data["step"] for box in boxes] == list(range(60))
    strongest = boxes[1].opacity
    for box, value in zip(boxes, values, strict=True):
        assert box.opacity == pytest.approx(0 if math.isnan(value) else strongest * abs(value) / 2)
        assert math.isnan(value) or value == 0 or box.fill == ("negative" if value < 0 else "positive")
    places = [(box.y, box.x) for box in boxes]
    assert places == sorted(places) and len({y for y, _ in places}) > 1
    assert all(apart(bounds(a), bounds(b)) for a, b in itertools.combinations(boxes, 2))


@pytest.mark.parametrize("name", ["heat", "coloured_text", "contributions", "attribution", "confusion", "transitions"])
def test_shapes_that_do_not_fit_are_refused(name):
    arguments = {
        "heat": (np.zeros((3, 2)), ["a"], "t"),
        "coloured_text": (["a"], np.zeros(2), "t"),
        "confusion": (["a"], np.zeros((2, 2), int)),
        "transitions": (["a", "b"], np.zeros((2, 2)), np.ones((1, 1), bool)),
    }.get(name, (np.zeros((2, 2)), ["a"], ["b", "c"], "t"))
    with pytest.raises(UsageError, match=f"{name}: expected .*found"):
        figure(name)(*arguments)


# The graph


@pytest.mark.parametrize("make", views.VIEWS.values(), ids=views.VIEWS)
def test_unrolled_has_a_cell_for_each_place_and_step_and_arrows_the_right_way(make):
    view = make()
    drawing, T = figure("unrolled")(view), len(view.tokens)
    cells = {(m.data["place"], m.data["step"]): m for m in of(drawing, Rect, place=None, step=None)}
    assert set(cells) == {(p.name, t) for p in view.places for t in range(T)} and all(m.focus for m in cells.values())
    for place in view.places:
        xs = [cells[place.name, t].x for t in range(T)]
        assert xs == sorted(xs) and len({cells[place.name, t].y for t in range(T)}) == 1
        chain = of(drawing, Line, place=place.name, chain=None)
        assert [m.data["step"] for m in chain] == list(range(T)) and all(m.arrow for m in chain)
        for arrow in chain:
            (start, y), (end, _) = arrow.points
            t = arrow.data["step"]
            cell, before = cells[place.name, t], cells.get((place.name, t + 1 if place.reverse else t - 1))
            assert (end < start) == place.reverse and cell.y < y < cell.y + cell.h
            assert end == pytest.approx(cell.x + cell.w if place.reverse else cell.x)
            if before:
                assert start == pytest.approx(before.x if place.reverse else before.x + before.w)
    ys = {place.name: cells[place.name, 0].y for place in view.places}
    assert [p.name for p in view.places] == sorted(ys, key=lambda name: -ys[name])  # from the lowest up
    outputs = {m.data["output"]: m for m in of(drawing, Circle, output=None)}
    assert {j: m.data.get("step") for j, m in outputs.items()} == {j: o.step for j, o in enumerate(view.outputs)}
    for j, output in enumerate(view.outputs):
        if output.step is not None:
            (token,) = [m for m in of(drawing, Text, step=output.step) if "output" not in m.data]
            assert outputs[j].x == token.x and outputs[j].y < min(ys.values())


@pytest.mark.parametrize("make", [*views.VIEWS.values(), lambda: skipping()], ids=[*views.VIEWS, "skipping"])
def test_unrolled_wires_go_through_no_cell_and_no_text(make):
    view = make()
    drawing = figure("unrolled")(view)
    cells = [bounds(m) for m in of(drawing, Rect, place=None, step=None)]
    assert all(apart(a, b) for a, b in itertools.pairwise(sorted(cells)))
    texts = [bounds(m) for m in drawing.marks if isinstance(m, Text) and m.text]
    boxes = np.array(cells + texts) + np.array([0.5, 0.5, -0.5, -0.5])  # a wire may touch an edge
    for mark in drawing.marks:
        if isinstance(mark, Line):
            for (ax, ay), (bx, by) in itertools.pairwise(mark.points):
                assert ax == bx or ay == by  # so that the box of a piece is the piece
                low, high = (min(ax, bx), min(ay, by)), (max(ax, bx), max(ay, by))
                hit = (boxes[:, :2] < high).all(1) & (boxes[:, 2:] > low).all(1)
                assert not hit.any(), (mark, boxes[hit])


def skipping():
    """Three layers, the third of which reads the first too, and whose directions read apart."""
    view = views.view(views.WORDS, layers=3, both=True)
    third = [
        replace(p, below=(f"layer 1 {w}", f"layer 2 {w}"))
        for p, w in zip(view.places[4:], ("forward", "backward"), strict=True)
    ]
    return replace(view, places=(*view.places[:4], *third))


def test_every_cell_is_wired_to_what_it_reads():
    """Followed through the drawing: from a cell's lower edge, along wires that touch, to the cells and tokens below."""
    for view in (views.ordinary(), views.causal(), skipping()):
        drawing = figure("unrolled")(view)
        cells = {(m.data["place"], m.data["step"]): m for m in of(drawing, Rect, place=None, step=None)}
        below = {place.name: set(place.below) for place in view.places}
        for wire_end, cell in cells.items():
            place, step = wire_end
            wires = [m.points for m in drawing.marks if isinstance(m, Line) and m.stroke == "muted"]
            middle, bottom = cell.x + cell.w / 2, cell.y + cell.h
            (last,) = [p for p in wires if p[-1] == pytest.approx((middle, bottom))]
            ending = [p for p in wires if p[-1] == pytest.approx(last[0])]
            starts = [p[0] for p in ending]
            found = {
                name
                for (name, t), m in cells.items()
                if t == step and any(s == pytest.approx((m.x + m.w / 2, m.y)) for s in starts)
            }
            assert found == below[place], (place, step)


@pytest.mark.parametrize("make", views.VIEWS.values(), ids=views.VIEWS)
def test_compact_has_a_box_and_a_delay_a_place(make):
    view = make()
    drawing = figure("compact")(view)
    boxes = {m.data["place"]: m for m in of(drawing, Rect, place=None)}
    assert list(boxes) == [p.name for p in view.places]
    delays = [m for m in drawing.marks if isinstance(m, Rect) and m.title.startswith("the delay")]
    assert len(delays) == len(view.places) and all(m.fill == "ink" for m in delays)
    for place, delay in zip(view.places, delays, strict=True):
        box = boxes[place.name]
        assert (delay.x > box.x + box.w) == place.reverse and (delay.x + delay.w < box.x) != place.reverse
        (loop,) = [
            m
            for m in drawing.marks
            if isinstance(m, Line)
            and m.arrow
            and len(m.points) == 4
            and m.points[0][1] == box.y + box.h / 2 - 18
            and (m.points[0][0] in (box.x, box.x + box.w))
        ]
        assert loop.points[-1][0] == loop.points[0][0]  # it comes back to its box
        assert min(x for x, _ in loop.points) <= delay.x + 6 <= max(x for x, _ in loop.points)
    texts = [m.text for m in drawing.marks if isinstance(m, Text)]
    assert sum(t in {p.cell for p in view.places} for t in texts) == len(view.places)
    assert {"x", "o", "L", "y"} <= set(texts)


def test_a_final_state_is_read_at_the_ends():
    view = views.classifier()
    for pooling, expected in (("final", {("layer 1 forward", 11), ("layer 1 backward", 0)}), ("max", None)):
        drawing = figure("unrolled")(replace(view, about={"pooling": pooling}))
        cells = {(m.data["place"], m.data["step"]): m for m in of(drawing, Rect, place=None, step=None)}
        starts = [m.points[0] for m in drawing.marks if isinstance(m, Line) and m.stroke == "muted"]
        read = {key for key, m in cells.items() if any(s == pytest.approx((m.x + m.w / 2, m.y)) for s in starts)}
        assert read == (expected or set(cells))


# Matrices


@given(st.integers(1, 9), st.integers(0, 12), st.integers(0, 99))
def test_a_truncation_takes_exactly_what_is_k_or_more_away(T, k, seed):
    values = np.abs(random(T, T, seed=seed)) + 0.5
    drawing = figure("contributions")(values, ["w"] * T, ["o"] * T, "t", truncation=k)
    (raster,) = of(drawing, Raster, rows=T, cols=T)
    for j, i in itertools.product(range(T), range(T)):
        assert (raster.rgba[j, i, 3] > 0) == (abs(i - j) < k)
    share = sum(values[j, i] for j in range(T) for i in range(T) if abs(i - j) < k) / values.sum()
    assert f"is {share:.1%} of" in drawing.description
    cell = raster.w / T
    for edge in of(drawing, Line, edge=None):  # each vertical piece parts a cell that is kept from one that is not
        for (ax, ay), (bx, by) in itertools.pairwise(edge.points):
            if ax == bx:
                i, j = round((ax - raster.x) / cell), round((min(ay, by) - raster.y) / cell)
                assert (raster.rgba[j, i - 1, 3] > 0) != (raster.rgba[j, i, 3] > 0)


def test_contributions_are_logarithmic_over_the_decades_that_the_legend_says():
    values = np.array([[1.0, 10.0**-1, 10.0 ** (-DECADES / 2), 10.0**-DECADES, 10.0 ** (-DECADES - 3), 0.0, NAN]])
    drawing = figure("contributions")(values, list("abcdefg"), ["o"], "t")
    (raster,) = of(drawing, Raster, rows=1, cols=7)
    assert raster.rgba[0, :, 3].tolist() == [255, round(255 * (1 - 1 / DECADES)), 128, 0, 0, 0, 0]
    texts = [m.text for m in drawing.marks if isinstance(m, Text)]
    assert {"1", number(10.0**-DECADES), "logarithmic"} <= set(texts)


def test_an_output_of_the_whole_text_stands_at_its_end_and_others_where_they_are():
    ones = np.ones((1, 5))
    (raster,) = of(figure("contributions")(ones, ["w"] * 5, ["o"], "t", truncation=2), Raster, rows=1)
    assert (raster.rgba[0, :, 3] > 0).tolist() == [False, False, False, True, True]
    drawing = figure("contributions")(np.ones((2, 5)), ["w"] * 5, ["o"] * 2, "t", truncation=2, steps=[1, None])
    (raster,) = of(drawing, Raster, rows=2)
    assert (raster.rgba[..., 3] > 0).tolist() == [[True, True, True, False, False], [False, False, False, True, True]]


def test_attribution_is_signed():
    values = np.array([[1.0, -0.5], [NAN, 0.0]])
    (raster,) = of(figure("attribution")(values, ["a", "b"], ["c", "d"], "t"), Raster, rows=2)
    assert (raster.rgba == ramp(values, 1.0)).all() and raster.rgba[..., 3].tolist() == [[255, 128], [0, 0]]
    assert tuple(raster.rgba[0, 1, :3]) == rgb("negative")


@given(st.integers(1, 9), st.integers(1, 9), st.integers(0, 99))
def test_confusion_shows_the_labels_most_confused_with_their_counts(K, limit, seed):
    counts = np.random.default_rng(seed).integers(0, 50, (K, K))
    labels = [f"l{k}" for k in range(K)]
    drawing = figure("confusion")(labels, counts, limit=limit)
    wrong = {k: sum(counts[k, j] + counts[j, k] for j in range(K) if j != k) for k in range(K)}
    cells = {(m.data["row"], m.data["col"]): m for m in of(drawing, Rect, row=None, col=None)}
    n = min(K, limit)
    assert set(cells) == set(itertools.product(range(n), range(n)))
    shown = []
    for row in range(n):
        words = cells[row, row].title
        gold, called = re.fullmatch(r"\d+ of (l\d) predicted as (l\d) \([\d.]+%\)", words).groups()
        assert gold == called  # the diagonal
        shown.append(int(gold[1:]))
    if limit >= K:
        assert shown == list(range(K)) and drawing.title == "confusion matrix"
    else:
        assert f"{K - limit} left out" in drawing.title
        assert min(wrong[k] for k in shown) >= max((wrong[k] for k in range(K) if k not in shown), default=0)
    for (row, col), mark in cells.items():
        gold, predicted = shown[row], shown[col]
        share = counts[gold, predicted] / max(counts[gold].sum(), 1)
        assert mark.title == f"{counts[gold, predicted]} of l{gold} predicted as l{predicted} ({share:.1%})"
        assert mark.opacity == pytest.approx(0.7 * share) and mark.fill == ("positive" if row == col else "negative")
    if limit >= K:
        numbers = [int(m.text) for m in drawing.marks if isinstance(m, Text) and m.text.isdigit()]
        assert sum(numbers) == counts.sum()  # every number is in its cell
    assert drawing.description.startswith(f"{np.trace(counts)} of {counts.sum()} right")


def test_transitions_cross_out_what_is_forbidden():
    legal = np.array([[True, False, True], [True, True, True], [False, True, False]])
    scores = np.array([[1.0, 99.0, -2.0], [0.5, 0.0, 1.0], [-99.0, 1.0, NAN]])
    drawing = figure("transitions")(["a", "b", "c"], scores, legal)
    cells = {(m.data["row"], m.data["col"]): m for m in of(drawing, Rect, row=None, col=None)}
    (legend,) = of(drawing, Raster)
    assert legend.rgba[0, [0, -1], 3].tolist() == [round(255 * 0.7)] * 2  # as strong as the cells
    crosses = [m for m in drawing.marks if isinstance(m, Line) and m.stroke == "muted"]
    crossed = {
        key
        for key, m in cells.items()
        if sum(all(m.x < x < m.x + m.w and m.y < y < m.y + m.h for x, y in line.points) for line in crosses) == 2
    }
    assert crossed == {(0, 1), (2, 0), (2, 2)} and len(crosses) == 6
    for (i, j), mark in cells.items():
        if legal[i, j]:
            assert mark.opacity == pytest.approx(0.7 * abs(scores[i, j]) / 2)  # what is forbidden sets no scale
            assert mark.fill == ("negative" if scores[i, j] < 0 else "positive")


# Curves and bars


def test_gradient_by_distance_is_its_numbers():
    curves = {"Elman": 0.3 ** np.arange(9), "LSTM": 0.9 ** np.arange(9)}
    drawing = figure("gradient_by_distance")(curves)
    found = {name: of(drawing, Line, name=name)[0].points for name in curves}
    top, bottom = (min(y for p in found.values() for _, y in p), max(y for p in found.values() for _, y in p))
    per_decade = (bottom - top) / -math.log10(0.3**8)
    for name, rate in (("Elman", 0.3), ("LSTM", 0.9)):  # a constant rate is a straight line of that slope
        falls = np.diff([y for _, y in found[name]])
        assert falls == pytest.approx(-math.log10(rate) * per_decade, rel=1e-6)
    texts = [m.text for m in drawing.marks if isinstance(m, Text)]
    assert {"Elman", "LSTM", "1", "0.001"} <= set(texts)


def test_lost_names_the_eight_that_lose_most_and_counts_the_rest():
    lost = {f"W{i}": np.array([1.0, i / 20, 0.0]) for i in range(11)}
    drawing = figure("lost")(lost)
    texts = [m.text for m in drawing.marks if isinstance(m, Text)]
    assert {t for t in texts if t.startswith("W")} == {f"W{i}" for i in range(3, 11)} and "grey: 3 more" in texts
    assert {m.data["name"] for m in of(drawing, Line, name=None)} == set(lost)


def test_training_curves_mark_the_best_epoch_of_what_training_goes_by():
    history = [
        {"epoch": e, "loss": 1 / e, "dev": {"accuracy": a, "f1": f}}
        for e, a, f in ((1, 0.5, 0.9), (2, 0.9, 0.4), (3, 0.9, 0.5))
    ]
    for metric, expected in ((None, 1), ("accuracy", 2)):
        marks = of(figure("training_curves")(history, metric=metric), Line, best=None)
        assert len(marks) == 2 and {m.data["best"] for m in marks} == {expected}
    losses = of(figure("training_curves")(history), Line, name="loss")[0].points
    ys = [y for _, y in losses]  # 1, 1/2, 1/3
    assert (ys[2] - ys[0]) / (ys[1] - ys[0]) == pytest.approx((1 - 1 / 3) / (1 - 1 / 2))


def test_perplexity_has_its_own_panel_and_the_likelihood_says_which_is_best():
    drawing = draw("training_curves", 1)
    headings = [m.text for m in drawing.marks if isinstance(m, Text) and m.bold]
    assert headings == ["training", "training loss", "dev perplexity", "dev log_likelihood"]
    assert {m.data["best"] for m in of(drawing, Line, best=None)} == {3}


def test_reliability_is_its_bins():
    bins = [(0.0, 0.5, 10, 0.4, 0.2), (0.5, 1.0, 30, 0.9, 1.0)]
    drawing = figure("reliability")(bins)
    error = (10 * abs(0.4 - 0.2) + 30 * abs(0.9 - 1.0)) / 40
    assert drawing.title == f"reliability: expected calibration error {error:.3f}"
    low, high = of(drawing, Rect, count=None)
    assert low.h / high.h == pytest.approx(0.2 / 1.0) and low.y + low.h == high.y + high.h
    gaps = [m for m in drawing.marks if isinstance(m, Rect) and m.fill == "warn" and m.stroke]
    assert [g.h / high.h for g in gaps] == pytest.approx([0.2, 0.1])
    counts = [m for m in drawing.marks if isinstance(m, Rect) and m.fill == "muted"]
    assert counts[1].h / counts[0].h == pytest.approx(3)


def test_reliability_takes_the_bins_of_a_score():
    metric = importlib.import_module("elman.metrics.classification")
    bins = [metric.Bin(0.0, 0.5, 0, None, None), metric.Bin(0.5, 1.0, 4, 0.75, 0.5)]
    assert figure("reliability")(bins).title.endswith("0.250")


def test_probe_has_its_control_dashed():
    drawing = figure("probe")({"word": (np.array([1.0, 0.5]), np.array([0.1, 0.2]))})
    (line,), (control,) = of(drawing, Line, name="word"), of(drawing, Line, name="word, shuffled")
    assert not line.dash and control.dash and line.stroke == control.stroke
    rise, fall = control.points[1][1] - control.points[0][1], line.points[1][1] - line.points[0][1]
    assert rise / fall == pytest.approx(0.1 / -0.5)


def test_horizon_has_its_line_and_band():
    side = {"loss": np.array([4.0, 3, 2, 1, 1]), "gradient": np.array([0.5, 0.2, 0.1, 0.1, 0.1])}
    drawing = figure("horizon")({"left": side}, {"left": (2, 1, 3)})
    curves, lines = of(drawing, Line, name="left"), of(drawing, Line, horizon=None)
    curves = [m for m in curves if "horizon" not in m.data]
    bands = [m for m in drawing.marks if isinstance(m, Rect) and m.opacity == 0.12]
    assert len(curves) == len(lines) == len(bands) == 2
    for curve, line, band in zip(curves, lines, bands, strict=True):
        xs = [x for x, _ in curve.points]
        assert line.points[0][0] == pytest.approx(xs[2])
        assert (band.x, band.x + band.w) == pytest.approx((xs[1], xs[3]))


def test_spectral_has_a_line_at_one():
    (place, *_) = views.causal().places
    place = replace(place, radius=np.full(len(place.radius), 1.0))
    drawing = figure("spectral")([place])
    (line,) = of(drawing, Line, name=place.name)
    (one,) = [m for m in drawing.marks if isinstance(m, Line) and m.title.startswith("1:")]
    assert all(y == pytest.approx(one.points[0][1]) for _, y in line.points)
    (norm,) = of(drawing, Line, name=f"{place.name}, norm")
    assert norm.dash and norm.stroke == line.stroke


def test_accuracy_by_length_is_its_numbers_and_marks_what_training_had():
    drawing = figure("accuracy_by_length")({"none": {2: 1.0, 4: 0.5, 8: 0.25}}, known=6)
    (line,), (known,) = of(drawing, Line, name="none"), [m for m in drawing.marks if getattr(m, "dash", ()) == (5, 3)]
    (x2, y2), (x4, y4), (x8, y8) = line.points
    assert (x8 - x4) / (x4 - x2) == pytest.approx(2) and (y4 - y2) / (y8 - y2) == pytest.approx(2 / 3)
    assert known.points[0][0] == pytest.approx((x4 + x8) / 2)


def test_an_alignment_is_a_matrix_and_arcs_as_strong_as_its_weights():
    weights = np.array([[0.9, 0.1, 0.0], [0.04, 0.0, 0.96]])
    (raster,) = of(figure("alignment")(weights, list("abc"), ["x", "y"], what="w"), Raster, rows=2, cols=3)
    assert raster.rgba[..., 3].tolist() == np.rint(255 * weights).astype(int).tolist()
    drawing = figure("arcs")(weights, list("abc"), ["x", "y"])
    names = {key: {m.data[key]: m.x for m in of(drawing, Text, **{key: None})} for key in ("step", "output")}
    assert list(names["step"]) == [0, 1, 2] and list(names["output"]) == [0, 1]
    lines = {(m.data["output"], m.data["step"]): m for m in of(drawing, Line, step=None, output=None)}
    assert set(lines) == {(0, 0), (0, 1), (1, 2)}  # 0.04 is too faint
    for (j, i), line in lines.items():
        assert line.opacity == weights[j, i]
        assert [x for x, _ in line.points] == [names["step"][i], names["output"][j]]
        assert line.points[0][1] < line.points[1][1]  # the source is above


def test_what_is_written_is_signed_and_its_gradient_logarithmic_and_neither_has_steps():
    gradient, drove = np.array([[1.0, 0.0], [0.1, 0.5]]), np.array([[0.2, 0.0], [-0.4, 0.1]])
    for name, alpha in (("written", [128, 0, 255, 64]), ("written_gradient", [255, 0, 255 * (1 - 1 / DECADES), None])):
        drawing = figure(name)(gradient, drove, ["</s>", "x"], ["x", "</s>"])
        (raster,) = of(drawing, Raster, rows=2, cols=2)
        for found, wanted in zip(raster.rgba[..., 3].ravel().tolist(), alpha, strict=True):
            assert wanted is None or abs(found - wanted) <= 1, name
        assert not of(drawing, Text, step=None) and len(of(drawing, Text, read=None)) == 2


def test_a_sequence_that_is_written_has_columns_of_its_own():
    view = views.view(views.WORDS[:4], layers=1, tags=("a", "b"), seed=2)
    outputs = tuple(replace(output, step=None) for output in (*view.outputs, *view.outputs))
    for attention, bottom in (("general", 4), ("none", 1)):
        drawing = figure("unrolled")(replace(view, outputs=outputs, about={"attention": attention}))
        nodes = {m.data["output"]: m for m in of(drawing, Circle, output=None)}
        xs = [nodes[j].x for j in range(8)]
        assert np.allclose(np.diff(xs), xs[1] - xs[0]) and xs[1] > xs[0] and drawing.width > xs[-1]
        chain = of(drawing, Line, chain="decoder")
        assert [(round(m.points[0][0] - 7), round(m.points[1][0] + 7)) for m in chain] == [
            (round(a), round(b)) for a, b in itertools.pairwise(xs)
        ]
        cells = {(m.data["place"], m.data["step"]): m for m in of(drawing, Rect, place=None, step=None)}
        starts = [m.points[0] for m in drawing.marks if isinstance(m, Line) and m.stroke == "muted"]
        read = {key for key, m in cells.items() if any(s == pytest.approx((m.x + m.w / 2, m.y)) for s in starts)}
        assert len(read) == 2 * bottom


def test_probabilities_are_bars_of_their_length():
    view = views.ordinary()
    drawing = figure("probabilities")(view.outputs, view.tokens)
    cards = of(drawing, Rect, output=None)
    assert [m.data["output"] for m in cards] == list(range(len(view.outputs))) and all(m.focus for m in cards)
    bars = of(drawing, Rect, answer=None)
    answers = [(p, a == o.target) for o in view.outputs for a, p in o.top]
    longest = max(m.w for m in bars) / max(p for p, _ in answers)
    for bar, (p, target) in zip(bars, answers, strict=True):
        assert bar.w == pytest.approx(longest * p) and (bar.fill == "series3") == target
