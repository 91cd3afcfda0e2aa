"""What every test takes for granted of the process that it runs in, and the two paths that a cell can take."""

import importlib
import importlib.util
import os
import shutil
import signal
import warnings

import pytest

# One thread: small tensors gain nothing from more, and idle OpenMP threads spin. Before torch is first imported, and
# for every child process.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Started in the background, a shell's children ignore Ctrl-C, and so would the programs that these tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def compiler():
    """Cells can be compiled here. Otherwise what needs that is skipped, and a warning ends the run."""
    build = importlib.import_module("elman.recurrent.kernels.build")
    if problem := build.available():
        warnings.warn(f"THE COMPILED PATH IS NOT TESTED: {problem}", stacklevel=1)
        pytest.skip(f"cells cannot be compiled here: {problem}")


@pytest.fixture(scope="module")
def browser():
    """One Chromium for the module. Without one the tests that need it are skipped, and a warning ends the run."""
    program = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    missing = "no chromium is installed" if program is None else ""
    if not importlib.util.find_spec("playwright") or not importlib.util.find_spec("PIL"):
        missing = "playwright and pillow are not installed"
    if missing:
        warnings.warn(f"PAGES ARE NOT OPENED IN A BROWSER: {missing}", stacklevel=1)
        pytest.skip(f"pages are not opened in a browser: {missing}")
    api = importlib.import_module("playwright.sync_api")
    with api.sync_playwright() as play:
        started = play.chromium.launch(executable_path=program, args=["--no-sandbox"])
        yield started
        started.close()


@pytest.fixture(scope="session")
def multiplies_bfloat16(compiler):
    """Whether the compiler makes the instruction that multiplies bfloat16 numbers, for this processor."""
    build = importlib.import_module("elman.recurrent.kernels.build")
    source = """extern "C" int has() {
#ifdef __AVX512BF16__
  return 1;
#endif
  return 0;
}
"""
    return bool(build.load(source, {}, "asked").has())


def not_compiled(ways, Cell):
    """The list of exceptions: the words with which these cells refuse to be compiled, or "" where they must not."""
    if any(type(way.cell).R is not Cell.R for way in ways):
        return "overrides R, so its products stay inside the loop over time"
    if any(way.noise is not None and way.noise.mask is not None and way.cell.delays > 1 for way in ways):
        return "recurrent dropout with delays: the masked history is not kept"
    return ""


@pytest.fixture(params=["reference", "native"])
def backend(request, monkeypatch):
    """The test runs on both paths. On the native one every call is compiled, in the dtype that it has, and what is not
    is one of the exceptions above, each of which is seen to be refused before the reference takes it."""
    door = importlib.import_module("elman.recurrent.backend")
    if request.param == "native":
        request.getfixturevalue("compiler")
        cell, errors = (importlib.import_module(f"elman.{name}") for name in ("recurrent.cell", "errors"))

        def run_fast(ways, xs):
            if not len(xs.data) or cell.is_listened_to():  # nothing to run, or every step is to be heard
                assert door.run_fast(ways, xs) is None
                return None
            if words := not_compiled(ways, cell.Cell):
                with pytest.raises(errors.UsageError, match=words):
                    door.run_fast(ways, xs)
                return None
            result = door.run_fast(ways, xs)
            assert result is not None, "the backend native gave way in silence"
            return result

        monkeypatch.setattr(importlib.import_module("elman.recurrent.loop"), "run_fast", run_fast)
    with door.use_backend(request.param):
        yield request.param
