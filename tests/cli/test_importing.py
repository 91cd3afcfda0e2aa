"""Importing torch with the garbage collector at rest: it works again afterwards, and stays as the caller set it."""

from __future__ import annotations

import subprocess
import sys

import pytest


@pytest.mark.parametrize(("before", "enabled"), [("gc.enable()", True), ("gc.disable()", False)])
def test_the_collector_is_left_as_it_was(before: str, enabled: bool) -> None:
    code = (
        f"import gc, sys; {before}; from elman.cli.importing import import_torch; assert 'torch' not in sys.modules; "
        "import_torch(); frozen = gc.get_freeze_count(); import_torch(); "
        "print(gc.isenabled(), 'torch' in sys.modules, frozen > 0, gc.get_freeze_count() <= frozen)"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.split() == [str(enabled), str(enabled), str(enabled), "True"], ran.stderr


def test_the_collector_works_after_an_import_that_fails() -> None:
    code = (
        "import gc, sys; sys.meta_path.insert(0, type('Refuse', (), {'find_spec': staticmethod(lambda name, *rest: "
        "(_ for _ in ()).throw(ImportError(name)) if name == 'torch' else None)})); "
        "from elman.cli.importing import import_torch\n"
        "try:\n    import_torch()\nexcept ImportError as error:\n    print(error, gc.isenabled())"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert ran.stdout.split() == ["torch", "True"], ran.stderr
