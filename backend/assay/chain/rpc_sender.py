"""How a signed transaction gets onto a cluster: sent until it has landed, or can land no more."""

from __future__ import annotations

import asyncio
import time
from typing import Any

from solana.rpc.commitment import Commitment
from solana.rpc.core import RPCException
from solana.rpc.models import TxOpts
from solders.rpc.errors import SendTransactionPreflightFailureMessage
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from assay.chain.base import Landed, Receipt, check_size, open_landed
from assay.chain.failures import error_json, failure
from assay.chain.program import Program
from assay.chain.rpc_client import UNREACHABLE, Notifications, RpcConnection, rpc_failure
from assay.errors import BlockhashExpired, ChainError, ChainUnavailable

RESEND_SECONDS = 1.0
"""Pause between sendings of the same transaction: leaders change every four slots."""
MARGIN = 8
"""Blocks beyond a blockhash's last one before it counts as expired: nodes behind one address may lag each other."""
OUTAGE_SECONDS = 120.0
"""How long the outcome of a sent transaction is asked for while the cluster does not answer."""
RECORD_TRIES = 40
"""Times that the record of a landed transaction is asked for, with growing pauses of at most a second."""


class Sender:
    """Delivers signed transactions and reads how they ended."""

    def __init__(
        self, connection: RpcConnection, notifications: Notifications, *, program: Program, commitment: Commitment
    ) -> None:
        self._connection = connection
        self._client = connection.client
        self._notifications = notifications
        self._program = program
        self._commitment = commitment
        # transactions are never given at "processed"
        self._record_commitment = commitment if commitment != "processed" else Commitment("confirmed")
        self._waiting: dict[Signature, asyncio.Future[Any]] = {}
        self._poller: asyncio.Task[None] | None = None
        self._closed = False

    async def close(self) -> None:
        """Whoever still waits gets `ChainUnavailable`."""
        self._closed = True
        if self._poller is not None:
            self._poller.cancel()
            await asyncio.gather(self._poller, return_exceptions=True)
        for future in self._waiting.values():
            if not future.done():
                future.set_exception(ChainUnavailable("the connection was closed"))
                future.exception()

    async def deliver(self, transaction: VersionedTransaction, *, last_valid: int | None) -> Receipt:
        """Sends one signed transaction until it has landed or can land no more."""
        raw = check_size(bytes(transaction))
        signature = transaction.signatures[0]
        landed = asyncio.Event()
        watcher = asyncio.create_task(self._notifications.watch(signature, landed))
        try:
            await self._submit(raw, preflight=True)
            if last_valid is None:
                last_valid = (
                    await self._connection.call(self._client.get_latest_blockhash)
                ).value.last_valid_block_height
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
            raise failure(found, program=self._program, logs=inner.data.logs or ()) from error

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
                    found = await self.status(signature)
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

    async def status(self, signature: Signature) -> tuple[Any] | None:
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

    async def fetch(self, signature: Signature) -> Any:
        """A landed transaction as the cluster gives it, or None."""
        answer = await self._connection.call(
            lambda: self._client.get_transaction(
                signature, encoding="base64", commitment=self._record_commitment, max_supported_transaction_version=0
            )
        )
        return answer.value

    async def open(self, signature: Signature) -> Landed:
        """A transaction that has landed and succeeded, with what it called."""
        found = await self._record(signature)
        if found is None:
            raise ChainUnavailable(
                f"the cluster lists {signature} but does not give its record", hint="ask again later"
            )
        return self.opened(signature, found)

    def opened(self, signature: Signature, found: Any) -> Landed:
        """A fetched transaction with what it called. Raises what it failed with."""
        loaded = found.transaction.meta.loaded_addresses
        keys = [] if loaded is None else [*loaded.writable, *loaded.readonly]
        return open_landed(self.read(signature, found), found.transaction.transaction, loaded=keys)

    async def _record(self, signature: Signature) -> Any:
        """What `fetch` gives, which may come a moment after the transaction's status; None if it does not come."""
        for attempt in range(RECORD_TRIES):
            found = await self.fetch(signature)
            if found is not None:
                return found
            await asyncio.sleep(min(0.02 * 1.3**attempt, 1))
        return None

    async def _receipt(self, signature: Signature, *, error: Any) -> Receipt:
        """The receipt of a transaction that has landed."""
        found = await self._record(signature)
        if found is not None:
            return self.read(signature, found)
        if error is not None:
            raise failure(error, program=self._program, logs=(), signature=str(signature))
        raise ChainUnavailable(
            f"{signature} has landed, but the cluster does not give its record", hint="ask again later"
        )

    def read(self, signature: Signature, found: Any) -> Receipt:
        """The receipt of a fetched transaction. Raises what it failed with."""
        meta = found.transaction.meta
        logs = tuple(meta.log_messages or ())
        if meta.err is not None:
            raise failure(error_json(meta.err), program=self._program, logs=logs, signature=str(signature))
        return Receipt(
            signature=str(signature),
            slot=found.slot,
            block_time=found.block_time,
            compute_units=meta.compute_units_consumed or 0,
            fee=meta.fee,
            logs=logs,
            program=self._program,
        )
