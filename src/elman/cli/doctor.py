"""`elman doctor`: what elman finds on this machine, and what is missing."""

from __future__ import annotations

import os
import shlex
import sys
from typing import Any

import click

from elman.cli.options import json_option
from elman.cli.output import emit_json, size

CORE = ("torch", "numpy", "safetensors", "click", "rich", "msgspec")


@click.command("doctor", short_help="What elman finds on this machine, and what is missing.")
@json_option
def doctor(as_json: bool) -> None:
    """Versions, processor, threads, memory, disk, and what is missing and how to get it."""
    report = examine()
    if as_json:
        emit_json(report)
        return
    for key, value in report.items():
        if key == "extras":
            continue
        print(f"{key:22}{_text(key, value)}")
    for name, extra in report["extras"].items():
        what = "installed" if not extra["missing"] else f"missing {', '.join(extra['missing'])}; get it: {extra['get']}"
        print(f"{'extra ' + name:22}{what}")


def _text(key: str, value: Any) -> str:
    if value is None:
        return "unknown" if key != "OMP_NUM_THREADS" else "not set"
    if key.endswith("_bytes"):
        return size(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return str(value)


def examine() -> dict[str, Any]:
    """Everything that is printed, as plain data. What cannot be determined is None; nothing here fails."""
    import platform

    from elman import __version__

    report: dict[str, Any] = {"elman": __version__, "python": platform.python_version(), "system": platform.platform()}
    report |= {name: _version(name) or "missing" for name in CORE}
    report |= {"processor": _processor(), "cores": _cores(), "OMP_NUM_THREADS": os.environ.get("OMP_NUM_THREADS")}
    native = _native()  # first: it reports on the cache that checking a cell may use
    report |= _torch() | native
    report["memory_bytes"], report["memory_free_bytes"] = _memory("MemTotal"), _memory("MemAvailable")
    report["disk_free_bytes"] = _disk()
    report["stdout_encoding"] = getattr(sys.stdout, "encoding", None)
    report["locale"] = os.environ.get("LC_ALL") or os.environ.get("LC_CTYPE") or os.environ.get("LANG") or "not set"
    report["extras"] = _extras()
    return report


def _torch() -> dict[str, Any]:
    """What torch says, or why it cannot be loaded."""
    try:
        import torch

        from elman.recurrent import check_cell, get_cell
    except Exception as problem:
        return {"torch_problem": f"cannot be loaded: {problem}; reinstall it: pip install --force-reinstall torch"}
    cuda = torch.cuda.is_available()
    lstm = check_cell(get_cell("lstm"))
    return {
        "torch_threads": torch.get_num_threads(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.cuda.get_device_name() if cuda else "none",
        "recurrent_path": lstm.path,
        "recurrent_check": "passed" if lstm.ok else str(lstm),
    }


def _native() -> dict[str, Any]:
    """What compiles cells, for which threads, and where the result is kept."""
    try:
        from elman.recurrent.kernels import build, library_cache
        from elman.recurrent.kernels.openmp import openmp_runtime

        runtime = openmp_runtime()
    except Exception:  # a problem with torch, which has been reported
        return {}
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what they say is in the result
        threads = str(runtime) if runtime else "none that torch uses: compiled cells run on one thread"
        try:
            tools = build.compiler()
            compiler = f"{shlex.join(tools.command)}, {tools.version or 'of unknown version'}"
            if runtime and not tools.openmp:
                threads += "; this compiler cannot build for it: compiled cells run on one thread"
        except build.BuildError as problem:
            compiler = f"none: {problem.reason}; without it recurrent layers run on the slower reference path"
        report = {"native_compiler": compiler, "openmp_runtime": threads}
        try:
            folder, (entries, size) = library_cache.cache_folder(), library_cache.cache_use()
        except OSError as problem:
            return report | {"native_cache": f"none: {problem}"}
        why = library_cache.cache_problem()
    report["native_cache"] = f"{folder}, for this run only: {why}" if why else str(folder)
    return report | {"native_cache_entries": entries, "native_cache_bytes": size}


def _version(name: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _processor() -> str | None:
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            for line in file:
                if line.startswith("model name"):
                    return line.partition(":")[2].strip()
    except OSError:
        pass
    import platform

    return platform.processor() or platform.machine() or None


def _cores() -> int | None:
    """The cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def _memory(key: str) -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as file:
            for line in file:
                if line.startswith(key + ":"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def _disk() -> int | None:
    import shutil

    try:
        return shutil.disk_usage(os.getcwd()).free
    except OSError:
        return None


def _extras() -> dict[str, dict[str, Any]]:
    """The extras that the package itself declares: which of their packages are missing, and how to get them."""
    from importlib.metadata import PackageNotFoundError, metadata, requires

    try:
        names = metadata("elman").get_all("Provides-Extra") or []
        wanted = requires("elman") or []
    except PackageNotFoundError:
        return {}
    answer: dict[str, dict[str, Any]] = {}
    for name in names:
        needed = [line for line in wanted if _belongs(line, name)]
        missing = [package for line in needed if _version(package := _name(line)) is None]
        answer[name] = {"missing": missing, "get": f"pip install 'elman[{name}]'"}
    return answer


def _belongs(requirement: str, extra: str) -> bool:
    marker = requirement.partition(";")[2].replace('"', "'")
    return f"extra == '{extra}'" in marker


def _name(requirement: str) -> str:
    end = next((i for i, c in enumerate(requirement) if not (c.isalnum() or c in "-_.")), len(requirement))
    return requirement[:end]
