"""The embedded chain's runtime: LiteSVM with a cluster's rules about time, blockhashes and duplicates around it.

It executes at once and in memory; what it changed waits in `changed` until the chain has written it.
"""

from __future__ import annotations

import hashlib
import os
from array import array
from collections.abc import Callable
from typing import Any

from solders.account import Account
from solders.clock import Clock
from solders.hash import Hash
from solders.litesvm import LiteSVM
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.sysvar import SLOT_HASHES
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata

from assay.chain import genesis
from assay.chain.base import MAX_AGE
from assay.chain.failures import error_json, failure, failure_text
from assay.chain.messages import Loaded, resolve, writable_keys
from assay.chain.program import Program
from assay.chain.slots import SLOTS_PER_EPOCH, Slots
from assay.chain.store import AccountRow, Record, Store
from assay.errors import BlockhashExpired, ConfigError

SLOT_HASHES_LAMPORTS = 143_000_000


class Runtime:
    """Restored from `store`; begun, with program and faucet, if that is empty."""

    def __init__(
        self,
        store: Store,
        *,
        program: Program,
        operator: Pubkey,
        faucet: Pubkey,
        slot_seconds: float,
        now: Callable[[], float],
    ) -> None:
        self._store = store
        self._program = program
        secret = store.get("secret")
        if secret is None:
            secret = os.urandom(32)
            store.put({"secret": secret, "slot": b"1", "wall": b"0", "offset": b"0"})
        self.genesis_hash = Hash(hashlib.sha256(b"genesis" + secret).digest())
        self.svm = LiteSVM().with_blockhash_check(False).with_transaction_history(0)
        for address, account in store.accounts():
            self.svm.set_account(address, account)
        self.slots = Slots(
            secret=secret,
            first=int(store.get("slot") or b"1"),
            slot_seconds=slot_seconds,
            wall=int(store.get("wall") or b"0"),
            reserve=self._note_slot,
            now=now,
            offset=float(store.get("offset") or b"0"),
        )
        self.changed: dict[Pubkey, None] = {}
        self.seq = store.last_seq()
        self._seen = dict(reversed(store.signatures_since(self.slots.slot - MAX_AGE)))
        self._synced: tuple[int, int] = (-1, -1)
        self.sync()
        self._deploy(operator, faucet)

    def _deploy(self, operator: Pubkey, faucet: Pubkey) -> None:
        """Puts the program in place as its upgrade authority would: at the beginning, and whenever its code changed."""
        code = self.svm.get_account(genesis.program_data_address(self._program.id))
        if code is not None and code.data[genesis.CODE_OFFSET :] == self._program.elf:
            return
        fresh = genesis.program_accounts(
            self.svm,
            program_id=self._program.id,
            elf=self._program.elf,
            slot=max(self.slots.slot - 1, 0),
            authority=operator,
        )
        if self.svm.get_account(faucet) is None:
            fresh.append((faucet, Account(genesis.FAUCET_LAMPORTS, b"", genesis.SYSTEM)))
        for address, account in fresh:
            try:
                self.svm.set_account(address, account)
            except Exception as error:  # what LiteSVM raises for code that does not verify has no type of its own
                raise ConfigError(
                    f"the runtime refuses the program: {error}", hint="build programs/assay.so"
                ) from error
        self._store.commit([], [_row(address, account) for address, account in fresh], [], {})

    def _note_slot(self, slot: int, wall: int) -> None:
        self._store.put({"slot": str(slot).encode(), "wall": str(wall).encode()})

    def finish(self) -> None:
        """Notes the exact place in time, so that a clean restart goes on in the next slot."""
        self.slots.tick()
        self._note_slot(self.slots.slot + 1, self.slots.wall())

    def sync(self) -> None:
        """Brings the Clock and SlotHashes sysvars up to date, and forgets signatures whose blockhash has expired."""
        self.slots.tick()
        place = (self.slots.slot, self.slots.wall())
        if place == self._synced:
            return
        slot, wall = place
        epoch = slot // SLOTS_PER_EPOCH
        self.svm.set_clock(Clock(slot, 0, epoch, epoch + 1, wall))
        if self._synced[0] != slot:
            table = Account(SLOT_HASHES_LAMPORTS, self.slots.slot_hashes(), genesis.SYSVARS)
            self.svm.set_account(SLOT_HASHES, table)
            while self._seen:
                oldest = next(iter(self._seen))
                if self._seen[oldest] >= slot - MAX_AGE - 1:
                    break
                del self._seen[oldest]
        self._synced = place

    def seen(self, signature: bytes) -> bool:
        """Whether a transaction of this signature has been executed within the age of a blockhash."""
        return signature in self._seen

    def account(self, address: Pubkey) -> Account | None:
        """The account as it is in memory."""
        account = self.svm.get_account(address)
        return None if account is None or account.lamports == 0 else account

    def execute(self, transaction: VersionedTransaction, raw: bytes) -> Record:
        """Runs a transaction. One that fails is a record too, with its error, and has cost its fee.

        Raises what keeps it from being executed at all: `BlockhashExpired`, `TransactionFailed`.
        """
        self.sync()
        message = transaction.message
        signature = bytes(transaction.signatures[0])
        if signature in self._seen:
            raise failure("AlreadyProcessed", program=self._program, logs=(), signature=str(transaction.signatures[0]))
        if self.slots.age(message.recent_blockhash) is None:
            raise BlockhashExpired("the transaction's blockhash is unknown or older than 150 slots")
        svm = self.svm
        keys = message.account_keys
        loaded = resolve(svm, message) if isinstance(message, MessageV0) else Loaded((), ())
        everyone = [*keys, *loaded.writable, *loaded.readonly]
        before = array("Q", [svm.get_balance(key) or 0 for key in everyone])
        outcome = svm.send_transaction(transaction)
        after = array("Q", [svm.get_balance(key) or 0 for key in everyone])
        error = None
        if isinstance(outcome, FailedTransactionMetadata):
            meta = outcome.meta()
            if before[0] == after[0]:  # no fee was taken: a cluster would not have taken it into a block
                name = str(transaction.signatures[0])
                raise failure(error_json(outcome.err()), program=self._program, logs=meta.logs(), signature=name)
            error = failure_text(outcome.err())
            self.changed[keys[0]] = None
        else:
            meta = outcome
            self.changed.update(dict.fromkeys(writable_keys(message, loaded)))
        self.seq += 1
        self._seen[signature] = self.slots.slot
        slot, wall = self._synced
        return Record(self.seq, signature, slot, wall, error, raw, meta, loaded.raw(), (before + after).tobytes())

    def take_changed(self) -> tuple[dict[Pubkey, None], list[AccountRow], list[bytes]]:
        """(addresses, rows to write, addresses that are gone) of all that changed since the last call."""
        taken, self.changed = self.changed, {}
        rows: list[AccountRow] = []
        closed: list[bytes] = []
        for address in taken:
            account = self.account(address)
            if account is None:
                closed.append(bytes(address))
            else:
                rows.append(_row(address, account))
        return taken, rows, closed

    def preflight(self, transaction: VersionedTransaction) -> tuple[Any, list[str], int]:
        """What it would do: (error in JSON-RPC form or None, logs, compute units). Signatures are verified."""
        self.sync()
        if self.slots.age(transaction.message.recent_blockhash) is None:
            return "BlockhashNotFound", [], 0
        if bytes(transaction.signatures[0]) in self._seen:
            return "AlreadyProcessed", [], 0
        return self._simulate(transaction)

    def simulate_unsigned(self, message: Any) -> tuple[Any, list[str], int]:
        """`preflight` of a message without signatures, as if its blockhash were fresh."""
        self.sync()
        blank = [Signature.default()] * message.header.num_required_signatures
        self.svm.with_sigverify(False)
        try:
            return self._simulate(VersionedTransaction.populate(message, blank))
        finally:
            self.svm.with_sigverify(True)

    def _simulate(self, transaction: VersionedTransaction) -> tuple[Any, list[str], int]:
        outcome = self.svm.simulate_transaction(transaction)
        meta = outcome.meta()
        error = error_json(outcome.err()) if isinstance(outcome, FailedTransactionMetadata) else None
        return error, meta.logs(), meta.compute_units_consumed()


def _row(address: Pubkey, account: Account) -> AccountRow:
    return bytes(address), account.lamports, bytes(account.owner), int(account.executable), account.data
