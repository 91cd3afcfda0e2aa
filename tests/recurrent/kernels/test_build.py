"""Compiling and the cache: what is loaded is what was built, whatever is in the way."""

from __future__ import annotations

import ctypes
import dataclasses
import hashlib
import math
import multiprocessing
import os
import shutil
import signal
import stat
import subprocess
import sys
import time
import warnings
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from elman.recurrent.kernels import build, library_cache, openmp
from elman.recurrent.kernels.build import BuildError

REAL = next(filter(None, (shutil.which(name) for name in (os.environ.get("CXX", ""), "c++", "g++", "clang++"))), None)
NEEDS_COMPILER = pytest.mark.skipif(REAL is None, reason="NO C++ COMPILER HERE: that cells are compiled is NOT TESTED")
AS_ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another user")
pytestmark = [NEEDS_COMPILER, pytest.mark.filterwarnings("ignore:.*fork.*:DeprecationWarning")]

HEADERS = {"engine.h": "#pragma once\n#define FACTOR 3\n"}
NUMBER = 123456789  # in the code of a library: what it answers, and where it can be changed
STEM = "my_cell-"


def source(number: int = NUMBER) -> str:
    return f'#include "engine.h"\nextern "C" long long answer() {{ return {number}LL * FACTOR; }}\n'


def answer(library: ctypes.CDLL) -> int:
    library.answer.restype = ctypes.c_longlong
    return library.answer()


def load(number: int = NUMBER) -> int:
    return answer(build.load(source(number), HEADERS, "my cell"))


RIGHT, WRONG = 3 * NUMBER, 3 * (NUMBER + 1)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of its own, with spaces and Greek letters in its path."""
    path = tmp_path / "η μνήμη, mine"
    monkeypatch.setenv("ELMAN_CACHE", str(path))
    monkeypatch.setattr(library_cache, "_given_up", {})
    return path


class Compiler:
    """A script that stands before the real compiler, notes its calls, and then does `body`."""

    def __init__(self, place: Path, body: str) -> None:
        place.mkdir(exist_ok=True)
        self.path, self.calls = place / "c++ ή άλλος", place / "calls"
        real = f"exec '{REAL}' \"$@\""
        self.path.write_text(f'#!/bin/sh\necho "$*" >> "{self.calls}"\n{body.replace("REAL", real)}\n')
        self.path.chmod(0o755)

    def compiled(self) -> int:
        """How many sources it was given."""
        lines = self.calls.read_text().splitlines() if self.calls.exists() else []
        return sum(" -c " in line for line in lines)


@pytest.fixture
def use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def use(body: str = "REAL") -> Compiler:
        script = Compiler(tmp_path / "οι compilers", body)
        monkeypatch.setenv("CXX", str(script.path))
        return script

    return use


def entries(folder: Path, pattern: str = STEM + "*.so") -> list[Path]:
    return sorted(folder.glob(pattern))


def is_running(process: int) -> bool:
    try:
        state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    return state != "Z"


# Built once ------------------------------------------------------------------------------------------------------


def test_built_once_and_kept_with_its_source(folder: Path, use) -> None:
    script = use()
    assert build.available() is None
    before = script.compiled()
    assert load() == RIGHT and script.compiled() == before + 1
    (entry,) = entries(folder)
    assert entry.stem.rpartition("-")[2] == hashlib.sha256(entry.read_bytes()).hexdigest()[:32]
    assert entries(folder, STEM + "*.cpp")[0].read_text() == source()
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700 and stat.S_IMODE(entry.stat().st_mode) == 0o600
    assert sorted(path.suffix for path in folder.iterdir()) == [".cpp", ".cpp", ".so", ".so"]  # the probe's, and this
    os.utime(entry, (1, 1))
    assert load() == RIGHT and script.compiled() == before + 1
    assert entry.stat().st_mtime > 1  # used: it is not the next to go
    build._find.cache_clear()  # as in another process
    assert load() == RIGHT and script.compiled() == before + 1
    assert library_cache.cache_use() == (2, sum(path.stat().st_size for path in folder.iterdir()))


def test_another_source_is_another_library(folder: Path) -> None:
    assert (load(), load(NUMBER + 1)) == (RIGHT, WRONG) and len(entries(folder)) == 2


def test_any_name_and_any_header(folder: Path) -> None:
    headers = {"engine.h": '#include "μαθηματικά.h"\n', "μαθηματικά.h": "#define FACTOR 5 // ×\n"}
    assert answer(build.load(source(), headers, "-../Κελί/a b")) == 5 * NUMBER
    assert len(entries(folder, "_a_b-*.so")) == 1


def test_the_key_is_of_all_that_matters(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tools = build.compiler()
    given = (tools, source(), HEADERS)
    changes = {
        "source": (tools, source() + " ", HEADERS),
        "header": (tools, source(), {"engine.h": HEADERS["engine.h"] + " "}),
        "header's name": (tools, source(), {"engine2.h": HEADERS["engine.h"]}),
    } | {
        name: (dataclasses.replace(tools, **{name: value}), source(), HEADERS)
        for name, value in {
            "command": ("/usr/bin/other",),
            "version": "c++ 99",
            "stamp": (tools.stamp[0], tools.stamp[1] + 1),
            "tuning": (*tools.tuning, "-O2"),
            "openmp": Path("/opt/libomp.so"),
        }.items()
    }
    keys = {name: build._key(*arguments) for name, arguments in {"as it is": given, **changes}.items()}
    monkeypatch.setattr(build, "FLAGS", (*build.FLAGS, "-g"))
    keys["flags"] = build._key(*given)
    monkeypatch.undo()
    monkeypatch.setattr(build, "_processor", lambda: "another processor")
    keys["processor"] = build._key(*given)
    monkeypatch.undo()
    assert len(set(keys.values())) == len(keys) == 11
    assert keys["as it is"] == build._key(*given)


def test_a_new_compiler_at_the_same_place_builds_anew(folder: Path, use) -> None:
    script = use()
    load()
    script.path.write_text(script.path.read_text() + "# a new version\n")
    build._find.cache_clear()
    before = script.compiled()
    assert load() == RIGHT and script.compiled() == before + 2 and len(entries(folder)) == 2  # the probe, and this


# Numbers and threads ---------------------------------------------------------------------------------------------


def test_nan_and_denormals_are_left_alone(folder: Path) -> None:
    """In a process of its own: what a library does to the processor's modes while it is loaded stays."""
    code = (
        "import ctypes, sys, torch; from elman.recurrent.kernels import build, library_cache, openmp\n"
        "text = 'extern \"C\" int is_nan(double x) { return x != x; }'\n"
        "library = build.load(text, {}, 'nan'); library.is_nan.argtypes = [ctypes.c_double]\n"
        "print(library.is_nan(float('nan')), library.is_nan(1.0), 5e-324 * 1.0 > 0, float(torch.tensor(1e-40) * 1) > 0)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert ran.stdout.split() == ["1", "0", "True", "True"], ran.stderr


def test_one_openmp_runtime_which_is_torchs(folder: Path) -> None:
    """In a process of its own, into which nobody else has brought one."""
    if not torch.backends.openmp.is_available() or "clang" in build.compiler().version:
        pytest.skip("clang, or a torch without OpenMP: that threads are torch's is NOT TESTED")
    code = """
import torch
from elman.recurrent.kernels import build, library_cache, openmp
def runtimes():
    lines = (line.split(maxsplit=5) for line in open("/proc/self/maps"))
    names = {line[5].strip() for line in lines if len(line) > 5}
    return sorted(name for name in names if any(f"/lib{kind}" in name for kind in ("gomp", "omp", "iomp")))
before = runtimes()
library = build.load(build.PROBE, {}, "threads")
print(runtimes() == before == [str(openmp.openmp_runtime())])
for n in (2, 1, 3):
    torch.set_num_threads(n)
    print(library.elman_threads())
library.elman_probe.restype = __import__("ctypes").c_double
print(library.elman_probe(1000))
"""
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    *said, total = ran.stdout.split()
    assert said == ["True", "2", "1", "3"], ran.stdout + ran.stderr
    assert math.isclose(float(total), sum(map(math.sqrt, range(1000))), rel_tol=1e-12)


def refuse(*flags: str) -> str:
    tests = " ".join(f'case " $* " in *" {flag} "*) echo "error: unknown {flag}"; exit 1;; esac;' for flag in flags)
    return tests + " REAL"


def test_a_compiler_without_openmp_builds_for_one_thread(folder: Path, use) -> None:
    use(refuse("-fopenmp"))
    assert build.available() is None and build.compiler().openmp is None
    library = build.load(build.PROBE, {}, "single")
    assert library.elman_threads() == 1 and load() == RIGHT


@pytest.mark.skipif(REAL is None or "clang" in Path(REAL).name, reason="names of gcc's options")
def test_a_compiler_that_lacks_an_option_goes_without(folder: Path, use) -> None:
    use(refuse("-fno-gnu-unique", "-mcpu=native"))
    assert build.compiler().tuning == ("-march=native",) and load() == RIGHT


def test_without_native_tuning(folder: Path, use) -> None:
    use(refuse("-fno-gnu-unique", "-mcpu=native", "-march=native"))
    assert build.compiler().tuning == () and build.compiler().openmp == openmp.openmp_runtime() and load() == RIGHT


def test_a_second_runtime_is_refused(folder: Path, use, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if every library that is linked with OpenMP brought one more."""
    use()
    loaded: list[build.Compiler] = []
    monkeypatch.setattr(openmp, "openmp_runtime", lambda: Path("/torch/libgomp.so.1"))
    monkeypatch.setattr(build, "_load", lambda tools, *rest: loaded.append(tools))
    monkeypatch.setattr(openmp, "mapped_files", lambda: [one for one in loaded if one.openmp])
    monkeypatch.setattr(openmp, "runtimes_in", lambda mapped: [f"libgomp.so.{n}" for n, _ in enumerate(mapped)])
    assert build.compiler().openmp is None
    assert sum(one.openmp is not None for one in loaded) == len(build.TUNING)


def test_the_runtime_where_maps_are_not_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then by its name, in torch's own folder."""
    told = openmp.openmp_runtime()
    monkeypatch.setattr(openmp, "mapped_files", list)
    found = openmp.openmp_runtime.__wrapped__()
    inside = [path for path in (Path(torch.__file__).parent / "lib").iterdir() if "omp" in path.name]
    if not inside:
        pytest.skip("torch's OpenMP runtime lies elsewhere here")
    assert found == told and found in inside


@pytest.mark.parametrize(
    ("name", "is_one"),
    {
        "libgomp.so.1": True,
        "libgomp-24e2ab19.so.1.0.0": True,
        "libiomp5.so": True,
        "libomp.dylib": True,
        "libomptarget.so": False,
        "libcompress.so": False,
        "libtorch_cpu.so": False,
    }.items(),
)
def test_names_of_runtimes(name: str, is_one: bool) -> None:
    assert openmp.runtimes_in([(0, 1, f"/a/{name}")]) == ([f"/a/{name}"] if is_one else [])


# Damaged and planted entries -------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def wrong(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A library with the wrong answer, for those who would plant one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ELMAN_CACHE", str(tmp_path_factory.mktemp("wrong")))
        assert load(NUMBER + 1) == WRONG
        (entry,) = entries(library_cache.cache_folder())
        return entry.read_bytes()


def put(entry: Path, data: bytes, mode: int = 0o600) -> Path:
    """A new file: one that is mapped must not be changed in place."""
    entry.unlink(missing_ok=True)
    entry.write_bytes(data)
    entry.chmod(mode)
    return entry


def planted(entry: Path, data: bytes, mode: int = 0o600) -> Path:
    """The same with the digest that belongs to it in its name, so that only its file gives it away."""
    entry.unlink()
    digest = hashlib.sha256(data).hexdigest()[:32]
    return put(entry.with_name(f"{entry.stem.rpartition('-')[0]}-{digest}.so"), data, mode)


def _flip(entry: Path, wrong: bytes) -> None:
    data = entry.read_bytes()
    old, new = (n.to_bytes(8, "little") for n in (RIGHT, WRONG))
    if data.count(old) == 0:
        old, new = old[:4], new[:4]
    assert data.count(old) >= 1
    put(entry, data.replace(old, new))


def _link(entry: Path, wrong: bytes) -> None:
    place = planted(entry, wrong)
    place.rename(place.parent.parent / "elsewhere.so")
    place.symlink_to(place.parent.parent / "elsewhere.so")


DAMAGE = {
    "one number": _flip,
    "one bit": lambda entry, wrong: put(entry, entry.read_bytes()[:-1] + bytes([entry.read_bytes()[-1] ^ 1])),
    "cut": lambda entry, wrong: put(entry, entry.read_bytes()[:5000]),
    "empty": lambda entry, wrong: put(entry, b""),
    "another library": lambda entry, wrong: put(entry, wrong),
    "not a library": lambda entry, wrong: planted(entry, b"something else"),
    "group may write": lambda entry, wrong: planted(entry, wrong, 0o660),
    "all may write": lambda entry, wrong: planted(entry, wrong, 0o606),
    "a link": _link,
    "a folder": lambda entry, wrong: (entry.unlink(), entry.with_name(entry.stem[:-1] + "0.so").mkdir()),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_entry_is_built_anew(
    damage: str, folder: Path, use, wrong: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    script = use()
    load()
    other = tmp_path / "copy"  # whose files this process has not yet loaded
    shutil.copytree(folder, other)
    monkeypatch.setenv("ELMAN_CACHE", str(other))
    (entry,) = entries(other)
    before = script.compiled()
    DAMAGE[damage](entry, wrong)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert load() == RIGHT and script.compiled() == before + 1
        assert load() == RIGHT and script.compiled() == before + 1
    assert [library_cache._is_sound(path) for path in entries(other) if path.is_file()] == [True]
    if damage == "a link":
        assert (tmp_path / "elsewhere.so").read_bytes() == wrong


@AS_ROOT
def test_an_entry_of_another_user_is_not_loaded(folder: Path, wrong: bytes) -> None:
    load()
    (entry,) = entries(folder)
    os.chown(planted(entry, wrong), 12345, -1)
    assert load() == RIGHT


def test_a_link_in_the_place_of_a_source_is_not_written_through(folder: Path, tmp_path: Path) -> None:
    load()
    (victim := tmp_path / "victim").write_text("mine")
    (text,), (entry,) = entries(folder, STEM + "*.cpp"), entries(folder)
    text.unlink()
    entry.unlink()
    text.symlink_to(victim)
    assert load() == RIGHT and victim.read_text() == "mine" and not text.is_symlink() and text.read_text() == source()


# Folders ---------------------------------------------------------------------------------------------------------


def _file(path: Path, patch: pytest.MonkeyPatch) -> None:
    path.write_text("a file")


def _below_a_file(path: Path, patch: pytest.MonkeyPatch) -> None:
    path.write_text("a file")
    patch.setenv("ELMAN_CACHE", str(path / "below"))


def _noexec(path: Path, patch: pytest.MonkeyPatch) -> None:
    class Disk:
        f_flag = os.ST_NOEXEC

    patch.setattr(os, "statvfs", lambda path: Disk)


def _read_only(path: Path, patch: pytest.MonkeyPatch) -> None:
    patch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)  # root may write even so


def _mode(mode: int):
    def make(path: Path, patch: pytest.MonkeyPatch) -> None:
        path.mkdir()
        path.chmod(mode)

    return make


def _foreign(path: Path, patch: pytest.MonkeyPatch) -> None:
    path.mkdir(0o755)
    os.chown(path, 12345, -1)


def _foreign_link(path: Path, patch: pytest.MonkeyPatch) -> None:
    (path.parent / "target").mkdir(0o700)
    path.symlink_to(path.parent / "target")
    os.chown(path, 12345, -1, follow_symlinks=False)


def _link_to_foreign(path: Path, patch: pytest.MonkeyPatch) -> None:
    _foreign(path.parent / "target", patch)
    path.symlink_to(path.parent / "target")


def _link_to_open(path: Path, patch: pytest.MonkeyPatch) -> None:
    _mode(0o777)(path.parent / "target", patch)
    path.symlink_to(path.parent / "target")


def _no_home(path: Path, patch: pytest.MonkeyPatch) -> None:
    patch.delenv("ELMAN_CACHE")
    patch.delenv("XDG_CACHE_HOME", raising=False)
    patch.setenv("HOME", "nowhere")


UNUSABLE = {
    "all may write": (_mode(0o707), "others can write to it; chmod go-w"),
    "group may write": (_mode(0o770), "others can write to it; chmod go-w"),
    "a link to where all may write": (_link_to_open, "others can write to it"),
    "a file": (_file, "File exists"),
    "below a file": (_below_a_file, "Not a directory"),
    "noexec": (_noexec, "noexec"),
    "read-only": (_read_only, "not writable"),
    "no home": (_no_home, "no home folder"),
    "another user's": (_foreign, "belongs to another user"),
    "another user's link": (_foreign_link, "belongs to another user"),
    "a link to another user's": (_link_to_foreign, "belongs to another user"),
}


@pytest.mark.parametrize("case", UNUSABLE)
def test_an_unusable_folder_is_not_used(case: str, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make, message = UNUSABLE[case]
    if "another user" in case and os.geteuid() != 0:
        pytest.skip("only root can give files to another user")
    make(folder, monkeypatch)
    before = sorted(folder.iterdir()) if folder.is_dir() else None
    with pytest.warns(UserWarning, match=message) as told:
        used = library_cache.cache_folder()
        assert load() == RIGHT and library_cache.cache_folder() == used
    assert len(told) == 1 and message in library_cache.cache_problem()
    assert used != folder and stat.S_IMODE(used.stat().st_mode) == 0o700 and len(entries(used)) == 1
    assert before is None or sorted(folder.iterdir()) == before == []


def test_a_link_of_ones_own_is_followed(folder: Path, tmp_path: Path) -> None:
    (target := tmp_path / "larger disk").mkdir(0o755)
    folder.symlink_to(target)
    assert load() == RIGHT and len(entries(target)) == 1 and library_cache.cache_problem() is None


def test_where_the_cache_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("one", "two", "three"):
        (tmp_path / name).mkdir()
    monkeypatch.setenv("HOME", str(tmp_path / "one"))
    monkeypatch.delenv("ELMAN_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")  # which its specification says to ignore
    assert library_cache.cache_folder() == tmp_path / "one" / ".cache" / "elman"
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "two"))
    assert library_cache.cache_folder() == tmp_path / "two" / "elman"
    monkeypatch.setenv("ELMAN_CACHE", str(tmp_path / "three"))
    assert library_cache.cache_folder() == tmp_path / "three"
    monkeypatch.setenv("ELMAN_CACHE", "~/four")
    assert library_cache.cache_folder() == tmp_path / "one" / "four"
    assert stat.S_IMODE((tmp_path / "one" / "four").stat().st_mode) == 0o700


def test_the_private_folder_goes_with_its_process(folder: Path) -> None:
    _mode(0o777)(folder, None)
    code = (
        "import os, sys; from elman.recurrent.kernels import library_cache\n"
        "print(library_cache.cache_folder(), flush=True)\n"
        "child = os.fork()\n"
        "if child == 0: sys.exit()\n"  # whose exit must not take the folder away from its parent
        "os.waitpid(child, 0); print(library_cache._private.is_dir())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    name, there = ran.stdout.split()
    assert there == "True" and "elman-" in name and not Path(name).exists() and "ELMAN_CACHE" in ran.stderr


@pytest.mark.parametrize("step", ["-c", "-shared"])
def test_a_full_disk(folder: Path, use, step: str) -> None:
    use(
        f'case "$PWD $*" in *"η μνήμη"*" {step} "*) echo "ld: final link failed: No space left on device"; exit 1;; '
        "esac; REAL"
    )
    with pytest.warns(UserWarning, match="No space left on device") as told:
        assert load() == RIGHT
    assert len(told) == 1 and list(folder.iterdir()) == [] and "No space" in library_cache.cache_problem()


def test_nowhere_any_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build.compiler()

    def full(**options: object) -> str:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(library_cache.tempfile, "mkdtemp", full)
    monkeypatch.setattr(library_cache.tempfile, "TemporaryDirectory", full)
    monkeypatch.setattr(library_cache, "_private", None)
    with (
        pytest.warns(UserWarning, match="No space"),
        pytest.raises(BuildError, match="nowhere to build my_cell: No sp"),
    ):
        load()


def test_old_entries_make_room(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    build._find.cache_clear()
    load()
    (probe,), (entry,), now = entries(folder, "probe-*.so"), entries(folder), time.time()
    monkeypatch.setattr(library_cache, "KEEP", 4)
    names = [f"old-{n:032x}" for n in range(5)]
    for age, name in enumerate(names, 1):
        for path in (folder / f"{name}.cpp", folder / f"{name}-{0:032x}.so"):
            path.write_text("")
            os.utime(path, (now - 100 * age, now - 100 * age))
    os.utime(entry, (now - 150, now - 150))
    (folder / "notes.so").write_text("the user's own")
    for name, age in ((".build-old", 7200), (".build-new", 600)):
        (folder / name).mkdir()
        (folder / name / "code.o").write_text("")
        os.utime(folder / name, (now - age, now - age))
    load(NUMBER + 1)
    left = {path.name for path in folder.iterdir()}
    mine = {path.name for path in entries(folder)}
    assert len(mine) == 2 and {entry.name, probe.name} < left
    sources = {name.rpartition("-")[0] + ".cpp" for name in {*mine, probe.name}}
    assert left == {*mine, probe.name, *sources, f"{names[0]}.cpp", f"{names[0]}-{0:032x}.so", "notes.so", ".build-new"}


# Compilers that are missing, fail, hang --------------------------------------------------------------------------


@pytest.fixture
def nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "empty").mkdir()
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))


def test_no_compiler(folder: Path, nothing) -> None:
    why = build.available()
    assert why and "no C++ compiler" in why and "apt install g++" in why and "\n" not in why
    with pytest.raises(BuildError) as told:
        load()
    assert told.value.reason == why and told.value.log == ""


def test_cxx_that_is_not_there(folder: Path, nothing, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-c++ 'of mine")
    assert "CXX=no-such-c++ 'of mine: no such program" in build.available()


def test_cxx_with_arguments(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", f"env A=b '{REAL}' -DFACTOR=7")
    text = source().replace('#include "engine.h"', "")
    assert answer(build.load(text, {}, "seven")) == 7 * NUMBER
    assert build.compiler().command[1:] == ("A=b", REAL, "-DFACTOR=7")


def test_the_first_compiler_that_works(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (programs := tmp_path / "bin").mkdir()
    (programs / "c++").write_text("#!/bin/sh\necho 'error: my licence ran out'\nexit 1\n")
    (programs / "clang++").write_text(f"#!/bin/sh\nexec '{REAL}' \"$@\"\n")
    for program in programs.iterdir():
        program.chmod(0o755)
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setenv("PATH", f"{programs}:/bin")
    monkeypatch.setattr(build, "COMPILERS", ("c++", "clang++"))
    assert build.compiler().command == (str(programs / "clang++"),) and load() == RIGHT
    (programs / "clang++").unlink()
    monkeypatch.setenv("PATH", str(programs))
    assert "my licence ran out" in build.available() and "apt install g++" in build.available()


def test_a_compiler_that_fails(folder: Path, use) -> None:
    script = use("echo 'a first line'; echo 'x.cpp:1: error: nothing works' >&2; echo 'a last line'; exit 3")
    with pytest.raises(BuildError) as told:
        load()
    assert "x.cpp:1: error: nothing works" in told.value.reason and "\n" not in told.value.reason
    assert told.value.log.splitlines() == ["a first line", "x.cpp:1: error: nothing works", "a last line"]
    before = script.compiled()
    assert build.available() == told.value.reason and script.compiled() == before <= 2
    assert list(folder.iterdir()) == []


def test_a_compiler_that_is_killed(folder: Path, use) -> None:
    """As where memory ran out: the signal is named, nothing half-built stays, and another process tries anew."""
    use('case " $* " in *" -c "*) echo half > code.o; kill -KILL $$;; *) REAL;; esac')
    with pytest.raises(BuildError, match=r"was killed by signal 9 \(Killed\)"):
        load()
    assert list(folder.iterdir()) == []
    use()
    build._find.cache_clear()  # as in another process
    assert load() == RIGHT


def test_a_process_that_is_killed_while_it_builds(folder: Path, use, tmp_path: Path) -> None:
    """What it leaves behind is in nobody's way."""
    openmp.openmp_runtime()
    pids = tmp_path / "pids"
    use(HANGS.format(pids=pids, then=""))
    child = multiprocessing.get_context("fork").Process(target=load)
    child.start()
    try:
        while not pids.exists() or len(pids.read_text().split()) < 2:
            assert child.is_alive()
            time.sleep(0.01)
    finally:
        child.kill()
        child.join(200)
        for pid in pids.read_text().split() if pids.exists() else ():
            with suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGKILL)
    assert [path.name.startswith(library_cache.WORK) for path in folder.iterdir() if path.is_dir()] == [True]
    use()
    assert load() == RIGHT


def test_a_source_that_is_wrong_is_tried_once(folder: Path, use) -> None:
    script = use()
    build.compiler()
    before = script.compiled()
    for _ in range(2):
        with pytest.raises(BuildError, match=r"could not build wrong: wrong\.cpp:2:.*error: .*undeclared") as told:
            build.load("\nint f() { return undeclared; }", {}, "wrong")
        assert "wrong.cpp:2" in told.value.log and script.compiled() == before + 1
    assert entries(folder, "wrong*") == [] and load() == RIGHT


def test_what_is_missing_is_found_at_once(folder: Path) -> None:
    with pytest.raises(BuildError) as told:
        build.load('extern "C" int nobody_has_this(); extern "C" int f() { return nobody_has_this(); }', {}, "missing")
    assert "nobody_has_this" in told.value.log and entries(folder, "missing-*") == []


def test_a_result_that_cannot_be_loaded(folder: Path, use) -> None:
    use('case " $* " in *" -shared "*) echo text > code.so;; *) REAL;; esac')
    assert "cannot be loaded" in build.available() and list(folder.iterdir()) == []


HANGS = 'case " $* " in *" -c "*) echo $$ > "{pids}"; sleep 600 & echo $! >> "{pids}"; {then} wait;; *) REAL;; esac'


def assert_stopped(pids: Path, folder: Path) -> None:
    limit = time.monotonic() + 200
    while any(is_running(int(pid)) for pid in pids.read_text().split()):
        assert time.monotonic() < limit, "the compiler, or what it started, still runs"
        time.sleep(0.02)
    assert len(pids.read_text().split()) == 2 and list(folder.iterdir()) == []


def test_a_compiler_that_hangs(folder: Path, use, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pids = tmp_path / "pids"
    use(HANGS.format(pids=pids, then=""))
    monkeypatch.setattr(build, "LIMIT", 1.0)
    assert "took more than 1 s" in build.available()
    assert_stopped(pids, folder)


def test_ctrl_c_in_the_middle(folder: Path, use, tmp_path: Path) -> None:
    """Nothing half-built stays, no compiler runs on, and the next try is a new one."""
    pids, once = tmp_path / "pids", tmp_path / "once"
    then = f'touch "{once}"; kill -INT {os.getpid()};'
    use(f'if [ -e "{once}" ]; then REAL; fi; ' + HANGS.format(pids=pids, then=then))
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    with pytest.raises(KeyboardInterrupt):
        load()
    assert_stopped(pids, folder)
    assert load() == RIGHT


# Several at once -------------------------------------------------------------------------------------------------


def _at_once(barrier, queue) -> None:
    build._find.cache_clear()
    barrier.wait(200)
    try:
        queue.put([load(), load(NUMBER + 1)])
    except BaseException as problem:
        queue.put(repr(problem))


@pytest.mark.parametrize("damaged", [False, True])
def test_six_processes_at_once(folder: Path, damaged: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    openmp.openmp_runtime()
    if damaged:
        load()
        other = tmp_path / "copy"
        shutil.copytree(folder, other)
        monkeypatch.setenv("ELMAN_CACHE", str(other))
        folder = other
        put(entries(folder)[0], b"damaged")
    fork = multiprocessing.get_context("fork")
    barrier, queue = fork.Barrier(6), fork.Queue()
    processes = [fork.Process(target=_at_once, args=(barrier, queue)) for _ in range(6)]
    for process in processes:
        process.start()
    assert [queue.get(timeout=200) for _ in processes] == [[RIGHT, WRONG]] * 6
    for process in processes:
        process.join(200)
        assert process.exitcode == 0
    left = [path for path in folder.iterdir() if path.suffix != ".cpp"]
    assert left and all(library_cache._is_sound(path) for path in left)
