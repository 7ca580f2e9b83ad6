"""The JSON-RPC methods over an embedded chain. Every commitment is the same here: what is shown is on disk."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from solders.account import Account
from solders.message import from_bytes_versioned
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction

from assay.chain import tokens
from assay.chain.base import MAX_AGE, parse_transaction
from assay.chain.embedded import EmbeddedChain
from assay.chain.rpc_params import Params, address, blockhash, integer, signature, wire
from assay.chain.rpc_views import (
    RpcFault,
    error_of,
    invalid,
    show_account,
    show_transaction,
    signature_text,
    status_of,
    token_amount,
    version_of,
)
from assay.chain.slots import SLOTS_PER_EPOCH
from assay.chain.store import Record
from assay.errors import AccountMalformed, AssayError, BlockhashExpired, TransactionFailed

VERSION = {"solana-core": "4.0.0", "feature-set": 0}
LAMPORTS_PER_SIGNATURE = 5000
MAX_AIRDROP = 100_000 * 10**9
Method = Callable[[Params], Awaitable[Any]]


class Methods:
    """All methods by name: `await methods.table["getSlot"](Params([]))`. They raise `RpcFault`."""

    def __init__(self, chain: EmbeddedChain) -> None:
        self.chain = chain
        self.table: dict[str, Method] = {
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
            "getBalance": self._balance,
            "getAccountInfo": self._account_info,
            "getMultipleAccounts": self._multiple_accounts,
            "getProgramAccounts": self._program_accounts,
            "getTokenAccountBalance": self._token_account_balance,
            "getTokenAccountsByOwner": self._token_accounts_by_owner,
            "getTokenSupply": self._token_supply,
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

    async def with_context(self, value: Any) -> dict[str, Any]:
        """`value` with the slot it was read at."""
        return {"context": {"slot": await self.chain.slot(), "apiVersion": VERSION["solana-core"]}, "value": value}

    async def _identity(self, _: Params) -> Any:
        return {"identity": str(self.chain.operator.pubkey())}

    async def _genesis_hash(self, _: Params) -> Any:
        return str(await self.chain.genesis_hash())

    async def _slot(self, _: Params) -> Any:
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

    # -- accounts -----------------------------------------------------------------------------------------------------

    async def decimals(self, accounts: list[Account | None]) -> dict[Pubkey, int]:
        """Decimals of the mints that token accounts among these are of."""
        mints = set()
        for account in accounts:
            if account is not None and account.owner in tokens.PROGRAMS and len(account.data) >= tokens.ACCOUNT_SIZE:
                mints.add(Pubkey.from_bytes(account.data[:32]))
        order = list(mints)
        found = {}
        for key, account in zip(order, await self.chain.accounts(order), strict=True):
            if account is not None and len(account.data) >= tokens.MINT_SIZE:
                found[key] = account.data[44]
        return found

    async def show(self, accounts: list[Account | None], *, encoding: str, piece: tuple[int, int] | None) -> list[Any]:
        """Accounts as JSON, None where there is none."""
        decimals = await self.decimals(accounts) if encoding == "jsonParsed" else {}
        return [
            None if account is None else show_account(account, encoding=encoding, piece=piece, decimals=decimals)
            for account in accounts
        ]

    async def _balance(self, params: Params) -> Any:
        account = await self.chain.account(params.address(0))
        return await self.with_context(0 if account is None else account.lamports)

    async def _account_info(self, params: Params) -> Any:
        options = params.options(1)
        account = await self.chain.account(params.address(0))
        shown = await self.show([account], encoding=options.encoding("binary"), piece=options.piece())
        return await self.with_context(shown[0])

    async def _multiple_accounts(self, params: Params) -> Any:
        keys = params.at(0, "a list of public keys")
        if not isinstance(keys, list):
            raise invalid("invalid type: expected a list of public keys")
        if len(keys) > 100:
            raise invalid("Too many inputs provided; max 100")
        options = params.options(1)
        found = await self.chain.accounts([address(key) for key in keys])
        shown = await self.show(found, encoding=options.encoding("base64"), piece=options.piece())
        return await self.with_context(shown)

    async def _program_accounts(self, params: Params) -> Any:
        options = params.options(1)
        memcmp, size, token_state = options.filters()
        found = await self.chain.program_accounts(params.address(0), memcmp=memcmp, size=size)
        if token_state:
            found = [(k, a) for k, a in found if len(a.data) >= tokens.ACCOUNT_SIZE and a.data[108] != 0]
        shown = await self.show(
            [account for _, account in found], encoding=options.encoding("binary"), piece=options.piece()
        )
        entries = [{"pubkey": str(key), "account": entry} for (key, _), entry in zip(found, shown, strict=True)]
        return await self.with_context(entries) if options.flag("withContext") else entries

    async def _token_account_balance(self, params: Params) -> Any:
        account = await self.chain.account(params.address(0))
        if account is None:
            raise invalid("Invalid param: could not find account")
        try:
            if account.owner not in tokens.PROGRAMS:
                raise AccountMalformed
            held = tokens.decode_token_account(account.data)
        except AccountMalformed:
            raise invalid("Invalid param: not a Token account") from None
        decimals = (await self.decimals([account])).get(held.mint, 0)
        return await self.with_context(token_amount(held.amount, decimals))

    async def _token_supply(self, params: Params) -> Any:
        account = await self.chain.account(params.address(0))
        if account is None:
            raise invalid("Invalid param: could not find account")
        try:
            if account.owner not in tokens.PROGRAMS:
                raise AccountMalformed
            mint = tokens.decode_mint(account.data)
        except AccountMalformed:
            raise invalid("Invalid param: not a Token mint") from None
        return await self.with_context(token_amount(mint.supply, mint.decimals))

    async def _token_accounts_by_owner(self, params: Params) -> Any:
        owner = params.address(0)
        chosen = params.at(1, "{mint} or {programId}")
        if not isinstance(chosen, dict) or not (chosen.get("mint") or chosen.get("programId")):
            raise invalid("Invalid param: expected {mint} or {programId}")
        options = params.options(2)
        mint = None
        programs = [address(chosen["programId"])] if chosen.get("programId") else list(tokens.PROGRAMS)
        if chosen.get("mint"):
            mint = address(chosen["mint"])
            account = await self.chain.account(mint)
            if account is None:
                raise invalid("Invalid param: could not find mint")
            programs = [account.owner]
        if any(program not in tokens.PROGRAMS for program in programs):
            raise invalid("Invalid param: unrecognized Token program id")
        found = [
            (key, account)
            for program in programs
            for key, account in await self.chain.program_accounts(program)
            if len(account.data) >= tokens.ACCOUNT_SIZE
            and account.data[32:64] == bytes(owner)
            and (mint is None or account.data[:32] == bytes(mint))
        ]
        shown = await self.show(
            [account for _, account in found], encoding=options.encoding("binary"), piece=options.piece()
        )
        return await self.with_context(
            [{"pubkey": str(key), "account": entry} for (key, _), entry in zip(found, shown, strict=True)]
        )

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
