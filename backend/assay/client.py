"""The API's client, for every role: signs in with a key, signs transactions and answers, retries what may be retried.

    async with Client(url, key=Keypair()) as labeler:
        await labeler.enrol("labeler", stake="100")
        for lease in await labeler.claim(limit=10):
            await labeler.submit(lease, {"value": "cat"})

Every refusal of the server is raised as the `AssayError` it was there.
"""

from __future__ import annotations

import asyncio
import base64
import io
import itertools
import json
import random
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

import aiohttp
import msgspec
from solders.keypair import Keypair
from solders.transaction import VersionedTransaction

from assay.domain import canonical, messages
from assay.errors import (
    AssayError,
    BlockhashExpired,
    ChainUnavailable,
    ProgramError,
    SkipLimit,
    TooManyRequests,
    Unauthenticated,
    Unavailable,
    UploadLimit,
    tree,
)

TRIES = 5
PAUSE = 0.2
LARGE = 512 * 1024  # bytes of a body that is sent piece by piece
_decode = msgspec.json.Decoder().decode
_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Lease:
    """A task in hand.

    `hand_out` (random assignment): the `walk`, `n`, `line` and `head` by which the hand-out log can be held to it.
    """

    task: bytes
    request: str
    domain: bytes
    index: int
    item: str
    media_type: str
    hand_out: Mapping[str, Any] | None = None


def _lease(view: Mapping[str, Any]) -> Lease:
    return Lease(
        bytes.fromhex(view["task"]), view["request"], bytes.fromhex(view["domain"]), view["index"], view["item"],
        view["media_type"], view["hand_out"],
    )  # fmt: skip


def problem_error(status: int, problem: Mapping[str, Any]) -> AssayError:
    """The error that a problem details object stands for."""
    code = str(problem.get("code", ""))
    known = next((kind for kind in tree() if kind.code == code), None)
    kind = known or (ProgramError if code.startswith("program_") else AssayError)
    error = kind.__new__(kind)
    AssayError.__init__(
        error,
        str(problem.get("detail", "")),
        field=problem.get("field"),
        hint=problem.get("hint"),
        code=code or None,
        status=status,
        retry_after=problem.get("retry_after"),
    )
    return error


class Client:
    """A connection to one market. `key` signs in, and signs answers and transactions; without, only reading works.

    `patience`: seconds for which a call is tried again while the market cannot be reached or says to wait.
    """

    def __init__(
        self,
        url: str,
        *,
        key: Keypair | None = None,
        session: aiohttp.ClientSession | None = None,
        patience: float = 30.0,
    ) -> None:
        self.url = url.rstrip("/")
        self.patience = patience
        self.key = key
        self._given = session
        self._session: aiohttp.ClientSession | None = session
        self._token: str | None = None
        self._signing_in = asyncio.Lock()

    @property
    def wallet(self) -> str:
        """The wallet in base58. Raises `Unauthenticated` without a key."""
        return str(self._key().pubkey())

    def _key(self) -> Keypair:
        if self.key is None:
            raise Unauthenticated("this client has no key", hint="Client(url, key=Keypair())")
        return self.key

    async def __aenter__(self) -> Self:
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120))
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Closes the connection (not a session that was given)."""
        if self._session is not None and self._given is None:
            await self._session.close()
            self._session = None

    # -- calls --------------------------------------------------------------------------------------------------------

    async def call(
        self,
        method: str,
        path: str,
        *,
        body: Any = None,
        data: bytes | None = None,
        media_type: str | None = None,
        query: Mapping[str, Any] | None = None,
        auth: bool = True,
        raw: bool = False,
    ) -> Any:
        """One call; its answer decoded, or its bytes with `raw`.

        All calls are idempotent, so lost connections, 429 and 503 are tried again. Raises what the server refused with.
        """
        until = asyncio.get_running_loop().time() + self.patience
        for attempt in itertools.count():
            try:
                return await self._once(
                    method, path, body=body, data=data, media_type=media_type, query=query, auth=auth, raw=raw
                )
            except Unauthenticated:
                if not auth or self._token is None or attempt:
                    raise
                self._token = None  # it expired: sign in once more
            except (SkipLimit, UploadLimit):
                raise  # waiting does not help, or takes a day
            except (TooManyRequests, Unavailable, ChainUnavailable) as error:
                pause = error.retry_after or _pause(attempt)
                if asyncio.get_running_loop().time() + pause > until:
                    raise
                await asyncio.sleep(pause)
            except (aiohttp.ClientConnectionError, TimeoutError) as error:
                pause = _pause(attempt)
                if asyncio.get_running_loop().time() + pause > until:
                    raise Unavailable(f"{self.url} does not answer: {error}") from error
                await asyncio.sleep(pause)
        raise AssertionError("unreachable")

    async def _once(
        self,
        method: str,
        path: str,
        *,
        body: Any,
        data: bytes | None,
        media_type: str | None,
        query: Mapping[str, Any] | None,
        auth: bool,
        raw: bool,
    ) -> Any:
        assert self._session is not None, "use `async with Client(...)`"
        headers = {}
        if auth and self.key is not None:
            headers["Authorization"] = f"Bearer {await self._signed_in()}"
        if body is not None:
            data, media_type = _encode(body), "application/json"
        if media_type is not None:
            headers["Content-Type"] = media_type
        params = {name: str(value) for name, value in (query or {}).items() if value is not None}
        sent = io.BytesIO(data) if data is not None and len(data) > LARGE else data
        async with self._session.request(
            method, self.url + path, data=sent, headers=headers, params=params
        ) as response:
            answer = await response.read()
            if response.status >= 400:
                raise _refusal(response.status, answer)
            return answer if raw else _decode(answer) if answer else None

    async def _signed_in(self) -> str:
        if self._token is None:
            async with self._signing_in:
                if self._token is None:
                    await self.sign_in()
        assert self._token is not None
        return self._token

    async def sign_in(self) -> None:
        """Opens a session; calls do so by themselves."""
        key = self._key()
        challenge = await self.call("POST", "/v1/session/challenge", body={"wallet": self.wallet}, auth=False)
        signature = messages.sign(key, challenge["message"].encode())
        body = {"wallet": self.wallet, "nonce": challenge["nonce"], "signature": messages.b58(signature)}
        # Tried once: a challenge is used up by its first use, also where the answer to that was lost.
        opened = await self._once(
            "POST", "/v1/session", body=body, data=None, media_type=None, query=None, auth=False, raw=False
        )
        self._token = opened["token"]

    # -- chain --------------------------------------------------------------------------------------------------------

    def sign(self, transaction: str) -> str:
        """Signs an unsigned transaction (base64) of the server's making."""
        unsigned = VersionedTransaction.from_bytes(base64.b64decode(transaction))
        signed = VersionedTransaction(unsigned.message, [self._key()])
        return base64.b64encode(bytes(signed)).decode()

    async def transact(self, path: str, body: Any = None) -> dict[str, Any]:
        """Asks for a transaction, signs and sends it; where it landed. Signs anew when its blockhash expired."""
        for attempt in range(TRIES):
            made = await self.call("POST", path, body=body)
            unsigned = made.get("unsigned", made)
            try:
                landed = await self.send(self.sign(unsigned["transaction"]))
            except BlockhashExpired:
                if attempt == TRIES - 1:
                    raise
                continue
            return {**landed, **({} if made is unsigned else made)}
        raise AssertionError("unreachable")

    async def send(self, signed: str) -> dict[str, Any]:
        """Relays a signed transaction (base64); where it landed."""
        return dict(await self.call("POST", "/v1/transactions", body={"transaction": signed}, auth=False))

    async def market(self) -> dict[str, Any]:
        """The market's terms."""
        return dict(await self.call("GET", "/v1/market", auth=False))

    async def participant(self, wallet: str) -> dict[str, Any]:
        """A participant's stake, reputation and what it is owed."""
        return dict(await self.call("GET", f"/v1/participants/{wallet}", auth=False))

    async def faucet(self, *, tokens: str = "1000") -> dict[str, Any]:
        """SOL and tokens from the embedded chain's faucet."""
        body = {"wallet": self.wallet, "tokens": tokens}
        return dict(await self.call("POST", "/v1/faucet", body=body, auth=False))

    async def enrol(self, role: str, *, stake: str = "0") -> dict[str, Any]:
        """Registers this wallet in `role`, sets its payout account, stakes."""
        return await self.transact("/v1/participants", {"role": role, "stake": stake})

    async def me(self) -> dict[str, Any]:
        """This wallet and its participant."""
        return dict(await self.call("GET", "/v1/me"))

    async def balance(self) -> dict[str, Any]:
        """What this wallet holds on chain: lamports, and tokens of each of the market's mints."""
        return dict(await self.call("GET", "/v1/balance"))

    async def claim_owed(self, *, mint: str | None = None) -> dict[str, Any]:
        """Claims what could not be delivered, of `mint` (default: the market's first)."""
        return await self.transact("/v1/owed", {} if mint is None else {"mint": mint})

    # -- buyers -------------------------------------------------------------------------------------------------------

    async def upload(self, data: bytes, *, media_type: str) -> dict[str, Any]:
        """Stores an item; `cid` and `media_type` go into the specification."""
        return dict(await self.call("POST", "/v1/items", data=data, media_type=media_type))

    async def quote(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """What an order can cost."""
        return dict(await self.call("POST", "/v1/quote", body=order, auth=False))

    async def post(self, order: Mapping[str, Any]) -> dict[str, Any]:
        """Drafts an order, signs and sends its posting; the draft with `signature` and `slot`."""
        return await self.transact("/v1/requests", order)

    async def progress(self, address: str) -> dict[str, Any]:
        """How far a request is."""
        return dict(await self.call("GET", f"/v1/requests/{address}"))

    async def watch(self, address: str) -> AsyncIterator[dict[str, Any]]:
        """Progress at each change until the request is closed; reconnects when the connection is lost."""
        assert self._session is not None, "use `async with Client(...)`"
        while True:
            try:
                headers = {"Authorization": f"Bearer {await self._signed_in()}"} if self.key is not None else {}
                timeout = aiohttp.ClientTimeout(total=None, sock_read=60)
                url = f"{self.url}/v1/requests/{address}/events"
                async with self._session.get(url, headers=headers, timeout=timeout) as response:
                    if response.status >= 400:
                        raise _refusal(response.status, await response.read())
                    event = ""
                    async for raw in response.content:
                        line = raw.decode().rstrip("\n")
                        if line.startswith("event: "):
                            event = line[7:]
                        elif line.startswith("data: ") and event == "progress":
                            yield json.loads(line[6:])
                        if event == "closed":
                            return
            except (aiohttp.ClientConnectionError, aiohttp.ClientPayloadError, TimeoutError):
                await asyncio.sleep(1)

    async def top_up(self, address: str, amount: str) -> dict[str, Any]:
        """Adds tokens to an open request's escrow."""
        return await self.transact(f"/v1/requests/{address}/top-up", {"amount": amount})

    async def end(self, address: str, *, cancel: bool = False) -> dict[str, Any]:
        """Closes a finished request, or cancels one."""
        return await self.transact(f"/v1/requests/{address}/{'cancel' if cancel else 'close'}")

    async def dataset(self, address: str, *, form: str = "jsonl") -> bytes:
        """The finished records as a file."""
        path = f"/v1/requests/{address}/dataset"
        return bytes(await self.call("GET", path, query={"format": form}, raw=True))

    async def agreement(self, address: str, *, start: int = 0, limit: int = 1000) -> dict[str, Any]:
        """How far the raters of a request of mine agree, with a page of its records."""
        query = {"start": start, "limit": limit}
        return dict(await self.call("GET", f"/v1/requests/{address}/agreement", query=query))

    async def estimate(self, address: str, *, start: int = 0, limit: int = 1000) -> dict[str, Any]:
        """What the labels of an open request of mine will be as it looks now, with a page of its unsettled tasks."""
        query = {"start": start, "limit": limit}
        return dict(await self.call("GET", f"/v1/requests/{address}/estimate", query=query))

    async def spec(self, address: str) -> dict[str, Any]:
        """A request's specification."""
        return dict(await self.call("GET", f"/v1/requests/{address}/spec"))

    async def tasks(self, address: str) -> list[dict[str, Any]]:
        """All tasks of a request in order of their index."""
        found: list[dict[str, Any]] = []
        start: int | None = 0
        while start is not None:
            query = {"start": start, "limit": 10_000}
            page = await self.call("GET", f"/v1/requests/{address}/tasks", query=query)
            found += page["tasks"]
            start = page["next"]
        return found

    async def hand_outs(self, address: str, *, after: int = 0) -> bytes:
        """The published hand-out log of a request without its first `after` lines."""
        return bytes(await self.call("GET", f"/v1/requests/{address}/handouts", query={"after": after}, raw=True))

    async def content(self, cid: str) -> bytes:
        """Bytes by their content address."""
        return bytes(await self.call("GET", f"/v1/content/{cid}", raw=True, auth=False))

    # -- labelers -----------------------------------------------------------------------------------------------------

    async def claim(
        self, *, limit: int = 1, request: str | None = None, tasks: Sequence[bytes] | None = None
    ) -> list[Lease]:
        """Tasks to work on; an empty list: nothing to do now."""
        body: dict[str, Any] = {"limit": limit}
        if request is not None:
            body["request"] = request
        if tasks is not None:
            body["tasks"] = [task.hex() for task in tasks]
        return [_lease(view) for view in (await self.call("POST", "/v1/claims", body=body))["tasks"]]

    async def work(self) -> list[Lease]:
        """Tasks in hand."""
        return [_lease(view) for view in (await self.call("GET", "/v1/work"))["tasks"]]

    def answer(self, lease: Lease, content: Mapping[str, Any]) -> dict[str, Any]:
        """A signed answer. `content` must be in the schema's normal form, whose hash is what is signed."""
        key = self._key()
        message = messages.answer(
            domain=lease.domain,
            task=lease.task,
            labeler=bytes(key.pubkey()),
            content_hash=canonical.digest(dict(content)),
        )
        return {"content": dict(content), "signature": messages.b58(messages.sign(key, message))}

    async def submit(self, lease: Lease, content: Mapping[str, Any]) -> dict[str, Any]:
        """Answers a task in hand."""
        return dict(await self.call("POST", f"/v1/tasks/{lease.task.hex()}/answer", body=self.answer(lease, content)))

    async def submit_many(self, answers: Sequence[tuple[Lease, Mapping[str, Any]]]) -> list[dict[str, Any]]:
        """Answers several at once; for each ``taken`` or ``problem``."""
        body = {"answers": [{"task": lease.task.hex(), **self.answer(lease, content)} for lease, content in answers]}
        return list((await self.call("POST", "/v1/answers", body=body))["results"])

    async def skip(self, leases: Sequence[Lease]) -> int:
        """Gives tasks back for good."""
        body = {"tasks": [lease.task.hex() for lease in leases]}
        return int((await self.call("POST", "/v1/skips", body=body))["skipped"])

    async def answers(self, *, request: str | None = None, limit: int = 100) -> list[dict[str, Any]]:
        """My answers, newest first."""
        return list((await self.call("GET", "/v1/answers", query={"request": request, "limit": limit}))["answers"])

    async def rejection(self, answer: str) -> dict[str, Any]:
        """The proof by which the rejection of an answer of mine can be disputed, the bond, and until when."""
        return dict(await self.call("GET", f"/v1/answers/{answer}/proof"))

    async def dispute(self, answer: str) -> dict[str, Any]:
        """Disputes the rejection of an answer of mine; the dispute's address, with `signature` and `slot`."""
        for attempt in range(TRIES):
            try:
                return await self.transact(f"/v1/answers/{answer}/dispute")
            except ProgramError as error:  # a batch landed in between, and changed the way to the log's peaks
                if error.code != "program_wrong_proof" or attempt == TRIES - 1:
                    raise
        raise AssertionError("unreachable")

    async def disputed(self, answer: str) -> dict[str, Any]:
        """How the dispute over an answer of mine stands."""
        return dict(await self.call("GET", f"/v1/answers/{answer}/dispute"))

    async def earnings(self) -> dict[str, Any]:
        """What I earned."""
        return dict(await self.call("GET", "/v1/earnings"))

    async def standing(self, *, request: str | None = None) -> dict[str, Any]:
        """What the rules make of this wallet, in words and numbers; of a request too if one is named."""
        return dict(await self.call("GET", "/v1/me/standing", query={"request": request}))


def _pause(attempt: int) -> float:
    return float(PAUSE * 2 ** min(attempt, 4) * random.uniform(0.5, 1))


def _refusal(status: int, answer: bytes) -> AssayError:
    try:
        problem = _decode(answer)
    except msgspec.DecodeError:
        problem = {"detail": answer[:200].decode(errors="replace"), "code": f"http_{status}"}
    return problem_error(status, problem)
