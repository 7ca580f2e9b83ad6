"""Requests: quoted, drafted, activated when the chain shows them posted, watched, closed.

A draft is the specification as the market keeps it and the instruction that posts it; nothing of it counts until the
buyer's own signature put it on chain. Tasks exist from then on, since their ids are bound to the posting.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import structlog
from solders.pubkey import Pubkey

from assay.consensus import registry
from assay.domain import canonical, messages, money
from assay.domain import spec as specification
from assay.domain.spec import Spec
from assay.domain.work import Gold, commit_gold
from assay.errors import AlreadyDone, Conflict, FieldError, Forbidden, NotFound, field
from assay.services import handouts

if TYPE_CHECKING:
    from assay.services.market import Market

log = structlog.get_logger(__name__)

STATES = ("open", "closing", "closed")  # by number on chain
BELIEVED = 1.0  # seconds that a request's state is believed; specifications never change
CACHE = 10_000
SPECS = 200
CHUNK = 5_000
MIN_SECONDS, MAX_SECONDS = 60, 366 * 24 * 3600
MODES = ("agreement", "review")


@dataclass(frozen=True, slots=True)
class RequestInfo:
    """A request as the database has it. Amounts in base units of mint `mint_index`; `deadline` in market time.

    A task gets `first_overlap` answers (its item may say otherwise), and up to `overlap` while it is less sure of its
    label than `confidence_bps` (None: no more).
    """

    address: bytes
    buyer: bytes
    id: int
    title: str
    spec_hash: bytes
    spec_cid: str
    mode: int
    kind: int
    min_tier: int
    mint_index: int
    overlap: int
    first_overlap: int
    confidence_bps: int | None
    price: int
    validation_fee: int
    budget: int
    records: int
    deadline: int
    state: str
    assignment: str
    lease_seconds: int
    min_score: int
    domain: bytes | None
    posted_signature: str | None
    created_at: datetime
    posted_at: datetime | None
    closed_at: datetime | None


@dataclass(frozen=True, slots=True)
class Order:
    """What a buyer asks for. Amounts are decimal strings of tokens; `gold`: item index, known label, and 64 hexadecimal
    digits of salt (None: drawn here).
    """

    spec: Mapping[str, Any]
    price: str
    validation_fee: str
    budget: str | None = None
    seconds: int = 7 * 24 * 3600
    min_tier: int = 0
    premium_bps: Sequence[int] = (0, 0, 0, 0)
    mint: str | None = None
    id: int | None = None
    gold: Sequence[tuple[int, Any, str | None]] = ()


@dataclass(frozen=True, slots=True)
class Draft:
    """A drafted request and the arguments of the instruction that posts it."""

    info: RequestInfo
    quote: money.Quote
    arguments: Mapping[str, Any]


def _gold_json(gold: Gold) -> dict[str, Any]:
    return {
        "label": gold.label,
        "salt": gold.salt.hex(),
        "position": gold.position,
        "proof": [sibling.hex() for sibling in gold.proof],
    }


class Requests:
    """Everything about requests but their tasks and answers."""

    def __init__(self, market: Market) -> None:
        self._market = market
        self._db = market.db
        self._infos: dict[bytes, tuple[float, RequestInfo]] = {}
        self._specs: dict[bytes, Spec] = {}
        self._parsing: dict[bytes, asyncio.Lock] = {}

    # -- reading ------------------------------------------------------------------------------------------------------

    async def info(self, address: bytes, *, fresh: bool = False) -> RequestInfo:
        """The request at `address`. Raises `NotFound`."""
        now = time.monotonic()
        known = self._infos.get(address)
        if not fresh and known is not None and known[0] > now:
            return known[1]
        row = await self._db.row("request_info", address)
        if row is None:
            raise NotFound("there is no such request", field="address")
        found = RequestInfo(**{name: row[name] for name in RequestInfo.__slots__})
        if len(self._infos) >= CACHE:
            self._infos.clear()
        self._infos[address] = (now + BELIEVED, found)
        return found

    async def spec(self, address: bytes) -> Spec:
        """Its specification, parsed. Raises `NotFound`."""
        found = self._specs.get(address)
        if found is not None:
            return found
        async with self._parsing.setdefault(address, asyncio.Lock()):
            if address not in self._specs:
                text = await self._db.value("request_spec", address)
                if text is None:
                    raise NotFound("there is no such request", field="address")
                if len(self._specs) >= SPECS:
                    self._specs.pop(next(iter(self._specs)))
                self._specs[address] = specification.parse(canonical.loads(bytes(text)))
        self._parsing.pop(address, None)
        return self._specs[address]

    async def spec_text(self, address: bytes) -> bytes:
        """The canonical specification, whose sha256 is on chain. Raises `NotFound`."""
        text = await self._db.value("request_spec", address)
        if text is None:
            raise NotFound("there is no such request", field="address")
        return bytes(text)

    async def listed(
        self,
        *,
        state: str | None = None,
        buyer: bytes | None = None,
        before: datetime | None = None,
        limit: int = 50,
        own: bytes | None = None,
    ) -> list[Any]:
        """Requests, newest first; drafts only those of the buyer `own`."""
        return await self._db.fetch("requests_list", state, buyer, before or datetime.now(UTC), limit, own)

    async def progress(self, address: bytes) -> dict[str, int]:
        """Counts of tasks, leases and answers by state, and what was paid to labelers."""
        row = await self._db.row("request_progress", address)
        return {} if row is None else dict(row)

    async def account(self, address: bytes) -> Any | None:
        """The decoded Request account, or None where it is not on chain."""
        account = await self._market.chain.account(Pubkey(address))
        if account is None or not account.data:
            return None
        return self._market.chain.program.codec.decode_account(bytes(account.data), name="Request")

    # -- ordering -----------------------------------------------------------------------------------------------------

    async def quote(self, order: Order, *, rejection_bps: int = 0) -> tuple[Spec, money.Quote, int]:
        """What `order` can cost; nothing is kept. With its specification, checked, and the mint's index."""
        with field("spec"):
            spec = specification.parse(dict(order.spec))
        index = await self._market.terms.mint_index(order.mint)
        decimals = await self._market.terms.decimals(index)
        fee_bps = (await self._market.terms.market()).params.fee_bps
        quote = money.quote(
            records=len(spec.items),
            answers=spec.max_answers if spec.mode == "agreement" else None,
            least_answers=spec.least_answers if spec.mode == "agreement" else None,
            overlap=spec.overlap,
            price=self._price(order, decimals),
            validation_fee=money.parse(order.validation_fee, decimals, field="validation_fee"),
            mode=spec.mode,
            rejection_bps=rejection_bps,
            fee_bps=fee_bps,
            premium_bps=order.premium_bps,
        )
        return spec, quote, index

    @staticmethod
    def _price(order: Order, decimals: int) -> int:
        price = money.parse(order.price, decimals, field="price")
        if price == 0:
            raise FieldError("price", "is 0", hint='a decimal string of tokens such as "0.25"')
        return price

    async def draft(self, buyer: bytes, order: Order) -> Draft:
        """Keeps `order` and says how to post it. The same order with the same id again gives the same draft.

        Raises `FieldError` naming what is wrong, `TooLarge` (items), `UploadLimit` (too much that is not posted),
        `AlreadyDone` where the id stands for another order, or one that has ended: what is posted under it again would
        never be worked on.
        """
        if not MIN_SECONDS <= order.seconds <= MAX_SECONDS:
            raise FieldError("seconds", f"is {order.seconds}", hint=f"{MIN_SECONDS} to {MAX_SECONDS}")
        if not 0 <= order.min_tier <= 3:
            raise FieldError("min_tier", f"is {order.min_tier}", hint="0 to 3")
        if list(order.premium_bps) != sorted(order.premium_bps):
            raise FieldError("premium_bps", "falls from one tier to the next", hint="such as [0, 0, 500, 1000]")
        participant = await self._market.participants.find(buyer)
        if participant is None or participant.role != 1:
            raise Forbidden("this wallet is not registered as a buyer", hint="register with role buyer first")
        order, opened = self._with_gold(order)
        spec, quote, mint_index = await self.quote(order)
        if spec.method.replace("-", "_") not in registry.METHODS and spec.method != "auto":
            raise FieldError(
                "spec.consensus.method", f"is unknown: {spec.method!r}", hint=f"one of {', '.join(registry.METHODS)}"
            )
        with field("spec"):
            if spec.mode == "review" and spec.max_overlap > 1:
                raise FieldError("overlap", f"is {spec.max_overlap}", hint="1 in review: each record has one answer")
            await self._market.items.check(spec)
        decimals = await self._market.terms.decimals(mint_index)
        budget = quote.total if order.budget is None else money.parse(order.budget, decimals, field="budget")
        if budget < quote.total:
            raise FieldError(
                "budget",
                f"is less than the {money.format(quote.total, decimals)} tokens that all records can cost",
                hint="POST /v1/quote shows the sum",
            )
        identity = order.id if order.id is not None else time.time_ns() // 1_000_000 * 1024 + secrets.randbelow(1024)
        if not 0 <= identity < 2**63:
            raise FieldError("id", f"is {identity}", hint="0 to 2^63 - 1")
        address = bytes(self._market.terms.pda(b"request", buyer, identity.to_bytes(8, "little")))
        text = canonical.dumps(dict(spec.document))
        cid = await self._market.items.keep(text, media_type="application/json", owner=buyer, field="spec")
        now = await self._market.terms.now()
        async with self._db.transaction() as tx:
            await tx.execute(
                "request_insert", address, buyer, identity, spec.title, dict(spec.document), text, spec.hash, cid,
                spec.mode_number, spec.kind_number, order.min_tier, mint_index, spec.max_overlap,
                self._price(order, decimals), money.parse(order.validation_fee, decimals), budget, len(spec.items),
                now + order.seconds, spec.assignment, spec.lease_seconds,
                [{"index": index, **_gold_json(gold)} for index, gold in opened.items()] or None,
                spec.overlap, None if spec.more is None else spec.more.confidence_bps,
            )  # fmt: skip
            if (kept := await tx.value("draft_renew", address)) is not None:
                await self._market.items.hold(tx, [kept, *(item.cid for item in spec.items)])
        info = await self.info(address, fresh=True)
        same = info.spec_hash == spec.hash or (opened and await self._same_but_gold(address, spec))
        terms = (self._price(order, decimals), money.parse(order.validation_fee, decimals), order.min_tier, mint_index)
        same = same and terms == (info.price, info.validation_fee, info.min_tier, info.mint_index)
        if not same or (info.state == "draft" and info.budget != budget):
            raise AlreadyDone("this id stands for another request", field="id", hint="leave it out for a new one")
        if info.state == "closed":
            raise AlreadyDone("the request of this id has ended", field="id", hint="leave it out for a new one")
        return Draft(info, quote, self._arguments(info, order))

    async def _same_but_gold(self, address: bytes, spec: Spec) -> bool:
        """Whether the draft differs in the salts of its gold labels alone."""
        document = dict((await self.spec(address)).document)
        return {**document, "gold": None} == {**spec.document, "gold": None}

    @staticmethod
    def _arguments(info: RequestInfo, order: Order) -> dict[str, Any]:
        return {
            "spec_hash": info.spec_hash,
            "amount": info.budget,
            "price": info.price,
            "validation_fee": info.validation_fee,
            "deadline": info.deadline,
            "records": info.records,
            "overlap": info.overlap,
            "premium_bps": list(order.premium_bps),
            "mode": info.mode,
            "kind": info.kind,
            "min_tier": info.min_tier,
        }

    @staticmethod
    def _with_gold(order: Order) -> tuple[Order, dict[int, Gold]]:
        """The order with its gold labels committed to in the specification, and how each is opened."""
        if not order.gold:
            return order, {}
        if order.spec.get("gold") is not None:
            raise FieldError("gold", "is given twice: as labels and as spec.gold", hint="leave spec.gold out")
        with field("spec"):
            draft = specification.parse({**order.spec, "gold": None})
        labels = []
        for place, (index, label, salt) in enumerate(order.gold):
            if not 0 <= index < len(draft.items):
                raise FieldError(f"gold[{place}].index", f"is {index}", hint=f"0 to {len(draft.items) - 1}")
            with field(f"gold[{place}].label"):
                labels.append((index, draft.answer(label), bytes.fromhex(salt or secrets.token_hex(32))))
        with field("gold"):
            root, opened = commit_gold(labels)
        spec = {**order.spec, "gold": {"root": root.hex(), "count": len(labels)}}
        return replace(order, spec=spec), opened

    # -- following the chain ------------------------------------------------------------------------------------------

    async def activate(self, address: bytes, *, signature: str | None = None) -> bool:
        """Opens a draft whose posting is on chain; what the indexer calls at RequestPosted. Idempotent.

        False where nothing changed: not on chain, unknown here, open already, its items gone, or posted with another
        specification or on terms under which work on it could not be settled or paid: the buyer signs what it likes.
        """
        account = await self.account(address)
        if account is None:
            return False
        row = await self._db.row("request_info", address)
        if row is None:
            log.warning("a request was posted whose specification is unknown", request=messages.b58(address))
            return False
        if row["state"] != "draft":
            return await self.sync(address)
        if bytes(account.spec_hash) != row["spec_hash"]:
            log.warning("a request was posted with another specification", request=messages.b58(address))
            return False
        spec = await self.spec(address)
        if wrong := _other_terms(spec, row, account):
            log.warning("a request was posted on other terms", request=messages.b58(address), term=wrong)
            return False
        domain = bytes(account.domain)
        async with self._db.transaction() as tx:
            locked = await tx.row("request_lock", address)
            if locked is None or locked["state"] != "draft":
                return False
            if not await tx.value("items_bind", list({row["spec_cid"], *(item.cid for item in spec.items)})):
                log.warning("a request was posted whose items are not in the store", request=messages.b58(address))
                return False
            gold = {one["index"]: one for one in locked["gold"] or []}
            for start in range(0, len(spec.items), CHUNK):
                part = range(start, min(start + CHUNK, len(spec.items)))
                await tx.execute(
                    "tasks_insert",
                    address,
                    [messages.task_id(domain=domain, index=i, cid=spec.items[i].cid) for i in part],
                    list(part),
                    [spec.items[i].cid for i in part],
                    [spec.items[i].media_type for i in part],
                    [spec.items[i].overlap if spec.mode == "agreement" else 1 for i in part],
                    [gold.get(i) for i in part],
                    domain,
                )
            await handouts.begin(tx, self._market, address, domain=domain, assignment=spec.assignment)
            await tx.execute(
                "request_open", address, domain, signature, account.price, account.validation_fee, account.locked,
                account.deadline,
            )  # fmt: skip
        self._infos.pop(address, None)
        self._market.tasks.opened()
        self._market.changed.send(address)
        log.info("request opened", request=messages.b58(address), records=len(spec.items))
        if account.state:
            await self.sync(address)
        return True

    async def drop(self, address: bytes, seconds: float) -> None:
        """Forgets a draft that was drafted `seconds` ago or before, unless the chain shows it posted."""
        await self.activate(address)
        await self._db.execute("draft_drop", address, seconds)
        self._infos.pop(address, None)
        self._specs.pop(address, None)

    async def sync(self, address: bytes) -> bool:
        """Takes the state of a posted request over from the chain; whether it changed."""
        account = await self.account(address)
        state = "closed" if account is None else STATES[account.state]
        if account is not None:
            await self._db.execute("request_budget", address, account.locked)
        changed = (await self._db.execute("request_state", address, state)) != "UPDATE 0"
        if changed:
            self._infos.pop(address, None)
            self._market.tasks.opened()
            self._market.changed.send(address)
        return changed

    async def ensure_posted(self, address: bytes) -> RequestInfo:
        """The request; a draft is looked up on chain, in case nobody told of its posting."""
        info = await self.info(address)
        if info.state == "draft":
            await self.activate(address)
            info = await self.info(address, fresh=True)  # whoever opened it: the indexer may have been faster
        return info

    async def check_end(self, address: bytes, buyer: bytes) -> RequestInfo:
        """The request, which `buyer` may close or cancel. Raises `NotFound`, `Forbidden`, `Conflict`."""
        info = await self.ensure_posted(address)
        if info.buyer != buyer:
            raise Forbidden("only its buyer may end a request")
        if info.state == "draft":
            raise Conflict("the request is not posted yet", hint="there is nothing to end")
        if info.state == "closed":
            raise Conflict("the request is closed already")
        return info


def _other_terms(spec: Spec, draft: Any, account: Any) -> str | None:
    """Which term of the Request account is not the draft's, or cannot pay for all records; None: all is well."""
    for name in ("mode", "kind", "min_tier", "mint_index", "overlap", "records", "price", "validation_fee"):
        if getattr(account, name) != draft[name]:
            return name
    needed = money.quote(
        records=account.records,
        answers=spec.max_answers if spec.mode == "agreement" else None,
        overlap=account.overlap,
        price=account.price,
        validation_fee=account.validation_fee,
        mode=spec.mode,
        fee_bps=account.terms.params.fee_bps,
        premium_bps=account.terms.premium_bps,
    )
    return None if account.locked >= needed.total else "locked"
