"""A worker signs what it has recomputed, and refuses everything else with the reason."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from evidence import DOMAIN, LABELERS, PANEL, answer, make_spec, on_chain, participant, proposal, vote_on, wallet
from solders.keypair import Keypair

from assay.domain import messages
from assay.domain.spec import Spec
from assay.domain.work import Task
from assay_validator import checks
from assay_validator.settled import Content
from assay_validator.state import Refused, State
from assay_validator.state import Vote as OwnVote


def agreement() -> tuple[Spec, dict[str, Any]]:
    asked = make_spec("agreement")
    labels = [["cat", "cat", "dog"], ["dog", "dog", "dog"]]
    tasks = [
        Task(index, tuple(answer(asked, index, one, label) for one, label in zip(LABELERS, row, strict=True)))
        for index, row in enumerate(labels)
    ]
    return asked, proposal(asked, tasks)


def review() -> tuple[Spec, dict[str, Any]]:
    asked = make_spec("review")
    tasks = [
        Task(0, (answer(asked, 0, LABELERS[0], "cat", (1, 1, 0)),)),
        Task(1, (answer(asked, 1, LABELERS[1], "dog", (0, 0, 0)),)),
    ]
    return asked, proposal(asked, tasks)


@pytest.fixture
def state(tmp_path: Path) -> Iterator[State]:
    opened = State(tmp_path / "state.sqlite")
    yield opened
    opened.close()


def check(asked: Spec, message: dict[str, Any], record: State, **changes: Any) -> checks.Signable:
    request = replace(on_chain(asked), **changes)
    return checks.proposal(
        message, request=request, spec=asked, signer=wallet(PANEL[0]), state=record, participant=participant
    )


@pytest.mark.parametrize("make", [agreement, review])
def test_right_proposal_is_signable(make: Callable[[], tuple[Spec, dict[str, Any]]], state: State) -> None:
    asked, message = make()
    found = check(asked, message, state)
    expected = messages.batch(domain=DOMAIN, batch=4, panel_round=2, digest=bytes.fromhex(message["digest"]))
    assert found.message == expected
    assert found.content.digest.hex() == message["digest"]
    assert len(found.content.answers) == message["answers"]
    assert len(found.content.records) == message["records"]


def flip(text: str) -> str:
    return ("0" if text[0] != "0" else "1") + text[1:]


def other_label(message: dict[str, Any]) -> None:
    answer = message["tasks"][0]["answers"][0]  # the first by wallet, whichever label that one gave
    answer["content"] = {"value": "cat" if answer["content"]["value"] == "dog" else "dog"}


def stranger_signs(message: dict[str, Any]) -> None:
    signature = messages.sign(Keypair(), b"x")
    message["tasks"][0]["answers"][0]["signature"] = messages.b58(signature)


def answer_left_out(message: dict[str, Any]) -> None:
    del message["tasks"][0]["answers"][0]


def answer_twice(message: dict[str, Any]) -> None:
    message["tasks"][0]["answers"].append(message["tasks"][0]["answers"][0])


def more_good(message: dict[str, Any]) -> None:
    packed = bytearray.fromhex(message["tallies"][0]["tally"])
    packed[0] += 1
    message["tallies"][0]["tally"] = packed.hex()


def another_payee(message: dict[str, Any]) -> None:
    message["tallies"][0]["wallet"] = messages.b58(wallet(Keypair()))


def task_of_another(message: dict[str, Any]) -> None:
    message["tasks"][0]["index"] = 1
    message["tasks"][1]["index"] = 0


def unknown_task(message: dict[str, Any]) -> None:
    message["tasks"][0]["index"] = 99


TAMPERED: list[tuple[Callable[[dict[str, Any]], None], str]] = [
    (lambda m: m.update(root=flip(m["root"])), "wrong_root"),
    (lambda m: m.update(digest=flip(m["digest"])), "wrong_digest"),
    (lambda m: m.update(records=m["records"] + 1), "wrong_counts"),
    (lambda m: m.update(judged=m["judged"] + 1), "wrong_counts"),
    (lambda m: m.update(answers=m["answers"] - 1), "wrong_counts"),
    (lambda m: m.update(votes=m["votes"] + 1), "wrong_counts"),
    (lambda m: m.update(batch=5), "wrong_batch"),
    (lambda m: m.update(batch=3), "wrong_batch"),
    (lambda m: m.update(panel_round=1), "wrong_panel"),
    (lambda m: m["tallies"].reverse(), "wrong_tallies"),
    (lambda m: m["tallies"].pop(), "wrong_tallies"),
    (more_good, "wrong_tallies"),
    (another_payee, "wrong_tallies"),
    (other_label, "bad_signature"),
    (stranger_signs, "bad_signature"),
    (task_of_another, "bad_signature"),
    (unknown_task, "bad_evidence"),
    (lambda m: m.pop("tasks"), "malformed"),
    (lambda m: m.update(tasks=[]), "bad_evidence"),
    (lambda m: m.update(tallies=7), "wrong_tallies"),
]


@pytest.mark.parametrize("make", [agreement, review])
@pytest.mark.parametrize(("tamper", "code"), TAMPERED)
def test_tampered_proposal_is_refused(
    make: Callable[[], tuple[Spec, dict[str, Any]]], tamper: Callable[[dict[str, Any]], Any], code: str, state: State
) -> None:
    asked, message = make()
    message = copy.deepcopy(message)
    tamper(message)
    with pytest.raises(Refused) as refused:
        check(asked, message, state)
    assert refused.value.code == code, refused.value.detail


@pytest.mark.parametrize(("tamper", "code"), [(answer_left_out, "answers_missing"), (answer_twice, "bad_evidence")])
def test_agreement_rests_on_all_answers(tamper: Callable[[dict[str, Any]], None], code: str, state: State) -> None:
    asked, message = agreement()
    tamper(message)
    with pytest.raises(Refused) as refused:
        check(asked, message, state)
    assert refused.value.code == code


def change_vote(vote: dict[str, Any]) -> None:
    vote["vote"] = 1 - vote["vote"]


def change_salt(vote: dict[str, Any]) -> None:
    vote["salt"] = flip(vote["salt"])


@pytest.mark.parametrize("change", [change_vote, change_salt, lambda vote: vote.update(round=1)])
def test_changed_vote_is_refused(change: Callable[[dict[str, Any]], None], state: State) -> None:
    asked, message = review()
    change(message["tasks"][0]["answers"][0]["votes"][0])
    with pytest.raises(Refused) as refused:
        check(asked, message, state)
    assert refused.value.code == "bad_signature"


def remade(asked: Spec, votes: list[tuple[Keypair, int]]) -> dict[str, Any]:
    """A proposal that fits itself, with these votes on its one answer."""
    one = answer(asked, 0, LABELERS[0], "cat")
    task = messages.task_id(domain=DOMAIN, index=0, cid=asked.items[0].cid)
    cast = tuple(vote_on(one.id(domain=DOMAIN, task=task), voter, vote) for voter, vote in votes)
    return proposal(asked, [Task(0, (replace(one, votes=cast),))])


def test_votes_of_strangers_and_too_few_votes_are_refused(state: State) -> None:
    asked = make_spec("review")
    with pytest.raises(Refused) as refused:
        check(asked, remade(asked, [(Keypair(), 1) for _ in range(3)]), state)
    assert refused.value.code == "unknown_voters"
    with pytest.raises(Refused, match=r"tasks\[0\]\.answers\[0\]\.votes: are 1 \(2 of the panel's 3\)") as refused:
        check(asked, remade(asked, [(PANEL[1], 1)]), state)
    assert refused.value.code == "too_few_votes"


def test_votes_of_two_rounds_or_twice_of_one_voter_are_refused(state: State) -> None:
    asked = make_spec("review")
    one = answer(asked, 0, LABELERS[0], "cat")
    answer_id = one.id(domain=DOMAIN, task=messages.task_id(domain=DOMAIN, index=0, cid=asked.items[0].cid))
    mixed = (vote_on(answer_id, PANEL[0], 1), vote_on(answer_id, PANEL[1], 1, round=1))
    with pytest.raises(Refused) as refused:
        check(asked, proposal(asked, [Task(0, (replace(one, votes=mixed),))]), state)
    assert refused.value.code == "mixed_rounds"
    message = remade(asked, [(PANEL[0], 1), (PANEL[1], 1)])
    votes = message["tasks"][0]["answers"][0]["votes"]
    votes[1] = votes[0]
    with pytest.raises(Refused) as refused:
        check(asked, message, state)
    assert refused.value.code == "voted_twice"


def test_what_is_settled_is_refused_with_its_place(state: State) -> None:
    asked, message = agreement()
    found = check(asked, message, state)
    repeated = Content(found.content.root, found.content.digest, found.content.answers[:1], ())
    state.settled.believe(DOMAIN, request=b"\1" * 32, batches=4, head=b"\2" * 32, last=repeated)
    with pytest.raises(
        Refused, match=r"^tasks\[[01]\]\.answers\[[012]\]: answer [0-9a-f]{64} was settled in batch 3$"
    ) as refused:
        check(asked, message, state)
    assert refused.value.code == "settled_before"
    state.settled.discard(DOMAIN, all=True)
    record = Content(found.content.root, found.content.digest, (), found.content.records[-1:])
    state.settled.believe(DOMAIN, request=b"\1" * 32, batches=1, head=b"\2" * 32, last=record)
    with pytest.raises(Refused, match=r"^tasks\[[01]\]: record [0-9a-f]{64} was settled in batch 0$") as refused:
        check(asked, message, state)
    assert refused.value.code == "settled_before"
    state.settled.discard(DOMAIN, all=True)
    task = messages.task_id(domain=DOMAIN, index=1, cid=asked.items[1].cid)
    part = Content(found.content.root, found.content.digest, (), (), ((task, b"\3" * 32),))
    state.settled.believe(DOMAIN, request=b"\1" * 32, batches=1, head=b"\2" * 32, last=part)
    with pytest.raises(Refused, match=r"^tasks\[1\]: an earlier batch") as refused:
        check(asked, message, state)
    assert refused.value.code == "answers_changed"


def test_a_task_has_one_record(state: State) -> None:
    asked = make_spec("review")
    accepted = [answer(asked, 0, one, "cat", (1, 1, 1)) for one in LABELERS[:2]]
    answers = tuple(sorted(accepted, key=lambda one: one.labeler))
    with pytest.raises(Refused, match=r"^tasks\[0\]: 2 of its answers are accepted") as refused:
        check(asked, proposal(asked, [Task(0, answers)]), state)
    assert refused.value.code == "settled_twice"


def test_votes_of_an_earlier_panel_count(state: State) -> None:
    asked = make_spec("review")
    earlier = [Keypair() for _ in range(3)]
    state.keep_panel(DOMAIN, round=1, members=map(wallet, earlier))
    assert check(asked, remade(asked, [(one, 1) for one in earlier]), state)


def test_own_revealed_vote_must_be_counted(state: State) -> None:
    asked = make_spec("review")
    message = remade(asked, [(PANEL[1], 1), (PANEL[2], 1)])
    assert check(asked, message, state), "we did not vote"
    task = messages.task_id(domain=DOMAIN, index=0, cid=asked.items[0].cid)
    answer_id = answer(asked, 0, LABELERS[0], "cat").id(domain=DOMAIN, task=task)
    state.keep_vote(DOMAIN, answer_id, round=0, vote=OwnVote(0, b"s" * 32, b"c" * 32))
    state.mark_revealed(DOMAIN, answer_id, round=0)
    with pytest.raises(Refused) as refused:
        check(asked, message, state)
    assert refused.value.code == "vote_left_out"


def test_who_commits_after_our_reveal_is_not_counted(state: State) -> None:
    asked = make_spec("review")
    task = messages.task_id(domain=DOMAIN, index=0, cid=asked.items[0].cid)
    answer_id = answer(asked, 0, LABELERS[0], "cat").id(domain=DOMAIN, task=task)

    def said(*votes: tuple[Keypair, int]) -> dict[bytes, bytes]:
        return {
            wallet(voter): vote_on(answer_id, voter, vote).commitment(domain=DOMAIN, answer=answer_id)
            for voter, vote in votes
        }

    first, second, third = PANEL
    own = OwnVote(1, b"s" * 32, b"c" * 32)
    state.keep_vote(DOMAIN, answer_id, round=0, vote=own)
    assert check(asked, remade(asked, [(one, 1) for one in PANEL]), state), "ours is not opened yet"
    state.keep_shown(DOMAIN, answer_id, round=0, commits=said((first, 1), (second, 0)))
    state.keep_shown(DOMAIN, answer_id, round=0, commits=said((first, 1), (second, 0), (third, 1)))
    state.mark_revealed(DOMAIN, answer_id, round=0)
    assert check(asked, remade(asked, [(first, 1), (second, 0)]), state)
    for votes, voter in (([(first, 1), (second, 0), (third, 1)], third), ([(first, 1), (second, 1)], second)):
        with pytest.raises(
            Refused, match=rf"^tasks\[0\]\.answers\[0\]\.votes: {messages.b58(wallet(voter))}"
        ) as refused:
            check(asked, remade(asked, votes), state)
        assert refused.value.code == "late_vote"


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"state": 2}, "request_closed"),
        ({"next_batch": 5}, "wrong_batch"),
        ({"panel_round": 3}, "wrong_panel"),
        ({"panel": tuple(map(wallet, PANEL[1:]))}, "not_on_panel"),
        ({"spec_hash": b"\0" * 32}, "wrong_specification"),
        ({"domain": b"\0" * 32}, "bad_signature"),
        ({"records_done": 2}, "too_many_records"),
        ({"buyer": wallet(LABELERS[0])}, "bad_evidence"),
    ],
)
def test_chain_decides(changes: dict[str, Any], code: str, state: State) -> None:
    asked, message = agreement()
    with pytest.raises(Refused) as refused:
        check(asked, message, state, **changes)
    assert refused.value.code == code


# -- openings ---------------------------------------------------------------------------------------------------------


def openings(votes: list[tuple[Keypair, int]], *, until: float = 0) -> tuple[dict[str, Any], bytes]:
    """What a worker is shown before it reveals, and its own commitment."""
    answer_id = b"\3" * 32
    commits, own = [], b""
    for voter, vote in votes:
        cast = vote_on(answer_id, voter, vote)
        commitment = cast.commitment(domain=DOMAIN, answer=answer_id)
        own = commitment if voter is PANEL[0] else own
        commits.append(
            {
                "voter": messages.b58(cast.voter),
                "commitment": commitment.hex(),
                "signature": cast.signature.hex(),
            }
        )
    members = [messages.b58(wallet(one)) for one in PANEL]
    message = {"answer": answer_id.hex(), "round": 0, "panel": members, "commits": commits, "commit_until": until}
    return message, own


def look(message: dict[str, Any], own: bytes) -> None:
    found = checks.openings(
        message, voter=wallet(PANEL[0]), domain=DOMAIN, commitment=own, until=0, now=datetime.now(UTC), quorum_bps=6666
    )
    assert found == {messages.unb58(one["voter"]): bytes.fromhex(one["commitment"]) for one in message["commits"]}


FOREVER = 2**40


def test_reveal_once_all_have_committed() -> None:
    look(*openings([(one, 1) for one in PANEL], until=FOREVER))


def test_reveal_once_the_time_is_over() -> None:
    look(*openings([(one, 1) for one in PANEL[:2]], until=0))


def test_no_reveal_while_commits_are_open() -> None:
    with pytest.raises(Refused) as refused:
        look(*openings([(one, 1) for one in PANEL[:2]], until=FOREVER))
    assert refused.value.code == "commits_open"


def test_no_reveal_to_fewer_than_can_decide() -> None:
    """However short a time the operator names: it sees no vote before a quorum has bound itself."""
    with pytest.raises(Refused, match="1 have committed, and 2 make a verdict") as refused:
        look(*openings([(PANEL[0], 1)], until=0))
    assert refused.value.code == "too_few_commits"


def test_deadline_that_was_told_first_counts() -> None:
    message, own = openings([(one, 1) for one in PANEL[:2]], until=0)
    with pytest.raises(Refused) as refused:
        checks.openings(
            message, voter=wallet(PANEL[0]), domain=DOMAIN, commitment=own, until=FOREVER, now=datetime.now(UTC),
            quorum_bps=6666,
        )  # fmt: skip
    assert refused.value.code == "commits_open"


def test_no_reveal_when_made_up_commitments_fill_the_panel() -> None:
    message, own = openings([(one, 1) for one in PANEL], until=FOREVER)
    message["commits"][2]["commitment"] = "11" * 32
    with pytest.raises(Refused) as refused:
        look(message, own)
    assert refused.value.code == "bad_signature"
    message, own = openings([(PANEL[0], 1), (PANEL[1], 1), (PANEL[1], 1)], until=FOREVER)
    with pytest.raises(Refused) as refused:
        look(message, own)
    assert refused.value.code == "twice"


def test_no_reveal_unless_our_commitment_stands_as_sent() -> None:
    message, _ = openings([(one, 1) for one in PANEL], until=FOREVER)
    with pytest.raises(Refused) as refused:
        look(message, b"\1" * 32)
    assert refused.value.code == "commitment_missing"
