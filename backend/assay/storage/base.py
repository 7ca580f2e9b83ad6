"""What every content store does."""

from __future__ import annotations

from typing import Protocol, runtime_checkable


@runtime_checkable
class Store(Protocol):
    """Keeps bytes under their content address. All methods may raise `StorageError`."""

    async def put(self, data: bytes, *, durable: bool = True) -> str:
        """Stores `data` and returns its CID. Storing it again changes nothing.

        `durable`: on return it survives a crash. Without, it may be lost until the next durable write: for content that
        is kept elsewhere too.
        """
        ...

    async def get(self, cid: str) -> bytes:
        """The bytes, checked against `cid`. Raises `ContentMissing` or `ContentCorrupt`."""
        ...

    async def has(self, cid: str) -> bool:
        """Whether the bytes are here."""
        ...

    async def delete(self, cid: str) -> None:
        """Forgets the bytes; where there are none nothing changes."""
        ...

    async def close(self) -> None:
        """Lets go of connections. May be called twice."""
        ...
