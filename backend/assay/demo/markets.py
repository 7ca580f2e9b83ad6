"""A market in real processes: the server (chain, database, API, settler) and its validators."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import aiohttp
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from assay.chain.addresses import Addresses
from assay.chain.keys import ensure_key
from assay.chain.program import load_program
from assay.chain.rpc import RpcChain
from assay.client import Client
from assay.demo import cluster
from assay.demo.processes import Processes, ProcessFailed
from assay.domain import money
from assay.domain.strikes import MIN_JUDGEMENTS
from assay.domain.tally import Role
from assay.settings import Settings

START_SECONDS = 90.0
PREPARED_SECONDS = 60.0
AT_ONCE = 12
"""Wallets that enrol side by side."""
DECIMALS = 6
TOKEN = 10**DECIMALS

Say = Callable[[str], None]


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port


@dataclass(frozen=True)
class Stakes:
    """What each role stakes, in tokens: the market's minimum, and room for slashes: `slash` for each 20 judgements."""

    labeler: int = 100
    slash: int = 10
    validator: int = 1500

    def labeling(self, answers: int) -> int:
        """What a labeler stakes who gives up to `answers` answers and is to work to the end, however wrong they are."""
        return self.labeler + self.slash * (answers // MIN_JUDGEMENTS)


class MarketProcesses:
    """`async with MarketProcesses(settings, validators=3, say=print) as market:` starts all and ends all."""

    def __init__(self, settings: Settings, *, validators: int, say: Say) -> None:
        self.settings = settings
        self.processes = Processes(settings.home)
        self.validators = [ensure_key(settings.keys_dir / f"validator-{i}.json") for i in range(validators)]
        self.stakes = Stakes()
        # 0: the first server takes free ones; each that is started again is found where it was.
        self._port, self._chain_port = settings.port, settings.chain_port
        self._say = say
        self._session: aiohttp.ClientSession | None = None
        self.chain: RpcChain
        self.url = ""
        self._state: dict[str, Any] = {}

    async def __aenter__(self) -> Self:
        try:
            await self._start()
        except BaseException:
            await self.stop()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def stop(self) -> None:
        """End validators and server, in this order."""
        if self._session is not None:
            await self._session.close()
        await self.processes.__aexit__()
        if hasattr(self, "chain"):
            await self.chain.close()

    @property
    def state_file(self) -> Path:
        """Where the server says that it is up."""
        return self.settings.home / "run" / "server.json"

    async def _start(self) -> None:
        settings = self.settings
        program = load_program(settings.program_id)
        if settings.rpc_url is not None:
            self._say(f"chain: {settings.rpc_url}")
            self.chain = RpcChain(settings.rpc_url, ws_url=settings.ws_url, program=program)
            await cluster.prepare(self.chain, settings)
        state = await self.start_server()
        if settings.rpc_url is None:
            self._say(f"chain: embedded, JSON-RPC at {state['rpc_url']}")
            self.chain = RpcChain(state["rpc_url"], ws_url=state["ws_url"], program=program)
        self._session = aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=120))
        await self.enrol(self.validators, Role.VALIDATOR, stake=self.stakes.validator)
        for index in range(len(self.validators)):
            await self.start_validator(index)
        await self.until_validators()
        self._say(f"validators: {len(self.validators)} processes, {self.stakes.validator} tokens at stake each")

    async def start_server(self) -> dict[str, Any]:
        """Start the server process and wait until it listens; what it says of itself."""
        arguments = ["assay", "serve", "--home", str(self.settings.home), "--port", str(self._port)]
        if self.settings.rpc_url is not None:
            arguments += ["--rpc", self.settings.rpc_url]
        await self.processes.start("server", *arguments, env={"ASSAY_CHAIN_PORT": str(self._chain_port)})
        state = await self.processes.until_up("server", self.state_file, seconds=START_SECONDS)
        self.url = state["url"]
        self._port = _port(state["url"])
        if self.settings.rpc_url is None:
            self._chain_port = _port(state["rpc_url"])
        self._state = state
        self._say(f"server: API at {self.url}, database and settler behind it (logs in {self.processes.logs})")
        return state

    async def start_validator(self, index: int) -> None:
        """Start the process of the validator `index`."""
        state = self._state
        key = self.settings.keys_dir / f"validator-{index}.json"
        arguments = ["--key", str(key), "--api", state["url"], "--rpc", state["rpc_url"]]
        if state.get("ws_url"):
            arguments += ["--ws", state["ws_url"]]
        await self.processes.start(
            f"validator-{index}",
            "assay_validator.cli",
            *arguments,
            "--judge",
            "assay.demo.judges:Digits",
            env={"ASSAY_DEMO_JUDGE": str(index)},
        )

    async def until_validators(self) -> None:
        """Wait until every validator is connected to the market."""
        wanted = {str(key.pubkey()) for key in self.validators}
        await self._until(
            lambda: self._all_online(wanted), "the validators did not all connect to the market", seconds=START_SECONDS
        )

    async def _all_online(self, wanted: set[str]) -> bool:
        market = await self.client(self.validators[0]).market()
        return wanted <= set(market["validators_online"])

    async def until_panel(self, request: str) -> None:
        """Wait until the panel of `request` is drawn."""

        async def drawn() -> bool:
            account = await self.chain.account(Pubkey.from_string(request))
            assert account is not None
            data = self.chain.program.codec.decode_account(bytes(account.data), name="Request")
            return bool(data.panel_count)

        await self._until(drawn, "no panel was drawn", seconds=START_SECONDS)

    async def until_prepared(self, keys: Sequence[Keypair]) -> bool:
        """Wait until settlements can name these wallets through lookup tables; whether they all can.

        On a cluster an addition to a table can be used once it is finalized, about 13 seconds later. Nothing hangs on
        it but speed, so the wait ends in any case.
        """
        waiting = [str(key.pubkey()) for key in (*self.validators, *keys)]
        client, end = self.client(self.validators[0]), time.monotonic() + PREPARED_SECONDS
        while waiting and time.monotonic() < end:
            self.processes.check()
            if (await client.participant(waiting[-1]))["in_lookup_table"]:
                waiting.pop()
            else:
                await asyncio.sleep(0.1)
        return not waiting

    async def _until(self, done: Callable[[], Awaitable[bool]], failure: str, *, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        while not await done():
            self.processes.check()
            if time.monotonic() > deadline:
                tails = "\n".join(f"-- {name}\n{self.processes.tail(name)}" for name in self.processes.running)
                raise ProcessFailed(f"{failure} within {seconds:.0f} s\n{tails}")
            await asyncio.sleep(0.05)

    def client(self, key: Keypair) -> Client:
        """A client of the API that signs with `key`; all share one pool of connections."""
        assert self._session is not None
        return Client(self.url, key=key, session=self._session)

    async def enrol(self, keys: Sequence[Keypair], role: Role, *, stake: int, spend: int = 0) -> None:
        """Give wallets what they need and register them in `role`, with `stake` in all: what a slash took is put back.

        `stake` and `spend` (what the wallet keeps in hand) are whole tokens.
        """
        addresses = self.participants([key.pubkey() for key in keys])
        lacking: dict[Keypair, int] = {}
        for key, account in zip(keys, await self.chain.accounts(addresses), strict=True):
            decode = self.chain.program.codec.decode_account
            held = None if account is None else decode(bytes(account.data), name="Participant").stake
            if held is None or held < stake * TOKEN:
                lacking[key] = stake * TOKEN - (held or 0)
        wanting = keys if spend else list(lacking)
        await cluster.fund(self.chain, self.settings, [key.pubkey() for key in wanting], tokens=(stake + spend) * TOKEN)
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(key: Keypair, missing: int) -> None:
            async with gate:
                await self.client(key).enrol(role.name.lower(), stake=money.format(missing, DECIMALS))

        await asyncio.gather(*(one(key, missing) for key, missing in lacking.items()))

    def participants(self, wallets: Sequence[Pubkey]) -> list[Pubkey]:
        """Participant addresses of wallets."""
        addresses = Addresses(self.chain.program.id)
        return [addresses.participant(wallet) for wallet in wallets]
