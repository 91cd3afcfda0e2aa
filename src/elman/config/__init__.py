"""What can be set, declared once: its default, its rule, its flags and its help. Nothing heavy is imported here."""

from __future__ import annotations

from elman.config.setting import CELL_HELP, COUNT, NUMBER, SHARE, SIZE, Config, Rule, Setting, config, one_of, setting
from elman.config.training import TrainingConfig, parse_duration, parse_memory

__all__ = [
    "CELL_HELP",
    "COUNT",
    "NUMBER",
    "SHARE",
    "SIZE",
    "Config",
    "Rule",
    "Setting",
    "TrainingConfig",
    "config",
    "one_of",
    "parse_duration",
    "parse_memory",
    "setting",
]
