"""`./assay up`: the market as a server, with its validators and something to label."""

from __future__ import annotations

import asyncio
import signal
import sys
from pathlib import Path

from assay.chain.keys import ensure_key
from assay.demo.markets import MarketProcesses
from assay.demo.run import Options, plan, with_items
from assay.domain.tally import Role
from assay.errors import AssayError
from assay.settings import load

HOME = Path(".assay/market")
RESTART_SECONDS = 2.0
"""How long a process that died is left alone before it is started again."""
SAMPLE_RECORDS = 100
SAMPLE_BUDGET = "10"
"""Tokens: 7 for the records, the rest for tasks whose answers are rejected, so that they need not wait for reserves."""
SAMPLE_LEASE_SECONDS = 300
"""Time for a person; the demo's crowd is faster."""


async def up(*, home: Path | None, rpc: str | None, port: int, validators: int) -> None:
    """Serve until SIGINT or SIGTERM; then everything is stopped in order. Started again it goes on where it was."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    settings = load(home=home or HOME, rpc_url=rpc, port=port)
    settings.make_home()
    market = MarketProcesses(settings, validators=validators, say=_say)
    starting = asyncio.ensure_future(market.__aenter__())
    stopping = asyncio.ensure_future(stop.wait())
    await asyncio.wait({starting, stopping}, return_when=asyncio.FIRST_COMPLETED)
    try:
        if not stop.is_set():
            await starting
            await sample(market)
            _say(f"up: label at {market.url} (API description: {market.url}/openapi.json); Ctrl-C stops it")
            await _keep(market, stop)
    finally:
        starting.cancel()
        stopping.cancel()
        await asyncio.gather(starting, stopping, return_exceptions=True)
        _say("stopping")
        await market.stop()


async def sample(market: MarketProcesses) -> str:
    """Post the sample request, unless one of it is open and has tasks left; its address.

    Its answers are reviewed by the validators, who read the digits themselves: so whoever labels it alone is paid.
    """
    key = ensure_key(market.settings.keys_dir / "buyer.json")
    await market.enrol([key], Role.BUYER, stake=0, spend=10_000)
    buyer = market.client(key)
    listed = await buyer.call("GET", "/v1/requests", query={"state": "open", "buyer": buyer.wallet})
    for request in listed["requests"]:
        now = await buyer.progress(request["address"])
        if now["tasks_done"] < now["tasks"]:
            _say(f"sample request: {request['address']} is open")
            return str(request["address"])
    made = await asyncio.to_thread(plan, Options(records=SAMPLE_RECORDS))
    made.order["spec"] |= {"mode": "review", "overlap": 1, "limits": {"lease_seconds": SAMPLE_LEASE_SECONDS}}
    made.order["budget"] = SAMPLE_BUDGET
    draft = await buyer.post(await with_items(buyer, made))
    _say(f"sample request: {draft['address']}, {SAMPLE_RECORDS} handwritten digits to label")
    return str(draft["address"])


async def _keep(market: MarketProcesses, stop: asyncio.Event) -> None:
    """Start again what dies, until `stop`."""
    running = market.processes.running
    while not stop.is_set():
        try:
            await asyncio.wait_for(stop.wait(), 1.0)
        except TimeoutError:
            for name, process in list(running.items()):
                if process.returncode is not None:
                    _say(f"{name} ended with {process.returncode}; starting it again")
                    await asyncio.sleep(RESTART_SECONDS)
                    try:
                        if name == "server":
                            await market.start_server()
                        else:
                            await market.start_validator(int(name.rpartition("-")[2]))
                    except AssayError as error:
                        _say(f"{name} did not start: {error}")  # it stands as ended, so it is tried again


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
