"""The published vote log: one JSON Lines file a request, from which anybody can replay it (docs/votelog.md).

The first line is the header with the canonical specification; each further line is one settled batch, in order.
Every line is canonical JSON. Addresses and signatures are base58, hashes and salts hexadecimal, as in `messages`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

from assay.domain import canonical, spec
from assay.domain.canonical import Json
from assay.domain.messages import b58, unb58, unhex
from assay.domain.schema import fields, sequence, whole
from assay.domain.spec import Spec
from assay.domain.tally import Role, Tally
from assay.domain.work import Answer, Counters, Gold, Later, Task, Vote
from assay.errors import FieldError, field

VERSION = 2
U16, U32 = 2**16 - 1, 2**32 - 1


@dataclass(frozen=True, slots=True)
class Header:
    """The first line: which request this is the log of. Keys and hashes are raw bytes."""

    program: bytes
    request: bytes
    buyer: bytes
    domain: bytes
    spec: Spec


@dataclass(frozen=True, slots=True)
class Line:
    """One settled batch. `transaction` is the signature of the transaction that settled it, `at` its market time in
    seconds: with root and digest what the log head on chain is made of (`merkle.batch_leaf`).
    """

    batch: int
    panel_round: int
    tasks: tuple[Task, ...]
    records: int
    judged: int
    answers: int
    votes: int
    root: bytes
    digest: bytes
    tallies: tuple[Tally, ...]
    signatures: tuple[tuple[bytes, bytes], ...]
    transaction: bytes
    at: int


def encode_header(header: Header) -> bytes:
    """The header's line, with its line feed."""
    return _line(
        {
            "type": "request",
            "version": VERSION,
            "program": b58(header.program),
            "request": b58(header.request),
            "buyer": b58(header.buyer),
            "domain": header.domain.hex(),
            "spec": dict(header.spec.document),
        }
    )


def encode_batch(line: Line) -> bytes:
    """A batch's line, with its line feed. Tasks, answers and votes are sorted, so equal batches are equal lines."""
    return _line(
        {
            "type": "batch",
            "batch": line.batch,
            "panel_round": line.panel_round,
            "tasks": encode_tasks(line.tasks),
            "records": line.records,
            "judged": line.judged,
            "answers": line.answers,
            "votes": line.votes,
            "root": line.root.hex(),
            "digest": line.digest.hex(),
            "tallies": [_encode_tally(tally) for tally in line.tallies],
            "signatures": [{"wallet": b58(wallet), "signature": b58(signed)} for wallet, signed in line.signatures],
            "transaction": b58(line.transaction),
            "at": line.at,
        }
    )


def _line(value: dict[str, Any]) -> bytes:
    return canonical.dumps(value) + b"\n"


def _encode_tally(tally: Tally) -> dict[str, Json]:
    return {
        "wallet": b58(tally.wallet),
        "role": tally.role.name.lower(),
        "good": tally.good,
        "bad": tally.bad,
        "gold_passed": tally.gold_passed,
        "gold_failed": tally.gold_failed,
        "units": tally.units,
    }


def encode_tasks(tasks: Iterable[Task]) -> list[Json]:
    """Tasks as JSON: also the form in which a settlement is proposed to validators."""
    out: list[Json] = []
    for task in sorted(tasks, key=lambda one: one.index):
        one: dict[str, Json] = {
            "index": task.index,
            "answers": [_encode_answer(answer) for answer in sorted(task.answers, key=lambda one: one.labeler)],
        }
        if task.gold is not None:
            one["gold"] = {
                "label": task.gold.label,
                "salt": task.gold.salt.hex(),
                "position": task.gold.position,
                "proof": [sibling.hex() for sibling in task.gold.proof],
            }
        if task.settles is not None:
            one["settles"] = [b58(labeler) for labeler in sorted(task.settles)]
        if not task.record:
            one["record"] = False
        if task.later:
            one["later"] = [[b58(labeler), point] for labeler, point in task.later]
        out.append(one)
    return out


def _encode_answer(answer: Answer) -> dict[str, Json]:
    out: dict[str, Json] = {
        "labeler": b58(answer.labeler),
        "content": answer.content,
        "signature": b58(answer.signature),
    }
    if answer.counters is not None:
        out["counters"] = list(answer.counters)
    if answer.votes:
        out["votes"] = [
            {
                "voter": b58(vote.voter),
                "round": vote.round,
                "vote": vote.vote,
                "salt": vote.salt.hex(),
                "signature": b58(vote.signature),
            }
            for vote in sorted(answer.votes, key=lambda one: one.voter)
        ]
    return out


def decode_tasks(value: object, at: str = "tasks") -> tuple[Task, ...]:
    """The opposite of `encode_tasks`. Raises `FieldError`; checks form only (`batch.verify` checks the rest)."""
    return tuple(_decode_task(one, f"{at}[{i}]") for i, one in enumerate(sequence(value, at, low=1, high=U16)))


def _decode_task(value: object, at: str) -> Task:
    one = fields(value, at, needed=["index", "answers"], optional=["gold", "settles", "record", "later"])
    answers = tuple(
        _decode_answer(answer, f"{at}.answers[{j}]")
        for j, answer in enumerate(sequence(one["answers"], f"{at}.answers", low=1, high=U16))
    )
    gold = None
    if one.get("gold") is not None:
        raw = fields(one["gold"], f"{at}.gold", needed=["label", "salt", "position", "proof"])
        siblings = sequence(raw["proof"], f"{at}.gold.proof", low=0, high=32)
        gold = Gold(
            label=raw["label"],
            salt=_hash(raw["salt"], f"{at}.gold.salt"),
            position=whole(raw["position"], f"{at}.gold.position", low=0, high=U32),
            proof=tuple(_hash(sibling, f"{at}.gold.proof[{k}]") for k, sibling in enumerate(siblings)),
        )
    settles = None
    if "settles" in one:
        named = sequence(one["settles"], f"{at}.settles", low=1, high=U16)
        settles = frozenset(_key(labeler, f"{at}.settles[{k}]") for k, labeler in enumerate(named))
    record = one.get("record", True)
    if not isinstance(record, bool):
        raise FieldError(f"{at}.record", f"is {record!r}", hint="true or false")
    later = _decode_later(one["later"], f"{at}.later") if "later" in one else ()
    return Task(whole(one["index"], f"{at}.index", low=0, high=U32), answers, gold, settles, record, later)


def _decode_later(value: object, at: str) -> Later:
    out = []
    for i, pair in enumerate(sequence(value, at, low=1, high=U16)):
        labeler, point = sequence(pair, f"{at}[{i}]", low=2, high=2)
        out.append((_key(labeler, f"{at}[{i}][0]"), whole(point, f"{at}[{i}][1]", low=0, high=U32)))
    return tuple(out)


def _decode_answer(value: object, at: str) -> Answer:
    one = fields(value, at, needed=["labeler", "content", "signature"], optional=["votes", "counters"])
    votes = tuple(
        _decode_vote(vote, f"{at}.votes[{k}]")
        for k, vote in enumerate(sequence(one.get("votes", []), f"{at}.votes", low=0, high=255))
    )
    return Answer(
        labeler=_key(one["labeler"], f"{at}.labeler"),
        content=one["content"],
        signature=_signature(one["signature"], f"{at}.signature"),
        votes=votes,
        counters=_decode_counters(one["counters"], f"{at}.counters") if "counters" in one else None,
    )


def _decode_counters(value: object, at: str) -> Counters:
    good, bad = (whole(one, f"{at}[{i}]", low=0, high=U32) for i, one in enumerate(sequence(value, at, low=2, high=2)))
    return good, bad


def _decode_vote(value: object, at: str) -> Vote:
    one = fields(value, at, needed=["voter", "round", "vote", "salt", "signature"])
    return Vote(
        voter=_key(one["voter"], f"{at}.voter"),
        round=whole(one["round"], f"{at}.round", low=0, high=255),
        vote=whole(one["vote"], f"{at}.vote", low=0, high=1),
        salt=_hash(one["salt"], f"{at}.salt"),
        signature=_signature(one["signature"], f"{at}.signature"),
    )


def _key(value: object, at: str) -> bytes:
    return unb58(cast(str, value), field=at)


def _signature(value: object, at: str) -> bytes:
    return unb58(cast(str, value), size=64, field=at)


def _hash(value: object, at: str) -> bytes:
    return unhex(cast(str, value), field=at)


def decode_header(line: bytes) -> Header:
    """The first line. Raises `FieldError` for what is no header of this version."""
    needed = ["type", "version", "program", "request", "buyer", "domain", "spec"]
    one = fields(canonical.loads(line), "", needed=needed)
    if one["type"] != "request":
        raise FieldError("type", f"is {one['type']!r}", hint='"request" on the first line')
    if one["version"] != VERSION:
        raise FieldError("version", f"is {one['version']!r}", hint=f"{VERSION}")
    with field("spec"):
        parsed = spec.parse(one["spec"])
        if dict(parsed.document) != one["spec"]:
            raise FieldError("", "is not in its canonical form")
    return Header(
        program=_key(one["program"], "program"),
        request=_key(one["request"], "request"),
        buyer=_key(one["buyer"], "buyer"),
        domain=_hash(one["domain"], "domain"),
        spec=parsed,
    )


_COUNTS: Mapping[str, int] = {"records": U16, "judged": U16, "answers": U16, "votes": U32}
_TALLY: Sequence[str] = ("good", "bad", "gold_passed", "gold_failed")


def decode_batch(line: bytes) -> Line:
    """A further line. Raises `FieldError` for what is no batch."""
    needed = ["type", "batch", "panel_round", "tasks", *_COUNTS, "root", "digest", "tallies", "signatures"]
    one = fields(canonical.loads(line), "", needed=[*needed, "transaction", "at"])
    if one["type"] != "batch":
        raise FieldError("type", f"is {one['type']!r}", hint='"batch" after the first line')
    counts = {name: whole(one[name], name, low=0, high=high) for name, high in _COUNTS.items()}
    signatures = []
    for i, item in enumerate(sequence(one["signatures"], "signatures", low=1, high=255)):
        signed = fields(item, f"signatures[{i}]", needed=["wallet", "signature"])
        wallet = _key(signed["wallet"], f"signatures[{i}].wallet")
        signatures.append((wallet, _signature(signed["signature"], f"signatures[{i}].signature")))
    tallies = sequence(one["tallies"], "tallies", low=1, high=U16)
    return Line(
        batch=whole(one["batch"], "batch", low=0, high=canonical.MAX_INT),
        panel_round=whole(one["panel_round"], "panel_round", low=0, high=U32),
        tasks=decode_tasks(one["tasks"]),
        records=counts["records"],
        judged=counts["judged"],
        answers=counts["answers"],
        votes=counts["votes"],
        root=_hash(one["root"], "root"),
        digest=_hash(one["digest"], "digest"),
        tallies=tuple(_decode_tally(tally, f"tallies[{i}]") for i, tally in enumerate(tallies)),
        signatures=tuple(signatures),
        transaction=_signature(one["transaction"], "transaction"),
        at=whole(one["at"], "at", low=0, high=canonical.MAX_INT),
    )


def _decode_tally(value: object, at: str) -> Tally:
    one = fields(value, at, needed=["wallet", "role", *_TALLY, "units"])
    roles = {"labeler": Role.LABELER, "validator": Role.VALIDATOR}
    if one["role"] not in roles:
        raise FieldError(f"{at}.role", f"is {one['role']!r}", hint="labeler or validator")
    counts = {name: whole(one[name], f"{at}.{name}", low=0, high=U16) for name in _TALLY}
    units = whole(one["units"], f"{at}.units", low=0, high=U32)
    return Tally(_key(one["wallet"], f"{at}.wallet"), roles[str(one["role"])], units=units, **counts)


def read(lines: Iterable[bytes]) -> Iterator[Header | Line]:
    """The header, then each batch. A last line without line feed is one being written when the reader came: left out.

    Raises `FieldError` whose field starts with the line's number (``line 3.tasks[0].index``).
    """
    for number, raw in enumerate(lines, start=1):
        if not raw.endswith(b"\n"):
            return
        with field(f"line {number}"):
            yield decode_header(raw) if number == 1 else decode_batch(raw)
