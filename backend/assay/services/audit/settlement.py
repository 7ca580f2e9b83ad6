"""One settled batch: recomputed from the log's evidence, compared with the log's numbers and the chain's event."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from assay.domain import batch as batches
from assay.domain import growth, merkle, messages, money, quorum, reputation, tally, weights
from assay.domain.batch import Batch
from assay.domain.messages import b58
from assay.domain.spec import Spec
from assay.domain.tally import Payments, Role
from assay.domain.votelog import Line
from assay.domain.work import Task
from assay.errors import AssayError
from assay.services.audit.books import Books, Part
from assay.services.audit.records import Records
from assay.services.audit.report import Mismatch, Report, Scope
from assay.services.audit.validators import ValidatorSet


@dataclass(slots=True)
class Counter:
    """A wallet's judgements over all requests: what its reputation comes from."""

    role: Role
    good: int = 0
    bad: int = 0
    gold_passed: int = 0
    gold_failed: int = 0


Counters = dict[bytes, Counter]
"""By wallet."""


def check(
    books: Books,
    event: Any,
    line: Line,
    *,
    scope: Scope,
    roles: ValidatorSet,
    counters: Counters,
    records: Records,
    participant: Callable[[bytes], bytes],
    report: Report,
) -> None:
    """Raises `Mismatch` at the first thing that does not fit; else enters the batch into the books."""
    assert books.header is not None
    spec = books.header.spec
    _check_place(books, event, line, scope)
    panel = _check_evidence(books, spec, line, scope, roles)
    _check_growth(books, spec, line, scope)
    made = _assemble(books, spec, line, scope, participant)
    _check_weights(books, spec, line, scope, records)
    _check_numbers(made, line, event, scope, made.digest(participant))
    _check_signatures(books, line, scope, panel)
    paid = _payments(books, made, line, counters)
    _check_payments(books, made, line, event, scope, paid)
    _check_log(books, event, scope, made.root, line.digest)
    _enter(books, spec, made, line, paid, counters)
    for one in made.tallies:
        records.add(one.wallet, kind=books.posted.kind, good=one.good, bad=one.bad, event=report.events)
    books.settled_event = report.events
    report.batches += 1
    report.records += len(made.records)
    report.answers += len(made.answers)
    report.answers_accepted += sum(entry.right for entry in made.answers)
    report.answers_unpaid += sum(entry.unpaid for entry in made.answers)
    report.votes += made.votes
    report.signatures += len(line.signatures) + sum(1 + len(a.votes) for task in line.tasks for a in task.answers)


def _check_place(books: Books, event: Any, line: Line, scope: Scope) -> None:
    scope.equal("batch number", event.batch, books.next_batch, "on chain")
    scope.equal("batch number", line.batch, books.next_batch, "in the log")
    scope.equal("transaction", b58(line.transaction), scope.transaction, "in the log")
    scope.equal("market time", line.at, event.at, "in the log")
    scope.equal("panel round", line.panel_round, event.panel_round, "in the log")
    scope.equal("panel round", event.panel_round, books.panel_round, "on chain")


def _check_evidence(books: Books, spec: Spec, line: Line, scope: Scope, roles: ValidatorSet) -> tuple[bytes, ...]:
    """Signatures, commitments, roles, panels; returns the panel that had to sign."""
    panel = books.panels.get(line.panel_round)
    if panel is None:
        raise scope.fail("panel", f"round {line.panel_round} was never drawn")
    try:
        batches.verify(
            spec,
            domain=bytes(books.posted.domain),
            tasks=line.tasks,
            buyer=bytes(books.posted.buyer),
            settled=books.settled,
        )
    except AssayError as error:
        raise scope.fail("evidence", str(error)) from error
    if spec.mode == "review":
        known = [members for round_, members in books.panels.items() if round_ <= line.panel_round]
        try:
            quorum.check_votes(line.tasks, panels=known, quorum_bps=books.posted.terms.params.quorum_bps)
        except AssayError as error:
            raise scope.fail("votes", str(error)) from error
    for task in line.tasks:
        for answer in task.answers:
            if roles.role(answer.labeler) is not Role.LABELER:
                raise scope.fail("evidence", f"{b58(answer.labeler)} answered and is no labeler")
    return panel


def _check_growth(books: Books, spec: Spec, line: Line, scope: Scope) -> None:
    """With dynamic overlap, each answer beyond the overlap was due, and no task was settled that asks for another."""
    try:
        growth.check(spec, line.tasks, history=books.history, closing=books.closing, begun=books.parts)
    except AssayError as error:
        raise scope.fail("overlap", str(error)) from error


def _assemble(books: Books, spec: Spec, line: Line, scope: Scope, participant: Callable[[bytes], bytes]) -> Batch:
    domain = bytes(books.posted.domain)
    try:
        made = batches.assemble(spec, domain=domain, tasks=line.tasks, participant=participant, history=books.history)
    except AssayError as error:
        raise scope.fail("verdicts", str(error)) from error
    for task in line.tasks:
        _check_parts(books, spec, task, scope)
    indices = [record.index for record in made.records]
    for index in indices:
        if indices.count(index) + books.recorded.get(index, 0) > 1:
            raise scope.fail("verdicts", f"task {index} has more than one record")
    return made


def _check_weights(books: Books, spec: Spec, line: Line, scope: Scope, records: Records) -> None:
    """Votes are weighted by counters that were the chain's since the request's last batch, or its posting."""
    if not spec.weighs or books.history is None:
        return
    kind, known = books.posted.kind, books.history.counters
    named = weights.named(line.tasks, known=known)
    for wallet in weights.newcomers(line.tasks, known):
        stood = dict.fromkeys(records.since(wallet, kind=kind, event=books.settled_event))
        if named[wallet] not in stood:
            had = " or ".join(str(list(one)) for one in stood)
            raise scope.fail("counters", f"{b58(wallet)} is named with {list(named[wallet])} instead of {had}")


def _part(task: Task) -> Part:
    return frozenset(answer.labeler + answer.content_hash for answer in task.answers), task.later


def _check_parts(books: Books, spec: Spec, task: Task, scope: Scope) -> None:
    """A task settled by several batches rests on the same answers in each, and its record stands in one."""
    if spec.mode != "agreement":
        return
    part = _part(task)
    scope.equal("verdicts", part == books.parts.get(task.index, part), True, f"task {task.index}: same answers")
    if books.recorded.get(task.index, 0):
        raise scope.fail("verdicts", f"task {task.index} had its record in an earlier batch")


def _check_numbers(made: Batch, line: Line, event: Any, scope: Scope, digest: bytes) -> None:
    _check_unpaid(made, line, scope)
    recomputed = {
        "records": len(made.records),
        "judged": made.judged,
        "answers": len(made.answers),
        "votes": made.votes,
        "root": made.root,
    }
    for name, value in recomputed.items():
        scope.equal(name, _plain(getattr(event, name)), value, "on chain")
        scope.equal(name, getattr(line, name), value, "in the log")
    for found, expected in zip(line.tallies, made.tallies, strict=False):
        scope.equal("tally", found, expected, b58(expected.wallet))
    scope.equal("tally", len(line.tallies), len(made.tallies), "number of tallies")
    scope.equal("digest", line.digest, digest, "in the log")
    scope.equal("digest", bytes(event.digest), digest, "on chain")


def _check_unpaid(made: Batch, line: Line, scope: Scope) -> None:
    """Which right answers are not paid is in the root: said first by name, where the tallies tell."""
    expected = {one.wallet: one for one in made.tallies if one.role is Role.LABELER}
    for found in line.tallies:
        rule = expected.get(found.wallet)
        if rule is not None and replace(rule, units=found.units) == found:
            scope.equal("unpaid", found.units, rule.units, f"right answers of {b58(found.wallet)} not paid")


def _plain(value: Any) -> Any:
    return value if isinstance(value, int) else bytes(value)


def _check_signatures(books: Books, line: Line, scope: Scope, panel: tuple[bytes, ...]) -> None:
    message = messages.batch(
        domain=bytes(books.posted.domain), batch=line.batch, panel_round=line.panel_round, digest=line.digest
    )
    quorum_bps = books.posted.terms.params.quorum_bps
    try:
        batches.check_quorum(line.signatures, message=message, panel=panel, quorum_bps=quorum_bps)
    except AssayError as error:
        raise scope.fail("quorum", str(error)) from error


def _payments(books: Books, made: Batch, line: Line, counters: Counters) -> Payments:
    premiums = {}
    for one in made.tallies:
        if one.role is Role.LABELER:
            so_far = counters.get(one.wallet, Counter(one.role))
            premiums[one.wallet] = books.premium(reputation.tier(so_far.good, so_far.bad))
    return tally.payments(
        made.tallies,
        judged=made.judged,
        price=books.posted.price,
        validation_fee=books.posted.validation_fee,
        fee_bps=books.posted.terms.params.fee_bps,
        premiums=premiums,
        cosigners=[wallet for wallet, _ in line.signatures] if books.posted.mode == 0 else None,
    )


def _check_payments(books: Books, made: Batch, line: Line, event: Any, scope: Scope, paid: Payments) -> None:
    """By payee, in the order of the instruction's accounts: the tallies', then (agreement) the co-signers'."""
    due = dict(paid.labelers)
    shares = dict(paid.validators)
    if books.posted.mode == 0:
        order = [(one.wallet, due[one.wallet]) for one in made.tallies] + list(paid.validators)
    else:
        order = [(one.wallet, (due if one.role is Role.LABELER else shares)[one.wallet]) for one in made.tallies]
    scope.equal("payments", len(event.payments), len(order), "number of payees")
    for (wallet, amount), payment in zip(order, event.payments, strict=True):
        scope.equal("payment", payment.amount, amount, b58(wallet))
    scope.equal("payments", event.paid_labelers, paid.paid_labelers, "to labelers")
    scope.equal("payments", event.paid_validators, paid.paid_validators, "to validators")
    scope.equal("payments", event.fee, paid.fee, "fee")
    terms = books.posted.terms
    rejected = sum(not entry.right for entry in made.answers)
    each = money.labeler_pay(1, books.posted.price, max(terms.premium_bps))
    reserve = rejected * each if terms.params.dispute_window > 0 else 0
    scope.equal("payments", event.reserved, reserve, "held for disputes over rejections")


def _check_log(books: Books, event: Any, scope: Scope, root: bytes, digest: bytes) -> None:
    leaf = merkle.batch_leaf(batch=books.next_batch, root=root, at=event.at, digest=digest)
    books.log_head = merkle.next_head(books.log_head, leaf)
    books.peaks.append(leaf)
    scope.equal("log head", bytes(event.log_head), books.log_head, "on chain")


def _enter(books: Books, spec: Spec, made: Batch, line: Line, paid: Payments, counters: Counters) -> None:
    books.next_batch += 1
    books.records_done += len(made.records)
    books.paid_labelers += paid.paid_labelers
    books.paid_validators += paid.paid_validators
    books.fees += paid.fee
    for one in made.tallies:
        counter = counters.setdefault(one.wallet, Counter(one.role))
        counter.good += one.good
        counter.bad += one.bad
        counter.gold_passed += one.gold_passed
        counter.gold_failed += one.gold_failed
    for entry in made.answers:
        books.settled.add(entry.answer)
        if entry.right:
            books.accepted += 1
        else:
            books.rejected += 1
            books.verdicts[entry.answer] = (entry.labeler, line.batch)
    for record in made.records:
        books.recorded[record.index] = books.recorded.get(record.index, 0) + 1
    if books.history is not None:
        books.history.add(line.tasks)
    if spec.mode == "agreement":
        for task in line.tasks:
            books.parts[task.index] = _part(task)


__all__ = ["Counter", "Counters", "Mismatch", "check"]
