"""The first line of each text, in memory that does not depend on how long the texts are."""

from array import array

_FREE = 0
_ZERO = 1  # stands for the hash 0, which means that a slot is free


class FirstLines:
    """A map from a text to the line where it first stood: 12 bytes a slot, half of them free.

    It keeps a hash of 64 bits for each text; that two of a million texts share one is less likely
    than one in ten million. Python keys its hashes by chance at each start: nobody can make two
    texts that collide.
    """

    def __init__(self) -> None:
        self._used = 0
        self._make(1 << 10)

    def __len__(self) -> int:
        return self._used

    def first(self, text: str, line: int) -> int:
        """The line where a text first stood; this line, if it is new.

        Args:
            text: The text.
            line: The line where it stands now, from 1.
        """
        if self._used > self._room:
            self._grow()
        keys, mask = self._keys, self._mask
        slot = (key := hash(text) or _ZERO) & mask
        while keys[slot] != key:
            if keys[slot] == _FREE:
                keys[slot], self._lines[slot] = key, line
                self._used += 1
                return line
            slot = (slot + 1) & mask
        return self._lines[slot]

    def get(self, text: str) -> int | None:
        """The line where a text first stood, or None."""
        slot = self._slot(hash(text) or _ZERO)
        return None if self._keys[slot] == _FREE else self._lines[slot]

    def _slot(self, key: int) -> int:
        keys, mask = self._keys, self._mask
        slot = key & mask
        while keys[slot] not in (_FREE, key):
            slot = (slot + 1) & mask
        return slot

    def _make(self, size: int) -> None:
        self._mask = size - 1
        self._room = size // 2 - 1
        self._keys = array("q", bytes(8 * size))
        self._lines = array("l" if array("l").itemsize == 4 else "i", bytes(4 * size))

    def _grow(self) -> None:
        before = zip(self._keys, self._lines, strict=True)
        self._make(2 * len(self._keys))
        for key, line in before:
            if key != _FREE:
                slot = self._slot(key)
                self._keys[slot], self._lines[slot] = key, line
