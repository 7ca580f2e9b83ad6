"""The connection to a cluster: solana-py's clients, with their failures as the market's errors, and a web socket that
comes back by itself and falls back to polling while it is away."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiohttp
from solana.exceptions import SolanaRpcException
from solana.rpc.async_api import AsyncClient
from solana.rpc.async_http_provider import AsyncHTTPProvider
from solana.rpc.commitment import Commitment
from solana.rpc.core import RPCException
from solana.rpc.jsonrpc import SolanaJsonRpcError
from solana.rpc.websocket_api import OverflowPolicy, SolanaWsClient
from solders.errors import SerdeJSONError
from solders.pubkey import Pubkey
from solders.rpc.config import RpcTransactionLogsFilterMentions
from solders.rpc.responses import LogsNotification, SignatureNotification
from solders.signature import Signature
from websockets.exceptions import WebSocketException

from assay.errors import ChainError, ChainUnavailable

T = TypeVar("T")
UNREACHABLE = (SolanaRpcException, aiohttp.ClientError, OSError, TimeoutError)
"""What a request raises that got no answer."""
CONNECTIONS = 32
RETRIES = 4
"""Tries of a read whose connection fails, with growing pauses (about 1.5 s in all)."""
RECONNECT = 2.0
"""Seconds between attempts to get the web socket back, at most."""
KEPT_LOGS = 4096
"""Transactions whose logs the web socket brought that are kept until the stream asks for them."""
log = logging.getLogger(__name__)


def rpc_failure(error: Exception) -> ChainError:
    """A JSON-RPC error as `ChainError`: what the cluster said, without the client's wrapping."""
    inner = error.args[0] if error.args else error
    message = getattr(inner, "message", None) or str(inner)
    return ChainError(f"the cluster refused: {message}")


class AiohttpProvider(AsyncHTTPProvider):
    """Sends solana-py's requests with aiohttp: a tenth of the time a request that its own client takes."""

    def __init__(self, url: str, *, seconds: float) -> None:
        super().__init__(url)
        self._seconds = seconds
        self._session: aiohttp.ClientSession | None = None

    async def make_request_unparsed(self, body: Any) -> str:
        """One request; gives the answer's text. Raises OSError or `aiohttp.ClientError` where none comes."""
        if self._session is None:
            self._session = aiohttp.ClientSession(
                connector=aiohttp.TCPConnector(limit=CONNECTIONS), timeout=aiohttp.ClientTimeout(total=self._seconds)
            )
        headers = {"Content-Type": "application/json"}
        async with self._session.post(self.endpoint_uri, data=body.to_json(), headers=headers) as response:
            if response.status == 429 or response.status >= 500:
                response.raise_for_status()
            return await response.text()

    async def aclose(self) -> None:
        """Closes the connections."""
        if self._session is not None:
            await self._session.close()


class RpcConnection:
    """HTTP calls with retries; `call` is for what may be repeated safely."""

    def __init__(self, url: str, *, commitment: str, timeout: float) -> None:
        self.url = url
        self.client = AsyncClient(url, commitment=Commitment(commitment))
        self._own = self.client._provider
        self._provider = AiohttpProvider(url, seconds=timeout)
        self.client._provider = self._provider

    async def call(self, work: Callable[[], Awaitable[T]]) -> T:
        """Runs one request. Raises `ChainUnavailable` if the cluster does not answer, `ChainError` if it refuses."""
        for attempt in range(RETRIES + 1):
            try:
                return await work()
            except UNREACHABLE as error:
                if attempt == RETRIES:
                    cause = error.__cause__ or error
                    raise ChainUnavailable(
                        f"{self.url} does not answer: {type(cause).__name__} {cause}".rstrip(), retry_after=1
                    ) from error
            except (RPCException, SolanaJsonRpcError) as error:
                raise rpc_failure(error) from error
            await asyncio.sleep(0.1 * 2**attempt)
        raise AssertionError  # the loop returns or raises

    async def close(self) -> None:
        """Closes the connections."""
        await self._provider.aclose()
        await self._provider.session.aclose()
        await self._own.session.aclose()


LOST = (WebSocketException, SolanaJsonRpcError, SerdeJSONError, OSError, TimeoutError)
"""What ends a web socket. solders reads no notification of a transaction that landed and failed with an error of a
program's own, and the connection with it is given up for another.
"""


class Notifications:
    """Signatures and logs by web socket. Everything here only makes things quicker: who waits also polls."""

    def __init__(self, url: str, *, program_id: Pubkey, commitment: str) -> None:
        self._url = url
        self._program_id = program_id
        self._commitment = Commitment(commitment)
        self._client: SolanaWsClient | None = None
        self._task: asyncio.Task[None] | None = None
        self._waiting: dict[int, asyncio.Event] = {}
        self._early: dict[int, None] = {}
        self._follow_logs = False
        self._logs: dict[str, tuple[int, list[str]]] = {}
        self.news = asyncio.Event()

    @property
    def connected(self) -> bool:
        """Whether notifications come."""
        return self._client is not None

    def start(self) -> None:
        """Begins to connect, in the background."""
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name="chain-notifications")

    async def close(self) -> None:
        """Ends the connection."""
        if self._task is not None:
            self._task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._task
            self._task = None

    async def watch(self, signature: Signature, landed: asyncio.Event) -> None:
        """Sets `landed` when the cluster says that the transaction has landed; may never do so."""
        client = self._client
        if client is None:
            return
        try:
            subscription = await client.signature_subscribe(signature=signature, commitment=self._commitment)
        except (*LOST, RuntimeError):
            return
        if subscription.subscription_id in self._early:
            del self._early[subscription.subscription_id]
            landed.set()
        else:
            self._waiting[subscription.subscription_id] = landed

    async def follow_logs(self) -> None:
        """Has the program's logs sent from now on: each sets `news`."""
        if self._follow_logs:
            return
        self._follow_logs = True
        if self._client is not None:
            with contextlib.suppress(*LOST, RuntimeError):
                await self._subscribe_logs(self._client)

    def take_logs(self, signature: str) -> list[str] | None:
        """Logs of a successful transaction, if they came by web socket."""
        found = self._logs.pop(signature, None)
        return None if found is None else found[1]

    async def _subscribe_logs(self, client: SolanaWsClient) -> None:
        mentions = RpcTransactionLogsFilterMentions(self._program_id)
        await client.logs_subscribe(filter_=mentions, commitment=self._commitment)

    async def _run(self) -> None:
        pause = 0.05
        while True:
            try:
                client = SolanaWsClient(self._url, overflow=OverflowPolicy.DROP_OLDEST, close_timeout=1)
                async with client:
                    self._client = client
                    if self._follow_logs:
                        await self._subscribe_logs(client)
                    self.news.set()  # something may have happened while nobody listened
                    pause = 0.05
                    while True:
                        self._dispatch(await client.recv())
            except LOST as error:
                log.debug("web socket lost", extra={"url": self._url, "error": str(error)})
            finally:
                self._client = None
                self._waiting.clear()
                self._early.clear()
            await asyncio.sleep(pause)
            pause = min(pause * 2, RECONNECT)

    def _dispatch(self, notification: Any) -> None:
        if isinstance(notification, SignatureNotification):
            landed = self._waiting.pop(notification.subscription, None)
            if landed is not None:
                landed.set()
            else:  # it came before its subscription was told of
                self._early[notification.subscription] = None
        elif isinstance(notification, LogsNotification):
            value = notification.result.value
            if value.err is None:
                self._logs[str(value.signature)] = (notification.result.context.slot, list(value.logs))
                while len(self._logs) > KEPT_LOGS:
                    del self._logs[next(iter(self._logs))]
            self.news.set()
