"""Are the counters that votes are weighted by the chain's?

A labeler's are right if they were the chain's at some moment since the request's last batch (or its posting): what the
settler read before it proposed. Mostly they still are. Where another request's batch has landed meanwhile, the
labeler's transactions are followed back, newest first, each one's tally taken off again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from solders.pubkey import Pubkey

from assay.chain.base import Call, Chain, Landed
from assay.domain import weights
from assay.domain.messages import b58
from assay.domain.work import Counters, Task
from assay_validator.checks import OnChain
from assay_validator.state import Refused

FOLLOWED = 10_000
"""Transactions of one labeler that are followed back at most. Mostly it is one or two, since a settler proposes what it
has just read; but a proposal that waited hours for a quorum never changes, and busy labelers go on meanwhile.
"""
LOOKS = 5
"""Times that a labeler is looked at, where its account changes between two looks."""
UPHELD = 1
TALLIED = 7
"""Accounts of `settle_batch` before those of the tallies, which are two each."""


async def check(
    chain: Chain,
    *,
    request: OnChain,
    tasks: Sequence[Task],
    known: Mapping[bytes, Counters],
    participant: Callable[[bytes], bytes],
) -> None:
    """Raises `Refused` (``counters_wrong``) naming the first labeler of whom the chain has never said what `tasks` do.

    `known`: by labeler, the counters of earlier batches, which are not looked at again.
    """
    named = weights.named(tasks, known=known)
    new = weights.newcomers(tasks, known)
    addresses = [Pubkey(participant(wallet)) for wallet in new]
    found = await _read(chain, addresses, kind=request.kind)
    for wallet, address, now in zip(new, addresses, found, strict=True):
        if now != named[wallet] and not await _stood(chain, address, named[wallet], request=request):
            said = "nothing" if now is None else f"{list(now)}"
            detail = f"{b58(wallet)} is named with {list(named[wallet])}, and has {said} on chain"
            raise Refused("counters_wrong", f"{detail}; nothing else since the request's last batch fits")


async def _read(chain: Chain, addresses: Sequence[Pubkey], *, kind: int) -> list[Counters | None]:
    found: list[Counters | None] = []
    for account in await chain.accounts(addresses):
        if account is None or account.owner != chain.program.id:
            found.append(None)
            continue
        one = chain.program.codec.decode_account(bytes(account.data), name="Participant").kinds[kind]
        found.append((one.good, one.bad))
    return found


async def _stood(chain: Chain, address: Pubkey, wanted: Counters, *, request: OnChain) -> bool:
    """Whether the labeler's counters were `wanted` at some moment since the request's last batch."""
    for _ in range(LOOKS):
        (before,) = await _read(chain, [address], kind=request.kind)
        past = chain.history(address)
        landed = await anext(past, None)
        (state,) = await _read(chain, [address], kind=request.kind)
        if state != before:
            continue  # it was settled between the looks: the list of transactions may say more than the account
        kinds = {request.address: request.kind}
        for _ in range(FOLLOWED):
            if state is None or landed is None or (landed.receipt.block_time or request.since) < request.since:
                return False
            state = await _undone(chain, landed, address, state, kind=request.kind, kinds=kinds)
            if state == wanted:
                return True
            landed = await anext(past, None)
        return False
    return False


async def _undone(
    chain: Chain, landed: Landed, address: Pubkey, state: Counters, *, kind: int, kinds: dict[bytes, int]
) -> Counters:
    """The counters before a transaction. Raises `Refused` (``counters_wrong``) where it cannot be told."""
    settled = [call for call in landed.calls if call.name == "settle_batch"]
    events = landed.receipt.events
    told = sum(event.name == "BatchSettled" for event in events)
    if not landed.receipt.logs_complete or told != len(settled):
        signature = landed.receipt.signature
        raise Refused("counters_wrong", f"what transaction {signature} did to a labeler's counters cannot be told")
    good, bad = state
    for call in settled:
        for place, tally in enumerate(call.args["tallies"]):
            if call.accounts[TALLIED + 2 * place] == address and await _kind(chain, call.accounts[1], kinds) == kind:
                good, bad = good - tally.good, bad - tally.bad
    for event in events:
        if event.name == "DisputeEnded" and event.data.outcome == UPHELD:
            mine = any(_labeler(chain, call) == address for call in landed.calls)
            if mine and await _kind(chain, Pubkey(bytes(event.data.request)), kinds) == kind:
                good, bad = good - 1, bad + 1
    return good, bad


def _labeler(chain: Chain, call: Call) -> Pubkey | None:
    """The labeler's account of a call that ends a dispute."""
    if call.name not in ("resolve_dispute", "expire_dispute"):
        return None
    names = [account["name"] for account in chain.program.codec.instructions[call.name].accounts]
    return call.accounts[names.index("labeler")]


async def _kind(chain: Chain, request: Pubkey, kinds: dict[bytes, int]) -> int:
    """The kind of a request's tasks, as the chain has it."""
    found = kinds.get(bytes(request))
    if found is None:
        account = await chain.account(request)
        if account is None or account.owner != chain.program.id:
            raise Refused("counters_wrong", f"a labeler's counters cannot be followed back: request {request} is gone")
        found = kinds[bytes(request)] = chain.program.codec.decode_account(bytes(account.data), name="Request").kind
    return found
