"""The replay: all events in the chain's order, each recomputed or entered into the books, then the accounts."""

from __future__ import annotations

from typing import Any

from assay.domain import messages, panel
from assay.domain.messages import b58
from assay.domain.tally import Role
from assay.services.audit.assignment import AssignmentAudit
from assay.services.audit.books import Books
from assay.services.audit.reader import ChainEvent, Logs, Reader
from assay.services.audit.records import Records
from assay.services.audit.report import Mismatch, Report, Scope
from assay.services.audit.settlement import Counter, Counters, check
from assay.services.audit.slashes import Slashes
from assay.services.audit.validators import ValidatorSet

UPHELD = 1


async def replay(reader: Reader, logs: Logs) -> Report:
    """Replays everything; stops at the first thing that does not fit, which is then the report's `finding`."""
    auditor = _Auditor(reader, logs)
    try:
        async for event in reader.events():
            auditor.take(event)
        await auditor.close()
    except Mismatch as mismatch:
        auditor.report.finding = mismatch.finding
    return auditor.report


class _Auditor:
    def __init__(self, reader: Reader, logs: Logs) -> None:
        self.reader = reader
        self.logs = logs
        self.report = Report()
        self.assignment = AssignmentAudit()
        self.validators = ValidatorSet()
        self.counters: Counters = {}
        self.records = Records()
        self.slashes = Slashes(self.validators, reader)
        self.requests: dict[bytes, Books] = {}
        self.reaped: list[Books] = []  # whose address another request has taken since
        self.disputes: dict[bytes, tuple[bytes, int]] = {}  # dispute → labeler's wallet, batch
        self.disputed = False

    def take(self, event: ChainEvent) -> None:
        """One event. Those that no check needs are only counted."""
        self.report.events += 1
        self.assignment.take(event)
        handler = getattr(self, f"_on_{event.name}", None)
        if handler is not None:
            handler(event.data, event)
        self.slashes.take(event)
        self.validators.apply(event.name, event.data, slot=event.slot)

    def _books(self, data: Any, event: ChainEvent) -> Books:
        books = self.requests.get(bytes(data.request))
        if books is None:
            scope = Scope(b58(bytes(data.request)), transaction=event.signature)
            raise scope.fail("events", f"{event.name} of a request that was never posted")
        return books

    def _on_RequestPosted(self, data: Any, event: ChainEvent) -> None:
        books = Books(bytes(data.request), data, data.locked, settled_event=self.report.events)
        if (before := self.requests.get(books.address)) is not None:
            self.reaped.append(before)
        self.requests[books.address] = books
        self.report.requests += 1

    def _on_RequestToppedUp(self, data: Any, event: ChainEvent) -> None:
        books = self._books(data, event)
        books.locked += data.amount
        books.scope.equal("escrow", data.locked, books.locked, "locked after a top-up")

    def _on_PanelSeeded(self, data: Any, event: ChainEvent) -> None:
        """Whoever can have a slot pass without a draw draws again: how often that was is shown."""
        books = self._books(data, event)
        self.report.reseeded += books.seed_slot != 0
        books.seed_slot = data.seed_slot

    def _on_PanelDrawn(self, data: Any, event: ChainEvent) -> None:
        """The seed follows from the slot's hash, the panel from it and the validators who were in the set before."""
        books = self._books(data, event)
        scope = Scope(books.name, transaction=event.signature)
        scope.equal("panel", data.round, books.panel_round + 1, "round")
        scope.equal("panel", data.from_, books.next_batch, "first batch")
        terms = books.posted.terms.params
        try:
            expected = panel.draw(
                self.validators.candidates(),
                seed=bytes(data.seed),
                seats=terms.panel_size,
                seed_slot=books.seed_slot,
                buyer=bytes(books.posted.buyer),
                min_stake=terms.min_validator_stake,
            )
        except panel.NotEnoughValidators as error:
            raise scope.fail("panel", str(error)) from error
        seed = messages.panel_seed(
            domain=bytes(books.posted.domain), panel_round=data.round, slot_hash=bytes(data.slot_hash)
        )
        scope.equal("panel", bytes(data.seed), seed, "seed")
        scope.equal("panel", tuple(bytes(wallet) for wallet in data.panel), expected, f"round {data.round}")
        books.panel_round = data.round
        books.panels[data.round] = expected
        books.seed_slot = 0
        self.report.panels += 1

    def _on_BatchSettled(self, data: Any, event: ChainEvent) -> None:
        books = self._books(data, event)
        scope = Scope(books.name, data.batch, event.signature)
        if books.header is None:
            books.open_log(self.logs.lines(books.name), program=self.reader.program)
        line = books.next_line()
        if line is None:
            raise scope.fail("vote log", "the batch is settled on chain and not in the log")
        check(
            books,
            data,
            line,
            scope=scope,
            roles=self.validators,
            counters=self.counters,
            records=self.records,
            participant=self.reader.participant,
            report=self.report,
        )
        self.slashes.settled(books.posted, line.tallies)
        scope.equal("records", data.records_done, books.records_done, "done so far, on chain")
        assert books.header is not None
        self.assignment.scores.settled(books.address, line.batch, line.tallies, kind=books.posted.kind, at=data.at)
        self.assignment.settled(books.address, books.header.spec, line, at=data.at, closing=books.closing)

    def _on_DisputeOpened(self, data: Any, event: ChainEvent) -> None:
        """Only a rejection of the batch that it names can be disputed."""
        books = self._books(data, event)
        scope = Scope(books.name, data.batch, event.signature)
        found = books.verdicts.get(bytes(data.answer_id))
        if found is None:
            raise scope.fail("dispute", f"answer {bytes(data.answer_id).hex()} was not rejected")
        labeler, batch = found
        scope.equal("dispute", data.batch, batch, "batch")
        scope.equal("dispute", bytes(data.labeler), self.reader.participant(labeler), "labeler")
        self.disputes[bytes(data.dispute)] = labeler, batch
        self.disputed = True

    def _on_DisputeEnded(self, data: Any, event: ChainEvent) -> None:
        books = self._books(data, event)
        found = self.disputes.pop(bytes(data.dispute), None)
        if found is None:
            raise Scope(books.name, transaction=event.signature).fail("dispute", "it ended and was never opened")
        labeler, batch = found
        if data.outcome != UPHELD:
            return
        books.paid_labelers += data.paid
        books.accepted += 1
        books.rejected -= 1
        if books.posted.mode == 1 and books.records_done < books.posted.records:
            books.records_done += 1
        self.slashes.won(labeler)
        counter = self.counters[labeler]
        counter.good += 1
        counter.bad -= 1
        self.records.add(labeler, kind=books.posted.kind, good=1, bad=-1, event=self.report.events)
        self.assignment.scores.upheld(books.address, batch, labeler, kind=books.posted.kind)

    def _on_FeesCollected(self, data: Any, event: ChainEvent) -> None:
        books = self._books(data, event)
        books.fees_collected += data.amount
        if books.fees_collected > books.fees:
            raise books.scope.fail("fees", f"{books.fees_collected} collected, {books.fees} due")

    def _on_RequestClosing(self, data: Any, event: ChainEvent) -> None:
        """From here on tasks are settled with what they have."""
        self._books(data, event).closing = True

    def _on_RequestClosed(self, data: Any, event: ChainEvent) -> None:
        """What is refunded, paid, due and held is all that was locked."""
        books = self._books(data, event)
        scope = Scope(books.name, transaction=event.signature)
        books.refunded += data.refund
        scope.equal("refund", data.refunded, books.refunded, "so far, on chain")
        spent = books.paid_labelers + books.paid_validators + books.fees
        scope.equal("refund", books.refunded, books.locked - spent - data.held, "locked less paid, fees and held")
        books.closed = True

    def _on_RequestReaped(self, data: Any, event: ChainEvent) -> None:
        self._books(data, event).fees_collected = self._books(data, event).fees

    async def close(self) -> None:
        """After the last event: no log says more than the chain, and every account is what the replay comes to."""
        again = {books.address for books in self.reaped}
        for books in (*self.reaped, *self.requests.values()):
            # One log stands for an address: which of several requests it is of, their batches have said.
            unread = books.header is None and books.address not in again
            if unread and (lines := self.logs.lines(books.name)) is not None:
                books.open_log(lines, program=self.reader.program)
            if books.header is not None and (line := books.next_line()) is not None:
                raise Scope(books.name, line.batch).fail("vote log", "a batch that was never settled on chain")
            if books.header is not None:
                self.report.handouts += self.assignment.check(
                    books.address,
                    program=self.reader.program,
                    domain=books.header.domain,
                    spec=books.header.spec,
                    logs=self.logs,
                    scope=books.scope,
                )
            if self.requests[books.address] is books:
                await self._check_account(books)
            mint = books.posted.mint_index
            for name in ("locked", "paid_labelers", "paid_validators", "fees", "refunded"):
                self.report.add(name, mint, getattr(books, name))
        for wallet, counter in self.counters.items():
            await self._check_participant(wallet, counter)
        await self.slashes.close()
        self.report.slashes = self.slashes.count

    async def _check_participant(self, wallet: bytes, counter: Counter) -> None:
        """The counters that reputation comes from."""
        account = await self.reader.reputation(wallet)
        if account is None:
            raise Scope().fail("participant", f"{b58(wallet)} has no account")
        expected = {"gold_passed": counter.gold_passed, "gold_failed": counter.gold_failed}
        if counter.role is Role.LABELER:
            expected |= {"accepted": counter.good, "rejected": counter.bad}
        elif not self.disputed:  # a dispute's votes count too, and are in no batch
            expected |= {"agreed": counter.good, "disagreed": counter.bad}
        for name, value in expected.items():
            Scope().equal("participant", getattr(account, name), value, f"{b58(wallet)}: {name}")
        if counter.role is Role.LABELER:
            for kind, found in enumerate(account.kinds):
                expected_kind = self.records.now(wallet, kind=kind)
                Scope().equal("participant", (found.good, found.bad), expected_kind, f"{b58(wallet)}: kind {kind}")
        self.report.participants += 1

    async def _check_account(self, books: Books) -> None:
        account = await self.reader.request(books.address)
        scope = books.scope
        if account is None:
            if not books.closed:
                raise scope.fail("account", "it is gone though the request was never closed")
            return
        expected = {
            "spec_hash": bytes(books.posted.spec_hash),
            "domain": bytes(books.posted.domain),
            "next_batch": books.next_batch,
            "log_head": books.log_head,
            "panel_round": books.panel_round,
            "locked": books.locked,
            "paid_labelers": books.paid_labelers,
            "paid_validators": books.paid_validators,
            "fees": books.fees,
            "fees_collected": books.fees_collected,
            "refunded": books.refunded,
            "records_done": books.records_done,
            "answers_accepted": books.accepted,
            "answers_rejected": books.rejected,
        }
        for name, value in expected.items():
            found = getattr(account, name)
            scope.equal("account", found if isinstance(found, int) else bytes(found), value, name)
        for height, peak in enumerate(books.peaks.peaks):
            scope.equal("account", bytes(account.peaks[height]), peak, f"peaks[{height}]")
        held = books.locked - books.paid_labelers - books.paid_validators - books.fees_collected - books.refunded
        escrow = await self.reader.escrow(books.address)
        if (escrow or 0) < held:
            raise scope.fail("escrow", f"the vault holds {escrow or 0}, the books owe {held} from it")
