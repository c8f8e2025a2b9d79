"""The first line of each text, in memory that does not grow with the texts.

What was read last is a dictionary; what was read before lies sorted in a file without a name. A
Bloom filter says of nearly every new text that the file need not be asked.
"""

import os
import sys
import tempfile
import weakref
from array import array
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import NamedTuple

_IN_HAND = 1 << 15  # texts in memory
_BUCKET = 1 << 8  # keys that are read from the file at once
_BITS = 1 << 24  # of the filter, 2 MB: of a million texts it takes some thousands for old ones
_MASK = _BITS - 1
_WIDTH = 8  # bytes of a key, and of a line


class _Run(NamedTuple):
    """A piece of the file: keys in their order, then the line of each."""

    start: int
    length: int
    beginnings: "array[int]"  # every key that begins a bucket


class FirstLines:
    """A map from a text to the line where it first stood; made for some millions of texts.

    It keeps a hash of 64 bits for each text; that two of a million texts share one is less likely
    than one in ten million. Python keys its hashes by chance at each start: nobody can make two
    texts that collide.
    """

    def __init__(self) -> None:
        self._recent: dict[int, int] = {}
        self._room = _IN_HAND
        self._runs: list[_Run] = []
        self._filter = bytearray()
        self._file = -1
        self._size = 0

    def __len__(self) -> int:
        return len(self._recent) + sum(run.length for run in self._runs)

    def first(self, text: str, line: int) -> int:
        """The line where a text first stood; this line, if it is new.

        Args:
            text: The text.
            line: The line where it stands now, from 1.
        """
        key = hash(text)
        known = self._recent.get(key)
        if known is None and self._runs:
            # Two bits for each (Bloom 1970). Here and not in a method: millions of texts are new.
            bits, one, other = self._filter, key & _MASK, (key >> 32) & _MASK
            if bits[one >> 3] >> (one & 7) & bits[other >> 3] >> (other & 7) & 1:
                known = self._line_in_file(key)
        if known is not None:
            return known
        self._recent[key] = line
        if len(self._recent) >= self._room:
            self._put_aside()
        return line

    def _line_in_file(self, key: int) -> int | None:
        for run in self._runs:
            bucket = bisect_right(run.beginnings, key) - 1
            if bucket < 0:
                continue
            begin = bucket * _BUCKET
            keys = self._read(run.start + begin * _WIDTH, min(_BUCKET, run.length - begin))
            at = bisect_left(keys, key)
            if at < len(keys) and keys[at] == key:
                return self._read(run.start + (run.length + begin + at) * _WIDTH, 1)[0]
        return None

    def _read(self, start: int, count: int) -> "array[int]":
        return array("q", os.pread(self._file, count * _WIDTH, start))

    def _put_aside(self) -> None:
        keys = array("q", sorted(self._recent))
        lines = array("q", map(self._recent.__getitem__, keys))
        try:
            if self._file < 0:
                self._file = _nameless_file()
                weakref.finalize(self, os.close, self._file)
            _write(self._file, keys.tobytes() + lines.tobytes(), self._size)
        except OSError:  # no room on the disk: memory has to do
            self._room = sys.maxsize
            return
        self._runs.append(_Run(self._size, len(keys), keys[::_BUCKET]))
        self._size += 2 * _WIDTH * len(keys)
        self._recent.clear()
        self._filter = bits = self._filter or bytearray(_BITS >> 3)
        for key in keys:
            one, other = key & _MASK, (key >> 32) & _MASK
            bits[one >> 3] |= 1 << (one & 7)
            bits[other >> 3] |= 1 << (other & 7)


def _nameless_file() -> int:
    handle, name = tempfile.mkstemp(prefix="petition-")
    Path(name).unlink()  # it goes with the process, however that ends
    return handle


def _write(file: int, data: bytes, start: int) -> None:
    while data:
        written = os.pwrite(file, data, start)
        data, start = data[written:], start + written
