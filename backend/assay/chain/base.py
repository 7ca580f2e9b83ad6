"""The one interface to a chain. `EmbeddedChain` runs the program in process, `RpcChain` talks to a cluster; nothing
above this package knows which.

Every method may raise `ChainUnavailable`; what a transaction raises is said at `send`.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple, Protocol, Self, runtime_checkable

from solders.account import Account
from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.hash import Hash
from solders.instruction import Instruction
from solders.keypair import Keypair
from solders.message import MessageV0, to_bytes_versioned
from solders.pubkey import Pubkey
from solders.signature import Signature
from solders.transaction import VersionedTransaction

from assay.chain.ed25519 import PROGRAM as ED25519
from assay.chain.ed25519 import parse_each
from assay.chain.events import decode_events, truncated
from assay.chain.program import Program, load_program
from assay.errors import BadRequest, FieldError, TransactionFailed

PACKET = 1232
"""Bytes of a serialized transaction at most: IPv6's minimum MTU less headers (Solana's PACKET_DATA_SIZE)."""
MAX_AGE = 150
"""Blocks for which a blockhash is accepted (Solana's MAX_PROCESSING_AGE)."""


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place in the stream of events. `events(after=cursor)` goes on right behind it; order is the chain's."""

    slot: int
    signature: str
    index: int


@dataclass(frozen=True, slots=True)
class Event:
    """One event of the program. `data` is its dataclass, `index` its place among the transaction's events."""

    name: str
    data: Any
    slot: int
    signature: str
    index: int
    block_time: int | None

    @property
    def cursor(self) -> Cursor:
        """The place of this event in the stream."""
        return Cursor(self.slot, self.signature, self.index)


@dataclass(frozen=True)
class Receipt:
    """A transaction that landed and succeeded. `logs_complete` is false where the runtime cut the logs."""

    signature: str
    slot: int
    block_time: int | None
    compute_units: int
    fee: int
    logs: tuple[str, ...]
    program: Program = field(repr=False, compare=False)

    @cached_property
    def events(self) -> tuple[Event, ...]:
        """The program's events in it, decoded on first use."""
        found = decode_events(self.program.codec, self.logs, program=self.program.id)
        return tuple(
            Event(name, data, self.slot, self.signature, index, self.block_time)
            for index, (name, data) in enumerate(found)
        )

    @property
    def logs_complete(self) -> bool:
        """False where the runtime cut the logs, so that events may be missing."""
        return not truncated(self.logs)


@dataclass(frozen=True, slots=True)
class Call:
    """An instruction of the program as a transaction called it. `accounts` are all that it was given, in order."""

    name: str
    args: Mapping[str, Any]
    accounts: tuple[Pubkey, ...]


@dataclass(frozen=True, slots=True)
class Signed:
    """What an Ed25519 instruction verified: `signatures` (wallet, signature) over one `message`, in their order; one of
    these for each of its messages. `before` names what is called of the program right after it, which is what reads
    them.
    """

    message: bytes
    signatures: tuple[tuple[bytes, bytes], ...]
    before: str | None


@dataclass(frozen=True, slots=True)
class Landed:
    """A transaction that landed and succeeded, opened: its receipt, what it called of the program itself (not what
    other programs called for it), and the signatures that its Ed25519 instructions verified.
    """

    receipt: Receipt
    calls: tuple[Call, ...]
    signed: tuple[Signed, ...] = ()


@dataclass(frozen=True, slots=True)
class Simulation:
    """What a transaction would do. `error` is None where it would succeed."""

    error: TransactionFailed | None
    logs: tuple[str, ...]
    compute_units: int


class Blockhash(NamedTuple):
    """A blockhash, and the block height up to which a transaction that names it may land."""

    hash: Hash
    last_valid_block_height: int


class ChainClock(NamedTuple):
    """The cluster's clock: slot and wall time in seconds, as the program's Clock sysvar has them."""

    slot: int
    unix_timestamp: int


class Memcmp(NamedTuple):
    """Accounts whose data has `data` at `offset`."""

    offset: int
    data: bytes


@runtime_checkable
class Chain(Protocol):
    """A chain that runs the market's program."""

    program: Program
    pace: float
    """Seconds after a landing within which it makes no difference when the next transaction is sent.

    On a cluster one is confirmed when its slot ends, the next one when the next slot does.
    """

    async def send(
        self,
        instructions: Sequence[Instruction],
        *,
        payer: Keypair,
        signers: Sequence[Keypair] = (),
        lookup_tables: Sequence[AddressLookupTableAccount] = (),
    ) -> Receipt:
        """Signs, sends and waits until the transaction has landed for good (embedded: on disk; cluster: confirmed).

        Raises `ProgramError` or `TransactionFailed` if it failed, `BlockhashExpired` if it never landed: it has then
        surely had no effect. A lost connection never makes it run twice.
        """
        ...

    async def send_raw(self, raw: bytes) -> Receipt:
        """Sends a signed transaction as it is and waits as `send` does. One that has landed gives its receipt again."""
        ...

    async def simulate(
        self,
        instructions: Sequence[Instruction],
        *,
        payer: Pubkey,
        lookup_tables: Sequence[AddressLookupTableAccount] = (),
    ) -> Simulation:
        """Runs the transaction without effect; signatures are not needed."""
        ...

    async def receipt(self, signature: str) -> Receipt | None:
        """The receipt of a transaction that landed; None if it is not known. Raises like `send` if it failed."""
        ...

    async def landed(self, signature: str) -> Landed | None:
        """As `receipt`, with what the transaction called."""
        ...

    def history(self, address: Pubkey) -> AsyncIterator[Landed]:
        """The transactions that name `address` and succeeded, newest first, fetched as they are asked for."""
        ...

    async def account(self, address: Pubkey) -> Account | None:
        """The account, or None."""
        ...

    async def accounts(self, addresses: Sequence[Pubkey]) -> list[Account | None]:
        """Accounts in the order of `addresses`, None where there is none."""
        ...

    async def program_accounts(
        self, program_id: Pubkey | None = None, *, memcmp: Sequence[Memcmp] = (), size: int | None = None
    ) -> list[tuple[Pubkey, Account]]:
        """All accounts that a program (default: the market's) owns and that fit the filters."""
        ...

    async def latest_blockhash(self) -> Blockhash:
        """A fresh blockhash."""
        ...

    async def slot(self) -> int:
        """The current slot."""
        ...

    async def table_slot(self) -> int:
        """The slot up to which additions to lookup tables can be used by transactions sent now.

        On a cluster the newest finalized one: Agave's leaders read tables from their root bank when a transaction
        comes in (agave, core/src/banking_stage/transaction_scheduler/receive_and_buffer.rs), and drop one that names
        what is not there yet.
        """
        ...

    async def clock(self) -> ChainClock:
        """Slot and wall time as the next transaction would see them (a cluster: as the last one saw them)."""
        ...

    def events(self, *, after: Cursor | None = None, follow: bool = True) -> AsyncIterator[Event]:
        """The program's events right after `after` (None: from the first), each once and in order.

        With `follow` it goes on with live ones for ever, else it ends with the newest.
        """
        ...

    async def airdrop(self, address: Pubkey, lamports: int) -> str:
        """SOL from the faucet, landed; gives the signature. Raises `ChainError` where the cluster has no faucet."""
        ...

    async def minimum_rent(self, size: int) -> int:
        """Lamports that keep an account of `size` bytes for ever."""
        ...

    async def genesis_hash(self) -> Hash:
        """Names the cluster."""
        ...

    async def close(self) -> None:
        """Ends streams and lets go of what the chain holds. May be called twice."""
        ...


class OpenedChain:
    """What both chains begin with: a program (default: the one that is shipped), and `async with` to open and close."""

    def __init__(self, program: Program | None) -> None:
        self.program = program or load_program()

    async def open(self) -> None:
        """Makes the chain ready; called by `async with`."""
        raise NotImplementedError

    async def close(self) -> None:
        """See `Chain.close`."""
        raise NotImplementedError

    async def __aenter__(self) -> Self:
        await self.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.close()


def parse_signature(text: str) -> Signature:
    """A transaction's signature as it is written. Raises `BadRequest`."""
    try:
        return Signature.from_string(text)
    except ValueError:
        raise BadRequest("is no signature in base 58", field="signature") from None


def compile_transaction(
    instructions: Sequence[Instruction],
    *,
    payer: Keypair,
    signers: Sequence[Keypair],
    lookup_tables: Sequence[AddressLookupTableAccount],
    blockhash: Hash,
) -> VersionedTransaction:
    """A signed v0 transaction. Raises `TransactionFailed` if a signature is missing."""
    held = {public_key(key): key for key in (payer, *signers)}
    message = MessageV0.try_compile(public_key(payer), list(instructions), list(lookup_tables), blockhash)
    needed = message.account_keys[: message.header.num_required_signatures]
    missing = [str(key) for key in needed if key not in held]
    if missing:
        raise TransactionFailed(
            f"the signature of {', '.join(missing)} is missing",
            code="signature_missing",
            hint="pass its key in signers",
        )
    signed = to_bytes_versioned(message)
    return VersionedTransaction.populate(message, [held[key].sign_message(signed) for key in needed])


def open_landed(receipt: Receipt, transaction: VersionedTransaction, *, loaded: Sequence[Pubkey]) -> Landed:
    """A transaction with its receipt. `loaded`: its addresses from lookup tables, writable ones first."""
    keys = [*transaction.message.account_keys, *loaded]
    program = receipt.program
    calls: list[Call] = []
    signed: list[Signed] = []
    above: list[tuple[bytes, list[tuple[Pubkey, bytes]]]] = []
    for instruction in transaction.message.instructions:
        called, data = keys[instruction.program_id_index], bytes(instruction.data)
        before = None
        if called == program.id:
            before, args = program.codec.decode_instruction(data)
            calls.append(Call(before, args, tuple(keys[index] for index in instruction.accounts)))
        signed += [_signed(one, before) for one in above]
        above = _signatures(data) if called == ED25519 else []
    signed += [_signed(one, None) for one in above]
    return Landed(receipt, tuple(calls), tuple(signed))


def _signed(found: tuple[bytes, list[tuple[Pubkey, bytes]]], before: str | None) -> Signed:
    message, signatures = found
    return Signed(message, tuple((bytes(wallet), signature) for wallet, signature in signatures), before)


def _signatures(data: bytes) -> list[tuple[bytes, list[tuple[Pubkey, bytes]]]]:
    """None of them where they are laid out as the program takes none."""
    try:
        return parse_each(data)
    except FieldError:
        return []


def public_key(key: Keypair) -> Pubkey:
    """The key's address, read and not computed: `Keypair.pubkey` derives it anew from the secret each time."""
    return Pubkey.from_bytes(bytes(key)[32:])


def check_size(raw: bytes) -> bytes:
    """`raw`, or `TransactionFailed` if it is larger than a packet."""
    if len(raw) > PACKET:
        raise TransactionFailed(
            f"the transaction is {len(raw)} bytes, {len(raw) - PACKET} over what a packet carries",
            code="transaction_too_large",
            hint="fewer instructions or accounts, or address lookup tables",
        )
    return raw


def parse_transaction(raw: bytes) -> VersionedTransaction:
    """A signed transaction of the wire. Raises `TransactionFailed` if it is too large or malformed."""
    check_size(raw)
    try:
        transaction = VersionedTransaction.from_bytes(raw)
        transaction.sanitize()
    except Exception as error:  # solders raises bincode's and sanitize's own types
        raise TransactionFailed(f"the bytes are no transaction: {error}", code="transaction_malformed") from error
    return transaction
