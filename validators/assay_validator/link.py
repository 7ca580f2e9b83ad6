"""The worker's link to the market's API: sign-in, content, and the live connection."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import aiohttp
import msgspec
from solders.keypair import Keypair

from assay.errors import AssayError, ContentCorrupt, Unauthenticated, Unavailable
from assay.storage import cid as cids

PROPOSAL = 64 * 1024 * 1024
"""Bytes of a message from the market at most: a proposal carries its evidence."""
REPLY_SECONDS = 20.0


class Rejected(AssayError):
    """The market did not take it. `problem` says why."""

    status, code = 409, "rejected"

    def __init__(self, problem: dict[str, Any]) -> None:
        super().__init__(str(problem.get("detail", problem)), code=str(problem.get("code", "rejected")))
        self.problem = problem


class Link:
    """One signed-in wallet at one API address."""

    def __init__(self, key: Keypair, url: str) -> None:
        self._key = key
        self._url = url.rstrip("/")
        self._http: aiohttp.ClientSession | None = None
        self._token: str | None = None
        self._socket: aiohttp.ClientWebSocketResponse | None = None
        self._refs = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[None]] = {}

    async def open(self) -> None:
        """Make ready; connects to nothing yet."""
        self._http = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=30))

    async def close(self) -> None:
        """End the connection."""
        if self._socket is not None:
            await self._socket.close()
        if self._http is not None:
            await self._http.close()

    @property
    def http(self) -> aiohttp.ClientSession:
        """The HTTP session. `open` must have been called."""
        assert self._http is not None
        return self._http

    async def _post(self, path: str, body: dict[str, Any]) -> dict[str, Any]:
        async with self.http.post(self._url + path, json=body) as response:
            return await _json(response)

    async def sign_in(self) -> None:
        """Get a token by signing the market's challenge. Raises `Unauthenticated` or `Rejected`."""
        wallet = str(self._key.pubkey())
        challenge = await self._post("/v1/session/challenge", {"wallet": wallet})
        signature = str(self._key.sign_message(challenge["message"].encode()))
        session = await self._post(
            "/v1/session", {"wallet": wallet, "nonce": challenge["nonce"], "signature": signature}
        )
        self._token = session["token"]

    @asynccontextmanager
    async def connected(self) -> AsyncIterator[AsyncIterator[dict[str, Any]]]:
        """The live connection's messages, for as long as it lasts. Signs in where there is no token that holds."""
        if self._token is None:
            await self.sign_in()
        try:
            socket = await self.http.ws_connect(
                self._url + "/v1/live",
                headers={"Authorization": f"Bearer {self._token}"},
                heartbeat=20,
                max_msg_size=PROPOSAL,
                timeout=aiohttp.ClientWSTimeout(ws_close=5),
            )
        except aiohttp.WSServerHandshakeError as error:
            if error.status == 401:
                self._token = None
                raise Unauthenticated("the token no longer holds") from error
            raise Unavailable(f"the market answers {error.status} to the live connection") from error
        self._socket = socket
        try:
            yield self._messages(socket)
        finally:
            self._socket = None
            for waiting in self._waiting.values():
                if not waiting.done():
                    waiting.set_exception(ConnectionResetError("the live connection ended"))
            self._waiting.clear()
            await socket.close()

    async def _messages(self, socket: aiohttp.ClientWebSocketResponse) -> AsyncIterator[dict[str, Any]]:
        async for frame in socket:
            if frame.type is not aiohttp.WSMsgType.TEXT:
                return
            message = msgspec.json.decode(frame.data)
            if not isinstance(message, dict):
                continue
            if message.get("type") in ("ok", "error"):
                self._settle(message)
            else:
                yield message

    def _settle(self, message: dict[str, Any]) -> None:
        waiting = self._waiting.pop(message.get("ref", 0), None)
        if waiting is None or waiting.done():
            return
        if message["type"] == "ok":
            waiting.set_result(None)
        else:
            waiting.set_exception(Rejected(message.get("problem", {})))

    async def send(self, message: dict[str, Any]) -> None:
        """Send over the live connection and wait until the market has it.

        Raises `Rejected`, or `ConnectionError` where the connection ended: what was sent is then sent anew when the
        market asks again.
        """
        socket = self._socket
        if socket is None or socket.closed:
            raise ConnectionResetError("there is no live connection")
        ref = next(self._refs)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[ref] = done
        try:
            await socket.send_str(msgspec.json.encode({**message, "ref": ref}).decode())
            await asyncio.wait_for(done, REPLY_SECONDS)
        except TimeoutError:
            raise ConnectionResetError("the market does not answer") from None
        finally:
            self._waiting.pop(ref, None)

    async def content(self, cid: str) -> bytes:
        """The bytes under a CID, checked against it. Raises `AssayError`."""
        async with self.http.get(f"{self._url}/v1/content/{cid}") as response:
            if response.status != 200:
                raise Rejected(await _problem(response))
            data = await response.read()
        if cids.of(data) != cid:
            raise ContentCorrupt(f"the bytes are not those of {cid}")
        return data

    async def log(self, request: str, *, after: int) -> AsyncGenerator[bytes, None]:
        """The whole lines of a request's (base58) published vote log without its first `after`; the caller checks them.

        However long the log, a line is kept at a time. Raises `Rejected`, or `Unavailable` for a line without end.
        """
        url = f"{self._url}/v1/requests/{request}/log"
        slow = aiohttp.ClientTimeout(total=None, sock_connect=30, sock_read=30)  # a long one takes as long as it takes
        async with self.http.get(url, params={"after": str(after)}, timeout=slow) as response:
            if response.status != 200:
                raise Rejected(await _problem(response))
            rest = bytearray()
            async for chunk in response.content.iter_any():
                begin = 0
                while (end := chunk.find(b"\n", begin) + 1) > 0:
                    yield bytes(rest) + chunk[begin:end]
                    rest.clear()
                    begin = end
                rest += chunk[begin:]
                if len(rest) > 2 * PROPOSAL:
                    raise Unavailable(f"a line of the log is longer than {2 * PROPOSAL} bytes")

    async def participant(self, wallet: str) -> dict[str, Any]:
        """What the market says of a participant. Raises `Rejected` or `Unavailable`."""
        async with self.http.get(f"{self._url}/v1/participants/{wallet}") as response:
            return await _json(response)

    async def specification(self, request: str) -> bytes:
        """The canonical specification of a request (base58); the caller checks it against the chain."""
        async with self.http.get(f"{self._url}/v1/requests/{request}/spec") as response:
            if response.status != 200:
                raise Rejected(await _problem(response))
            return await response.read()


async def _problem(response: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        found = await response.json(content_type=None)
        return found if isinstance(found, dict) else {"detail": str(found)}
    except ValueError:
        return {"detail": f"the market answers {response.status}"}


async def _json(response: aiohttp.ClientResponse) -> dict[str, Any]:
    if response.status >= 500:
        raise Unavailable(str((await _problem(response)).get("detail")))
    if response.status >= 400:
        raise Rejected(await _problem(response))
    found: dict[str, Any] = await response.json()
    return found
