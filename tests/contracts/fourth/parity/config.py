"""The settings."""

from __future__ import annotations

from elman.config import CELL_HELP, COUNT, Config, config, setting


@config
class ParityConfig(Config):
    cell: str = setting("lstm", "--cell", CELL_HELP)
    hidden_size: int = setting(8, "--hidden-size", "units", COUNT)
    layers: int = setting(1, "--layers", "recurrent layers", COUNT)
    one_way: bool = setting(True, "--one-way", "from left to right only")


@config
class ConstantConfig(Config):
    pass
