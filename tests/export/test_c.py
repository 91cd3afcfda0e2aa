"""A model as a C program answers as in Python: every kind of model, hostile texts, damaged files."""

from __future__ import annotations

import math
import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import exported_models as small
import pytest
import torch

from elman.errors import UsageError
from elman.export import export
from elman.export.c.pieces import needed
from elman.export.c.program import program
from elman.recurrent.kernels.operations import OPERATIONS
from elman.text.pair import Pair

pytestmark = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler (cc)")

HERE = Path(__file__).parent
STRICT = ["-std=c11", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Werror"]
SANITIZED = ["-g", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("c")


def texts_of(name):
    """200 texts as lines, and the hostile ones; all models of a task read the same."""
    draw = small.random.Random(3)
    more = ["unseen", "MORE", "Σ", "42", "ﬁn", "e\u0301", "京"]
    return [" ".join(draw.choices([*small.WORDS, *more], k=draw.randrange(9))) for _ in range(200)] + small.HOSTILE


def built(folder: Path, name: str, *flags: str, weights="float32", embed=False) -> Path:
    """The program of a model, compiled once."""
    place = folder / "".join(c if c.isalnum() else "_" for c in f"{name} {weights} {embed}")
    program = place / ("program" + "".join(flags).replace("/", "_"))
    if not program.exists():
        if not (place / "model.c").exists():
            export(small.model(name), "c", place, weights=weights, embed=embed)
        compile_c(place, "-O1", "-DELMAN_MAIN", "model.c", *flags, "-o", program.name)
    return program


def compile_c(place: Path, *arguments: str) -> None:
    done = subprocess.run(["cc", *STRICT, *arguments, "-lm"], cwd=place, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[:2000]


def defines(name: str) -> list[str]:
    """What calling.c and fuzzing.c must know of a model."""
    plan = small.model(name).plan()
    labels = plan.target_symbols if plan.task == "seq2seq" else plan.answer.labels
    flags = [f"-DLABEL_COUNT={len(labels)}"]
    kind = {"tag": "TAGS", "classify": "LABELLED", "lm": "NEXT", "seq2seq": "REWRITING"}[plan.task]
    restarts = plan.task == "lm" and not plan.answer.carries
    return [*flags, f"-D{kind}", f"-DRESTARTS={int(restarts)}"]


def answers(program: Path, lines, *arguments: str) -> str:
    given = "".join(f"{line}\n" for line in lines).encode()
    done = subprocess.run([program, *arguments], input=given, cwd=program.parent, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()[:2000]
    return done.stdout.decode()


@pytest.mark.parametrize("name", [name for name in small.MODELS if name.startswith("tag")])
def test_a_tagger_gives_the_same_tags(name, folder):
    model, lines = small.model(name), texts_of(name)
    tagged = iter(model.predict([line.split() for line in lines if line.split()]))
    expected = []
    for line in lines:
        words = line.split()
        tags = next(tagged).tags if words else []
        expected.append("".join(f"{word}\t{tag}\n" for word, tag in zip(words, tags, strict=True)) + "\n")
    assert answers(built(folder, name), lines) == "".join(expected)


@pytest.mark.parametrize("name", [name for name in small.MODELS if name.startswith("classify")])
def test_a_classifier_gives_the_same_labels(name, folder):
    model, lines = small.model(name), texts_of(name)
    written = answers(built(folder, name), lines).split("\n")[:-1]
    for line, found, expected in zip(lines, written, model.predict(lines), strict=True):
        labels, chances = found.split("\t")
        assert labels == "|".join(expected.labels), line[:60]
        assert [float(p) for p in chances.split("|") if p] == pytest.approx(expected.chances, abs=1.1e-4), line[:60]


@pytest.mark.parametrize("name", [name for name in small.MODELS if name.startswith("lm")])
def test_a_language_model_gives_the_same_scores_and_samples(name, folder):
    model, lines = small.model(name), texts_of(name)
    program = built(folder, name)
    written = answers(program, lines).split("\n")[:-1]
    for line, found, expected in zip(lines, written, model.score(lines), strict=True):
        total, count, text = found.split("\t", 2)
        assert (text, int(count)) == (line, len(expected.tokens))
        assert float(total) == pytest.approx(expected.total, abs=1e-4 + 1e-5 * len(expected.tokens)), line[:60]
    prompt = "the Cat\nsees 2024"
    for seed, temperature in ((1, 1.0), (12345678901, 0.7), (0, 0)):
        asked = ["--sample", "80", "--seed", seed, "--temperature", temperature, "--prompt", prompt]
        drawn = prompt + "".join(model.sample(80, prompt=prompt, seed=seed, temperature=temperature))
        assert answers(program, [], *map(str, asked)) == drawn + ("" if drawn.endswith("\n") else "\n")


@pytest.mark.parametrize("name", [name for name in small.MODELS if name.startswith("seq2seq")])
def test_an_encoder_decoder_writes_the_same(name, folder):
    model, lines = small.model(name), [line[:60] for line in [*texts_of(name)[:30], *small.HOSTILE]]
    expected = [answer.text for answer in model.predict([Pair(line) for line in lines])]
    assert answers(built(folder, name), lines) == "".join(f"{text}\n" for text in expected)


@pytest.mark.parametrize("name", ["seq2seq, monotonic, features", "seq2seq, general, words", "seq2seq, fed"])
def test_an_encoder_decoder_reads_features_and_searches_by_beam(name, folder):
    model, lines = small.model(name), [line[:40] for line in texts_of(name)[:15]]
    place = built(folder, name).parent
    shutil.copy(HERE / "calling.c", place)
    compile_c(place, "-O0", *SANITIZED, *defines(name), "model.c", "calling.c", "-o", "calling")
    expected = []
    for beam, penalty in ((1, 0.0), (4, 0.0), (4, 0.7)):
        pairs = [Pair(line, None, ("PL", "new")) for line in lines]
        for prediction in model.predict(pairs, beam=beam, length_penalty=penalty):
            best = prediction.answers[0]
            expected.append((best.text, int(best.complete), best.log_probability))
    written = [line.split("\t") for line in answers(place / "calling", lines).split("\n")[:-1]]
    found = [row for k in range(3) for row in written if row[0] == str(k)]
    for row, (text, complete, log) in zip(found, expected, strict=True):
        assert (row[1], int(row[2])) == (text, complete)
        assert float(row[3]) == pytest.approx(log, abs=1e-4 * (len(text) + 1))


@pytest.mark.parametrize("weights", ["bfloat16", "int8"])
@pytest.mark.parametrize("name", ["tag, CRF", "classify, several, wide", "lm, tied", "seq2seq, additive"])
def test_smaller_weights_answer_nearly_the_same(name, weights, folder):
    lines = [line[:60] for line in texts_of(name)]
    whole, reduced = built(folder, name), built(folder, name, weights=weights)
    expected, found = answers(whole, lines).split("\n"), answers(reduced, lines).split("\n")
    assert (reduced.parent / "model.bin").stat().st_size < (whole.parent / "model.bin").stat().st_size
    if name.startswith("lm"):
        logs = [[float(line.split("\t")[0]) for line in lines if line] for lines in (expected, found)]
        assert sum(logs[1]) == pytest.approx(sum(logs[0]), rel=0.01)
        assert logs[0] != logs[1]
    else:
        assert sum(a != b for a, b in zip(expected, found, strict=False)) < 0.3 * len(expected)


@pytest.mark.parametrize("name", ["tag, scheme", "lm, characters", "seq2seq, general, words"])
def test_it_is_the_same_as_fast_as_can_be(name, folder):
    """With vectors, and products and sums in one rounding."""
    lines = [line[:60] for line in texts_of(name)]
    plain, fast = built(folder, name), built(folder, name, "-O3", "-march=native")
    expected, found = (answers(program, lines) for program in (plain, fast))
    if name.startswith("lm"):
        logs = [[float(line.split("\t")[0]) for line in text.split("\n")[:-1]] for text in (expected, found)]
        assert logs[0] == pytest.approx(logs[1], abs=1e-3)
    else:
        assert expected == found


def test_the_weights_can_be_inside(folder):
    lines = texts_of("tag, gru")
    inside = built(folder, "tag, gru", embed=True)
    assert not (inside.parent / "model.bin").exists()
    assert answers(inside, lines) == answers(built(folder, "tag, gru"), lines)


def test_a_foreign_file_and_faulty_lines_are_errors(folder):
    program = built(folder, "tag, gru")
    other = built(folder, "tag, lstm").parent / "model.bin"
    for path, given, said in (
        (other, b"", b"not the file of weights that belongs to this program"),
        ("nowhere", b"", b"cannot be read"),
        ("model.bin", b"fine\ncaf\xc3 \n", b"<stdin>:2: the text is not UTF-8"),
        ("model.bin", b"fine\n\nbad\rline\n", b"<stdin>:3: a carriage return"),
    ):
        done = subprocess.run([program, path], input=given, cwd=program.parent, capture_output=True)
        assert done.returncode == 3
        assert said in done.stderr
    marked = answers(program, ["\ufeffthe Cat", "dogs\r"])
    assert marked == answers(program, ["the Cat", "dogs"])


def test_what_cannot_be_written_is_refused(tmp_path):
    with pytest.raises(UsageError, match="expected weights float32, bfloat16, int8, found int4"):
        export(small.model("tag, lstm"), "c", tmp_path / "out", weights="int4")
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match="expected a folder, found a file"):
        export(small.model("tag, lstm"), "c", tmp_path / "file")


def test_a_text_of_more_tokens_than_allowed_is_an_error(folder):
    plan = small.model("classify, cbow").plan()
    plan = replace(plan, text=replace(plan.text, longest=3, lowercase=True))
    place = folder / "longest"
    place.mkdir()
    for name, content in program(plan, "float32", False, ["A test."]).items():
        (place / name).write_bytes(content)
    compile_c(place, "-O1", "-DELMAN_MAIN", "model.c", "-o", "model")
    assert answers(place / "model", ["one two three"])
    done = subprocess.run([place / "model"], input=b"a\none two three four\n", cwd=place, capture_output=True)
    assert done.returncode == 3
    assert b"<stdin>:2: the text is too long" in done.stderr


GRID = [-91.5, -30.0, -2.5, -1.0, -0.5, -1e-3, -0.0, 0.0, 1e-3, 0.25, 0.5, 1.0, 1.5, 2.5, 7.0, 30.0, 88.9, 3e38]


def test_every_operation_means_in_c_what_it_means_in_torch(folder):
    """On pairs and triples of a grid, within 2e-6 of it; arguments for which it is not defined are left out."""
    bodies, checks = [], []
    for i, (name, one) in enumerate(OPERATIONS.items()):
        count = 1 + max(int(k) for k in re.findall(r"{(\d)}", one.c))
        places = ["a != 0.0f", "b", "c"] if name == "where" else ["a", "b", "c"][:count]
        if name in ("and", "or", "xor", "not"):
            places = [f"({place} > 0.5f)" for place in places]
        returned = "(float)" if one.truth else ""
        body = f"return {returned}({one.c.format(*places)});"
        bodies.append(f"static float op_{i}(float a, float b, float c) {{ (void)b, (void)c; {body} }}")
        checks.append(f"op_{i}")
    variants = frozenset({"float32", "other"})
    used = [text for texts in needed("\n".join(bodies), ("maths.c",), set(), variants).values() for text in texts]
    values = ", ".join(f"{value!r}f" if "e" in repr(value) or "." in repr(value) else f"{value}.0f" for value in GRID)
    place = folder / "operations"
    place.mkdir()
    (place / "operations.c").write_text(
        "\n".join(
            [
                "#include <math.h>\n#include <stdint.h>\n#include <stdio.h>\n#include <string.h>",
                *used,
                *bodies,
                f"static float (*const all[])(float, float, float) = {{{', '.join(checks)}}};",
                f"static const float grid[] = {{{values}}};",
                "int main(void) {",
                f"  for (int i = 0; i < {len(checks)}; i++)",
                f"    for (int a = 0; a < {len(GRID)}; a++)",
                f"      for (int b = 0; b < {len(GRID)}; b++)",
                f'        printf("%.9g\\n", (double)all[i](grid[a], grid[b], grid[(a + b) % {len(GRID)}]));',
                "  return 0;\n}\n",
            ]
        )
    )
    compile_c(place, "-O1", "operations.c", "-o", "operations")
    written = torch.tensor([float(line) for line in answers(place / "operations", []).split()])
    found = written.reshape(len(OPERATIONS), len(GRID), len(GRID)).double()
    a, b = torch.meshgrid(torch.tensor(GRID), torch.tensor(GRID), indexing="ij")
    c = torch.tensor([[GRID[(i + j) % len(GRID)] for j in range(len(GRID))] for i in range(len(GRID))])
    for i, (name, one) in enumerate(OPERATIONS.items()):
        count = 1 + max(int(k) for k in re.findall(r"{(\d)}", one.c))
        arguments = [a != 0, b, c] if name == "where" else [a, b, c][:count]
        if name in ("and", "or", "xor", "not"):
            arguments = [argument > 0.5 for argument in arguments]
        expected = one.torch(*arguments).double()
        defined = expected.isfinite()
        assert defined.any()
        torch.testing.assert_close(
            found[i][defined], expected[defined], rtol=2e-6, atol=2e-6, msg=lambda m, n=name: f"{n}: {m}"
        )
        assert (found[i][expected.isinf()] == expected[expected.isinf()]).all(), name


STEPWISE = [
    "tag, one way, window",
    "classify, several, wide",
    *(name for name in small.MODELS if name.startswith("lm")),
]


@pytest.mark.parametrize("name", STEPWISE)
def test_what_is_called_from_c_agrees_with_itself(name, folder):
    """Step by step or whole, alone or with others; under the sanitizers."""
    place = built(folder, name).parent
    shutil.copy(HERE / "calling.c", place)
    compile_c(place, "-O0", *SANITIZED, *defines(name), "model.c", "calling.c", "-o", "calling")
    answers(place / "calling", [line for line in texts_of(name) if len(line) < 2000])


def snippets(language: str) -> list[str]:
    """Those of the guide."""
    guide = (HERE.parents[1] / "docs" / "export-c.md").read_text(encoding="utf-8")
    return re.findall(rf"^```{language}\n(.*?)^```", guide, flags=re.M | re.S)


def test_what_the_guide_calls_from_c_runs(folder):
    tagging, drawing = snippets("c")
    model = small.model("tag, lstm")
    words = ["the", "Cat", "sees"]
    expected = "".join(f"{w}\t{t}\n" for w, t in zip(words, model.predict([words])[0].tags, strict=True))
    place = built(folder, "tag, lstm").parent
    (place / "tag.c").write_text(tagging)
    compile_c(place, "-O1", "tag.c", "model.c", "-o", "tag")
    assert answers(place / "tag", []) == expected

    language = small.model("lm, by lines, gru")
    place = built(folder, "lm, by lines, gru").parent
    (place / "draw.c").write_text(drawing)
    compile_c(place, "-O1", "draw.c", "model.c", "-o", "draw")
    *rows, drawn = answers(place / "draw", []).split("\n")[:-1]
    chances = language.next_distribution()
    for i, row in enumerate(rows):
        name, log = row.split(" ")
        assert name == language.labels[i]
        assert math.exp(float(log)) == pytest.approx(chances[i], rel=1e-3)
    text = "".join(language.sample(10, temperature=0.8, seed=1))
    assert drawn.split() == text.replace("\n", " </s> ").split()


@pytest.mark.skipif(shutil.which("c++") is None, reason="there is no C++ compiler (c++)")
def test_what_the_guide_calls_from_cpp_runs(folder):
    place = built(folder, "tag, lstm").parent
    (place / "tag.cpp").write_text(*snippets("cpp"))
    compile_c(place, "-O1", "-c", "model.c", "-o", "model.o")
    command = ["c++", "-Wall", "-Wextra", "-Wpedantic", "-Werror", "tag.cpp", "model.o", "-lm", "-o", "cpp"]
    subprocess.run(command, cwd=place, check=True)
    tags = small.model("tag, lstm").predict([["the", "Cat", "sees"]])[0].tags
    assert answers(place / "cpp", []) == "the\t{}\nCat\t{}\nsees\t{}\n".format(*tags)


@pytest.mark.parametrize(
    "name", ["tag, CRF", "classify, several, wide", "lm, subwords", "seq2seq, monotonic, features"]
)
def test_damaged_files_and_texts_end_in_an_error(name, folder):
    assert "loaded" in fuzzed(folder, name, 150)


def fuzzed(folder: Path, name: str, count: int, seed: int = 1) -> str:
    """Run fuzzing.c; fuzz_c.py does so for longer."""
    place = built(folder, name).parent
    shutil.copy(HERE / "fuzzing.c", place)
    compile_c(place, "-O0", *SANITIZED, "-Wno-conversion", *defines(name)[1:], "fuzzing.c", "-o", "fuzzing")
    return answers(place / "fuzzing", [], str(seed), str(count))
