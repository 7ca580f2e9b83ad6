"""Content in several stores: the first is the one that must have it, the others keep copies."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from assay.errors import ContentCorrupt, ContentMissing, StorageError
from assay.storage.base import Store


class ReplicatedStore:
    """Writes to all, reads from the first that has intact bytes, and mends those before it on the way."""

    def __init__(self, stores: Sequence[Store]) -> None:
        if not stores:
            raise ValueError("at least one store")
        self.stores = tuple(stores)

    async def put(self, data: bytes, *, durable: bool = True) -> str:
        """Raises what the first store to fail raised, once all have been tried; putting again is safe."""
        results = await asyncio.gather(
            *(store.put(data, durable=durable) for store in self.stores), return_exceptions=True
        )
        _raise_first(results)
        return str(results[0])

    async def get(self, cid: str) -> bytes:
        failure: StorageError | ContentMissing | None = None
        without: list[Store] = []
        for store in self.stores:
            try:
                data = await store.get(cid)
            except (StorageError, ContentMissing) as error:
                # Content that is damaged, or a store that is down, says more than one that merely lacks it.
                if failure is None or isinstance(failure, ContentMissing):
                    failure = error
                if isinstance(error, ContentMissing | ContentCorrupt):
                    without.append(store)
                continue
            for other in without:
                await other.put(data)
            return data
        assert failure is not None
        raise failure

    async def has(self, cid: str) -> bool:
        for store in self.stores:
            if await store.has(cid):
                return True
        return False

    async def delete(self, cid: str) -> None:
        """Raises what the first store to fail raised, once all have been tried; deleting again is safe."""
        _raise_first(await asyncio.gather(*(store.delete(cid) for store in self.stores), return_exceptions=True))

    async def close(self) -> None:
        await asyncio.gather(*(store.close() for store in self.stores))


def _raise_first(results: Sequence[object]) -> None:
    for result in results:
        if isinstance(result, BaseException):
            raise result
