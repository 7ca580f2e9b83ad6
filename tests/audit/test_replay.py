"""The auditor finds everything right in an honest market, and whatever was changed in any other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from audited_market import CID, CLASSES, FEE, PRICE, Request, World, gold, key, participant, wallet

from assay.domain import canonical, messages
from assay.domain.history import History
from assay.domain.tally import Role
from assay.domain.work import Task
from assay.services.audit import Finding, replay


def reviewed() -> tuple[World, Request]:
    """Three batches of a review, a panel that changed in between, a rejection, a second answer, a refund."""
    world = World()
    request = world.post()
    world.draw(request)
    first = Task(0, (world.answer(request, 0, "labeler 0", "cat", [1, 1, 1]),))
    second = Task(1, (world.answer(request, 1, "labeler 1", "dog", [0, 1, 0]),))
    world.settle(request, [first, second])
    world.settle(request, [Task(1, (world.answer(request, 1, "labeler 2", "owl", [1, 1, 0]),))])
    world.register("validator 7", Role.VALIDATOR, 90_000)
    world.draw(request)
    world.settle(request, [Task(2, (world.answer(request, 2, "labeler 0", "cat", [1, 0]),))])
    world.close(request)
    return world, request


def agreed(method: str = "majority") -> tuple[World, Request]:
    """Two batches by agreement, a gold task among them."""
    world = World()
    root, opened = gold({1: "dog", 5: "cat"})
    changes: dict[str, Any] = {"gold": {"root": root.hex(), "count": 2}, "consensus": {"method": method}}
    request = world.post(mode="agreement", premiums=(0, 500, 1000, 2000), **changes)
    world.draw(request)
    rows = {0: ["cat", "cat", "dog"], 1: ["cat", "dog", "dog"], 2: ["owl", "owl", "owl"], 3: ["cat", "dog", "owl"]}
    tasks = [
        Task(i, tuple(world.answer(request, i, f"labeler {j}", value) for j, value in enumerate(row)), opened.get(i))
        for i, row in rows.items()
    ]
    world.settle(request, tasks[:2], signers=2)
    world.settle(request, [tasks[3], tasks[2]], signers=3)
    return world, request


async def finding(world: World) -> Finding | None:
    return (await replay(world, world)).finding


async def test_a_draw_that_was_put_off_is_counted() -> None:
    world = World()
    request = world.post(mode="review")
    world.emit("PanelSeeded", request=request.address, seed_slot=world.slot + 1)
    world.emit("PanelSeeded", request=request.address, seed_slot=world.slot + 1)
    world.draw(request)
    world.draw(request)
    report = await replay(world, world)
    assert report.finding is None
    assert (report.panels, report.reseeded) == (2, 2)
    assert "2 draws put off" in str(report)


async def test_an_honest_review_fits() -> None:
    world, request = reviewed()
    report = await replay(world, world)
    assert report.finding is None
    assert (report.requests, report.batches, report.answers, report.records, report.votes) == (1, 3, 4, 3, 11)
    assert report.panels == 2
    assert report.paid_labelers == {0: 3 * PRICE}
    assert report.paid_validators == {0: 4 * FEE}
    assert report.fees == {0: 3 * 25_000}
    spent = report.paid_labelers[0] + report.paid_validators[0] + report.fees[0]
    assert spent + report.refunded[0] == report.locked[0] == request.data.locked
    assert report.as_dict()["ok"] is True
    assert "everything fits" in str(report)


@pytest.mark.parametrize("method", ["majority", "weighted"])
async def test_an_honest_agreement_fits(method: str) -> None:
    world, _ = agreed(method)
    report = await replay(world, world)
    assert report.finding is None
    assert (report.batches, report.answers, report.records, report.votes) == (2, 12, 4, 0)
    assert report.paid_validators == {0: 4 * FEE}


async def test_a_record_by_review_is_paid_once() -> None:
    """Two labelers' answers to one task, both accepted by the panel, would fill two of the buyer's records."""
    for together in (False, True):
        world = World()
        request = world.post()
        world.draw(request)
        first = Task(0, (world.answer(request, 0, "labeler 0", "cat", [1, 1, 1]),))
        second = Task(0, (world.answer(request, 0, "labeler 1", "cat", [1, 1, 1]),))
        if together:
            world.settle(request, [Task(0, first.answers + second.answers)])
        else:
            world.settle(request, [first])
            assert await finding(world) is None
            world.settle(request, [second])
        found = await finding(world)
        assert found is not None
        assert found.check == "verdicts"
        assert "task 0 has more than one record" in found.detail


async def test_a_task_settled_by_two_batches() -> None:
    world = World()
    request = world.post(mode="agreement")
    world.draw(request)
    answers = tuple(world.answer(request, 0, f"labeler {j}", value) for j, value in enumerate(["cat", "cat", "dog"]))
    world.settle(request, [Task(0, answers, settles=frozenset([wallet("labeler 0")]), record=False)])
    rest = frozenset([wallet("labeler 1"), wallet("labeler 2")])
    world.settle(request, [Task(0, answers, settles=rest)])
    assert await finding(world) is None
    world.settle(request, [Task(0, answers, settles=rest)])
    found = await finding(world)
    assert found is not None
    assert (found.check, found.batch) == ("evidence", 2)


def edit(number: int, change: Callable[[dict[str, Any]], object]) -> Callable[[World, Request], None]:
    """Changes line `number` of the log."""

    def apply(world: World, request: Request) -> None:
        document = canonical.loads(request.log[number])
        assert isinstance(document, dict)
        change(document)
        request.log[number] = canonical.dumps(document) + b"\n"

    return apply


def chain(name: str, nth: int, **values: Any) -> Callable[[World, Request], None]:
    """Changes the `nth` event of this name."""

    def apply(world: World, request: Request) -> None:
        event = [event for event in world.chain if event.name == name][nth]
        vars(event.data).update(values)

    return apply


def another_time(world: World, request: Request) -> None:
    chain("BatchSettled", 0, at=5)(world, request)
    edit(1, lambda one: one.update(at=5))(world, request)


def account(**values: Any) -> Callable[[World, Request], None]:
    return lambda world, request: vars(request.account).update(values)


def steal(world: World, request: Request) -> None:
    event = [event for event in world.chain if event.name == "BatchSettled"][1]
    event.data.payments[0].amount += 1


def swap_panel(world: World, request: Request) -> None:
    event = next(event for event in world.chain if event.name == "PanelDrawn")
    drawn = set(event.data.panel)
    other = next(one for i in range(5) if (one := wallet(f"validator {i}")) not in drawn)
    event.data.panel = (*event.data.panel[:2], other)


def drop_event(world: World, request: Request) -> None:
    world.chain.remove(next(event for event in world.chain if event.name == "BatchSettled"))


def first_answer(document: dict[str, Any]) -> dict[str, Any]:
    answer = document["tasks"][0]["answers"][0]
    assert isinstance(answer, dict)
    return answer


def flip_vote(document: dict[str, Any]) -> None:
    vote = first_answer(document)["votes"][0]
    vote["vote"] = 1 - vote["vote"]


CHANGES: dict[str, tuple[Callable[[World, Request], None], str, int | None]] = {
    "another label in an answer": (
        edit(1, lambda one: first_answer(one).update(content={"value": "owl"})), "evidence", 0),
    "a flipped vote": (edit(1, flip_vote), "evidence", 0),
    "a vote left out": (edit(1, lambda one: first_answer(one)["votes"].pop()), "votes", 0),
    "an answer left out": (edit(1, lambda one: one["tasks"].pop()), "judged", 0),
    "a tally moved": (edit(1, lambda one: one["tallies"][0].update(good=2)), "tally", 0),
    "another root in the log": (edit(2, lambda one: one.update(root="00" * 32)), "root", 1),
    "signatures missing": (edit(1, lambda one: one.update(signatures=one["signatures"][:1])), "quorum", 0),
    "a signature of another batch": (
        edit(1, lambda one: one["signatures"][0].update(signature=one["signatures"][1]["signature"])), "quorum", 0),
    "another market time": (edit(2, lambda one: one.update(at=one["at"] + 1)), "market time", 1),
    "another transaction": (edit(3, lambda one: one.update(transaction="1" * 64)), "transaction", 2),
    "an instruction to labelers changed later": (
        edit(0, lambda one: one["spec"].update(instructions="Say cat.")), "specification", None),
    "a line cut out": (lambda world, request: request.log.pop(1), "batch number", 0),
    "the last line missing": (lambda world, request: request.log.pop(), "vote log", 2),
    "no log": (lambda world, request: request.log.clear(), "vote log", None),
    "junk in the log": (lambda world, request: request.log.insert(1, b"{}\n"), "vote log", None),
    "a unit more paid": (steal, "payment", 1),
    "another fee": (chain("BatchSettled", 0, fee=1), "payments", 0),
    "another digest on chain": (chain("BatchSettled", 1, digest=bytes(32)), "digest", 1),
    "another log head": (chain("BatchSettled", 2, log_head=bytes(32)), "log head", 2),
    "another time of settlement": (chain("BatchSettled", 0, at=5), "market time", 0),
    "another time of settlement, in the log too": (another_time, "log head", 0),
    "a panel that was not drawn": (swap_panel, "panel", None),
    "a seed that no slot gave": (chain("PanelDrawn", 0, slot_hash=bytes(32)), "panel", None),
    "a seed from before the validators": (chain("PanelSeeded", 0, seed_slot=3), "panel", None),
    "an event missing": (drop_event, "batch number", 1),
    "a refund too large": (chain("RequestClosed", 0, refund=10**9), "refund", None),
    "the account's books": (account(paid_labelers=1), "account", None),
    "the account's log head": (account(log_head=bytes(32)), "account", None),
    "the account's peaks": (account(peaks=[bytes(32)] * 32), "account", None),
}  # fmt: skip


@pytest.mark.parametrize("name", CHANGES)
async def test_whatever_is_changed_is_named(name: str) -> None:
    change, check, batch = CHANGES[name]
    world, request = reviewed()
    change(world, request)
    found = await finding(world)
    assert found is not None
    assert (found.check, found.batch) == (check, batch), str(found)
    assert found.request == messages.b58(request.address)


@pytest.mark.parametrize(
    ("votes", "why"),
    [
        ([1], "are 1 (2 of the panel's 3)"),
        ([1, 1, "again"], "hold two of"),
        ([1, 1, "later"], "are of 2 rounds"),
        ([1, 1, "stranger"], "never a panel of this request"),
        ([1, 1, "outsider"], "never a panel of this request"),
    ],
)
async def test_votes_that_are_no_quorum_of_a_panel(votes: list[Any], why: str) -> None:
    """The panel signed for it all the same; the auditor is not its friend."""
    world = World()
    request = world.post()
    world.draw(request)
    whole = world.answer(request, 0, "labeler 0", "cat", [1, 1, 1])
    cast = [vote for vote, one in zip(whole.votes, votes, strict=False) if one == 1]
    extra = {
        "again": whole.votes[0],
        "later": world.vote(request, 0, whole, request.panel[2], round=1),
        "stranger": world.vote(request, 0, whole, key("validator 8")),
    }
    if votes[-1] == "outsider":  # a validator that was not drawn
        outside = next(one for i in range(5) if (one := key(f"validator {i}")) not in request.panel)
        cast.append(world.vote(request, 0, whole, outside))
    elif votes[-1] != 1:
        cast.append(extra[votes[-1]])
    if votes[-1] != "again":
        world.settle(request, [Task(0, (replace(whole, votes=tuple(cast)),))])
    else:
        world.settle(request, [Task(0, (whole,))])
        edit(1, lambda one: first_answer(one)["votes"].append(first_answer(one)["votes"][0]))(world, request)
    found = await finding(world)
    assert found is not None
    assert (found.check, found.batch) == ("votes", 0)
    assert "tasks[0].answers[0].votes" in found.detail
    assert why in found.detail


async def test_an_escrow_that_cannot_pay() -> None:
    world, _request = agreed()

    class Robbed(World):
        async def escrow(self, request: bytes) -> int:
            return await super().escrow(request) - 1

    world.__class__ = Robbed
    found = await finding(world)
    assert found is not None
    assert found.check == "escrow"


@pytest.mark.parametrize("name", ["accepted", "gold_failed"])
async def test_a_reputation_that_was_not_earned(name: str) -> None:
    world, _ = agreed()
    person = world.participants[wallet("labeler 0")]
    setattr(person, name, getattr(person, name) + 1)
    found = await finding(world)
    assert found is not None
    assert found.check == "participant"
    assert name in found.detail


async def test_a_premium_that_was_not_earned() -> None:
    world = World()
    request = world.post(premiums=(0, 5000, 5000, 5000))
    world.draw(request)
    world.counters[wallet("labeler 0")] = [100, 0]  # no batch says so
    world.settle(request, [Task(0, (world.answer(request, 0, "labeler 0", "cat", [1, 1, 1]),))])
    found = await finding(world)
    assert found is not None
    assert found.check == "payment"


async def test_a_validator_who_labels() -> None:
    world = World()
    request = world.post()
    world.draw(request)
    outsider = next(f"validator {i}" for i in range(5) if wallet(f"validator {i}") not in
                    {bytes(one.pubkey()) for one in request.panel})  # fmt: skip
    world.settle(request, [Task(0, (world.answer(request, 0, outsider, "cat", [1, 1, 1]),))])
    found = await finding(world)
    assert found is not None
    assert "is no labeler" in found.detail


async def test_disputes_change_books_and_tiers() -> None:
    world, request = reviewed()
    world.chain.pop()  # not closed
    request.account.refunded = 0
    task = Task(1, (world.answer(request, 1, "labeler 1", "dog"),))
    task_id = messages.task_id(domain=request.domain, index=1, cid=request.spec.items[1].cid)
    answer_id = task.answers[0].id(domain=request.domain, task=task_id)
    labeler = participant(wallet("labeler 1"))
    opened: dict[str, Any] = {"dispute": b"d" * 32, "request": request.address, "labeler": labeler,
                              "answer_id": answer_id, "batch": 0, "bond": 5, "held": PRICE}  # fmt: skip
    world.emit("DisputeOpened", **opened)
    world.emit("DisputeEnded", dispute=b"d" * 32, request=request.address, outcome=1, paid=PRICE)
    account = request.account
    account.paid_labelers += PRICE
    account.answers_accepted += 1
    account.answers_rejected -= 1
    account.records_done += 1
    person = world.participants[wallet("labeler 1")]
    person.accepted, person.rejected = person.accepted + 1, person.rejected - 1
    person.kinds[0].good, person.kinds[0].bad = person.kinds[0].good + 1, person.kinds[0].bad - 1
    assert await finding(world) is None
    world.emit("DisputeOpened", **(opened | {"answer_id": bytes(32)}))
    found = await finding(world)
    assert found is not None
    assert "was not rejected" in found.detail


class SlashedMarket(World):
    """A market in which a labeler has 20 of 24 answers rejected, and then is slashed, as the rule has it or not."""

    def __init__(self, *, mint: int = 0) -> None:
        super().__init__()
        request = self.post()
        request.data.mint_index = mint
        self.draw(request)
        for start in (0, 12):
            tasks = [
                Task(i, (self.answer(request, i, "labeler 0", "cat", [int(i < 4)] * 3),))
                for i in range(start, start + 12)
            ]
            self.settle(request, tasks)
        self.repaid = 20 * FEE

    def slash(self, name: str = "labeler 0", **changes: Any) -> None:
        data = {
            "participant": participant(wallet(name)), "wallet": wallet(name), "reason": 1, "judgements": 24,
            "strikes": 20, "amount": 10 * PRICE, "repaid": self.repaid, "burned": 10 * PRICE - self.repaid,
            "recycled": 0,
        }  # fmt: skip
        data.update(changes)
        if data["repaid"]:
            self.emit(
                "HarmRepaid", buyer=participant(wallet("buyer")), amount=data["repaid"],
                **{"from_": data["participant"]},
            )  # fmt: skip
        self.emit("Slashed", **data)


async def test_slashes_are_recomputed() -> None:
    world = SlashedMarket()
    world.emit("Staked", participant=participant(wallet("labeler 0")), amount=0, stake=100 * PRICE)
    world.slash()
    report = await replay(world, world)
    assert report.finding is None
    assert report.slashes == 1


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"strikes": 5}, "strikes and judgements"),
        ({"judgements": 20}, "strikes and judgements"),
        ({"amount": 11 * PRICE, "burned": 11 * PRICE - 20 * FEE}, "amount"),
        ({"repaid": 19 * FEE, "burned": 10 * PRICE - 19 * FEE}, "repaid to buyers"),
        ({"burned": 0, "recycled": 10 * PRICE - 20 * FEE}, "burned, recycled"),
        ({"reason": 2}, "reason 2 for a labeler"),
        ({"name": "labeler 1", "judgements": 0, "strikes": 0}, "within what chance explains"),
        ({"name": "nobody"}, "never registered"),
    ],
)
async def test_a_slash_that_the_rule_does_not_give(changes: dict[str, Any], said: str) -> None:
    world = SlashedMarket()
    world.emit("Staked", participant=participant(wallet("labeler 0")), amount=0, stake=100 * PRICE)
    world.slash(**changes)
    found = await finding(world)
    assert found is not None
    assert (found.check, found.transaction) == ("slash", world.chain[-1].signature)
    assert said in found.detail


async def test_slashes_change_the_validator_set() -> None:
    """One for signing twice takes stake on its way out first; its evidence is looked at."""
    for second, said in ((b"\2", None), (b"\1", "says the same")):
        world = World()
        rich = wallet("validator 4")
        world.emit("UnstakeRequested", participant=participant(rich), stake=3000, unstaking=2000)
        world.emit(
            "Slashed", participant=participant(rich), wallet=rich, reason=2, judgements=0, strikes=0, amount=4500,
            repaid=0, burned=4500, recycled=0,
        )  # fmt: skip
        for digest in (b"\1", second):
            message = messages.batch(domain=bytes(32), batch=7, panel_round=1, digest=digest * 32)
            world.shown.append((rich, message, messages.sign(key("validator 4"), message)))
        world.validators = [one for one in world.validators if one.wallet != rich]
        request = world.post()
        world.draw(request)
        found = await finding(world)
        assert (found is None) == (said is None), found
        assert said is None or said in found.detail


def by_information(*, forget: bool = False) -> World:
    """Three batches paid by information, of a panel of which one always accepts; `forget`: the last one as if new."""
    world = World()
    root, opened = gold({index: "cat" for index in range(0, 54, 9)})
    request = world.post(
        items=[{"cid": CID, "media_type": "image/png"}] * 54,
        gold={"root": root.hex(), "count": 6},
        validation={"pay": "information"},
    )
    world.draw(request)
    for start in range(0, 54, 18):
        if forget and start == 36:
            request.history = History(request.spec)
        tasks = []
        for index in range(start, start + 18):
            right = index % 3 != 1
            answer = world.answer(request, index, "labeler 0", "cat" if right else "dog", [int(right), int(right), 1])
            tasks.append(Task(index, (answer,), opened.get(index)))
        world.settle(request, tasks)
    return world


async def test_pay_by_information_fits() -> None:
    world = by_information()
    report = await replay(world, world)
    assert report.finding is None
    assert report.paid_validators == {0: 54 * FEE}


async def test_equal_pay_where_the_record_says_otherwise_is_found() -> None:
    found = await finding(by_information(forget=True))
    assert found is not None
    assert (found.check, found.batch) == ("tally", 2), str(found)


def unpaid(*, seen: str | None = "labeler 2") -> World:
    """Three batches by agreement, paid by information, of three labelers of whom the last looks at nothing. The third
    one is settled as if `seen` were who looks at nothing; None: as if nobody were known.
    """
    world = World()
    request = world.post(
        items=[{"cid": CID, "media_type": "image/png"}] * 54, mode="agreement", validation={"pay": "information"}
    )
    world.draw(request)

    def tasks(start: int, idle: str) -> list[Task]:
        return [
            Task(index, tuple(
                world.answer(request, index, name, CLASSES[0 if name == idle else index % len(CLASSES)])
                for name in ("labeler 0", "labeler 1", "labeler 2")
            ))
            for index in range(start, start + 18)
        ]  # fmt: skip

    for start in range(0, 54, 18):
        if start == 36 and seen != "labeler 2":
            request.history = History(request.spec)
            if seen is not None:
                request.history.add([*tasks(0, seen), *tasks(18, seen)])
        world.settle(request, tasks(start, "labeler 2"))
    return world


async def test_right_answers_that_are_not_paid_fit() -> None:
    world = unpaid()
    report = await replay(world, world)
    assert report.finding is None
    # Of 54 tasks a third has the label that the idle one always says; those of the last batch are not paid.
    idle = [sum(index % 3 == 0 for index in range(start, start + 18)) for start in range(0, 54, 18)]
    assert (report.answers, report.answers_accepted, report.answers_unpaid) == (162, 108 + sum(idle), idle[2])
    assert report.paid_labelers == {0: PRICE * (108 + sum(idle[:2]))}
    assert f"{idle[2]} of them not paid" in str(report)


@pytest.mark.parametrize(("seen", "said"), [(None, "0 instead of 6"), ("labeler 0", "18 instead of 0")])
async def test_pay_that_the_rule_does_not_give_is_found(seen: str | None, said: str) -> None:
    """An idle labeler who is paid; an honest one who is not."""
    found = await finding(unpaid(seen=seen))
    assert found is not None
    assert (found.check, found.batch) == ("unpaid", 2), str(found)
    assert said in found.detail or "0 instead of 6" in found.detail
