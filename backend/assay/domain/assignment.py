"""Who gets which task: drawn by public randomness, logged line by line, checkable by anybody (docs/protocol.md).

Each task of a request has a place on a circle of 2^31, each hand-out a start; it takes the next tasks on the circle
that have room and that neither the wallet nor another of its owner's has had. Places and starts follow from the
request's `domain`, in which the hash of a slot is that nobody chose. A wallet is known by its *walk*, its number in the
order of first hand-outs, and not by its key: keys can be made until one suits.

`assignment_log` reads the log of hand-outs; `Circle` is the state that it describes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from hashlib import sha256

TAG_PLACE = b"assay-place-v1\0\0"
TAG_START = b"assay-start-v1\0\0"
CIRCLE = 2**31
WORD = 1024  # tasks a word of the circle's bit map


def _first31(data: bytes) -> int:
    return int.from_bytes(sha256(data).digest()[:4], "big") >> 1


def place(*, domain: bytes, task: bytes) -> int:
    """A task's place on the circle: the first 31 bits of ``sha256(tag ‖ domain ‖ task id)``."""
    return _first31(TAG_PLACE + domain + task)


def start(*, domain: bytes, walk: int, n: int) -> int:
    """Where the `n`-th hand-out (from 1) of walk number `walk` (from 1) starts."""
    return _first31(TAG_START + domain + struct.pack("<II", walk, n))


class Circle:
    """Tasks in the order of their places (of equal ones, by index), and the room each has.

    `places` and `wanted` are by task index.
    """

    def __init__(self, places: Sequence[int], wanted: Sequence[int]) -> None:
        self._room = list(wanted)
        self._order = sorted(range(len(places)), key=lambda index: (places[index], index))
        self._places = [places[index] for index in self._order]
        self._rank = [0] * len(places)
        for rank, index in enumerate(self._order):
            self._rank[index] = rank
        self._words = [0] * (len(places) // WORD + 1)
        for index, room in enumerate(wanted):
            if room > 0:
                self._mark(index)

    def __len__(self) -> int:
        return len(self._order)

    def _mark(self, index: int) -> None:
        word, bit = divmod(self._rank[index], WORD)
        self._words[word] |= 1 << bit

    def room(self, index: int) -> int:
        """How many more may have this task."""
        return self._room[index]

    def take(self, index: int) -> None:
        """One has it. Raises ValueError where it has no room."""
        if self._room[index] < 1:
            raise ValueError(f"task {index} has no room")
        self._room[index] -= 1
        if self._room[index] == 0:
            word, bit = divmod(self._rank[index], WORD)
            self._words[word] &= ~(1 << bit)

    def give(self, index: int, more: int = 1) -> None:
        """It has room for `more`."""
        self._room[index] += more
        if self._room[index] > 0:
            self._mark(index)

    def walk(self, begin: int) -> Iterator[int]:
        """Indices of tasks with room, from place `begin` once around."""
        low, high = 0, len(self._places)
        while low < high:
            middle = (low + high) // 2
            low, high = (middle + 1, high) if self._places[middle] < begin else (low, middle)
        for first, last in ((low, len(self._order)), (0, low)):
            yield from self._between(first, last)

    def _between(self, first: int, last: int) -> Iterator[int]:
        for number in range(first // WORD, -(-last // WORD)):
            word = self._words[number]
            if number == first // WORD:
                word &= -1 << first % WORD
            while word:
                rank = number * WORD + (word & -word).bit_length() - 1
                if rank >= last:
                    return
                yield self._order[rank]
                word &= word - 1

    def draw(self, begin: int, asked: int, had: Callable[[int], bool]) -> list[int]:
        """What a hand-out from `begin` is: up to `asked` tasks with room, without those for which `had` is true."""
        drawn: list[int] = []
        for index in self.walk(begin):
            if not had(index):
                drawn.append(index)
                if len(drawn) == asked:
                    break
        return drawn
