"""What a transaction's logs say: which program ran, what it emitted, why it failed."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterator, Sequence
from typing import Any

from solders.pubkey import Pubkey

from assay.chain.idl import Codec

DATA = "Program data: "
TRUNCATED = "Log truncated"


def emitted(logs: Sequence[str], program: str) -> Iterator[bytes]:
    """Bytes of each ``Program data:`` line that `program` itself wrote, in order.

    The stack of ``invoke`` lines says who is running: another program's lines are not taken for the program's events,
    whatever they say. (``Program log:`` text cannot forge a stack line, since it carries its own prefix.)
    """
    stack: list[str] = []
    for line in logs:
        if line.startswith(DATA):
            if stack and stack[-1] == program:
                for part in line[len(DATA) :].split(" "):
                    try:
                        yield base64.b64decode(part, validate=True)
                    except binascii.Error:
                        continue
        elif line.startswith("Program ") and not line.startswith(("Program log:", "Program return:")):
            words = line.split(" ", 3)
            if len(words) >= 4 and words[2] == "invoke":
                stack.append(words[1])
            elif len(words) >= 3 and stack and words[1] == stack[-1] and words[2] in ("success", "failed:"):
                stack.pop()


def decode_events(codec: Codec, logs: Sequence[str], *, program: Pubkey) -> list[tuple[str, Any]]:
    """(name, dataclass) of each event that the program emitted, in order."""
    found = (codec.decode_event(data) for data in emitted(logs, str(program)))
    return [event for event in found if event is not None]


def failing_program(logs: Sequence[str]) -> str | None:
    """Address of the program in which the failure began: the innermost of the ``failed`` lines comes first."""
    for line in logs:
        words = line.split(" ", 3)
        if len(words) >= 3 and words[0] == "Program" and words[2] == "failed:":
            return words[1]
    return None


def truncated(logs: Sequence[str]) -> bool:
    """Whether the runtime cut the logs at its limit of 10,000 bytes, so that events may be missing."""
    return any(line == TRUNCATED for line in logs)
