"""Panels of U that are packed once: the same numbers, nothing kept afterwards, and gone when they must be."""

from __future__ import annotations

import pytest
import torch

from elman.recurrent import CELLS, Bidirectional, Packed, use_backend
from elman.recurrent.kernels import native


@pytest.mark.usefixtures("compiler")
def test_panels_that_are_kept_give_the_same_numbers(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(1)
    layer = Bidirectional(CELLS["lstm"](3, 5), CELLS["lstm"](3, 5)).eval()
    xs = Packed.from_list([torch.randn(n, 3) for n in (4, 2, 7)])
    packed: list[int] = []
    whole = native.Kernel.packed

    def counted(self, U, *rest, **more):
        packed.append(1)
        return whole(self, U, *rest, **more)

    def run() -> torch.Tensor:
        with torch.inference_mode(), use_backend("native"):
            return layer.run(xs, layer.initial(3, xs.data))[0].data

    expected = run()
    monkeypatch.setattr(native.Kernel, "packed", counted)
    with native.panels_kept(layer):
        with native.panels_kept(layer):
            assert torch.equal(run(), expected) and len(packed) == 2
        assert torch.equal(run(), expected) and len(packed) == 2
        with use_backend("native"):  # training packs what it reads
            layer.run(xs, layer.initial(3, xs.data))[0].data.sum().backward()
        assert len(packed) > 2
    assert not native._kept
    with torch.no_grad():
        layer.ahead.cell.U.add_(1)
    assert not torch.equal(run(), expected)
