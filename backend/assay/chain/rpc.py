"""A cluster behind JSON-RPC: a real one, or another process's embedded chain.

Sending never doubles: one signed transaction is sent until it has landed or its blockhash has surely expired, and only
then is it signed again with a fresh one.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Sequence

from solana.rpc.commitment import Commitment, Finalized
from solana.rpc.core import RPCException
from solana.rpc.models import MemcmpOpts
from solders.account import Account
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.sysvar import CLOCK
from solders.transaction import VersionedTransaction

from assay.chain.base import (
    Blockhash,
    ChainClock,
    Cursor,
    Event,
    Landed,
    Memcmp,
    OpenedChain,
    Receipt,
    Simulation,
    compile_transaction,
    parse_signature,
    parse_transaction,
)
from assay.chain.builder import unit_price
from assay.chain.failures import error_json, failure
from assay.chain.program import Program
from assay.chain.rpc_client import UNREACHABLE, Notifications, RpcConnection, rpc_failure
from assay.chain.rpc_events import EventReader
from assay.chain.rpc_sender import Sender
from assay.chain.rpc_views import b58encode
from assay.errors import BadRequest, BlockhashExpired, ChainError, ChainUnavailable, ConfigError, TransactionFailed

PACE = 0.2
"""Of a slot of 0.4 s: news of a landing come late, and leaders are some way off."""
RESIGN = 4
"""Times that `send` signs anew after an expiry before it gives up."""
FRESH_SECONDS = 2.0
"""Age up to which a blockhash is used for another transaction; it is good for about 60 s."""
PAGE = 100
"""Signatures of an account's history that are asked for at a time."""


class RpcChain(OpenedChain):
    """The chain behind `url`. `async with RpcChain(url) as chain: …`.

    `ws_url`: its web socket (default: Solana's convention); `commitment`: when a transaction counts as landed;
    `priority_fee`: micro-lamports a compute unit, added to every transaction.
    """

    pace = PACE

    def __init__(
        self,
        url: str,
        *,
        ws_url: str | None = None,
        program: Program | None = None,
        commitment: str = "confirmed",
        priority_fee: int = 0,
        timeout: float = 15,
    ) -> None:
        super().__init__(program)
        self.url = url
        self._commitment = Commitment(commitment)
        self._priority_fee = priority_fee
        self._connection = RpcConnection(url, commitment=commitment, timeout=timeout)
        self._client = self._connection.client
        self._notifications = Notifications(
            ws_url or websocket_url(url), program_id=self.program.id, commitment=commitment
        )
        self._blockhash: tuple[float, Blockhash] | None = None
        self._blockhash_lock = asyncio.Lock()
        self._used: dict[Signature, None] = {}
        self._rents: dict[int, int] = {}
        self._sender = Sender(self._connection, self._notifications, program=self.program, commitment=self._commitment)
        self._events = EventReader(
            self._connection, self._notifications, self._sender, program=self.program, commitment=self._commitment
        )

    async def open(self) -> None:
        """Connects. Raises `ChainUnavailable` if nobody answers at the address."""
        try:
            await self._connection.call(self._client.get_version)
        except BaseException:
            await self.close()
            raise
        self._notifications.start()

    async def close(self) -> None:
        """Closes connections; whoever still waits gets `ChainUnavailable`."""
        if self._events.closed:
            return
        self._events.closed = True
        await self._sender.close()
        self._notifications.news.set()
        await self._notifications.close()
        await self._connection.close()

    # -- sending ------------------------------------------------------------------------------------------------------

    async def send(
        self,
        instructions: Sequence[Instruction],
        *,
        payer: Keypair,
        signers: Sequence[Keypair] = (),
        lookup_tables: Sequence[AddressLookupTableAccount] = (),
    ) -> Receipt:
        """See `Chain.send`. After `ChainUnavailable` the outcome is unknown: ask `receipt` for its signature."""
        if self._priority_fee:
            instructions = [unit_price(self._priority_fee), *instructions]
        last: BlockhashExpired | None = None
        for attempt in range(RESIGN):
            blockhash = await self._recent_blockhash(fresh=attempt > 0)
            while True:
                transaction = compile_transaction(
                    instructions, payer=payer, signers=signers, lookup_tables=lookup_tables, blockhash=blockhash.hash
                )
                if transaction.signatures[0] not in self._used:
                    break
                # the same instructions under the same blockhash would be the same transaction, and run only once
                await asyncio.sleep(0.05)
                blockhash = await self._recent_blockhash(fresh=True)
            self._note_used(transaction.signatures[0])
            try:
                return await self._sender.deliver(transaction, last_valid=blockhash.last_valid_block_height)
            except BlockhashExpired as error:
                last = error
        raise last or BlockhashExpired()

    async def send_raw(self, raw: bytes) -> Receipt:
        """See `Chain.send_raw`."""
        transaction = parse_transaction(raw)
        known = await self.receipt(str(transaction.signatures[0]))
        if known is not None:
            return known
        return await self._sender.deliver(transaction, last_valid=None)

    def _note_used(self, signature: Signature) -> None:
        self._used[signature] = None
        while len(self._used) > 10_000:
            del self._used[next(iter(self._used))]

    async def _recent_blockhash(self, *, fresh: bool) -> Blockhash:
        asked = time.monotonic()
        async with self._blockhash_lock:
            got = self._blockhash
            if got is None or asked - got[0] > (0 if fresh else FRESH_SECONDS):
                got = self._blockhash = (time.monotonic(), await self.latest_blockhash())
            return got[1]

    # -- receipts and events ------------------------------------------------------------------------------------------

    async def receipt(self, signature: str) -> Receipt | None:
        """See `Chain.receipt`."""
        wanted = parse_signature(signature)
        found = await self._sender.fetch(wanted)
        return None if found is None else self._sender.read(wanted, found)

    async def landed(self, signature: str) -> Landed | None:
        """See `Chain.landed`."""
        wanted = parse_signature(signature)
        found = await self._sender.fetch(wanted)
        return None if found is None else self._sender.opened(wanted, found)

    async def history(self, address: Pubkey) -> AsyncIterator[Landed]:
        """See `Chain.history`."""
        before: Signature | None = None
        while True:
            answer = await self._connection.call(
                lambda b=before: self._client.get_signatures_for_address(  # type: ignore[misc]
                    address, before=b, limit=PAGE, commitment=self._commitment
                )
            )
            for entry in answer.value:
                if entry.err is None:
                    yield await self._sender.open(entry.signature)
            if len(answer.value) < PAGE:
                return
            before = answer.value[-1].signature

    def events(self, *, after: Cursor | None = None, follow: bool = True) -> AsyncIterator[Event]:
        """See `Chain.events`. A slot's events come once the next slot is confirmed, so that none can come late."""
        return self._events.stream(after=after, follow=follow)

    # -- reading ------------------------------------------------------------------------------------------------------

    async def simulate(
        self,
        instructions: Sequence[Instruction],
        *,
        payer: Pubkey,
        lookup_tables: Sequence[AddressLookupTableAccount] = (),
    ) -> Simulation:
        """See `Chain.simulate`."""
        blockhash = await self._recent_blockhash(fresh=False)
        message = MessageV0.try_compile(payer, list(instructions), list(lookup_tables), blockhash.hash)
        blank = [Signature.default()] * message.header.num_required_signatures
        transaction = VersionedTransaction.populate(message, blank)
        answer = await self._connection.call(
            lambda: self._client.simulate_transaction(
                transaction, sig_verify=False, replace_recent_blockhash=True, commitment=self._commitment
            )
        )
        value = answer.value
        logs = tuple(value.logs or ())
        error = None if value.err is None else failure(error_json(value.err), program=self.program, logs=logs)
        if error is not None and not isinstance(error, TransactionFailed):
            raise error
        return Simulation(error, logs, value.units_consumed or 0)

    async def account(self, address: Pubkey) -> Account | None:
        """See `Chain.account`."""
        answer = await self._connection.call(lambda: self._client.get_account_info(address, encoding="base64"))
        return answer.value

    async def accounts(self, addresses: Sequence[Pubkey]) -> list[Account | None]:
        """See `Chain.accounts`; a hundred to a request."""
        found: list[Account | None] = []
        for start in range(0, len(addresses), 100):
            part = list(addresses[start : start + 100])
            answer = await self._connection.call(
                lambda p=part: self._client.get_multiple_accounts(p, encoding="base64")  # type: ignore[misc]
            )
            found += answer.value
        return found

    async def program_accounts(
        self, program_id: Pubkey | None = None, *, memcmp: Sequence[Memcmp] = (), size: int | None = None
    ) -> list[tuple[Pubkey, Account]]:
        """See `Chain.program_accounts`."""
        filters: list[int | MemcmpOpts] = [MemcmpOpts(offset=m.offset, bytes=b58encode(m.data)) for m in memcmp]
        if size is not None:
            filters.append(size)
        answer = await self._connection.call(
            lambda: self._client.get_program_accounts(
                program_id or self.program.id, encoding="base64", filters=filters or None
            )
        )
        return [(entry.pubkey, entry.account) for entry in answer.value]

    async def latest_blockhash(self) -> Blockhash:
        """See `Chain.latest_blockhash`."""
        value = (await self._connection.call(self._client.get_latest_blockhash)).value
        return Blockhash(value.blockhash, value.last_valid_block_height)

    async def slot(self) -> int:
        """See `Chain.slot`."""
        return (await self._connection.call(self._client.get_slot)).value

    async def table_slot(self) -> int:
        """See `Chain.table_slot`."""
        return (await self._connection.call(lambda: self._client.get_slot(Finalized))).value

    async def clock(self) -> ChainClock:
        """See `Chain.clock`: as the Clock sysvar has it."""
        account = await self.account(CLOCK)
        if account is None:
            raise ChainUnavailable("the cluster does not give its clock")
        slot, _, _, _, wall = struct.unpack_from("<QqQQq", account.data)
        return ChainClock(slot, wall)

    async def airdrop(self, address: Pubkey, lamports: int) -> str:
        """See `Chain.airdrop`."""
        if not 0 < lamports < 1 << 63:
            raise BadRequest("must be a positive number of lamports", field="lamports")
        try:
            answer = await self._client.request_airdrop(address, lamports)
        except RPCException as error:
            raise ChainError(
                f"the cluster gave no SOL: {rpc_failure(error).detail}", hint=f"send SOL to {address}"
            ) from error
        except UNREACHABLE as error:
            raise ChainUnavailable(f"{self.url} does not answer", retry_after=1) from error
        signature = answer.value
        height = (await self.latest_blockhash()).last_valid_block_height
        while (found := await self._sender.status(signature)) is None:
            if (await self._connection.call(self._client.get_block_height)).value > height:
                raise ChainError(f"the airdrop {signature} did not land", hint="try again")
            await asyncio.sleep(0.05)
        if found[0] is not None:
            raise failure(found[0], program=self.program, logs=(), signature=str(signature))
        return str(signature)

    async def minimum_rent(self, size: int) -> int:
        """See `Chain.minimum_rent`."""
        if size not in self._rents:
            answer = await self._connection.call(lambda: self._client.get_minimum_balance_for_rent_exemption(size))
            self._rents[size] = answer.value
        return self._rents[size]

    async def genesis_hash(self) -> Hash:
        """See `Chain.genesis_hash`."""
        return (await self._connection.call(self._client.get_genesis_hash)).value


def websocket_url(url: str) -> str:
    """A cluster's web socket by Solana's convention: the port above a given one, else the same address."""
    scheme, _, rest = url.partition("://")
    if scheme not in ("http", "https") or not rest:
        raise ConfigError(f"{url!r} is no address of a cluster", field="rpc_url", hint="such as http://127.0.0.1:8899")
    host, slash, path = rest.partition("/")
    name, colon, port = host.rpartition(":")
    if colon and port.isdigit():
        host = f"{name}:{int(port) + 1}"
    return f"{'wss' if scheme == 'https' else 'ws'}://{host}{slash}{path}"
