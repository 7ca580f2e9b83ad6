"""Labelers: the proof of a rejection, the transaction that disputes it, and what became of a dispute."""

from __future__ import annotations

from dataclasses import asdict

from assay.api.buyers import UnsignedView, unsigned
from assay.api.routing import Context, Routes, View
from assay.domain import money, tally
from assay.domain.messages import b58
from assay.errors import AlreadyDone, Conflict, Forbidden, Gone, NotFound, Unavailable
from assay.services.rejections import OUTCOMES, Disputable, Outcome

routes = Routes("labelers")

ERRORS = (NotFound, Forbidden, Conflict, AlreadyDone, Gone, Unavailable)


class ProofView(View):
    """A rejection's entry and its proof: `open_dispute`'s arguments. Hashes are hexadecimal; `settled_at` is market
    time. `log_proof` holds while the request has `batches` batches, and mostly longer."""

    answer: str
    task: str
    confidence: int
    evidence: str
    batch: int
    index: int
    settled_at: int
    digest: str
    proof: list[str]
    log_proof: list[str]
    batches: int


class DisputableView(View):
    """A rejection that can be disputed: address of the dispute to be, bond in tokens of the market's first mint, the
    market time until which it can be opened, and how many seconds that is from now."""

    request: str
    dispute: str
    bond: str
    until: int
    seconds: int
    proof: ProofView


class OpeningView(View):
    """The transaction that opens a dispute, for the labeler's wallet to sign."""

    unsigned: UnsignedView
    dispute: str
    bond: str
    until: int


class DisputeView(View):
    """A dispute as the chain has it. `panel`: wallets of round `round`; votes are shown one by one, `quorum` decide."""

    dispute: str
    request: str
    answer: str
    state: Outcome
    round: int
    panel: list[str]
    upheld: int
    dismissed: int
    quorum: int
    corrected: bool


async def _disputable(context: Context) -> Disputable:
    return await context.market.rejections.disputable(context.wallet, context.hash("answer"))


@routes.get("/v1/answers/{answer}/proof", auth=True, errors=ERRORS)
async def proof(context: Context) -> DisputableView:
    """Gives the proof by which the signed-in wallet can dispute the rejection of its answer, and what that costs."""
    found = await _disputable(context)
    raw = asdict(found.proof)
    return DisputableView(
        request=b58(found.request),
        dispute=b58(found.dispute),
        bond=money.format(found.bond, await context.market.terms.decimals()),
        until=found.until,
        seconds=found.until - await context.market.terms.now(),
        proof=ProofView(
            **{name: value.hex() if isinstance(value, bytes) else value for name, value in raw.items()}
            | {name: [one.hex() for one in raw[name]] for name in ("proof", "log_proof")}
        ),
    )


@routes.post("/v1/answers/{answer}/dispute", auth=True, errors=ERRORS)
async def dispute(context: Context) -> OpeningView:
    """Gives the transaction that disputes the rejection of an answer of the signed-in wallet, with proof and bond."""
    found = await _disputable(context)
    step = await context.market.relay.dispute(context.wallet, found.request, found.proof.arguments())
    return OpeningView(
        unsigned=await unsigned(context, [step]),
        dispute=b58(found.dispute),
        bond=money.format(found.bond, await context.market.terms.decimals()),
        until=found.until,
    )


@routes.get("/v1/answers/{answer}/dispute", auth=True, errors=(NotFound, Forbidden))
async def state(context: Context) -> DisputeView:
    """Shows how the dispute over an answer of the signed-in wallet stands."""
    answer = context.hash("answer")
    address, one = await context.market.rejections.dispute(context.wallet, answer)
    request = await context.market.requests.account(bytes(one.request))
    bps = request.terms.params.quorum_bps if request is not None else 0
    return DisputeView(
        dispute=str(address), request=b58(bytes(one.request)), answer=answer.hex(), state=OUTCOMES[one.state],
        round=one.panel_round, panel=[b58(bytes(wallet)) for wallet in one.panel[: one.panel_count]],
        upheld=one.upheld.bit_count(), dismissed=one.dismissed.bit_count(),
        quorum=tally.quorum(one.panel_count, bps), corrected=bool(one.corrected),
    )  # fmt: skip
