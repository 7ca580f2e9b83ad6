"""A batch: verdicts settled together, assembled from signed evidence alone.

The settler assembles a batch to propose it, each validator assembles it again before signing, the auditor assembles it
once more from the published log. Equal inputs in any order give equal bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass

from assay.domain import entries, growth, merkle, messages, tally, verdict, weights
from assay.domain.canonical import Json, digest
from assay.domain.entries import ACCEPTED, REJECTED, UNPAID, AnswerEntry, RecordEntry
from assay.domain.history import History, gold_verdict
from assay.domain.similarity import agrees
from assay.domain.spec import Spec
from assay.domain.tally import Book, Role, Tally
from assay.domain.work import Answer, Task
from assay.errors import FieldError, SignatureInvalid, field

MAX_ANSWERS = 65_535


@dataclass(frozen=True, slots=True)
class Record:
    """A task with its final label, as settled."""

    index: int
    label: dict[str, Json]
    entry: RecordEntry


@dataclass(frozen=True)
class Batch:
    """What a batch says, without its number: verdicts, records, tallies, and the tree over them."""

    answers: tuple[AnswerEntry, ...]
    records: tuple[Record, ...]
    tallies: tuple[Tally, ...]
    judged: int
    votes: int
    entries: tuple[bytes, ...]
    root: bytes

    def digest(self, participant: Callable[[bytes], bytes]) -> bytes:
        """What the panel signs; `participant` gives the address of a wallet's Participant account."""
        return tally.digest(
            root=self.root,
            records=len(self.records),
            judged=self.judged,
            answers=len(self.answers),
            votes=self.votes,
            tallies=self.tallies,
            participant=participant,
        )

    def proof(self, answer: bytes) -> tuple[int, tuple[bytes, ...]]:
        """Index and siblings of an answer's entry, for a dispute."""
        for index, entry in enumerate(self.answers):
            if entry.answer == answer:
                return index, merkle.proof(self.entries, index)
        raise FieldError("answer", f"{answer.hex()} is not in this batch")


def task_ids(spec: Spec, *, domain: bytes, tasks: Iterable[Task]) -> dict[int, bytes]:
    """The id of each task by index. Raises `FieldError` for a task that the request does not have, or twice."""
    out: dict[int, bytes] = {}
    for task in tasks:
        if not 0 <= task.index < len(spec.items):
            raise FieldError("index", f"is {task.index}", hint=f"0 to {len(spec.items) - 1}")
        if task.index in out:
            raise FieldError("index", f"{task.index} is there twice")
        out[task.index] = messages.task_id(domain=domain, index=task.index, cid=spec.items[task.index].cid)
    return out


def assemble(
    spec: Spec,
    *,
    domain: bytes,
    tasks: Sequence[Task],
    participant: Callable[[bytes], bytes],
    history: History | None = None,
) -> Batch:
    """Judges `tasks` and puts the batch together; `history`: the earlier batches, needed where `spec.learns`.

    `participant` gives the address of a wallet's Participant account, by which tallies are ordered.

    Checks form, not signatures: call `verify` first for evidence that came from elsewhere.
    """
    ids = task_ids(spec, domain=domain, tasks=tasks)
    book = Book()
    judge = _agreement if spec.mode == "agreement" else _review
    answers, records, votes = judge(spec, domain, tasks, ids, book, history or History(spec))
    if len(answers) > MAX_ANSWERS:
        raise FieldError("answers", f"are {len(answers)}", hint=f"at most {MAX_ANSWERS} a batch")
    if not answers:
        raise FieldError("tasks", "hold no answers", hint="at least one")
    answers.sort(key=lambda entry: entry.answer)
    records.sort(key=lambda record: record.entry.task)
    packed = entries.ordered(answers, (record.entry for record in records))
    return Batch(
        answers=tuple(answers),
        records=tuple(records),
        tallies=book.tallies(participant),
        judged=len(records) if spec.mode == "agreement" else len(answers),
        votes=votes,
        entries=packed,
        root=merkle.root(packed),
    )


def _agreement(
    spec: Spec, domain: bytes, tasks: Sequence[Task], ids: dict[int, bytes], book: Book, history: History
) -> tuple[list[AnswerEntry], list[Record], int]:
    if spec.weighs:
        weights.named(tasks, known=history.counters)
    labels = verdict.consensus(spec, tasks, history=history, model=history.model)
    register = history.register if spec.pay == "information" else None
    answers, records = [], []
    for task in tasks:
        task_id, found = ids[task.index], labels[task.index]
        value = verdict.value_of(found.label)
        by_id = {answer.id(domain=domain, task=task_id): answer for answer in task.answers}
        evidence = entries.agreement_evidence({key: answer.counters for key, answer in by_id.items()}, task.later)
        for answer_id, answer in by_id.items():
            if task.settles is not None and answer.labeler not in task.settles:
                continue
            good = agrees(spec.kind, spec.schema, verdict.value_of(answer.content), value)
            paid = register is None or register.accepts(answer.labeler, answer=answer_id)
            outcome = REJECTED if not good else ACCEPTED if paid else UNPAID
            entry = AnswerEntry(answer_id, task_id, answer.labeler, outcome, found.confidence, evidence)
            book.add(entry.labeler, role=Role.LABELER, good=good, gold=task.gold is not None, units=int(entry.unpaid))
            answers.append(entry)
        if task.record:
            records.append(Record(task.index, found.label, RecordEntry(task_id, digest(found.label), found.confidence)))
    return answers, records, 0


def _review(
    spec: Spec, domain: bytes, tasks: Sequence[Task], ids: dict[int, bytes], book: Book, history: History
) -> tuple[list[AnswerEntry], list[Record], int]:
    answers, records, votes = [], [], 0
    register = history.register if spec.pay == "information" else None
    for task in tasks:
        task_id, is_gold = ids[task.index], task.gold is not None
        for answer in task.answers:
            answer_id = answer.id(domain=domain, task=task_id)
            value = verdict.value_of(answer.content)
            known = gold_verdict(spec, answer.content, task.gold)
            weights = None if register is None else register.weights(vote.voter for vote in answer.votes)
            with field(f"answers[{answer_id.hex()}]"):
                found = verdict.review(answer.votes, gold=None if known is None else bool(known), weights=weights)
            evidence = entries.review_evidence((vote.voter, vote.vote, vote.salt) for vote in answer.votes)
            book.add(answer.labeler, role=Role.LABELER, good=bool(found.verdict), gold=is_gold)
            for voter, right in found.agreed.items():
                book.add(voter, role=Role.VALIDATOR, good=right, gold=is_gold, units=found.units.get(voter, 0))
            votes += len(answer.votes)
            answers.append(AnswerEntry(answer_id, task_id, answer.labeler, found.verdict, found.confidence, evidence))
            if found.verdict:
                label = {"value": value}
                records.append(Record(task.index, label, RecordEntry(task_id, digest(label), found.confidence)))
    return answers, records, votes


def verify(
    spec: Spec,
    *,
    domain: bytes,
    tasks: Sequence[Task],
    buyer: bytes,
    panel: Collection[bytes] | None = None,
    settled: Collection[bytes] = (),
) -> None:
    """Checks all evidence of a batch: content, signatures, commitments, and that nobody judges oneself.

    `panel`: the wallets that may vote (review). `settled`: ids of answers of earlier batches. Raises `FieldError` or
    `SignatureInvalid` that name the first thing wrong, such as ``tasks[3].answers[1].signature``.
    """
    ids = task_ids(spec, domain=domain, tasks=tasks)
    labelers: set[bytes] = set()
    voters: set[bytes] = set()
    for i, task in enumerate(tasks):
        at = f"tasks[{i}]"
        if not task.answers:
            raise FieldError(f"{at}.answers", "are none", hint="at least one")
        if task.gold is not None:
            if spec.gold_root is None:
                raise FieldError(f"{at}.gold", "is there though the specification commits to none")
            task.gold.verify(index=task.index, root=spec.gold_root, field=f"{at}.gold")
            if spec.answer(task.gold.label) != task.gold.label:
                raise FieldError(f"{at}.gold.label", "is not in its normal form")
        if len({answer.labeler for answer in task.answers}) != len(task.answers):
            raise FieldError(f"{at}.answers", "hold two of one labeler")
        growth.verify(spec, task, at)
        if task.settles is not None or not task.record:
            _verify_part(spec, task, at)
        for j, answer in enumerate(task.answers):
            settles = task.settles is None or answer.labeler in task.settles
            where = f"{at}.answers[{j}]"
            _verify_answer(
                spec, answer, domain=domain, task=ids[task.index], at=where, settled=settled, settles=settles
            )
            labelers.add(answer.labeler)
            for k, vote in enumerate(answer.votes):
                where = f"{at}.answers[{j}].votes[{k}]"
                if panel is not None and vote.voter not in panel:
                    raise FieldError(f"{where}.voter", f"is not on the panel: {messages.b58(vote.voter)}")
                vote.verify(domain=domain, answer=answer.id(domain=domain, task=ids[task.index]), field=where)
                voters.add(vote.voter)
    if buyer in labelers | voters:
        raise FieldError("tasks", "hold an answer or a vote of the buyer")
    if both := labelers & voters:
        raise FieldError("tasks", f"have a labeler who votes: {messages.b58(min(both))}")


def _verify_part(spec: Spec, task: Task, at: str) -> None:
    """A task whose answers several batches settle."""
    if spec.mode != "agreement":
        raise FieldError(f"{at}.settles", "is there though the mode is review")
    if task.settles is not None and not (task.settles and task.settles <= {one.labeler for one in task.answers}):
        raise FieldError(f"{at}.settles", "must name labelers of the task's answers")


def _verify_answer(
    spec: Spec, answer: Answer, *, domain: bytes, task: bytes, at: str, settled: Collection[bytes], settles: bool
) -> None:
    with field(f"{at}.content"):
        if spec.answer(answer.content) != answer.content:
            raise FieldError("", "is not in its normal form", hint="as schema.validate returns it")
    answer.verify(domain=domain, task=task, field=at)
    if settled and settles and answer.id(domain=domain, task=task) in settled:
        raise FieldError(at, "was settled in an earlier batch")
    if spec.weighs != (answer.counters is not None):
        hint = "the labeler's [good, bad] on chain" if spec.weighs else "none where no vote is weighted"
        raise FieldError(f"{at}.counters", "are missing" if spec.weighs else "are there", hint=hint)
    if spec.mode == "agreement" and answer.votes:
        raise FieldError(f"{at}.votes", "are there though the mode is agreement")


def check_quorum(
    signatures: Sequence[tuple[bytes, bytes]], *, message: bytes, panel: Sequence[bytes], quorum_bps: int
) -> None:
    """Raises unless `signatures` (wallet, signature) are a quorum of distinct panel members over `message`."""
    wallets = [wallet for wallet, _ in signatures]
    if len(set(wallets)) != len(wallets):
        raise FieldError("signatures", "hold two of one wallet")
    for i, (wallet, signature) in enumerate(signatures):
        if wallet not in panel:
            raise FieldError(f"signatures[{i}].wallet", f"is not on the panel: {messages.b58(wallet)}")
        if not messages.verified(signature, key=wallet, message=message):
            raise SignatureInvalid(field=f"signatures[{i}].signature")
    needed = tally.quorum(len(panel), quorum_bps)
    if len(signatures) < needed:
        raise FieldError("signatures", f"are {len(signatures)}", hint=f"{needed} of the panel's {len(panel)}")
