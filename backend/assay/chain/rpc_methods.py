"""The JSON-RPC methods over an embedded chain. Every commitment is the same here: what is shown is on disk.

Only `getSlot` differs: the slot that is being filled is not finalized.
"""

from __future__ import annotations

from typing import Any

from solders.message import from_bytes_versioned
from solders.transaction import VersionedTransaction

from assay.chain.base import MAX_AGE, parse_transaction
from assay.chain.embedded import EmbeddedChain
from assay.chain.rpc_accounts import VERSION, AccountMethods, Method
from assay.chain.rpc_params import Params, address, blockhash, integer, signature, wire
from assay.chain.rpc_views import (
    RpcFault,
    error_of,
    invalid,
    show_transaction,
    signature_text,
    status_of,
    version_of,
)
from assay.chain.slots import SLOTS_PER_EPOCH
from assay.chain.store import Record
from assay.errors import AssayError, BlockhashExpired, TransactionFailed

LAMPORTS_PER_SIGNATURE = 5000
MAX_AIRDROP = 100_000 * 10**9


class Methods(AccountMethods):
    """All methods by name: `await methods.table["getSlot"](Params([]))`. They raise `RpcFault`."""

    def __init__(self, chain: EmbeddedChain) -> None:
        super().__init__(chain)
        self.table |= {
            "getHealth": self._constant("ok"),
            "getVersion": self._constant(VERSION),
            "getIdentity": self._identity,
            "getGenesisHash": self._genesis_hash,
            "getFirstAvailableBlock": self._constant(0),
            "minimumLedgerSlot": self._constant(0),
            "getSlot": self._slot,
            "getBlockHeight": self._slot,
            "getEpochInfo": self._epoch_info,
            "getEpochSchedule": self._epoch_schedule,
            "getBlockTime": self._block_time,
            "getTransactionCount": self._transaction_count,
            "getRecentPrioritizationFees": self._priority_fees,
            "getLatestBlockhash": self._latest_blockhash,
            "isBlockhashValid": self._blockhash_valid,
            "getMinimumBalanceForRentExemption": self._minimum_rent,
            "getFeeForMessage": self._fee_for_message,
            "sendTransaction": self._send_transaction,
            "simulateTransaction": self._simulate_transaction,
            "getSignatureStatuses": self._signature_statuses,
            "getSignaturesForAddress": self._signatures_for_address,
            "getTransaction": self._transaction,
            "requestAirdrop": self._request_airdrop,
        }

    # -- the cluster --------------------------------------------------------------------------------------------------

    @staticmethod
    def _constant(value: Any) -> Method:
        async def answer(_: Params) -> Any:
            return value

        return answer

    async def _identity(self, _: Params) -> Any:
        return {"identity": str(self.chain.operator.pubkey())}

    async def _genesis_hash(self, _: Params) -> Any:
        return str(await self.chain.genesis_hash())

    async def _slot(self, params: Params) -> Any:
        # What lookup tables are read at: RpcChain.table_slot asks for the finalized slot.
        if params.options(0).get("commitment") == "finalized":
            return max(await self.chain.table_slot(), 0)
        return await self.chain.slot()

    async def _epoch_info(self, _: Params) -> Any:
        slot = await self.chain.slot()
        return {
            "absoluteSlot": slot,
            "blockHeight": slot,
            "epoch": slot // SLOTS_PER_EPOCH,
            "slotIndex": slot % SLOTS_PER_EPOCH,
            "slotsInEpoch": SLOTS_PER_EPOCH,
            "transactionCount": self.chain.journal.transaction_count,
        }

    async def _epoch_schedule(self, _: Params) -> Any:
        return {
            "slotsPerEpoch": SLOTS_PER_EPOCH,
            "leaderScheduleSlotOffset": SLOTS_PER_EPOCH,
            "warmup": False,
            "firstNormalEpoch": 0,
            "firstNormalSlot": 0,
        }

    async def _block_time(self, params: Params) -> Any:
        wanted = params.integer(0, "slot")
        clock = await self.chain.clock()
        if wanted > clock.slot:
            raise RpcFault(-32004, f"Block not available for slot {wanted}")
        # slots that no transaction fell into are not noted: their time is counted back from now
        return clock.unix_timestamp - int((clock.slot - wanted) * self.chain.slot_ms / 1000)

    async def _transaction_count(self, _: Params) -> Any:
        return self.chain.journal.transaction_count

    async def _priority_fees(self, _: Params) -> Any:
        return [{"slot": await self.chain.slot(), "prioritizationFee": 0}]

    async def _latest_blockhash(self, _: Params) -> Any:
        found = await self.chain.latest_blockhash()
        return await self.with_context(
            {"blockhash": str(found.hash), "lastValidBlockHeight": found.last_valid_block_height}
        )

    async def _blockhash_valid(self, params: Params) -> Any:
        return await self.with_context(self.chain.blockhash_valid(blockhash(params.at(0, "a blockhash"))))

    async def _minimum_rent(self, params: Params) -> Any:
        return await self.chain.minimum_rent(params.integer(0, "the size"))

    # -- transactions -------------------------------------------------------------------------------------------------

    async def _fee_for_message(self, params: Params) -> Any:
        raw = wire(params.at(0, "a message"), "base64")
        try:
            message = from_bytes_versioned(raw)
        except Exception:
            raise invalid("failed to deserialize a versioned message") from None
        if not self.chain.blockhash_valid(message.recent_blockhash):
            return await self.with_context(None)
        return await self.with_context(LAMPORTS_PER_SIGNATURE * message.header.num_required_signatures)

    def _parse(self, params: Params, encoding: str) -> tuple[VersionedTransaction, bytes]:
        raw = wire(params.at(0, "a transaction"), encoding)
        try:
            return parse_transaction(raw), raw
        except TransactionFailed as error:
            raise invalid(error.detail) from None

    def _preflight(self, transaction: VersionedTransaction) -> None:
        error, logs, units = self.chain.runtime.preflight(transaction)
        if error is None:
            return
        if error == "SignatureFailure":
            raise RpcFault(-32003, "Transaction signature verification failure")
        words = "Blockhash not found" if error == "BlockhashNotFound" else str(error)
        if isinstance(error, dict) and "InstructionError" in error:
            index, detail = error["InstructionError"]
            number = detail.get("Custom") if isinstance(detail, dict) else None
            reason = detail if number is None else f"custom program error: {number:#x}"
            words = f"Error processing Instruction {index}: {reason}"
        data = {
            "accounts": None,
            "err": error,
            "innerInstructions": None,
            "logs": logs,
            "returnData": None,
            "unitsConsumed": units,
        }
        raise RpcFault(-32002, f"Transaction simulation failed: {words}", data)

    async def _send_transaction(self, params: Params) -> Any:
        options = params.options(1)
        transaction, raw = self._parse(params, options.encoding("base58"))
        sent = str(transaction.signatures[0])
        if await self.chain.journal.record(bytes(transaction.signatures[0])) is not None:
            return sent
        if not options.flag("skipPreflight"):
            self._preflight(transaction)
        try:
            await self.chain.submit(transaction, raw)
        except BlockhashExpired:
            return sent  # without preflight a cluster takes it and drops it
        except TransactionFailed as error:
            if error.code == "signature_failure":
                raise RpcFault(-32003, "Transaction signature verification failure") from None
        return sent

    async def _simulate_transaction(self, params: Params) -> Any:
        options = params.options(1)
        verify, replace = options.flag("sigVerify"), options.flag("replaceRecentBlockhash")
        if verify and replace:
            raise invalid("sigVerify may not be used with replaceRecentBlockhash")
        transaction, _ = self._parse(params, options.encoding("base58"))
        message = transaction.message
        error: Any
        logs: list[str]
        known = self.chain.blockhash_valid(message.recent_blockhash)
        if not known and not replace:
            error, logs, units = "BlockhashNotFound", [], 0
        elif verify:
            error, logs, units = self.chain.runtime.preflight(transaction)
        else:
            error, logs, units = self.chain.runtime.simulate_unsigned(message)
        value: dict[str, Any] = {
            "err": error,
            "logs": logs,
            "accounts": None,
            "unitsConsumed": units,
            "returnData": None,
            "innerInstructions": None,
            "loadedAccountsDataSize": 0,
            "replacementBlockhash": None,
        }
        if replace:
            fresh = await self.chain.latest_blockhash()
            value["replacementBlockhash"] = {
                "blockhash": str(fresh.hash),
                "lastValidBlockHeight": fresh.last_valid_block_height,
            }
        wanted = options.get("accounts")
        if isinstance(wanted, dict) and wanted.get("addresses"):
            found = await self.chain.accounts([address(key) for key in wanted["addresses"]])
            encoding = wanted.get("encoding") or "base64"
            value["accounts"] = await self.show(found, encoding=encoding, piece=None)
        return await self.with_context(value)

    async def _signature_statuses(self, params: Params) -> Any:
        wanted = params.at(0, "a list of signatures")
        if not isinstance(wanted, list):
            raise invalid("invalid type: expected a list of signatures")
        if len(wanted) > 256:
            raise invalid("Too many inputs provided; max 256")
        now = await self.chain.slot()
        history = params.options(1).flag("searchTransactionHistory")
        answers: list[Any] = []
        for entry in [signature(entry) for entry in wanted]:
            record = await self.chain.journal.record(bytes(entry))
            if record is None or (not history and record.slot < now - 2 * MAX_AGE):
                answers.append(None)
                continue
            error = error_of(record)
            answers.append(
                {
                    "slot": record.slot,
                    "confirmations": None,
                    "err": error,
                    "status": status_of(error),
                    "confirmationStatus": "finalized",
                }
            )
        return await self.with_context(answers)

    async def _signatures_for_address(self, params: Params) -> Any:
        key = params.address(0)
        options = params.options(1)
        limit = options.integer("limit", 1000)
        if not 1 <= limit <= 1000:
            raise invalid("Invalid limit; max 1000")
        places: dict[str, int | None] = {"before": None, "until": None}
        for name in places:
            value = options.get(name)
            if value is not None:
                place = await self.chain.journal.place(bytes(signature(value)))
                if place is None and name == "before":
                    return []
                places[name] = place
        found = await self.chain.journal.mentioning(
            bytes(key), before=places["before"], until=places["until"], limit=limit
        )
        return [_summary(record) for record in found]

    async def _transaction(self, params: Params) -> Any:
        wanted = params.signature(0)
        given = params.values[1] if len(params.values) > 1 else None
        options = Params([None, {"encoding": given} if isinstance(given, str) else given]).options(1)
        record = await self.chain.journal.record(bytes(wanted))
        if record is None:
            return None
        supported = options.get("maxSupportedTransactionVersion")
        if supported is None and version_of(VersionedTransaction.from_bytes(record.raw)) == 0:
            raise RpcFault(
                -32015,
                "Transaction version (0) is not supported by the requesting client. Please try the request again with "
                'the following configuration parameter: "maxSupportedTransactionVersion": 0',
            )
        if supported is not None:
            integer(supported, "maxSupportedTransactionVersion")
        return show_transaction(record, encoding=options.encoding("json"), with_version=supported is not None)

    async def _request_airdrop(self, params: Params) -> Any:
        key, lamports = params.address(0), params.integer(1, "lamports")
        if not 0 < lamports <= MAX_AIRDROP:
            raise invalid(f"Invalid param: an airdrop is from 1 to {MAX_AIRDROP} lamports")
        try:
            return await self.chain.airdrop(key, lamports)
        except AssayError as error:
            raise RpcFault(-32603, f"the faucet failed: {error}") from None


def _summary(record: Record) -> dict[str, Any]:
    return {
        "signature": signature_text(record),
        "slot": record.slot,
        "err": error_of(record),
        "memo": None,
        "blockTime": record.block_time,
        "confirmationStatus": "finalized",
    }
