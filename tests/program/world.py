"""A market in a real SVM for the program's tests: actors, time, tokens, and one method a kind of transaction.

Nothing is faked but the clock: the ``.so`` of the checkout runs under LiteSVM with the real token programs and the real
Ed25519 precompile. `World.send` returns what happened instead of raising, so that refusals are as easy to state as
successes.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import struct
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

from solders.account import Account
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.litesvm import LiteSVM
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import FailedTransactionMetadata

from assay.chain import genesis
from assay.chain.addresses import Addresses
from assay.chain.instructions import build
from assay.chain.program import Program, load_program
from assay.chain.tokens import TOKEN, associated_address, decode_mint, decode_token_account

ROOT = Path(__file__).parents[2]
BUYER, LABELER, VALIDATOR = 1, 2, 3
UNIT = 1_000_000
START = 1_700_000_000
FIRST_SLOT = 1_000

PARAMS: dict[str, Any] = {
    "min_labeler_stake": 100 * UNIT,
    "min_validator_stake": 500 * UNIT,
    "dispute_bond": 5 * UNIT,
    "unstake_window": 4_000,
    "dispute_window": 2_000,
    "grace": 600,
    "panel_timeout": 300,
    "panel_term": 1_000,
    "fee_bps": 200,
    "quorum_bps": 6_667,
    "slash_bps": 1_000,
    "equivocation_bps": 5_000,
    "panel_size": 3,
    "error_rate": 1,
    "slash_policy": 0,
    "reserved": bytes(9),
}


@cache
def program(so: str | None = None) -> Program:
    """The checkout's program; `so` names another build of it, with the same interface (`ASSAY_TEST_SO` for mutants)."""
    so = so or os.environ.get("ASSAY_TEST_SO")
    idl = Path(os.environ.get("ASSAY_TEST_IDL", ROOT / "idl" / "assay.json"))
    if so is None:
        return load_program()
    return Program(json.loads(idl.read_text()), elf=Path(so).read_bytes())


def keypair(name: str) -> Keypair:
    """The same key for the same name, always."""
    return Keypair.from_seed(hashlib.sha256(name.encode()).digest())


@dataclass(frozen=True)
class Outcome:
    """What became of a transaction: `error` is None, or the program's error name, or the runtime's text."""

    error: str | None
    events: tuple[tuple[str, Any], ...]
    units: int
    logs: tuple[str, ...]

    @property
    def ok(self) -> bool:
        return self.error is None

    def event(self, name: str) -> Any:
        """The first event of that name."""
        return next(event for found, event in self.events if found == name)


@dataclass(eq=False)
class Actor:
    """A wallet and its addresses."""

    name: str
    key: Keypair
    participant: Pubkey
    role: int = 0

    def __post_init__(self) -> None:
        self.wallet = self.key.pubkey()


@dataclass(frozen=True)
class TallyOf:
    """One participant's line of a batch."""

    actor: Actor
    good: int = 0
    bad: int = 0
    gold_passed: int = 0
    gold_failed: int = 0
    units: int = 0

    def args(self) -> dict[str, int]:
        return {
            "good": self.good,
            "bad": self.bad,
            "gold_passed": self.gold_passed,
            "gold_failed": self.gold_failed,
            "units": self.units,
        }

    def pack(self) -> bytes:
        return struct.pack("<HHHHI", self.good, self.bad, self.gold_passed, self.gold_failed, self.units)


@dataclass(frozen=True)
class Settled:
    """A settled batch, as its log leaf has it."""

    number: int
    root: bytes
    at: int
    digest: bytes

    @property
    def leaf(self) -> bytes:
        packed = struct.pack("<Q32sq32s", self.number, self.root, self.at, self.digest)
        return hashlib.sha256(b"\x02" + packed).digest()


@dataclass(eq=False)
class Posted:
    """A request and the batches it has settled."""

    address: Pubkey
    buyer: Actor
    id: int
    mint: Pubkey
    batches: list[Settled] = field(default_factory=list)


class World:
    """One market with its clock, its tokens and whoever takes part."""

    def __init__(
        self,
        *,
        params: Mapping[str, Any] | None = None,
        so: str | None = None,
        extra_mint: bool = False,
        initialize: bool = True,
    ) -> None:
        self.program = program(so)
        self.id = self.program.id
        self.codec = self.program.codec
        self.addresses = Addresses(self.id)
        self.svm = LiteSVM().with_sigverify(False).with_blockhash_check(False).with_transaction_history(0)
        self.errors = {error.number: error.name for error in self.codec.errors.values()}
        self.last_size = 0
        self.now = START
        self.slot = FIRST_SLOT
        self.authority = keypair("authority")
        self.params = {**PARAMS, **(params or {})}
        self.mints: list[Pubkey] = []
        self.token_programs: dict[Pubkey, Pubkey] = {}
        self.token_accounts: set[Pubkey] = set()
        self.actors: dict[str, Actor] = {}
        self._hashes: list[tuple[int, Hash]] = []
        self.advance(slots=2, seconds=0)
        self.fund(self.authority.pubkey())
        for address, account in genesis.program_accounts(
            self.svm, program_id=self.id, elf=self.program.elf, slot=0, authority=self.authority.pubkey()
        ):
            self.svm.set_account(address, account)
        self.mint = self.make_mint("mint-0")
        if initialize:
            outcome = self.send(self.initialize_instruction(), signers=[self.authority])
            assert outcome.ok, outcome
        if extra_mint:
            self.allow_mint(self.make_mint("mint-1"))

    # Time and accounts

    def advance(self, *, slots: int = 1, seconds: int = 0) -> None:
        """Lets slots and wall time pass; every slot leaves its hash."""
        for _ in range(min(slots, 520)):
            self.slot += 1
            self._hashes.insert(0, (self.slot - 1, Hash(hashlib.sha256(b"slot%d" % (self.slot - 1)).digest())))
        self.slot += max(0, slots - 520)
        del self._hashes[512:]
        self.now += seconds
        clock = self.svm.get_clock()
        clock.slot, clock.unix_timestamp = self.slot, self.now
        self.svm.set_clock(clock)
        self.svm.set_slot_hashes(self._hashes)

    def fund(self, address: Pubkey) -> None:
        """Gives an address lamports for rent."""
        self.svm.set_account(address, Account(10**15, b"", genesis.SYSTEM))

    def make_mint(
        self, name: str, *, token_program: Pubkey = TOKEN, decimals: int = 6, extensions: bytes = b""
    ) -> Pubkey:
        """A mint whose supply the tests hand out by `give`."""
        address = keypair(name).pubkey()
        data = struct.pack("<I32sQBBI32s", 0, bytes(32), 0, decimals, 1, 0, bytes(32))
        if extensions:
            data = data.ljust(165, b"\0") + b"\x01" + extensions
        self.svm.set_account(address, Account(10**9, data, token_program))
        self.mints.append(address)
        self.token_programs[address] = token_program
        return address

    def token_account(self, owner: Pubkey, mint: Pubkey | None = None) -> Pubkey:
        """The owner's associated account, made when it is not there."""
        mint = mint or self.mint
        program_id = self.token_programs[mint]
        address = associated_address(owner, mint, token_program=program_id)
        if self.svm.get_account(address) is None:
            self.write_token_account(address, owner=owner, mint=mint)
        self.token_accounts.add(address)
        return address

    def write_token_account(
        self, address: Pubkey, *, owner: Pubkey, mint: Pubkey, amount: int = 0, state: int = 1
    ) -> None:
        """Puts a token account's bytes in place (the supply is the caller's business)."""
        data = struct.pack(
            "<32s32sQI32sBIQQI32s", bytes(mint), bytes(owner), amount, 0, bytes(32), state, 0, 0, 0, 0, bytes(32)
        )
        self.svm.set_account(address, Account(10**9, data, self.token_programs[mint]))
        self.token_accounts.add(address)

    def give(self, owner: Pubkey, amount: int, mint: Pubkey | None = None) -> Pubkey:
        """Mints `amount` to the owner's account, in the books of the mint too."""
        mint = mint or self.mint
        address = self.token_account(owner, mint)
        self.write_token_account(address, owner=owner, mint=mint, amount=self.balance(address) + amount)
        account = self.svm.get_account(mint)
        assert account is not None
        data = bytearray(account.data)
        struct.pack_into("<Q", data, 36, struct.unpack_from("<Q", data, 36)[0] + amount)
        self.svm.set_account(mint, Account(account.lamports, bytes(data), account.owner))
        return address

    def balance(self, address: Pubkey) -> int:
        """Tokens in an account; 0 where there is none."""
        account = self.svm.get_account(address)
        if account is None or len(data := account.data) < 165:
            return 0
        return int.from_bytes(data[64:72], "little")

    def supply(self, mint: Pubkey | None = None) -> int:
        account = self.svm.get_account(mint or self.mint)
        assert account is not None
        return decode_mint(account.data).supply

    def mint_of(self, address: Pubkey) -> Pubkey | None:
        account = self.svm.get_account(address)
        return None if account is None or len(account.data) < 165 else decode_token_account(account.data).mint

    def known_token_accounts(self) -> set[Pubkey]:
        """Everybody's accounts and the market's vaults."""
        found = {address for address, _ in self.vault_accounts()}
        return {address for address in found | self.token_accounts if self.svm.get_account(address) is not None}

    def vault_accounts(self) -> list[tuple[Pubkey, Account]]:
        """Token accounts of the market itself."""
        out = []
        requests = [key for key, one in self.svm.get_program_accounts(self.id) if one.data[:8] == self._tag("Request")]
        keys = [self.addresses.stake_vault, *(self.addresses.vault(key) for key in requests)]
        for mint in self.mints:
            keys += [self.addresses.owed_vault(mint), self.addresses.fee_vault(mint)]
        for key in keys:
            account = self.svm.get_account(key)
            if account is not None:
                out.append((key, account))
        return out

    def _tag(self, name: str) -> bytes:
        return bytes(self.codec.accounts[name])

    def read(self, name: str, address: Pubkey) -> Any:
        """An account of the program, decoded."""
        account = self.svm.get_account(address)
        assert account is not None, f"{name} {address} is not there"
        return self.codec.decode_account(account.data, name=name)

    def person(self, actor: Actor) -> Any:
        return self.read("Participant", actor.participant)

    def request(self, posted: Posted) -> Any:
        return self.read("Request", posted.address)

    @property
    def market(self) -> Any:
        return self.read("Market", self.addresses.market)

    @property
    def market_time(self) -> int:
        market = self.market
        return int((market.paused_at if market.paused else self.now) - market.paused_total)

    # Transactions

    def send(self, *instructions: Instruction, signers: Sequence[Keypair]) -> Outcome:
        """Runs one transaction; the first signer pays."""
        message = MessageV0.try_compile(signers[0].pubkey(), list(instructions), [], Hash.default())
        transaction = VersionedTransaction(message, list(signers))
        self.last_size = len(bytes(transaction))
        result = self.svm.send_transaction(transaction)
        if isinstance(result, FailedTransactionMetadata):
            meta = result.meta()
            return Outcome(self._error(result.err()), (), meta.compute_units_consumed(), tuple(meta.logs()))
        logs = tuple(result.logs())
        return Outcome(None, tuple(self._events(logs)), result.compute_units_consumed(), logs)

    def _error(self, error: Any) -> str:
        inner = getattr(error, "err", None)
        code = getattr(inner, "code", None)
        if code is not None:
            return self.errors.get(code, f"Custom({code})")
        return str(inner if inner is not None else error)

    def _events(self, logs: Iterable[str]) -> list[tuple[str, Any]]:
        found = []
        for line in logs:
            if line.startswith("Program data: "):
                event = self.codec.decode_event(base64.b64decode(line.removeprefix("Program data: ")))
                if event is not None:
                    found.append(event)
        return found

    def build(
        self,
        name: str,
        *,
        accounts: Mapping[str, Pubkey | None] | None = None,
        args: Mapping[str, Any] | None = None,
        remaining: Sequence[AccountMeta] = (),
    ) -> Instruction:
        return build(self.program, name, accounts=accounts or {}, args=args, remaining=remaining)

    def initialize_instruction(self, authority: Keypair | None = None) -> Instruction:
        return self.build(
            "initialize_market",
            accounts={
                "authority": (authority or self.authority).pubkey(),
                "program_data": self.addresses.program_data,
                "mint": self.mint,
                "token_program": self.token_programs[self.mint],
            },
            args={"params": self.params},
        )

    def allow_mint(self, mint: Pubkey) -> Outcome:
        accounts = {"authority": self.authority.pubkey(), "mint": mint, "token_program": self.token_programs[mint]}
        return self.send(self.build("allow_mint", accounts=accounts), signers=[self.authority])
