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

from assay_validator.state import Refused, State, Vote

DOMAIN = b"d" * 32


def key(number: int) -> bytes:
    return bytes([number]) * 32


def sign(state: State, *, batch: int = 0, round: int = 1, digest: int = 1, answers: tuple[int, ...] = (1, 2)) -> None:
    state.keep_signature(
        DOMAIN, batch=batch, round=round, digest=key(digest), answers=map(key, answers), records=[key(200 + batch)]
    )


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


def test_no_answer_or_record_twice_in_one_batch(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    for answers, records in (((3, 3), (7,)), ((3, 4), (7, 7))):
        with pytest.raises(Refused) as refused:
            state.keep_signature(
                DOMAIN, batch=0, round=1, digest=key(9), answers=map(key, answers), records=map(key, records)
            )
        assert refused.value.code == "settled_twice"
    sign(state)  # nothing of it was kept
    state.close()


def test_no_answer_in_two_batches(tmp_path: Path) -> None:
    state = State(tmp_path / "state.sqlite")
    sign(state)
    with pytest.raises(Refused) as refused:
        sign(state, batch=1, answers=(3, 2))
    assert refused.value.code == "settled_before"
    assert state.signed(DOMAIN, batch=1, round=1) is None, "a refusal leaves nothing behind"
    sign(state, batch=1, answers=(3,))
    state.close()


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
        state.keep_signature(b"d" * 32, batch=5, round=1, digest=b"x" * 32, answers=[b"a" * 32], records=[])
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
