"""What a worker must never forget."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from assay_validator.settled import Content
from assay_validator.state import Refused, State, Vote

DOMAIN = b"d" * 32


def key(number: int) -> bytes:
    return bytes([number]) * 32


def sign(state: State, *, batch: int = 0, round: int = 1, digest: int = 1) -> None:
    state.keep_signature(DOMAIN, batch=batch, round=round, digest=key(digest))


def content(answers: tuple[int, ...], *, records: tuple[int, ...] = (), parts: dict[int, int] | None = None) -> Content:
    made = tuple((key(task), key(evidence)) for task, evidence in (parts or {}).items())
    return Content(key(90), key(91), tuple(map(key, answers)), tuple(map(key, records)), made)


def test_same_signature_again_is_fine(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    sign(state)
    sign(state)
    sign(state, round=2)  # the same batch, asked again by a later panel round
    assert state.signed(DOMAIN, batch=0, round=1) == key(1)
    state.close()


def test_never_two_digests_for_one_batch_and_round(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    sign(state)
    with pytest.raises(Refused) as refused:
        sign(state, digest=2)
    assert refused.value.code == "equivocation"
    state.close()
    again = State(tmp_path / "state.sqlite")  # nor after a restart
    with pytest.raises(Refused):
        sign(again, digest=2)
    again.close()


def test_only_what_the_chain_vouches_for_is_settled(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    settled = state.settled
    assert settled.head(DOMAIN) == (0, bytes(32))
    settled.note(DOMAIN, batch=0, content=content((1, 2), records=(11,)))
    settled.note(DOMAIN, batch=1, content=content((3,), parts={12: 50}))
    assert settled.batch_of(DOMAIN, key(1)) is None
    assert settled.part(DOMAIN, key(12)) is None
    settled.believe(DOMAIN, request=key(99), batches=1, head=key(70))
    assert [settled.batch_of(DOMAIN, key(one)) for one in (1, 2, 11, 3)] == [0, 0, 0, None]
    settled.believe(DOMAIN, request=key(99), batches=2, head=key(71))
    assert settled.batch_of(DOMAIN, key(3)) == 1
    assert settled.part(DOMAIN, key(12)) == key(50)
    settled.believe(DOMAIN, request=key(99), batches=3, head=key(72), last=content((4,), records=(12,)))
    settled.note(DOMAIN, batch=3, content=content((5,)))
    assert settled.batch_of(b"e" * 32, key(1)) is None, "of another request"
    state.close()
    again = State(tmp_path / "state.sqlite").settled
    assert again.head(DOMAIN) == (3, key(72))
    assert [again.batch_of(DOMAIN, key(one)) for one in (1, 4, 12, 5)] == [0, 2, 2, None]
    again.discard(DOMAIN)
    again.believe(DOMAIN, request=key(99), batches=4, head=key(73))
    assert again.batch_of(DOMAIN, key(5)) is None, "what was read before did not lead to the head"
    assert again.requests() == [(key(99), DOMAIN)]
    again.discard(DOMAIN, all=True)
    assert again.head(DOMAIN) == (0, bytes(32))
    assert again.batch_of(DOMAIN, key(1)) is None


def test_first_vote_stands(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    first = Vote(1, key(7), key(8))
    assert state.keep_vote(DOMAIN, key(1), round=0, vote=first) == first
    assert state.keep_vote(DOMAIN, key(1), round=0, vote=Vote(0, key(9), key(10))) == first
    state.close()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    with pytest.raises(sqlite3.OperationalError, match="locked"):
        State(tmp_path / "state.sqlite", patience=0.1)
    state.close()


def test_survives_kill(tmp_path: Path) -> None:
    """What was returned from is there after `kill -9`."""
    path = tmp_path / "state.sqlite"
    program = textwrap.dedent(
        f"""
        import sys, time
        from pathlib import Path
        from assay_validator.state import State, Vote
        state = State(Path({str(path)!r}))
        state.keep_vote(b"d" * 32, b"a" * 32, round=0, vote=Vote(1, b"s" * 32, b"c" * 32))
        state.keep_signature(b"d" * 32, batch=5, round=1, digest=b"x" * 32)
        print("kept", flush=True)
        time.sleep(60)
        """
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    with subprocess.Popen([sys.executable, "-c", program], stdout=subprocess.PIPE, env=env) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"kept\n"
        process.send_signal(signal.SIGKILL)
    state = State(path)
    vote = state.vote(DOMAIN, b"a" * 32, round=0)
    assert vote is not None
    assert vote.salt == b"s" * 32
    assert state.signed(DOMAIN, batch=5, round=1) == b"x" * 32
    state.close()
