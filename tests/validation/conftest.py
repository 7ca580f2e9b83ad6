"""A whole market on real parts: server with PostgreSQL and embedded chain, worker processes, clients."""

from __future__ import annotations

import asyncio
import json
import signal
import sys
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair
from support.workers import WorkerProcess

from assay.client import Client
from assay.domain import messages
from assay.server import Server
from assay.services.audit import ChainReader, LogFolder, replay
from assay.settings import Settings

sys.path.insert(0, str(Path(__file__).parent))  # makes `disputed` importable: test folders are no packages
JUDGES = Path(__file__).parent / "judges"
CLASSES = ["cat", "dog", "owl"]


class Stage:
    """One market and everybody in it."""

    def __init__(self, home: Path, database_url: str, *, params: Mapping[str, Any], **settings: Any) -> None:
        self.home = home
        self.settings = Settings(home=home, database_url=database_url, **settings)
        self.params = params
        self.server: Server
        self.validators: list[Keypair] = []
        self.workers: dict[int, WorkerProcess] = {}
        self.clients: list[Client] = []

    async def open(self) -> None:
        self.server = Server(self.settings, params=self.params)
        await self.server.__aenter__()

    async def reopen(self) -> None:
        """The server again, on the same home, as after a crash."""
        self.server = Server(self.settings, params=self.params)
        await self.server.__aenter__()

    async def restart_workers(self) -> None:
        """Workers know their market by address; a server on a new port is another."""
        for number in list(self.workers):
            await self.stop_worker(number)
            await self.start_worker(number)

    async def close(self) -> None:
        for number in list(self.workers):
            await self.stop_worker(number)
        for client in self.clients:
            await client.close()
        await self.server.stop()

    @property
    def market(self) -> Any:
        return self.server.market

    async def client(self, role: str, *, stake: str = "0", tokens: str = "5000") -> Client:
        """A client with a wallet, funds and a role."""
        client = Client(self.server.url, key=Keypair())
        await client.__aenter__()
        self.clients.append(client)
        await client.faucet(tokens=tokens)
        await client.enrol(role, stake=stake)
        return client

    async def add_validators(self, count: int = 3) -> None:
        """Registers validators, with key files."""
        for _ in range(count):
            client = await self.client("validator", stake="1000")
            assert client.key is not None
            self.validators.append(client.key)
            path = self.home / f"validator{len(self.validators)}.json"
            path.write_text(json.dumps(list(bytes(client.key))))

    async def start_worker(self, number: int, *, judge: str = "accept-valid") -> None:
        """Starts the worker process of validator `number` (from 1)."""
        self.workers[number] = await WorkerProcess.start(
            [
                "--key", str(self.home / f"validator{number}.json"),
                "--api", self.server.url, "--rpc", self.market.rpc_url, "--judge", judge, "--log-level", "debug",
            ],
            log=self.home / f"worker{number}.log",
            path=JUDGES,
            environment={"ASSAY_TEST_GATE": str(self.home / "gate")},
        )  # fmt: skip

    async def start_workers(self, *, judge: str = "accept-valid") -> None:
        """Starts every validator's worker and waits until all are connected."""
        for number in range(1, len(self.validators) + 1):
            await self.start_worker(number, judge=judge)
        await self.until(lambda: all(self.connected(n) for n in self.workers), what="workers connected")

    def connected(self, number: int) -> bool:
        return bool(self.market.engine.hub.connected(bytes(self.validators[number - 1].pubkey())))

    async def stop_worker(self, number: int, how: signal.Signals = signal.SIGTERM) -> int:
        return await self.workers.pop(number).stop(how)

    def log(self, number: int) -> str:
        return (self.home / f"worker{number}.log").read_text()

    async def until(self, ready: Callable[[], Any], *, what: str, seconds: float = 90) -> None:
        """Waits until `ready()` (or what it awaits) is true."""
        end = asyncio.get_running_loop().time() + seconds
        while True:
            found = ready()
            if asyncio.iscoroutine(found):
                found = await found
            if found:
                return
            if asyncio.get_running_loop().time() > end:
                logs = "\n".join(f"-- worker {n}\n{self.log(n)[-1500:]}" for n in self.workers)
                raise AssertionError(f"{what} did not come about in {seconds} s\n{logs}")
            await asyncio.sleep(0.02)

    async def post(self, buyer: Client, *, mode: str = "agreement", items: int = 4, **changes: Any) -> str:
        """Posts a request for labels of `items` short texts; its address."""
        uploaded = [
            await buyer.upload(f"text {i}".encode(), media_type="text/plain; charset=utf-8") for i in range(items)
        ]
        spec = {
            "title": "Animals", "instructions": "Name the animal", "kind": "choice",
            "schema": {"classes": CLASSES}, "mode": mode,
            "overlap": changes.pop("overlap", 3 if mode == "agreement" else 1),
            "assignment": "open",
            "items": [{"cid": one["cid"], "media_type": one["media_type"]} for one in uploaded],
        }  # fmt: skip
        spec.update(changes.pop("spec", {}))
        order = {"spec": spec, "price": "1", "validation_fee": "0.04", "budget": "500", **changes}
        address = str((await buyer.post(order))["address"])

        async def opened() -> bool:
            return (await buyer.progress(address))["request"]["state"] == "open"

        await self.until(opened, what="request opened")
        return address

    async def label(self, client: Client, address: str, labels: Sequence[str]) -> None:
        """Has `client` answer the request's tasks in order of their index."""
        tasks = [bytes.fromhex(one["task"]) for one in await client.tasks(address)][: len(labels)]
        leases = {lease.task: lease for lease in await client.claim(limit=len(tasks), request=address, tasks=tasks)}
        answers = [
            (leases[task], {"value": label}) for task, label in zip(tasks, labels, strict=False) if task in leases
        ]
        for result in await client.submit_many(answers) if answers else ():
            assert result.get("problem") is None, result

    async def settled(self, client: Client, address: str) -> int:
        return int((await client.progress(address))["settled"])

    async def until_settled(self, client: Client, address: str, count: int, *, seconds: float = 90) -> None:
        """Waits until `count` answers are settled."""

        async def done() -> bool:
            return await self.settled(client, address) >= count

        await self.until(done, what=f"{count} answers settled", seconds=seconds)

    async def audit(self, address: str) -> Any:
        """The auditor's report, once the log is written."""
        await self.market.engine.parts.publisher.publish(messages.unb58(address))
        return await replay(ChainReader(self.market.chain), LogFolder(self.settings.log_dir))

    async def balance(self, client: Client) -> int:
        """Tokens (base units) in a wallet's associated account."""
        from assay.chain.tokens import associated_address, decode_token_account

        assert client.key is not None
        account = await self.market.chain.account(associated_address(client.key.pubkey(), self.market.faucet.mint))
        return 0 if account is None else decode_token_account(bytes(account.data)).amount


@pytest.fixture
async def stage(home: Path, database_url: str) -> AsyncIterator[Callable[..., Any]]:
    """`await stage(validators=3, params=..., **settings)` opens a market; all are closed at the end."""
    opened: list[Stage] = []

    async def make(*, validators: int = 3, params: Mapping[str, Any] | None = None, **settings: Any) -> Stage:
        made = Stage(home, database_url, params=params or {}, **settings)
        await made.open()
        opened.append(made)
        await made.add_validators(validators)
        return made

    yield make
    for made in opened:
        await made.close()
