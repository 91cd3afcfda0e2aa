"""C++ sources become libraries in this process: compiled once, then taken from a cache of the user's own.

An entry of the cache is one file, NAME-KEY-DIGEST.so. The key is of all that the compiler was given, the digest of what
it made, so that a damaged entry is noticed and never loaded. NAME-KEY.cpp beside it is there to be read."""

from __future__ import annotations

import atexit
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
import stat
import subprocess
import tempfile
import time
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache
from pathlib import Path

from elman.errors import SlowPath

VARIABLE = "ELMAN_CACHE"
COMPILERS = ("c++", "g++", "clang++")
# Not -ffast-math: linked into a library, it flushes denormals in the whole process, and a NaN may become anything.
FLAGS = ("-std=c++17", "-O2", "-ffp-contract=fast", "-fno-math-errno", "-fno-trapping-math", "-Wno-psabi", "-fPIC")
# By liking; each compiler and processor knows some of them. Without "unique" symbols the statics of a header are each
# library's own, though many libraries are built from that header.
TUNING = (
    ("-march=native", "-fno-gnu-unique"),
    ("-mcpu=native", "-fno-gnu-unique"),
    ("-march=native",),
    ("-mcpu=native",),
    (),
)
LINK = ("-shared",)
LIMIT = 120.0  # seconds for one call of the compiler
KEEP = 200  # entries in the cache
STALE = 3600.0  # seconds after which a folder of a build belongs to nobody
WORK = ".build-"  # how the folder of a build in progress begins
MEND = "install one: apt install g++, dnf install gcc-c++ or xcode-select --install, or name yours in CXX"
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

_ENTRY = re.compile(r"(?P<stem>.+-[0-9a-f]{32})-(?P<digest>[0-9a-f]{32})\.so")
_SOURCE = re.compile(r".+-[0-9a-f]{32}\.cpp")
_RUNTIME = re.compile(r"lib(gomp|omp|iomp5)\b.*\.(so|dylib)[.\d]*")
_FULL = ("No space left on device", "Disk quota exceeded", "Read-only file system")  # as the compiler says it


class BuildError(Exception):
    """Native code cannot be had here. reason: one line. log: what the compiler said, if it came to that."""

    def __init__(self, reason: str, log: str = "") -> None:
        super().__init__(reason)
        self.reason, self.log = reason, log


@dataclass(frozen=True)
class Compiler:
    """A compiler and how it is used.

    version: the first line of what it says of itself. stamp: size and time of the program. openmp: the runtime that is
    linked; with None, libraries use one thread."""

    command: tuple[str, ...]
    version: str
    stamp: tuple[int, int]
    tuning: tuple[str, ...]
    openmp: Path | None

    @property
    def flags(self) -> tuple[str, ...]:
        """Of the compiling step. Linking with -fopenmp would bring the compiler's own runtime, a second one."""
        return (*FLAGS, *self.tuning, *(("-fopenmp",) if self.openmp else ()))


def load(source: str, headers: Mapping[str, str], name: str) -> ctypes.CDLL:
    """The library of a C++ source, compiled now or taken from the cache.

    headers: file name -> text, for `#include "file name"`. name: how its files in the cache begin. Raises BuildError.
    """
    return _load(compiler(), source, headers, name)


def available() -> str | None:
    """None if native code can be compiled here, otherwise one line: why not, and how to mend it."""
    try:
        compiler()
    except BuildError as problem:
        return problem.reason
    return None


def compiler() -> Compiler:
    """$CXX if it is set, else the first that works of c++, g++ and clang++. Tried once a process. Raises BuildError."""
    found = _find(os.environ.get("CXX", "").strip(), os.environ.get("PATH"))
    if isinstance(found, BuildError):
        raise BuildError(found.reason, found.log)
    return found


@cache
def openmp_runtime() -> Path | None:
    """The OpenMP runtime that torch uses in this process, or None. A second one would start threads of its own."""
    import torch

    folder = Path(torch.__file__).parent / "lib"
    mapped = _mapped()
    if not mapped:  # a system without /proc
        return next((path for path in sorted(folder.iterdir()) if _RUNTIME.fullmatch(path.name)), None)
    torch_cpu = next((name for _, _, name in mapped if os.path.basename(name).startswith("libtorch_cpu.")), "")
    try:  # several may be mapped: which one do torch's own calls reach?
        function = ctypes.CDLL(torch_cpu).omp_get_max_threads if torch_cpu else None
    except (OSError, AttributeError):
        return None
    if function is None:
        return next((Path(name) for name in _runtimes(mapped)), None)
    address = ctypes.cast(function, ctypes.c_void_p).value or 0
    owner = next((name for start, end, name in mapped if start <= address < end), "")
    return Path(owner) if _RUNTIME.fullmatch(os.path.basename(owner)) else None


def cache_folder() -> Path:
    """$ELMAN_CACHE, else $XDG_CACHE_HOME/elman, else ~/.cache/elman.

    Where that cannot be used, or others could write to it: one warning, and a private folder for this process."""
    wanted = _wanted()
    if wanted not in _given_up:
        problem = _problem(wanted) if wanted else "there is no home folder"
        if wanted and not problem:
            return wanted
        _give_up(wanted, problem)
    return _private_folder()


def cache_problem() -> str | None:
    """Why the folder that `cache_folder` names is one for this process only, or None if it is the usual one."""
    cache_folder()
    wanted = _wanted()
    return f"{wanted}: {_given_up[wanted]}" if wanted in _given_up else None


def cache_use() -> tuple[int, int]:
    """(number of libraries in the cache, bytes of its files)."""
    entries = size = 0
    for path in cache_folder().iterdir():
        if _ENTRY.fullmatch(path.name) or _SOURCE.fullmatch(path.name):
            with suppress(OSError):  # another process has tidied it away
                size += os.lstat(path).st_size
                entries += path.suffix == ".so"
    return entries, size


# ---- Compiling ------------------------------------------------------------------------------------------------------

_refused: dict[str, BuildError] = {}  # by stem: what failed once in this process is not tried again and again


def _load(tools: Compiler, source: str, headers: Mapping[str, str], name: str) -> ctypes.CDLL:
    name = re.sub(r"[^A-Za-z0-9_-]+", "_", name).lstrip("-")[:60] or "cell"
    stem = f"{name}-{_key(tools, source, headers)}"
    if stem in _refused:
        raise BuildError(_refused[stem].reason, _refused[stem].log)
    try:
        try:
            return _take(cache_folder(), stem) or _build(tools, source, headers, stem, cache_folder())
        except OSError as problem:  # the disk is full, or the folder went away
            _give_up(_wanted(), problem.strerror or str(problem))
            return _take(_private_folder(), stem) or _build(tools, source, headers, stem, _private_folder())
    except OSError as problem:
        raise BuildError(f"no place to build {name}: {problem.strerror or problem}") from problem
    except BuildError as problem:
        _refused[stem] = problem
        raise


def _key(tools: Compiler, source: str, headers: Mapping[str, str]) -> str:
    """Of all that the library depends on."""
    program = [*tools.command, tools.version, *tools.stamp]
    text = [source, dict(headers), program, tools.flags, LINK, _processor(), str(tools.openmp)]
    return hashlib.sha256(json.dumps(text, sort_keys=True).encode()).hexdigest()[:32]


def _build(tools: Compiler, source: str, headers: Mapping[str, str], stem: str, folder: Path) -> ctypes.CDLL:
    """Compile in a folder of our own inside `folder`, and put what could be loaded in its place by one rename.

    Raises BuildError, or OSError where `folder` is at fault."""
    _tidy(folder)
    name = stem.rpartition("-")[0]
    with tempfile.TemporaryDirectory(prefix=WORK, dir=folder, ignore_cleanup_errors=True) as temporary:
        work = Path(temporary)
        for file, text in {**headers, f"{name}.cpp": source}.items():
            (work / file).write_text(text, encoding="utf-8")
        # The names of files inside `work` are relative: nothing in a user's path can confuse the compiler.
        _call([*tools.command, *tools.flags, "-c", f"{name}.cpp", "-o", "code.o"], work, name)
        runtime = [str(tools.openmp)] if tools.openmp else []
        _call([*tools.command, *LINK, "code.o", *runtime, "-o", "code.so"], work, name)
        built = work / "code.so"
        digest = _digest(built.read_bytes())
        try:
            # Loaded from here: once it has its place, another process may already tidy it away.
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
    # A Ctrl-C between the start of the process and our knowing of it would leave it running: it waits until then.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT, signal.SIGTERM})
    try:
        process = subprocess.Popen(
            command,
            cwd=work,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            start_new_session=True,  # the driver and its children are one group, and can be stopped as one
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
        if process.returncode < 0:  # the driver itself; where only a part of it was killed, it says so
            number = -process.returncode
            raise BuildError(f"{program} was ended by signal {number} ({signal.strsignal(number)}) in {name}", log)
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
        missing = f"CXX={wanted}: there is no such program; correct CXX or unset it"
    else:
        commands = [_command(name, path) for name in COMPILERS]
        missing = f"no C++ compiler (looked for {', '.join(COMPILERS)}); {MEND}"
    problem = None
    for command in filter(None, commands):
        try:
            return _settle(command)
        except BuildError as found:
            problem = problem or BuildError(f"{found.reason} ({command[0]} does not work; {MEND})", found.log)
    return problem or BuildError(missing)


def _command(wanted: str, path: str | None) -> tuple[str, ...]:
    """The words of a command whose first is a program's full path; none if there is no such program."""
    if program := shutil.which(wanted, path=path):
        return (os.path.abspath(program),)
    try:
        first, *rest = shlex.split(wanted)  # CXX="ccache g++"
    except ValueError:
        return ()
    program = shutil.which(first, path=path)
    return (os.path.abspath(program), *rest) if program else ()


def _settle(command: tuple[str, ...]) -> Compiler:
    """The best way of using a compiler that works. Raises BuildError if none does."""
    known = _version(command)
    runtimes = (runtime, None) if (runtime := openmp_runtime()) else (None,)
    best, *others, plain = [Compiler(command, *known, tuning, use) for use in runtimes for tuning in TUNING]
    try:
        return _tried(best)
    except BuildError:
        _tried(plain)  # what is refused even so cannot be mended by other options
    for one in others:
        with suppress(BuildError):
            return _tried(one)
    return plain


def _tried(tools: Compiler) -> Compiler:
    """The same, once it has built a library that can be loaded and brings no second OpenMP runtime."""
    before = _runtimes(_mapped())
    _load(tools, PROBE, {}, "probe")
    if more := set(_runtimes(_mapped())) - set(before):
        raise BuildError(f"{tools.command[0]}: its libraries bring another OpenMP runtime, {', '.join(more)}")
    return tools


def _version(command: Sequence[str]) -> tuple[str, tuple[int, int]]:
    """version and stamp of a Compiler."""
    try:
        found = os.stat(command[0])
        said = subprocess.run(
            [*command, "--version"], stdin=subprocess.DEVNULL, capture_output=True, timeout=LIMIT, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as problem:
        raise BuildError(f"{command[0]} cannot be run: {problem}") from problem
    version = (said.stdout.decode("utf-8", "replace").splitlines() or [""])[0].strip()
    return version, (found.st_size, found.st_mtime_ns)


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


def _mapped() -> list[tuple[int, int, str]]:
    """(start, end, file) of all that is mapped into this process; empty where the system does not say."""
    found = []
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as file:
            for line in file:
                place, *_, name = line.rstrip("\n").split(maxsplit=5)
                if name.startswith("/"):
                    start, end = place.split("-")
                    found.append((int(start, 16), int(end, 16), name))
    except OSError:
        pass
    return found


def _runtimes(mapped: Sequence[tuple[int, int, str]]) -> list[str]:
    """The OpenMP runtimes among them."""
    return sorted({name for _, _, name in mapped if _RUNTIME.fullmatch(os.path.basename(name))})


# ---- The cache ------------------------------------------------------------------------------------------------------

_given_up: dict[Path | None, str] = {}  # folders that are not used in this process, and why
_private: Path | None = None


def _wanted() -> Path | None:
    """The folder that the user, or custom, asks for; None if there is no home."""
    if own := os.environ.get(VARIABLE):
        return Path(os.path.abspath(os.path.expanduser(own)))
    shared = os.environ.get("XDG_CACHE_HOME", "")
    if os.path.isabs(shared):  # a relative one is to be ignored, says its specification
        return Path(shared) / "elman"
    home = os.path.expanduser("~")
    return Path(home) / ".cache" / "elman" if os.path.isabs(home) else None


def _problem(folder: Path) -> str:
    """Why nothing may be loaded from a folder, or "". It is made, for its owner alone, if there is none."""
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        link, found, disk = os.lstat(folder), os.stat(folder), os.statvfs(folder)
    except OSError as problem:
        return problem.strerror or str(problem)
    if {link.st_uid, found.st_uid} != {os.geteuid()}:
        return "it, or the link there, belongs to another user"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"others may write to it; chmod go-w {shlex.quote(str(folder))}"
    if not os.access(folder, os.R_OK | os.W_OK | os.X_OK):
        return "it is not writable"
    if disk.f_flag & getattr(os, "ST_NOEXEC", 0):
        return "programs may not be run from its disk (noexec)"
    return ""


def _give_up(folder: Path | None, problem: str) -> None:
    if folder not in _given_up:
        _given_up[folder] = problem
        warnings.warn(
            f"{folder or '~/.cache/elman'} is not used for compiled cells: {problem}. They are kept for this process "
            f"only; {VARIABLE} names another folder",
            SlowPath,
            stacklevel=3,
        )


def _private_folder() -> Path:
    """A folder for this process and its children. Raises OSError."""
    global _private
    if _private is None or not _private.is_dir():
        _private = Path(tempfile.mkdtemp(prefix="elman-"))
        atexit.register(_remove, _private, os.getpid())
    return _private


def _remove(folder: Path, process: int) -> None:
    if os.getpid() == process:  # not in a fork
        shutil.rmtree(folder, ignore_errors=True)


def _take(folder: Path, stem: str) -> ctypes.CDLL | None:
    """The library of an entry, or None if there is none. One that is not what was built is removed."""
    for path in folder.glob(f"{stem}-*.so"):
        with suppress(OSError):
            if _is_sound(path):
                library = ctypes.CDLL(str(path))
                with suppress(OSError):
                    os.utime(path)  # used: it is not the next to go
                return library
        with suppress(OSError):
            path.unlink()
    return None


def _is_sound(path: Path) -> bool:
    """Whether a file is a plain one of ours that others cannot write, and its content is what its name says."""
    entry, found = _ENTRY.fullmatch(path.name), os.lstat(path)
    plain = stat.S_ISREG(found.st_mode) and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)
    if not (entry and plain and found.st_uid == os.geteuid()):
        return False
    return _digest(path.read_bytes()) == entry["digest"]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()[:32]


def _tidy(folder: Path) -> None:
    """Make room for one more entry, and remove what builds that were killed have left."""
    entries = []
    for path in folder.iterdir():
        with suppress(OSError):  # another process tidies too
            entry, age = _ENTRY.fullmatch(path.name), os.lstat(path).st_mtime
            if entry:
                entries.append((age, path, entry["stem"]))
            elif path.name.startswith(WORK) and age < time.time() - STALE:
                shutil.rmtree(path, ignore_errors=True)
    entries.sort()
    for _, path, stem in entries[: max(0, len(entries) - KEEP + 1)]:
        for old in (path, folder / f"{stem}.cpp"):
            with suppress(OSError):
                old.unlink()
