"""Each process is killed in the middle of the work; nothing is lost and nothing is paid twice."""

from __future__ import annotations

import asyncio
import os
import signal
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from assay.chain.keys import ensure_key
from assay.client import Client
from assay.demo import audit, crowd, digits, report
from assay.demo.markets import MarketProcesses
from assay.demo.run import Options, plan, with_items
from assay.domain.tally import Role
from assay.errors import AssayError, ChainError, Unavailable
from assay.settings import load

pytest.importorskip("sklearn", reason="the demo needs scikit-learn")

RECORDS, LABELERS = 60, 6


async def patient(work: Any) -> Any:
    """A client that goes on through an outage, as a labeler would."""
    for _ in range(300):
        try:
            return await work()
        except (Unavailable, ChainError, AssayError) as error:
            if getattr(error, "status", 500) < 500:
                raise
            await asyncio.sleep(0.3)
    raise AssertionError("the market did not come back")


async def paced(client: Client, read: digits.Reader, *, request: str, done: asyncio.Event) -> None:
    """One labeler that takes its time, so that there is a middle to kill in."""

    async def turn() -> None:
        leases = [lease for lease in await client.work() if lease.request == request]
        leases = leases or await client.claim(limit=3, request=request)
        images = [await client.content(lease.item) for lease in leases]
        await crowd.submit(client, [(lease, {"value": read(i)}) for lease, i in zip(leases, images, strict=True)])

    while not done.is_set():
        await patient(turn)
        await asyncio.sleep(0.4)


@pytest.mark.timeout(280)
async def test_every_process_is_killed_and_nothing_is_lost_or_paid_twice(tmp_path: Path) -> None:
    settings = load(home=tmp_path / "home")
    made = plan(Options(records=RECORDS, labelers=LABELERS, overlap=3))
    lines: list[str] = []
    async with MarketProcesses(settings, validators=4, say=lines.append) as market:
        buyer_key = ensure_key(settings.keys_dir / "buyer.json")
        keys = [ensure_key(settings.keys_dir / f"crowd/{i}.json") for i in range(LABELERS)]
        await market.enrol([buyer_key], Role.BUYER, stake=0, spend=10_000)
        await market.enrol(keys, Role.LABELER, stake=market.stakes.labeling(RECORDS))
        everyone = [key.pubkey() for key in (*keys, *market.validators, buyer_key)]
        before = await report.balances(market.chain, everyone)
        buyer = market.client(buyer_key)
        request = (await buyer.post(await with_items(buyer, made)))["address"]
        await market.until_panel(request)
        done = asyncio.Event()

        async def progress() -> dict[str, Any]:
            now: dict[str, Any] = await patient(lambda: buyer.progress(request))
            return now

        async def until(settled: int, seconds: float = 120) -> None:
            async with asyncio.timeout(seconds):
                while (await progress())["settled"] < settled:  # noqa: ASYNC110  polled as a buyer would
                    await asyncio.sleep(0.1)

        async def kill_them_all() -> None:
            await until(15)
            await market.processes.kill("validator-0")
            await until(30)
            await market.start_validator(0)
            await market.processes.kill("server")
            await market.start_server()
            await until(60)
            postmaster = int((settings.postgres_dir / "data" / "postmaster.pid").read_text().split()[0])
            os.kill(postmaster, signal.SIGKILL)
            await until(90)
            for index in range(4):
                await market.processes.kill(f"validator-{index}")
            await market.processes.kill("server")
            await market.start_server()
            for index in range(4):
                await market.start_validator(index)
            await until(3 * RECORDS)
            done.set()

        async with asyncio.TaskGroup() as group:
            for index, key in enumerate(keys):
                group.create_task(paced(market.client(key), digits.labeler(index), request=request, done=done))
            group.create_task(kill_them_all())

        await buyer.end(request)
        result = await report.gather(
            market.chain,
            buyer,
            request=request,
            truth=made.truth,
            wallets={str(key.pubkey()): str(i) for i, key in enumerate(keys)},
            validators=[str(key.pubkey()) for key in market.validators],
            before=before,
            seconds={},
            home=str(settings.home),
        )
    assert result["records"] == RECORDS
    assert result["answers_accepted"] + result["answers_rejected"] == 3 * RECORDS
    assert result["conserved"] is True
    assert Decimal(result["paid_contributors"]) == result["answers_accepted"] * Decimal("0.05")
    assert Decimal(result["paid_validators"]) == RECORDS * Decimal("0.02")
    replayed = await audit.replay(home=settings.home)
    assert replayed["ok"], replayed["finding"]
    assert replayed["answers"] == 3 * RECORDS
