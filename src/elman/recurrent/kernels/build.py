"""C++ sources become libraries in this process: compiled once, then taken from the user's cache."""

from __future__ import annotations

import ctypes
import errno
import hashlib
import json
import os
import platform
import re
import shlex
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from elman.recurrent.kernels import library_cache, openmp

COMPILERS = ("c++", "g++", "clang++")
# Not -ffast-math: linked into a library, it flushes denormals in the whole process, and a NaN may become anything.
FLAGS = ("-std=c++17", "-O2", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi", "-fPIC")
# By preference; each compiler and processor supports some of them. Without "unique" symbols each library has its own
# statics of a header, though many libraries are built from that header.
TUNING = (
    ("-march=native", "-fno-gnu-unique"),
    ("-mcpu=native", "-fno-gnu-unique"),
    ("-march=native",),
    ("-mcpu=native",),
    (),
)
LINK = ("-shared",)
LIMIT = 120.0  # seconds for one call of the compiler
INSTALL = "install one: apt install g++, dnf install gcc-c++ or xcode-select --install, or set CXX to yours"
PROBE = """#include <cmath>
#ifdef _OPENMP
#include <omp.h>
#endif
extern "C" double elman_probe(int n) {
  double sum = 0;
#pragma omp parallel for reduction(+ : sum)
  for (int i = 0; i < n; i++) sum += std::sqrt(double(i));
  return sum;
}
extern "C" int elman_threads() {
#ifdef _OPENMP
  return omp_get_max_threads();
#else
  return 1;
#endif
}
"""

_FULL = ("No space left on device", "Disk quota exceeded", "Read-only file system")  # as the compiler reports it


class BuildError(Exception):
    """Native code is not available here. reason: one line. log: the compiler's output, if it ran."""

    def __init__(self, reason: str, log: str = "") -> None:
        super().__init__(reason)
        self.reason, self.log = reason, log


@dataclass(frozen=True)
class Compiler:
    """A compiler and how it is used.

    version: the first line that it reports. stamp: size and time of the program. openmp: the runtime that is linked;
    with None, libraries use one thread."""

    command: tuple[str, ...]
    version: str
    stamp: tuple[int, int]
    tuning: tuple[str, ...]
    openmp: Path | None

    @property
    def flags(self) -> tuple[str, ...]:
        """Of the compile step. Linking with -fopenmp would load the compiler's own runtime, a second one."""
        return (*FLAGS, *self.tuning, *(("-fopenmp",) if self.openmp else ()))


def load(source: str, headers: Mapping[str, str], name: str) -> ctypes.CDLL:
    """The library of a C++ source, compiled now or taken from the cache.

    headers: file name -> text, for `#include "file name"`. name: prefix of its files in the cache. Raises BuildError.
    """
    return _load(compiler(), source, headers, name)


@cache
def headers(*names: str) -> dict[str, str]:
    """File name -> text of headers of this package, for `load`."""
    here = Path(__file__).parent
    return {name: (here / name).read_text(encoding="utf-8") for name in names}


def available() -> str | None:
    """None if native code can be compiled here, otherwise one line: why not, and how to fix it."""
    try:
        compiler()
    except BuildError as problem:
        return problem.reason
    return None


def compiler() -> Compiler:
    """$CXX if set, otherwise the first of c++, g++, clang++ that works. Tried once per process. Raises BuildError."""
    result = _find(os.environ.get("CXX", "").strip(), os.environ.get("PATH"))
    if isinstance(result, BuildError):
        raise BuildError(result.reason, result.log)
    return result


# ---- Compiling ------------------------------------------------------------------------------------------------------

_refused: dict[str, BuildError] = {}  # by stem: what failed once in this process is not tried again


def _load(tools: Compiler, source: str, headers: Mapping[str, str], name: str) -> ctypes.CDLL:
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", name).lstrip("-")[:60] or "cell"
    stem = f"{name}-{_key(tools, source, headers)}"
    if stem in _refused:
        raise BuildError(_refused[stem].reason, _refused[stem].log)
    try:
        try:
            return _found_or_built(tools, source, headers, stem, library_cache.cache_folder())
        except OSError as problem:  # the disk is full, or the folder is gone
            library_cache.give_up(library_cache.wanted_folder(), problem.strerror or str(problem))
            return _found_or_built(tools, source, headers, stem, library_cache.private_folder())
    except OSError as problem:
        raise BuildError(f"nowhere to build {name}: {problem.strerror or problem}") from problem
    except BuildError as problem:
        _refused[stem] = problem
        raise


def _found_or_built(tools: Compiler, source: str, headers: Mapping[str, str], stem: str, folder: Path) -> ctypes.CDLL:
    return library_cache.take(folder, stem) or _build(tools, source, headers, stem, folder)


def _key(tools: Compiler, source: str, headers: Mapping[str, str]) -> str:
    """A hash of everything the library depends on."""
    program = [*tools.command, tools.version, *tools.stamp]
    text = [source, dict(headers), program, tools.flags, LINK, _processor(), str(tools.openmp)]
    return hashlib.sha256(json.dumps(text, sort_keys=True).encode()).hexdigest()[:32]


def _build(tools: Compiler, source: str, headers: Mapping[str, str], stem: str, folder: Path) -> ctypes.CDLL:
    """Compile in a temporary folder inside `folder`, and move what could be loaded into place by one rename.

    Raises BuildError, or OSError where `folder` is at fault."""
    library_cache.tidy(folder)
    name = stem.rpartition("-")[0]
    with tempfile.TemporaryDirectory(prefix=library_cache.WORK, dir=folder, ignore_cleanup_errors=True) as temporary:
        work = Path(temporary)
        for file, text in {**headers, f"{name}.cpp": source}.items():
            (work / file).write_text(text, encoding="utf-8")
        # File names inside `work` are relative: nothing in a user's path can confuse the compiler.
        _call([*tools.command, *tools.flags, "-c", f"{name}.cpp", "-o", "code.o"], work, name)
        runtime = [str(tools.openmp)] if tools.openmp else []
        _call([*tools.command, *LINK, "code.o", *runtime, "-o", "code.so"], work, name)
        built = work / "code.so"
        digest = library_cache.digest_of(built.read_bytes())
        try:
            # Loaded from here: once in place, another process may already have removed it.
            library = ctypes.CDLL(str(built))
        except OSError as problem:
            raise BuildError(f"{name} was compiled by {tools.command[0]} but cannot be loaded", str(problem)) from None
        for path, final in ((work / f"{name}.cpp", f"{stem}.cpp"), (built, f"{stem}-{digest}.so")):
            path.chmod(0o600)
            os.replace(path, folder / final)
    return library


def _call(command: Sequence[str], work: Path, name: str) -> None:
    """Run the compiler in `work`. Raises BuildError, or OSError if the disk of `work` is full."""
    environment = os.environ | {"TMPDIR": str(work), "LC_ALL": "C"}
    program = os.path.basename(command[0])
    # A Ctrl-C before we hold the started process would leave it running, so it is blocked until then.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        process = subprocess.Popen(
            command,
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # the driver and its children are one group, and can be stopped together
        )
    except OSError as problem:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        raise BuildError(f"{command[0]} cannot be started: {problem.strerror}") from problem
    with process:
        try:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
            log = process.communicate(timeout=LIMIT)[0].decode("utf-8", "replace")
        except BaseException as stopped:
            with suppress(OSError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            if isinstance(stopped, subprocess.TimeoutExpired):
                raise BuildError(f"{program} took more than {LIMIT:g} s to build {name}") from None
            raise
    if process.returncode:
        if any(text in log for text in _FULL):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if process.returncode < 0:  # the driver itself; if only one of its parts was killed, its output says so
            number = -process.returncode
            raise BuildError(f"{program} was killed by signal {number} ({signal.strsignal(number)}) in {name}", log)
        lines = log.splitlines() or [f"exit status {process.returncode}"]
        first = next((line for line in lines if "error:" in line), lines[-1])
        raise BuildError(f"{program} could not build {name}: {first.strip()}", log)


# ---- The compiler ---------------------------------------------------------------------------------------------------


@lru_cache(maxsize=8)
def _find(wanted: str, path: str | None) -> Compiler | BuildError:
    """Try the compilers, by building a small library. wanted: $CXX. path: $PATH."""
    if os.name != "posix":
        return BuildError("cells are compiled on Linux and macOS only")
    if wanted:
        commands = [_command(wanted, path)]
        missing = f"CXX={wanted}: no such program; fix CXX or unset it"
    else:
        commands = [_command(name, path) for name in COMPILERS]
        missing = f"no C++ compiler (looked for {', '.join(COMPILERS)}); {INSTALL}"
    problem = None
    for command in filter(None, commands):
        try:
            return _settle(command)
        except BuildError as failed:
            problem = problem or BuildError(f"{failed.reason} ({command[0]} does not work; {INSTALL})", failed.log)
    return problem or BuildError(missing)


def _command(wanted: str, path: str | None) -> tuple[str, ...]:
    """The words of a command, the first a program's full path; empty if there is no such program."""
    if program := shutil.which(wanted, path=path):
        return (os.path.abspath(program),)
    try:
        first, *rest = shlex.split(wanted)  # CXX="ccache g++"
    except ValueError:
        return ()
    program = shutil.which(first, path=path)
    return (os.path.abspath(program), *rest) if program else ()


def _settle(command: tuple[str, ...]) -> Compiler:
    """The best working way to use a compiler. Raises BuildError if none works."""
    known = _version(command)
    runtimes = (runtime, None) if (runtime := openmp.openmp_runtime()) else (None,)
    best, *others, plain = [Compiler(command, *known, tuning, use) for use in runtimes for tuning in TUNING]
    try:
        return _tried(best)
    except BuildError:
        _tried(plain)  # if even this fails, other options cannot help
    for one in others:
        with suppress(BuildError):
            return _tried(one)
    return plain


def _tried(tools: Compiler) -> Compiler:
    """The same, once it has built a library that can be loaded and loads no second OpenMP runtime."""
    before = openmp.runtimes_in(openmp.mapped_files())
    _load(tools, PROBE, {}, "probe")
    if more := set(openmp.runtimes_in(openmp.mapped_files())) - set(before):
        raise BuildError(f"{tools.command[0]}: its libraries load another OpenMP runtime, {', '.join(more)}")
    return tools


def _version(command: Sequence[str]) -> tuple[str, tuple[int, int]]:
    """version and stamp of a Compiler."""
    try:
        status = os.stat(command[0])
        output = subprocess.run(
            [*command, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise BuildError(f"{command[0]} cannot be run: {problem}") from problem
    version = (output.stdout.decode("utf-8", "replace").splitlines() or [""])[0].strip()
    return version, (status.st_size, status.st_mtime_ns)


@cache
def _processor() -> str:
    """What "native" means here."""
    names = ("model name", "flags", "Features", "CPU implementer", "CPU part")
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            first = file.read().split("\n\n")[0]
    except OSError:
        return f"{platform.machine()} {platform.processor()}"
    lines = [line for line in first.splitlines() if line.partition("\t")[0].strip(" :") in names]
    return "\n".join([platform.machine(), *lines])
