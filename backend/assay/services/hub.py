"""Live connections of validators, by wallet. Services push messages; `assay.api.live` carries them.

A connection that does not keep up is closed: its worker connects again and is given what it still has to do, so nothing
depends on a single message arriving.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec

QUEUE = 2000
"""Messages that may wait for one connection."""

Listener = Callable[[bytes], None]


class Connection:
    """One live connection. `queue` holds encoded messages; None ends it."""

    def __init__(self, wallet: bytes) -> None:
        self.wallet = wallet
        self.queue: asyncio.Queue[str | None] = asyncio.Queue()

    def push(self, message: str) -> None:
        """Queue `message`; a full queue ends the connection instead."""
        if self.queue.qsize() >= QUEUE:
            self.end()
        else:
            self.queue.put_nowait(message)

    def end(self) -> None:
        """Forget what waits and end the connection."""
        while not self.queue.empty():
            self.queue.get_nowait()
        self.queue.put_nowait(None)


class Hub:
    """All live connections of this process."""

    def __init__(self) -> None:
        self._connections: dict[bytes, set[Connection]] = {}
        self.on_join: Listener | None = None

    def join(self, wallet: bytes) -> Connection:
        """Register a connection of `wallet`; the engine then pushes what the wallet still has to do."""
        connection = Connection(wallet)
        self._connections.setdefault(wallet, set()).add(connection)
        if self.on_join is not None:
            self.on_join(wallet)
        return connection

    def leave(self, connection: Connection) -> None:
        """Forget a connection."""
        held = self._connections.get(connection.wallet)
        if held is not None:
            held.discard(connection)
            if not held:
                del self._connections[connection.wallet]

    def push(self, wallets: list[bytes] | tuple[bytes, ...], message: dict[str, Any]) -> int:
        """Send `message` to each of `wallets` that is connected; how many connections got it."""
        targets = [connection for wallet in wallets for connection in self._connections.get(wallet, ())]
        if targets:
            text = msgspec.json.encode(message).decode()
            for connection in targets:
                connection.push(text)
        return len(targets)

    def connected(self, wallet: bytes) -> bool:
        """Whether `wallet` has a live connection."""
        return wallet in self._connections

    def online(self) -> list[bytes]:
        """The wallets that have a live connection."""
        return sorted(self._connections)

    def wallets(self) -> list[bytes]:
        """Who is connected."""
        return list(self._connections)

    def close(self) -> None:
        """End every connection."""
        for held in list(self._connections.values()):
            for connection in list(held):
                connection.end()
