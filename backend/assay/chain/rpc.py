"""A cluster behind JSON-RPC: a real one, or another process's embedded chain.

Sending never doubles: one signed transaction is sent until it has landed or its blockhash has surely expired, and only
then is it signed again with a fresh one.
"""

from __future__ import annotations

import asyncio
import struct
import time
from collections.abc import AsyncIterator, Sequence
from typing import Any, Self

from solana.rpc.commitment import Commitment
from solana.rpc.core import RPCException
from solana.rpc.models import MemcmpOpts, TxOpts
from solders.account import Account
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.rpc.errors import SendTransactionPreflightFailureMessage
from solders.signature import Signature
from solders.sysvar import CLOCK
from solders.transaction import VersionedTransaction

from assay.chain.base import (
    Blockhash,
    ChainClock,
    Cursor,
    Event,
    Memcmp,
    Receipt,
    Simulation,
    check_size,
    compile_transaction,
    parse_transaction,
)
from assay.chain.builder import unit_price
from assay.chain.events import decode_events
from assay.chain.failures import error_json, failure
from assay.chain.program import Program, load_program
from assay.chain.rpc_client import UNREACHABLE, Notifications, RpcConnection, rpc_failure
from assay.chain.rpc_views import b58encode
from assay.errors import BadRequest, BlockhashExpired, ChainError, ChainUnavailable, ConfigError, TransactionFailed

RESIGN = 4
"""Times that `send` signs anew after an expiry before it gives up."""
RESEND_SECONDS = 1.0
"""Pause between sendings of the same transaction: leaders change every four slots."""
MARGIN = 8
"""Blocks beyond a blockhash's last one before it counts as expired: nodes behind one address may lag each other."""
FRESH_SECONDS = 2.0
"""Age up to which a blockhash is used for another transaction; it is good for about 60 s."""
OUTAGE_SECONDS = 120.0
"""How long the outcome of a sent transaction is asked for while the cluster does not answer."""
PAGE = 1000


class RpcChain:
    """The chain behind `url`. `async with RpcChain(url) as chain: …`.

    `ws_url`: its web socket (default: Solana's convention); `commitment`: when a transaction counts as landed;
    `priority_fee`: micro-lamports a compute unit, added to every transaction.
    """

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
        self.url = url
        self.program = program or load_program()
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
        self._waiting: dict[Signature, asyncio.Future[Any]] = {}
        self._poller: asyncio.Task[None] | None = None
        self._closed = False

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()

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
        if self._closed:
            return
        self._closed = True
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ChainUnavailable("the connection was closed"))
                future.exception()
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
                return await self._deliver(transaction, last_valid=blockhash.last_valid_block_height)
            except BlockhashExpired as error:
                last = error
        raise last or BlockhashExpired()

    async def send_raw(self, raw: bytes) -> Receipt:
        """See `Chain.send_raw`."""
        transaction = parse_transaction(raw)
        known = await self.receipt(str(transaction.signatures[0]))
        if known is not None:
            return known
        return await self._deliver(transaction, last_valid=None)

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

    async def _deliver(self, transaction: VersionedTransaction, *, last_valid: int | None) -> Receipt:
        """Sends one signed transaction until it has landed or can land no more."""
        raw = check_size(bytes(transaction))
        signature = transaction.signatures[0]
        landed = asyncio.Event()
        watcher = asyncio.create_task(self._notifications.watch(signature, landed))
        try:
            await self._submit(raw, preflight=True)
            if last_valid is None:
                last_valid = (await self.latest_blockhash()).last_valid_block_height
            error = await self._outcome(raw, signature, landed=landed, last_valid=last_valid)
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
        return await self._receipt(signature, error=error)

    async def _submit(self, raw: bytes, *, preflight: bool) -> None:
        """Hands it to the node. Raises what its preflight finds; a lost connection is no answer."""
        options = TxOpts(skip_preflight=not preflight, preflight_commitment=self._commitment, max_retries=0)
        try:
            await self._client.send_raw_transaction(raw, options)
        except UNREACHABLE:
            return
        except RPCException as error:
            inner = error.args[0] if error.args else None
            if not preflight:
                return
            if not isinstance(inner, SendTransactionPreflightFailureMessage):
                raise rpc_failure(error) from error
            found = error_json(inner.data.err) if inner.data.err is not None else "unknown"
            if found in ("AlreadyProcessed", "BlockhashNotFound"):
                return  # it has landed, or a node lags: the status decides
            raise failure(found, program=self.program, logs=inner.data.logs or ()) from error

    async def _outcome(self, raw: bytes, signature: Signature, *, landed: asyncio.Event, last_valid: int) -> Any:
        """The transaction's error in JSON-RPC form, None if it succeeded. Raises `BlockhashExpired`."""
        waiter = self._poll(signature)
        silent_since: float | None = None
        while True:
            told = asyncio.ensure_future(landed.wait())
            try:
                await asyncio.wait({told, waiter}, timeout=RESEND_SECONDS, return_when=asyncio.FIRST_COMPLETED)
            finally:
                told.cancel()
            if waiter.done():
                return waiter.result()
            try:
                if landed.is_set():  # the cluster said so by web socket; its record says how it ended
                    self._waiting.pop(signature, None)
                    return None
                height = (await self._connection.call(self._client.get_block_height)).value
                if height > last_valid + MARGIN:
                    # every block that could hold it is confirmed: if it is not there now, it never will be
                    found = await self._status(signature)
                    self._waiting.pop(signature, None)
                    if found is not None:
                        return found[0]
                    raise BlockhashExpired(f"{signature} did not land within its blockhash's 150 blocks")
                silent_since = None
                await self._submit(raw, preflight=False)
            except ChainUnavailable as error:
                silent_since = silent_since or time.monotonic()
                if time.monotonic() - silent_since > OUTAGE_SECONDS:
                    self._waiting.pop(signature, None)
                    raise ChainUnavailable(
                        f"{error.detail}; whether {signature} has landed is unknown", hint="ask for its receipt later"
                    ) from error

    def _poll(self, signature: Signature) -> asyncio.Future[Any]:
        """Has the shared poller ask for this signature: one request for all that wait."""
        future: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[signature] = future
        if self._poller is None or self._poller.done():
            self._poller = asyncio.create_task(self._poll_statuses(), name="chain-statuses")
        return future

    def _done(self, signature: Signature, error: Any) -> None:
        future = self._waiting.pop(signature, None)
        if future is not None and not future.done():
            future.set_result(error)

    async def _poll_statuses(self) -> None:
        while self._waiting and not self._closed:
            await asyncio.sleep(0.5 if self._notifications.connected else 0.1)
            wanted = [signature for signature, future in self._waiting.items() if not future.done()][:256]
            if not wanted:
                continue
            try:
                answer = await self._connection.call(lambda w=wanted: self._client.get_signature_statuses(w))  # type: ignore[misc]
            except ChainError:
                continue  # those who wait notice an outage by themselves
            for signature, status in zip(wanted, answer.value, strict=True):
                if status is not None and self._reached(status):
                    self._done(signature, None if status.err is None else error_json(status.err))

    async def _status(self, signature: Signature) -> tuple[Any] | None:
        """(error,) of a transaction that has landed at the wanted commitment, else None."""
        answer = await self._connection.call(
            lambda: self._client.get_signature_statuses([signature], search_transaction_history=True)
        )
        status = answer.value[0]
        if status is None or not self._reached(status):
            return None
        return (None if status.err is None else error_json(status.err),)

    def _reached(self, status: Any) -> bool:
        ranks = {"processed": 0, "confirmed": 1, "finalized": 2}
        if status.confirmation_status is None:
            return status.confirmations is None
        return int(status.confirmation_status) >= ranks[self._commitment]

    # -- receipts and events ------------------------------------------------------------------------------------------

    async def _fetch(self, signature: Signature) -> Any:
        # transactions are never given at "processed"
        commitment = self._commitment if self._commitment != "processed" else Commitment("confirmed")
        answer = await self._connection.call(
            lambda: self._client.get_transaction(
                signature, encoding="base64", commitment=commitment, max_supported_transaction_version=0
            )
        )
        return answer.value

    async def _receipt(self, signature: Signature, *, error: Any) -> Receipt:
        """The receipt of a transaction that has landed; its record may come a moment after its status."""
        for attempt in range(40):
            found = await self._fetch(signature)
            if found is not None:
                return self._read(signature, found)
            await asyncio.sleep(min(0.02 * 1.3**attempt, 1))
        if error is not None:
            raise failure(error, program=self.program, logs=(), signature=str(signature))
        raise ChainUnavailable(
            f"{signature} has landed, but the cluster does not give its record", hint="ask again later"
        )

    def _read(self, signature: Signature, found: Any) -> Receipt:
        meta = found.transaction.meta
        logs = tuple(meta.log_messages or ())
        if meta.err is not None:
            raise failure(error_json(meta.err), program=self.program, logs=logs, signature=str(signature))
        return Receipt(
            signature=str(signature),
            slot=found.slot,
            block_time=found.block_time,
            compute_units=meta.compute_units_consumed or 0,
            fee=meta.fee,
            logs=logs,
            program=self.program,
        )

    async def receipt(self, signature: str) -> Receipt | None:
        """See `Chain.receipt`."""
        try:
            wanted = Signature.from_string(signature)
        except ValueError:
            raise BadRequest("is no signature in base 58", field="signature") from None
        found = await self._fetch(wanted)
        return None if found is None else self._read(wanted, found)

    async def events(self, *, after: Cursor | None = None, follow: bool = True) -> AsyncIterator[Event]:
        """See `Chain.events`. A slot's events come once the next slot is confirmed, so that none can come late."""
        last: Signature | None = None
        if after is not None:
            last = Signature.from_string(after.signature)
            found = await self._fetch(last)
            if found is None:
                raise ChainUnavailable(
                    f"the cluster does not know transaction {last} of the cursor", hint="start from the beginning"
                )
            for event in self._decode(
                last, found.slot, found.block_time, list(found.transaction.meta.log_messages or ())
            ):
                if event.index > after.index:
                    yield event
        if follow:
            await self._notifications.follow_logs()
        while not self._closed:
            self._notifications.news.clear()
            settled = await self.slot()
            fresh = await self._signatures_after(last)
            ready = [entry for entry in fresh if entry.slot < settled]
            for entry in ready:
                last = entry.signature
                if entry.err is not None:
                    continue
                told = self._notifications.take_logs(str(entry.signature))
                block_time = entry.block_time
                if told is None or block_time is None:
                    found = await self._landed(entry.signature)
                    told, block_time = list(found.transaction.meta.log_messages or ()), found.block_time
                for event in self._decode(entry.signature, entry.slot, block_time, told):
                    yield event
            held = len(ready) < len(fresh)
            if not follow and not held:
                return
            if held:
                await asyncio.sleep(0.05)
            elif not ready:
                await self._idle(2.0 if self._notifications.connected else 0.4)

    async def _idle(self, seconds: float) -> None:
        try:
            async with asyncio.timeout(seconds):
                await self._notifications.news.wait()
        except TimeoutError:
            return

    async def _landed(self, signature: Signature) -> Any:
        for attempt in range(40):
            found = await self._fetch(signature)
            if found is not None:
                return found
            await asyncio.sleep(min(0.02 * 1.3**attempt, 1))
        raise ChainUnavailable(f"the cluster lists {signature} but does not give its record")

    async def _signatures_after(self, last: Signature | None) -> list[Any]:
        """What names the program behind `last`, oldest first, however many there are."""
        commitment = self._commitment if self._commitment != "processed" else Commitment("confirmed")
        found: list[Any] = []
        before: Signature | None = None
        while True:
            answer = await self._connection.call(
                lambda b=before: self._client.get_signatures_for_address(  # type: ignore[misc]
                    self.program.id, before=b, until=last, limit=PAGE, commitment=commitment
                )
            )
            found += answer.value
            if len(answer.value) < PAGE:
                return found[::-1]
            before = answer.value[-1].signature

    def _decode(self, signature: Signature, slot: int, block_time: int | None, logs: Sequence[str]) -> list[Event]:
        found = decode_events(self.program.codec, logs, program=self.program.id)
        return [Event(name, data, slot, str(signature), index, block_time) for index, (name, data) in enumerate(found)]

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
        while (found := await self._status(signature)) is None:
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
