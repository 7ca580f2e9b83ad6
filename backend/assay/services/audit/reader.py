"""What the auditor reads: events and accounts of a chain, and published logs. Nothing else."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Protocol

from solders.pubkey import Pubkey

from assay.chain.addresses import Addresses
from assay.chain.base import Chain
from assay.chain.tokens import decode_token_account


class ChainEvent(Protocol):
    """An event as `assay.chain` gives it: `data` has the fields of the IDL."""

    @property
    def name(self) -> str: ...
    @property
    def data(self) -> Any: ...
    @property
    def slot(self) -> int: ...
    @property
    def signature(self) -> str: ...


class Reader(Protocol):
    """Chain data as far as an audit needs it. Addresses are 32 raw bytes."""

    @property
    def program(self) -> bytes:
        """The program's address."""
        ...

    def events(self) -> AsyncIterator[ChainEvent]:
        """All events of the program so far, in the chain's order."""
        ...

    async def request(self, address: bytes) -> Any | None:
        """The `Request` account (fields of the IDL); None when it was closed and its rent taken back."""
        ...

    async def escrow(self, request: bytes) -> int | None:
        """Tokens in the request's vault, base units; None when there is no vault."""
        ...

    async def reputation(self, wallet: bytes) -> Any | None:
        """The wallet's `Participant` account (fields of the IDL)."""
        ...

    def participant(self, wallet: bytes) -> bytes:
        """The address of a wallet's Participant account."""
        ...

    async def evidence(self, signature: str) -> list[tuple[bytes, bytes, bytes]]:
        """(wallet, message, signature) of what a transaction showed to `slash_equivocation`."""
        ...


class Logs(Protocol):
    """Published vote logs."""

    def lines(self, request: str) -> Iterator[bytes] | None:
        """The lines of a request's log (its address in base58); None when there is none."""
        ...


class ChainReader:
    """Reads any `Chain`."""

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        self._addresses = Addresses(chain.program.id)

    @property
    def program(self) -> bytes:
        return bytes(self._chain.program.id)

    def events(self) -> AsyncIterator[ChainEvent]:
        return self._chain.events(follow=False)

    async def request(self, address: bytes) -> Any | None:
        return await self._decoded(Pubkey(address), "Request")

    async def reputation(self, wallet: bytes) -> Any | None:
        return await self._decoded(self._addresses.participant(Pubkey(wallet)), "Participant")

    async def _decoded(self, address: Pubkey, name: str) -> Any | None:
        account = await self._chain.account(address)
        if account is None or account.owner != self._chain.program.id:
            return None
        return self._chain.program.codec.decode_account(account.data, name=name)

    async def escrow(self, request: bytes) -> int | None:
        account = await self._chain.account(self._addresses.vault(Pubkey(request)))
        return None if account is None or not account.data else decode_token_account(account.data).amount

    def participant(self, wallet: bytes) -> bytes:
        return bytes(self._addresses.participant(Pubkey(wallet)))

    async def evidence(self, signature: str) -> list[tuple[bytes, bytes, bytes]]:
        landed = await self._chain.landed(signature)
        if landed is None:
            return []
        shown = [one for one in landed.signed if one.before == "slash_equivocation"]
        return [(wallet, one.message, made) for one in shown for wallet, made in one.signatures]


class LogFolder:
    """Logs as files `<request address>.jsonl` of a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def lines(self, request: str) -> Iterator[bytes] | None:
        path = self._folder / f"{request}.jsonl"
        return self._read(path) if path.is_file() else None

    def _read(self, path: Path) -> Iterator[bytes]:
        with path.open("rb") as file:
            yield from file
