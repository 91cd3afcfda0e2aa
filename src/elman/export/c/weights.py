"""model.bin: the numbers and strings of a model one after another, each at a multiple of 64 bytes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elman.recurrent.plan import Floats

TILE = 32  # as in runtime/products.c
HEADER, BLOCK = 64, 512
MAGIC = b"elman-C\n"
TYPES = {"float32": "float", "bfloat16": "uint16_t", "int8": "int8_t"}
ODD = np.uint64(0x9E3779B97F4A7C15)


class Weights:
    """Collects arrays and says where they are. kind: how weights are stored, a key of TYPES."""

    def __init__(self, kind: str) -> None:
        self.kind = kind
        self._parts: list[bytes] = []
        self._size = 0

    def array(self, values: NDArray[Any]) -> int:
        """The place of an array as it is, little-endian, in row-major order."""
        return self._add(np.ascontiguousarray(values, values.dtype.newbyteorder("<")).tobytes())

    def weights(self, values: Floats) -> tuple[int, int]:
        """The places of (rows, columns), reduced, and of the scale of each row, 0 unless they have one."""
        if self.kind == "float32":
            return self.array(values.astype(np.float32)), 0
        if self.kind == "bfloat16":
            return self.array(bfloat16(values)), 0
        scale = (np.abs(values).max(1, initial=0) / 127).astype(np.float32)
        whole = np.rint(values / np.where(scale > 0, scale, 1)[:, None]).clip(-127, 127).astype(np.int8)
        return self.array(whole), self.array(scale)

    def matrix(self, values: Floats) -> tuple[int, int]:
        """(in, out) in tiles; out is a multiple of TILE."""
        _rows, _columns = values.shape
        if self.kind == "int8":  # scales are those of whole rows
            scale = (np.abs(values).max(1, initial=0) / 127).astype(np.float32)
            whole = np.rint(values / np.where(scale > 0, scale, 1)[:, None]).clip(-127, 127).astype(np.int8)
            return self.array(_tiled(whole)), self.array(scale)
        stored = values.astype(np.float32) if self.kind == "float32" else bfloat16(values)
        return self.array(_tiled(stored)), 0

    def strings(self, items: Sequence[str]) -> tuple[int, int, int, int, int]:
        """The places of bytes, starts and slots, and how many bytes and slots there are."""
        coded = [item.encode("utf-8", "surrogatepass") for item in items]
        starts = np.cumsum([0, *(len(item) + 1 for item in coded)]).astype(np.uint32)
        content = b"".join(item + b"\0" for item in coded)
        slots = 16
        while slots < 1.15 * len(items):
            slots *= 2
        table = placed((hashes(coded) & np.uint32(slots - 1)).tolist(), slots)
        return self._add(content), self.array(starts), self.array(table), len(content), slots

    def file(self, fingerprint: int) -> bytes:
        """The whole file."""
        body = b"".join(self._parts)
        body += bytes(-len(body) % BLOCK)
        numbers = np.array([fingerprint, HEADER + len(body), checksum(body)], "<u8").tobytes()
        return (MAGIC + numbers).ljust(HEADER, b"\0") + body

    @property
    def file_size(self) -> int:
        """Of `file`."""
        return HEADER + -(-self._size // BLOCK) * BLOCK

    def _add(self, content: bytes) -> int:
        place = self._size
        padded = content + bytes(-len(content) % 64)
        self._parts.append(padded)
        self._size += len(padded)
        return place


def placed(wanted: Sequence[int], slots: int) -> NDArray[np.uint32]:
    """(slots,): 1 + the number of what wanted this place, or one before it that was taken; 0 where nothing is."""
    table = [0] * slots
    for i, at in enumerate(wanted):
        while table[at]:
            at = (at + 1) & (slots - 1)
        table[at] = i + 1
    return np.array(table, np.uint32)


def bfloat16(values: Floats) -> NDArray[np.uint16]:
    """The upper halves of floats, rounded to the nearest, ties to even."""
    bits = np.ascontiguousarray(values, np.float32).view(np.uint32)
    return ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)


def checksum(body: bytes) -> int:
    """As `checksum` of runtime/base.c: 64 lanes, then all of them in turn."""
    rows = np.frombuffer(body, "<u8").reshape(-1, 64)
    lanes, every = np.zeros(64, np.uint64), np.uint64(len(body))
    with np.errstate(over="ignore"):
        for row in rows:
            lanes = _mix(lanes, row)
        for lane in lanes:
            every = _mix(every, lane)
    return int(every)


def _mix(h: Any, word: Any) -> Any:
    h = (h ^ word) * ODD
    return h ^ (h >> np.uint64(29))


def hashes(coded: Sequence[bytes]) -> NDArray[np.uint32]:
    """Of each item, as `find` of runtime/text.c: FNV-1a, folded once."""
    lengths = np.array([len(item) for item in coded], np.int64)
    content = np.frombuffer(b"".join(coded), np.uint8)
    starts = np.cumsum(lengths) - lengths
    result = np.full(len(coded), 2166136261, np.uint32)
    running = np.flatnonzero(lengths)
    at = 0
    while len(running):
        result[running] = (result[running] ^ content[starts[running] + at]) * np.uint32(16777619)
        at += 1
        running = running[lengths[running] > at]
    return result ^ (result >> np.uint32(15))


def _tiled(values: NDArray[Any]) -> NDArray[Any]:
    rows, columns = values.shape
    return np.ascontiguousarray(values.reshape(rows, columns // TILE, TILE).transpose(1, 0, 2))
