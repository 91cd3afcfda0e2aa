"""Building a network from the settings in a model folder, which may say anything: it cannot outgrow its weights."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.nn.modules.module import register_module_parameter_registration_hook


class TooLargeError(Exception):
    """A network is larger than the weights stored for it."""


@contextmanager
def bounded(weights: Iterable[Tensor]) -> Iterator[None]:
    """Inside the block, this thread makes no more parameters than there are weights, and no more numbers in them.

    Raises TooLargeError at the first one too many, before its memory is touched: a billion layers stop at the
    first without weights. A parameter that replaces another counts once."""
    sizes = [weight.numel() for weight in weights]
    thread, made = threading.get_ident(), dict[tuple[nn.Module, str], int]()

    def count(module: nn.Module, name: str, parameter: Any) -> None:
        if parameter is None or threading.get_ident() != thread:
            return
        made[module, name] = parameter.numel()
        if len(made) > len(sizes) or sum(made.values()) > sum(sizes):
            raise TooLargeError(
                f"it has more than the {len(sizes):,} stored weights of {sum(sizes):,} numbers, starting at "
                f"{type(module).__name__}.{name}"
            )

    hook = register_module_parameter_registration_hook(count)
    try:
        yield
    finally:
        hook.remove()
