"""What a worker refuses of dynamic overlap: stopping early, asking for more than is due, saying it was otherwise."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evidence import LABELERS, PANEL, answer, make_spec, on_chain, participant, proposal, wallet
from solders.keypair import Keypair

from assay.domain.spec import Spec
from assay.domain.work import Later, Task
from assay_validator import checks
from assay_validator.state import Refused, State

CROWD = [*LABELERS, Keypair(), Keypair()]


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State(tmp_path / "state.sqlite")
    yield opened
    opened.close()


def asked() -> Spec:
    return make_spec("agreement", overlap=2, more={"most": 4, "confidence_bps": 7000})


def task(of: Spec, labels: list[str], later: Later | None = None) -> Task:
    """Answered with `labels` one after the other; those from the third on are the later ones."""
    answers = tuple(answer(of, 0, one, label) for one, label in zip(CROWD, labels, strict=False))
    told = tuple((one.labeler, 0) for one in answers[2:])
    return Task(0, answers, later=told if later is None else later)


def check(of: Spec, made: Task, record: State, **changes: Any) -> checks.Signable:
    request = replace(on_chain(of), **changes)
    return checks.proposal(
        proposal(of, [made]), request=request, spec=of, signer=wallet(PANEL[0]), state=record, participant=participant
    )


@pytest.mark.parametrize("labels", [["cat", "cat"], ["cat", "dog", "dog", "dog"], ["dog", "cat", "dog", "cat"]])
def test_what_grew_as_it_should_is_signed(labels: list[str], state: State) -> None:
    of = asked()
    assert check(of, task(of, labels), state).tasks[0].later == task(of, labels).later


@pytest.mark.parametrize(
    ("made", "code", "detail"),
    [
        (lambda of: task(of, ["cat", "dog"]), "growth_wrong", "answers: are 2, and another was due"),
        (lambda of: task(of, ["cat", "dog", "cat"]), "growth_wrong", "answers: are 3, and another was due"),
        (lambda of: task(of, ["cat"]), "answers_missing", "has 1 answers of 2"),
        (lambda of: task(of, ["cat", "cat", "dog"]), "growth_wrong", "was asked at a confidence of 10000"),
        (lambda of: task(of, ["cat", "dog", "cat", "dog", "cat"]), "bad_evidence", "at most 4"),
        (
            lambda of: task(of, ["cat", "cat", "dog", "dog"], ((wallet(CROWD[3]), 0), (wallet(CROWD[2]), 0))),
            "growth_wrong",
            "was asked at a confidence of 10000",
        ),
        (
            lambda of: task(of, ["cat", "dog", "cat", "dog"], ((wallet(CROWD[2]), 0), (wallet(CROWD[3]), 32))),
            "growth_wrong",
            "later[1]: goes by point 32",
        ),
        (lambda of: task(of, ["cat", "dog", "cat", "dog"], ()), "bad_evidence", "answers: are 4"),
    ],
)
def test_what_did_not_is_refused(made: Callable[[Spec], Task], code: str, detail: str, state: State) -> None:
    of = asked()
    with pytest.raises(Refused) as refused:
        check(of, made(of), state)
    assert refused.value.code == code
    assert detail in str(refused.value)


def test_other_words_about_the_order_are_another_root(state: State) -> None:
    """So the log cannot tell a validator one order and an auditor another."""
    of = asked()
    made = task(of, ["cat", "dog", "cat", "dog"])
    request, message = on_chain(of), proposal(of, [made])
    message["tasks"][0]["later"].reverse()
    with pytest.raises(Refused, match="root") as refused:
        checks.proposal(
            message, request=request, spec=of, signer=wallet(PANEL[0]), state=state, participant=participant
        )
    assert refused.value.code == "wrong_root"


def test_once_the_request_ends_tasks_are_settled_with_what_they_have(state: State) -> None:
    of = asked()
    for labels in (["cat"], ["cat", "dog"], ["cat", "dog", "cat"]):
        check(of, task(of, labels), state, state=1)
    with pytest.raises(Refused, match="was asked at a confidence of 10000"):
        check(of, task(of, ["cat", "cat", "dog"]), state, state=1)


def test_no_other_request_grows(state: State) -> None:
    of = make_spec("agreement", overlap=2)
    with pytest.raises(Refused, match="lets no task grow"):
        check(of, task(of, ["cat", "dog", "cat"]), state)
