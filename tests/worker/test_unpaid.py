"""A worker signs no batch that pays an answer which the rule leaves unpaid, or leaves one unpaid that it pays."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evidence import CID, DOMAIN, LABELERS, PANEL, answer, on_chain, participant, wallet
from solders.keypair import Keypair

from assay.domain import batch, messages, spec, votelog
from assay.domain.history import History
from assay.domain.spec import Spec
from assay.domain.standing import FIRST_USE
from assay.domain.work import Task
from assay_validator import checks
from assay_validator.state import Refused, State

CLASSES = ["cat", "dog", "owl"]
HONEST, IDLE = LABELERS[:2], LABELERS[2]


def make_spec(pay: str) -> Spec:
    return spec.parse(
        {
            "title": "t", "instructions": "", "kind": "choice", "schema": {"classes": CLASSES},
            "mode": "agreement", "overlap": 3, "validation": {"pay": pay},
            "items": [{"cid": CID, "media_type": "image/png"} for _ in range(FIRST_USE + 3)],
        }
    )  # fmt: skip


def tasks(asked: Spec, indices: range, *, idle: Keypair = IDLE) -> list[Task]:
    """Two labelers are right, `idle` always says the first class."""
    out = []
    for index in indices:
        truth = CLASSES[index % len(CLASSES)]
        given = [answer(asked, index, one, CLASSES[0] if one is idle else truth) for one in LABELERS]
        out.append(Task(index, tuple(given)))
    return out


def after(asked: Spec, *, idle: Keypair = IDLE) -> History:
    """The request's earlier batches."""
    history = History(asked)
    history.add(tasks(asked, range(FIRST_USE), idle=idle))
    return history


def proposal(asked: Spec, history: History) -> dict[str, Any]:
    """What a settler proposes that goes by `history`: whole in itself."""
    given = tasks(asked, range(FIRST_USE, FIRST_USE + 3))
    made = batch.assemble(asked, domain=DOMAIN, tasks=given, participant=participant, history=history)
    return {
        "type": "proposal", "request": messages.b58(b"\1" * 32), "batch": 4, "panel_round": 2,
        "root": made.root.hex(), "digest": made.digest(participant).hex(), "records": len(made.records),
        "judged": made.judged, "answers": len(made.answers), "votes": made.votes,
        "tallies": [{"wallet": messages.b58(one.wallet), "tally": one.pack().hex()} for one in made.tallies],
        "tasks": votelog.encode_tasks(given),
    }  # fmt: skip


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State(tmp_path / "state.sqlite")
    yield opened
    opened.close()


def check(asked: Spec, message: dict[str, Any], state: State) -> checks.Signable:
    return checks.proposal(
        message, request=replace(on_chain(asked), records=FIRST_USE + 3), spec=asked, signer=wallet(PANEL[0]),
        state=state, participant=participant, history=after(asked),
    )  # fmt: skip


def units(message: dict[str, Any]) -> dict[str, int]:
    """Right answers that are not paid, by wallet, as the proposal has them."""
    return {one["wallet"]: int.from_bytes(bytes.fromhex(one["tally"])[8:], "little") for one in message["tallies"]}


def test_what_the_rule_leaves_unpaid_is_signed(state: State) -> None:
    asked = make_spec("information")
    message = proposal(asked, after(asked))
    idle = messages.b58(wallet(IDLE))
    assert units(message) == {messages.b58(wallet(one)): 0 for one in HONEST} | {idle: 1}
    assert check(asked, message, state).content.digest.hex() == message["digest"]


def test_paying_what_the_rule_does_not_pay_is_refused(state: State) -> None:
    asked = make_spec("information")
    message = proposal(asked, History(asked))
    assert not any(units(message).values())
    with pytest.raises(Refused) as refused:
        check(asked, message, state)
    said = f"0 of the 1 right answers of {messages.b58(wallet(IDLE))} are not paid; by the rule it is 1"
    assert (refused.value.code, refused.value.detail) == ("wrong_pay", said)


def test_leaving_unpaid_what_the_rule_pays_is_refused(state: State) -> None:
    """A settler that makes an honest labeler look idle, and saves the buyer its pay."""
    asked = make_spec("information")
    victim = HONEST[0]
    message = proposal(asked, after(asked, idle=victim))
    assert units(message)[messages.b58(wallet(victim))] == 3
    with pytest.raises(Refused) as refused:
        check(asked, message, state)
    assert refused.value.code == "wrong_pay"


def test_the_entries_say_the_same_as_the_tallies(state: State) -> None:
    """Tallies by the rule over entries that are not: another root, whichever answer was struck."""
    asked = make_spec("information")
    right, wrong = proposal(asked, after(asked)), proposal(asked, History(asked))
    with pytest.raises(Refused) as refused:
        check(asked, right | {"root": wrong["root"]}, state)
    assert refused.value.code == "wrong_root"


def test_where_pay_is_equal_nobody_is_left_unpaid(state: State) -> None:
    asked = make_spec("equal")
    message = proposal(asked, History(asked))
    assert check(asked, message, state)
    packed = bytearray.fromhex(message["tallies"][0]["tally"])
    packed[8] = 1
    message["tallies"][0]["tally"] = packed.hex()
    with pytest.raises(Refused) as refused:
        check(asked, message, state)
    assert refused.value.code == "wrong_pay"
