"""Claim and submit pairs a second through the HTTP API: a whole market in one process, the load in another.

    python benchmarks/api.py [--json] [--labelers N] [--seconds S] [--limit L]

Each labeler claims, signs and submits over one kept-alive connection, as fast as it is answered; `--limit` claims and
submits several tasks a call. Every answer is checked, its signature verified, and on disk before it is acknowledged.
The engine runs as always. CPU milliseconds a pair say what a busy machine hides.

The peer is Label Studio 1.23 with PostgreSQL on the same two cores, measured once for the project's design: 12 pairs a
second at 10 labelers, p99 1.6 s. It does not verify signatures and is not run here.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from solders.keypair import Keypair

from assay.client import Client

PEER = {"pairs_per_second": 12, "p99_ms": 1600}
ITEMS = 200


async def _serve(home: Path) -> tuple[asyncio.subprocess.Process, str]:
    with open(home / "server.log", "wb") as log:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "assay", "serve", "--home", str(home), stdout=log, stderr=log
        )
    state = home / "run" / "server.json"
    for _ in range(600):
        if state.exists():
            return process, json.loads(state.read_text())["url"]
        if process.returncode is not None:
            break
        await asyncio.sleep(0.1)
    raise SystemExit((home / "server.log").read_text()[-2000:])


async def _post(url: str, *, labelers: int, pairs: int) -> str:
    async with Client(url, key=Keypair()) as buyer:
        await buyer.faucet(tokens="1000000")
        await buyer.enrol("buyer")
        uploaded = await asyncio.gather(
            *(buyer.upload(f"item {i}".encode(), media_type="text/plain") for i in range(ITEMS))
        )
        overlap = min(labelers, 64)
        items = [{"cid": one["cid"], "media_type": one["media_type"]} for one in uploaded]
        spec = {
            "title": "Load",
            "instructions": "a or b?",
            "kind": "choice",
            "schema": {"classes": ["a", "b"]},
            "mode": "agreement",
            "overlap": overlap,
            "items": [items[i % ITEMS] for i in range(-(-pairs // overlap))],
        }
        return str((await buyer.post({"spec": spec, "price": "0.01", "validation_fee": "0"}))["address"])


async def _work(client: Client, *, until: float, limit: int, claims: list[float], submits: list[float]) -> int:
    done = 0
    while time.perf_counter() < until:
        started = time.perf_counter()
        leases = await client.claim(limit=limit)
        claimed = time.perf_counter()
        if not leases:
            break
        if limit == 1:
            await client.submit(leases[0], {"value": "a"})
        else:
            results = await client.submit_many([(lease, {"value": "a"}) for lease in leases])
            assert all(result["taken"] for result in results), results
        submits.append(time.perf_counter() - claimed)
        claims.append(claimed - started)
        done += len(leases)
    return done


def _cpu(process: int, home: Path) -> dict[str, float]:
    """CPU seconds so far: server, database (all its processes that live), this load generator."""

    def of(pid: int) -> float:
        try:
            fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        except OSError:
            return 0.0
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    database = 0.0
    pid_file = home / "pg" / "data" / "postmaster.pid"
    if pid_file.exists():
        postmaster = int(pid_file.read_text().split("\n", 1)[0])
        for entry in Path("/proc").glob("[0-9]*/stat"):
            try:
                parent = int(entry.read_text().rpartition(")")[2].split()[1])
            except (OSError, ValueError):
                continue
            if parent == postmaster:
                database += of(int(entry.parent.name))
    return {"server": of(process), "database": database, "load": of(os.getpid())}


def _percentile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return round(1000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))], 2) if ordered else 0.0


async def measure(*, labelers: int, seconds: float, limit: int) -> dict[str, Any]:
    """One run."""
    with tempfile.TemporaryDirectory(prefix="assay-bench-") as folder:
        home = Path(folder)
        process, url = await _serve(home)
        try:
            await _post(url, labelers=labelers, pairs=int(seconds * 4000))
            clients = [Client(url, key=Keypair()) for _ in range(labelers)]
            for client in clients:
                await client.__aenter__()
                await client.faucet(tokens="1000")
                await client.enrol("labeler", stake="100")
            claims: list[float] = []
            submits: list[float] = []
            before = _cpu(process.pid, home)
            started = time.perf_counter()
            done = await asyncio.gather(
                *(
                    _work(client, until=started + seconds, limit=limit, claims=claims, submits=submits)
                    for client in clients
                )
            )
            took = time.perf_counter() - started
            after = _cpu(process.pid, home)
            for client in clients:
                await client.close()
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()
    return {
        "labelers": labelers,
        "limit": limit,
        "pairs": sum(done),
        "seconds": round(took, 2),
        "pairs_per_second": round(sum(done) / took, 1),
        "claim_ms": {name: _percentile(claims, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))},
        "submit_ms": {
            name: _percentile(submits, share) for name, share in (("p50", 0.5), ("p95", 0.95), ("p99", 0.99))
        },
        "cpu_ms_per_pair": {name: round(1000 * (after[name] - before[name]) / max(1, sum(done)), 3) for name in after},
        "cores": os.cpu_count(),
    }


def main() -> None:
    """Prints a table, or with `--json` one object."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--labelers", type=int, default=10)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--limit", type=int, help="tasks a call (default: one, then ten)")
    options = parser.parse_args()
    limits = [options.limit] if options.limit else [1, 10]
    runs = [asyncio.run(measure(labelers=options.labelers, seconds=options.seconds, limit=limit)) for limit in limits]
    if options.json:
        print(json.dumps({"runs": runs, "pairs_per_second": runs[0]["pairs_per_second"], "peer": PEER}))
        return
    print(f"{'tasks a call':<28} {'pairs/s':>8} {'claim p50/p99 ms':>18} {'submit p50/p99 ms':>18}")
    for run in runs:
        claim, submit = run["claim_ms"], run["submit_ms"]
        name = f"{run['limit']}, {run['labelers']} labelers"
        print(
            f"{name:<28} {run['pairs_per_second']:>8} {claim['p50']:>9} / {claim['p99']:<6}"
            f" {submit['p50']:>9} / {submit['p99']:<6} CPU ms a pair: {run['cpu_ms_per_pair']}"
        )
    print(f"{'Label Studio 1.23 (design)':<28} {PEER['pairs_per_second']:>8} {'':>18} {'– / 1600':>18}")


if __name__ == "__main__":
    main()
