"""The data set of a request: every record with its label and how it came about, down to proofs against the chain."""

from __future__ import annotations

import asyncio
import csv
import io
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from assay.domain import entries, merkle, messages
from assay.errors import FieldError

if TYPE_CHECKING:
    from assay.services.market import Market

CHUNK = 500
METADATA = "assay.agreement"
"""Where a Parquet file has the agreement over all records, as JSON."""
FORMATS = {"jsonl": "application/jsonl", "csv": "text/csv", "parquet": "application/vnd.apache.parquet"}
COLUMNS = (
    "index", "task", "item", "media_type", "label", "confidence", "agreement", "answers", "accepted", "batch",
    "transaction",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Batch:
    """A settled batch's tree and where each entry stands in it."""

    root: bytes
    transaction: str | None
    slot: int | None
    packed: tuple[bytes, ...]
    tree: merkle.Tree
    place: dict[bytes, int]  # by answer id, and by task id for records

    def proof(self, key: bytes) -> dict[str, Any] | None:
        """The Merkle proof of an entry, or None where the batch does not have it."""
        place = self.place.get(key)
        if place is None:
            return None
        return {
            "entry": self.packed[place].hex(),
            "index": place,
            "siblings": [sibling.hex() for sibling in self.tree.proof(place)],
            "root": self.root.hex(),
        }


class Datasets:
    """Reads finished records."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._db = market.db

    async def records(self, request: bytes) -> AsyncIterator[dict[str, Any]]:
        """Records that are decided, in order of their index.

        Each has `label` and `confidence` (basis points), `agreement` of its raters (basis points: 10000 perfect, 0 what
        chance gives, null where there is none), `answers` with their verdicts, signatures, votes and pay, and
        a `proof` against the root of the batch that settled it (null until then).
        """
        start = 0
        batches: dict[int, _Batch] = {}
        agreement = (await self._market.agreements.of(request, fresh=True)).by_index()
        while True:
            tasks = await self._db.fetch("dataset_records", request, start, CHUNK)
            if not tasks:
                return
            start = tasks[-1]["index"] + 1
            done = [task for task in tasks if task["state"] == "done" and task["label"] is not None]
            ids = [task["id"] for task in done]
            answers: dict[bytes, list[Any]] = {}
            for answer in await self._db.fetch("dataset_answers", ids):
                answers.setdefault(answer["task"], []).append(answer)
            votes: dict[bytes, list[Any]] = {}
            wanted = [answer["id"] for of_task in answers.values() for answer in of_task]
            for vote in await self._db.fetch("dataset_votes", wanted):
                votes.setdefault(vote["answer"], []).append(vote)
            numbers = {task["batch"] for task in done} | {one["batch"] for many in answers.values() for one in many}
            await self._load(request, {number for number in numbers if number is not None}, batches)
            for task in done:
                record = _record(task, answers.get(task["id"], []), votes, batches)
                yield {**record, "agreement": agreement.get(task["index"])}

    async def _load(self, request: bytes, numbers: set[int], batches: dict[int, _Batch]) -> None:
        missing = sorted(numbers - set(batches))
        if not missing:
            return
        if len(batches) > 200:
            batches.clear()
            missing = sorted(numbers)
        answers: dict[int, list[entries.AnswerEntry]] = {}
        for row in await self._db.fetch("dataset_batch_answers", request, missing):
            answers.setdefault(row["batch"], []).append(
                entries.AnswerEntry(
                    row["id"], row["task"], row["labeler"],
                    entries.UNPAID if row["unpaid"] else int(row["verdict"]), row["confidence"], row["evidence"],
                )
            )  # fmt: skip
        records: dict[int, list[entries.RecordEntry]] = {}
        for row in await self._db.fetch("dataset_batch_records", request, missing):
            if row["label_hash"] is not None:
                records.setdefault(row["batch"], []).append(
                    entries.RecordEntry(row["id"], row["label_hash"], row["confidence"])
                )
        for row in await self._db.fetch("dataset_batches", request, missing):
            number = row["batch"]
            of_batch = answers.get(number, [])
            packed = entries.ordered(of_batch, records.get(number, []))
            keys = sorted(entry.answer for entry in of_batch)
            keys += sorted(entry.task for entry in records.get(number, []))
            batches[number] = _Batch(
                row["root"], row["signature"], row["slot"], packed,
                await asyncio.to_thread(merkle.Tree.of, packed), {key: i for i, key in enumerate(keys)},
            )  # fmt: skip

    # -- as files -----------------------------------------------------------------------------------------------------

    async def stream(self, request: bytes, form: str) -> AsyncIterator[bytes]:
        """The data set as a file's bytes. Raises `FieldError` for an unknown format."""
        match form:
            case "jsonl":
                async for record in self.records(request):
                    yield msgspec.json.encode(record) + b"\n"
            case "csv":
                async for part in self._csv(request):
                    yield part
            case "parquet":
                yield await self._parquet(request)
            case _:
                raise FieldError("format", f"is {form!r}", hint=f"one of {', '.join(FORMATS)}")

    async def _csv(self, request: bytes) -> AsyncIterator[bytes]:
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        writer.writerow(COLUMNS)
        async for record in self.records(request):
            flat = _flat(record)
            writer.writerow([_cell(flat[name]) for name in COLUMNS])
            if buffer.tell() > 64 * 1024:
                yield buffer.getvalue().encode()
                buffer.seek(0)
                buffer.truncate()
        yield buffer.getvalue().encode()

    async def _parquet(self, request: bytes) -> bytes:
        try:
            import pyarrow
            import pyarrow.parquet
        except ImportError as error:
            raise FieldError("format", "parquet needs pyarrow, which is not here", hint="jsonl or csv") from error
        columns: dict[str, list[Any]] = {name: [] for name in COLUMNS}
        async for record in self.records(request):
            for name, value in _flat(record).items():
                columns[name].append(value)
        sink = io.BytesIO()
        summary = msgspec.json.encode((await self._market.agreements.of(request)).summary())
        table = pyarrow.table(columns).replace_schema_metadata({METADATA: summary})
        pyarrow.parquet.write_table(table, sink)
        return sink.getvalue()


def _record(task: Any, answers: list[Any], votes: dict[bytes, list[Any]], batches: dict[int, _Batch]) -> dict[str, Any]:
    batch = batches.get(task["batch"]) if task["batch"] is not None else None
    return {
        "index": task["index"],
        "task": task["id"].hex(),
        "item": task["item"],
        "media_type": task["media_type"],
        "label": task["label"],
        "label_hash": task["label_hash"].hex() if task["label_hash"] else None,
        "confidence": task["confidence"],
        "gold": task["is_gold"],
        "batch": task["batch"],
        "transaction": batch.transaction if batch else None,
        "proof": batch.proof(task["id"]) if batch else None,
        "answers": [_answer(answer, votes.get(answer["id"], []), batches) for answer in answers],
    }


def _answer(answer: Any, votes: list[Any], batches: dict[int, _Batch]) -> dict[str, Any]:
    batch = batches.get(answer["batch"]) if answer["batch"] is not None else None
    return {
        "answer": answer["id"].hex(),
        "labeler": messages.b58(answer["labeler"]),
        "content": answer["content"],
        "cid": answer["cid"],
        "signature": messages.b58(answer["signature"]),
        "verdict": answer["verdict"],
        "unpaid": answer["unpaid"],
        "confidence": answer["confidence"],
        "evidence": answer["evidence"].hex() if answer["evidence"] else None,
        "paid": answer["paid"],
        "decided_at": answer["decided_at"],
        "settled_at": answer["settled_at"],
        "batch": answer["batch"],
        "transaction": batch.transaction if batch else None,
        "proof": batch.proof(answer["id"]) if batch else None,
        "votes": [
            {
                "voter": messages.b58(vote["voter"]),
                "round": vote["round"],
                "vote": int(vote["vote"]),
                "salt": vote["salt"].hex(),
                "signature": messages.b58(vote["signature"]),
            }
            for vote in votes
        ],
    }


def _flat(record: dict[str, Any]) -> dict[str, Any]:
    label = record["label"]
    if isinstance(label, dict) and "value" in label:
        label = label["value"]
    kept = ("index", "task", "item", "media_type", "confidence", "agreement", "batch", "transaction")
    return {
        **{name: record[name] for name in kept},
        "label": label if isinstance(label, str) else msgspec.json.encode(label).decode(),
        "answers": len(record["answers"]),
        "accepted": sum(bool(answer["verdict"]) for answer in record["answers"]),
    }


def _cell(value: Any) -> Any:
    # A cell that begins like a formula would be run by a spreadsheet.
    return "'" + value if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value
