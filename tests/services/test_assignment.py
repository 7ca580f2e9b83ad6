"""Hand-outs on the real database: a concurrent crowd leaves a log that the auditor walks without one false alarm, and
whatever is changed in it is named."""

from __future__ import annotations

import asyncio
import os
import random
import signal
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from assay.client import Client
from assay.domain import canonical, owners
from assay.domain.assignment import place, start
from assay.domain.assignment_log import encode_header
from assay.domain.messages import b58, unb58
from assay.domain.votelog import Line
from assay.domain.work import Answer, Gold, Task
from assay.errors import Forbidden, LeaseLost, SkipLimit
from assay.server import Server
from assay.services.audit.assignment import AssignmentAudit
from assay.services.audit.reader import LogFolder
from assay.services.audit.report import Mismatch, Scope
from assay.settings import load

LABEL = {"value": "a"}
SHORT = {"limits": {"lease_seconds": 60}}  # leases that a test may end at once: the auditor allows for a minute


async def audit(server: Server, address: str, *, folder: Path | None = None, at: int | None = None) -> int:
    """The auditor's walk over a request's hand-outs, its answers all taken for settled `at`, one batch a record."""
    request = unb58(address)
    info = await server.market.requests.info(request, fresh=True)
    spec = await server.market.requests.spec(request)
    made = AssignmentAudit()
    async with server.market.db.session() as session:
        rows = await session.connection.fetch(
            "select t.index, t.gold, array_agg(a.labeler) as labelers, array_agg(a.content) as contents"
            " from tasks t join answers a on a.task = t.id where t.request = $1 group by t.index, t.gold"
            " order by min(t.batch), t.index",
            request,
        )
    for row in rows:
        given = tuple(Answer(w, c, b"") for w, c in zip(row["labelers"], row["contents"], strict=True))
        gold = None if row["gold"] is None else Gold(row["gold"]["label"], bytes(32), 0, ())
        line = object.__new__(Line)
        object.__setattr__(line, "tasks", (Task(row["index"], given, gold),))
        made.settled(request, spec, line, at=int(time.time()) if at is None else at)
    assert info.domain is not None
    return made.check(
        request, program=bytes(server.market.chain.program.id), domain=info.domain, spec=spec,
        logs=LogFolder(folder or server.settings.log_dir), scope=Scope(address),
    )  # fmt: skip


async def published(server: Server, address: str) -> list[bytes]:
    assert server.market.engine is not None
    await server.market.engine.parts.handouts.publish(unb58(address))
    return (server.settings.log_dir / f"{address}.tasks.jsonl").read_bytes().splitlines(keepends=True)


async def steady(server: Server) -> None:
    """Waits until the database answers again, on every connection of the pool."""
    size = server.settings.database_pool
    async with asyncio.timeout(60):
        for _ in range(1000):
            done = await asyncio.gather(
                *(server.market.db.value("health") for _ in range(size)), return_exceptions=True
            )
            if done == [1] * size:
                return
            await asyncio.sleep(0.1)


async def crowd(labelers: list[Client], server: Server, *, seed: int, rounds: int = 400) -> list[Any]:
    """Labelers who claim at the same time, answer, skip, and let leases end; all the leases they got."""
    got: list[Any] = []

    async def work(labeler: Client, lot: random.Random) -> None:
        for _ in range(rounds):
            try:
                leases = [lease for part in await asyncio.gather(
                    labeler.claim(limit=lot.randint(1, 4)), labeler.claim(limit=1)) for lease in part]  # fmt: skip
            except SkipLimit:
                leases = await labeler.work()
            if not leases:
                return
            got.extend(leases)
            for lease in leases:
                what = lot.random()
                try:
                    if what < 0.12:
                        await labeler.skip([lease])
                        continue
                    if what < 0.2:
                        async with server.market.db.session() as session:
                            await session.connection.execute(
                                "update leases set expires_at = now() - interval '1 second' where task = $1"
                                " and wallet = $2", lease.task, unb58(labeler.wallet),
                            )  # fmt: skip
                        await server.market.tasks.sweep()
                        continue
                    await labeler.submit(lease, LABEL)
                except SkipLimit:
                    await labeler.submit(lease, LABEL)
                except LeaseLost:
                    pass

    await asyncio.gather(*(work(labeler, random.Random(seed + i)) for i, labeler in enumerate(labelers)))
    return got


@dataclass
class Played:
    """A request that a crowd has worked on, with its log."""

    server: Server
    address: str
    labelers: list[Client]
    leases: list[Any]
    lines: list[bytes]
    documents: list[dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.documents = [canonical.loads(line) for line in self.lines]  # type: ignore[misc]

    def of(self, kind: str) -> list[int]:
        return [i for i, one in enumerate(self.documents) if one["type"] == kind]

    async def finding(self, folder: Path) -> str:
        """What the auditor says of these documents, numbered and chained anew."""
        folder.mkdir(exist_ok=True)
        previous, out = b"", []
        for number, one in enumerate(self.documents):
            document = {**one, "line": number, "previous": sha256(previous).hexdigest()} if number else one
            previous = canonical.dumps(document)
            out.append(previous + b"\n")
        (folder / f"{self.address}.tasks.jsonl").write_bytes(b"".join(out))
        try:
            await audit(self.server, self.address, folder=folder)
        except Mismatch as mismatch:
            found = mismatch.finding
        else:
            return "fits"
        assert (found.check, found.request) == ("assignment", self.address)
        return found.detail


Play = Callable[..., Awaitable[Played]]


@pytest.fixture
async def play(join, post, server: Server) -> Play:
    async def make(*, labelers: int = 6, items: int = 24, overlap: int = 3, seed: int = 1, **order: Any) -> Played:
        address = (await post(await join("buyer"), items=items, overlap=overlap, spec=SHORT, **order))["address"]
        people = [await join("labeler", stake="100") for _ in range(labelers)]
        leases = await crowd(people, server, seed=seed)
        return Played(server, address, people, leases, await published(server, address))

    return make


async def test_a_crowds_log_fits_and_every_change_in_it_is_found(play: Play, tmp_path: Path, server: Server) -> None:
    played = await play()
    handouts = played.of("handout")
    assert await audit(server, played.address) == len(handouts)
    assert played.of("skipped")
    assert played.of("lapsed")
    request = unb58(played.address)
    first = min(played.documents[i]["at"] for i in handouts) // 1000
    assert await audit(server, played.address, at=first - 300) == len(handouts), "clocks differ"
    with pytest.raises(Mismatch, match="was handed out after its answer was settled"):
        await audit(server, played.address, at=first - 1000)

    # What the labelers were told is what the log says.
    hashes = [sha256(line[:-1]).hexdigest() for line in played.lines]
    for lease in played.leases:
        one = played.documents[lease.hand_out["line"]]
        assert hashes[lease.hand_out["line"]] == lease.hand_out["head"]
        assert (one["walk"], one["n"]) == (lease.hand_out["walk"], lease.hand_out["n"])
        assert lease.index in one["tasks"]
        assert one["start"] == start(domain=lease.domain, walk=one["walk"], n=one["n"])
    async with server.market.db.session() as session:
        rows = await session.connection.fetch("select task, place from places where request = $1", request)
    assert all(place(domain=played.leases[0].domain, task=row["task"]) == row["place"] for row in rows)
    assert [canonical.dumps(one) + b"\n" for one in played.documents] == played.lines, "SQL writes canonical JSON"
    assert played.lines == (await played.labelers[0].hand_outs(played.address)).splitlines(keepends=True)
    assert played.lines[3:] == (await played.labelers[0].hand_outs(played.address, after=3)).splitlines(keepends=True)

    original = played.documents
    middle = handouts[len(handouts) // 2]

    def favoured(lines: list[dict[str, Any]]) -> None:
        """A wallet gets a later task than the one on which its walk first comes."""
        at = next(i for i in reversed(handouts[: len(handouts) // 2]) if len(lines[i]["tasks"]) == 1)
        taken = lines[at]["tasks"][0]
        lines[at]["tasks"] = [next(i for i in range(24) if i != taken)]

    def unanswered(lines: list[dict[str, Any]]) -> None:
        """The last hand-out whose task was answered never was."""
        ended = {tuple(pair) for one in lines if one["type"] in ("skipped", "lapsed") for pair in one["leases"]}
        last = next(i for i in reversed(handouts) if any((i, task) not in ended for task in lines[i]["tasks"]))
        del lines[last:]

    changes: dict[str, tuple[Callable[[list[dict[str, Any]]], object], str]] = {
        "another start": (lambda lines: lines[middle].update(start=lines[middle]["start"] ^ 1), "start: "),
        "another walk": (lambda lines: lines[handouts[0]].update(walk=2), "walk: 2 instead of 1"),
        "a hand-out left out": (lambda lines: lines.pop(middle), "line "),
        "the first hand-out left out": (lambda lines: lines.pop(handouts[0]), "line 1: "),
        "a favoured wallet": (favoured, "tasks: ["),
        "a skip that was none": (lambda lines: lines.pop(played.of("skipped")[0]), "line "),
        "a lease that lapsed before it was given": (
            lambda lines: lines.insert(1, lines.pop(played.of("lapsed")[0])), "no lease of task"),
        "an answer without a hand-out": (unanswered, "which it was not handed"),
        "one task less than was there": (lambda lines: lines[middle].update(asked=4 + lines[middle]["asked"]), "line "),
        "more room": (
            lambda lines: lines.insert(5, {"type": "more", "at": lines[4]["at"], "task": 1, "more": 1}),
            "which nothing explains"),
        "owners made up": (
            lambda lines: lines.insert(
                2, {"type": "owners", "at": lines[1]["at"], "point": 32, "rule": owners.RULE,
                    "groups": [[b58(bytes([i] * 32)) for i in (1, 2)]]}),
            "records are not in the vote log"),
        "time that runs back": (lambda lines: lines[middle].update(at=1), "is before the line before"),
        "another request's log": (lambda lines: lines[0].update(domain="00" * 32), "domain: "),
        "a limit on skips that came later": (
            lambda lines: lines[0].update(skips={"free": 1, "share": 0}), "tasks asked for"),
    }  # fmt: skip
    for name, (change, detail) in changes.items():
        played.documents = canonical.loads(canonical.dumps(original))  # type: ignore[assignment]
        change(played.documents)
        assert detail in await played.finding(tmp_path / "changed"), name
    played.documents = original
    assert await played.finding(tmp_path / "changed") == "fits"

    (tmp_path / "changed" / f"{played.address}.tasks.jsonl").write_bytes(b"".join(played.lines[:4] + played.lines[5:]))
    with pytest.raises(Mismatch, match=r"line 4\.previous: is not the sha256 of line 3"):
        await audit(server, played.address, folder=tmp_path / "changed")
    with pytest.raises(Mismatch, match=r"tasks\.jsonl is missing"):
        await audit(server, played.address, folder=tmp_path)


async def test_a_review_that_asks_again_fits(join, post, server: Server) -> None:
    address = (await post(await join("buyer"), items=3, mode="review", budget="50"))["address"]
    first, second = [await join("labeler", stake="100") for _ in range(2)]
    for lease in await first.claim(limit=3):
        await first.submit(lease, LABEL)
    assert await second.claim() == []
    async with server.market.db.session() as session:
        await session.connection.execute(
            "with t as (update tasks set state = 'rejected' where request = $1 and index = 1 returning id)"
            " update answers a set state = 'judged', verdict = false from t where a.task = t.id", unb58(address),
        )  # fmt: skip
    await server.market.db.execute("tasks_again", unb58(address), 2)
    await server.market.db.execute("tasks_again", unb58(address), 2)  # it has room already
    server.market.funding.changed(unb58(address))
    server.market.tasks.opened()  # the list of what has room may just have been read
    (lease,) = await second.claim(limit=2)
    assert lease.index == 1
    assert (await published(server, address))[2].startswith(b'{"at":')
    assert await audit(server, address) == 2


async def test_the_file_is_written_on_after_a_restart_and_never_over_another(join, post, server: Server) -> None:
    address = (await post(await join("buyer"), items=8))["address"]
    labeler = await join("labeler", stake="100")
    await labeler.claim()
    before = await published(server, address)
    path = server.settings.log_dir / f"{address}.tasks.jsonl"
    path.write_bytes(b"".join(before) + b'{"asked":1,"at"')  # a crash in the middle of a line
    handouts = server.market.engine.parts.handouts
    handouts._next.clear()
    await labeler.claim()
    after = await published(server, address)
    assert after[:2] == before
    assert len(after) == 3
    assert await audit(server, address) == 2
    foreign = b"".join([*after[:2], after[2].replace(b'"n":2', b'"n":3')])
    path.write_bytes(foreign)  # as if an older database had been put back
    handouts._next.clear()
    await labeler.claim()
    assert await handouts.publish(unb58(address)) == 0
    assert path.read_bytes() == foreign


async def test_skipping_is_limited(join, post, server: Server) -> None:
    server.market.settings = server.market.settings.model_copy(update={"skips_free": 2, "skips_share": 50})
    address = (await post(await join("buyer"), items=20, spec=SHORT))["address"]
    labeler = await join("labeler", stake="100")
    leases = await labeler.claim(limit=10)
    assert len(leases) == 2, "it never holds more than it may give back"
    assert await labeler.skip(leases) == 2
    (lease,) = await labeler.claim(limit=10)
    with pytest.raises(SkipLimit, match="may give back 0 more tasks") as caught:
        await labeler.skip([lease])
    assert (caught.value.status, caught.value.code) == (429, "skip_limit")
    assert "2, and 50 % of its answers" in str(caught.value.hint)
    with pytest.raises(SkipLimit, match="could give back more than it may"):
        await labeler.claim()
    with pytest.raises(SkipLimit):
        await labeler.claim(request=address)
    await labeler.submit(lease, LABEL)
    (lease,) = await labeler.claim(limit=10)  # one at a time: there is always a way on
    await labeler.submit(lease, LABEL)
    (lease,) = await labeler.claim(limit=10)
    assert await labeler.skip([lease]) == 1
    (lease,) = await labeler.claim(limit=10)
    async with server.market.db.session() as session:
        await session.connection.execute("update leases set expires_at = now() - interval '1 second'")
    await server.market.tasks.sweep()
    (again,) = await labeler.claim(limit=10)
    with pytest.raises(SkipLimit):
        await labeler.skip([again])
    await labeler.submit(again, LABEL)
    await published(server, address)
    assert await audit(server, address) == 6


async def test_open_assignment_is_not_logged(join, post, server: Server) -> None:
    address = (await post(await join("buyer"), items=8, spec={"assignment": "open"}))["address"]
    labeler = await join("labeler", stake="100")
    leases = await labeler.claim(limit=3)
    assert [lease.hand_out for lease in leases] == [None] * 3
    assert await labeler.skip(leases[:1]) == 1
    assert await server.market.engine.parts.handouts.publish(unb58(address)) == 0
    assert not (server.settings.log_dir / f"{address}.tasks.jsonl").exists()
    assert await audit(server, address) == 0
    assert await labeler.hand_outs(address) == b""


async def test_a_suspected_group_has_one_voice(join, post, server: Server, tmp_path: Path) -> None:
    """Copies are found at a refit point; from then on none of them is handed what another was."""
    server.market.settings = server.market.settings.model_copy(update={"skips_free": 500})
    items = 600
    address = (await post(await join("buyer"), items=items, overlap=4))["address"]
    request = unb58(address)
    people = [await join("labeler", stake="100") for _ in range(9)]
    lot = random.Random(5)
    truth = [lot.choice("ab") for _ in range(items)]
    said = [[one if lot.random() < 0.8 else "ab"[one == "a"] for one in truth] for _ in people]
    for copy in (1, 2, 3):
        said[copy] = said[0]
    for _ in range(50):
        for number, labeler in enumerate(people):
            leases = await labeler.claim(limit=5)
            if leases:
                await labeler.submit_many([(lease, {"value": said[number][lease.index]}) for lease in leases])
    handouts = server.market.engine.parts.handouts
    async with server.market.db.session() as session:
        # As if these had been settled, in batches of eight.
        await session.connection.execute(
            "update tasks t set batch = x.place / 8 from (select id, row_number() over (order by index) - 1 as place"
            " from tasks where request = $1 and answers_done > 2) x where t.id = x.id", request,
        )  # fmt: skip
        settled = await session.connection.fetchval("select count(batch) from tasks where request = $1", request)
        batches = await session.connection.fetchval("select max(batch) + 1 from tasks where request = $1", request)
    point = 1 << int(settled).bit_length() - 1
    assert point >= 256
    handouts.grown(request, batches=batches)
    async with asyncio.timeout(30):
        while (await server.market.db.row("owners_state", request))["point"] < point:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    (line,) = [one for one in map(canonical.loads, await published(server, address)) if one["type"] == "owners"]
    assert line["point"] == point
    (group,) = line["groups"]
    copies = {people[i].wallet for i in range(4)}
    assert len(copies & set(group)) >= 3, "the copies are one owner"
    assert set(group) <= copies

    async with server.market.db.session() as session:
        before = await session.connection.fetch("select task, labeler from answers where request = $1", request)
    had = {row["task"] for row in before if b58(row["labeler"]) in group}
    given: list[bytes] = []
    for labeler in people[:4]:
        if labeler.wallet in group:
            given += [lease.task for lease in await labeler.claim(limit=40)]
    assert given
    assert len(set(given)) == len(given), "no task twice to one owner"
    assert not had & set(given)
    lines = await published(server, address)
    async with server.market.db.session() as session:  # what is not settled is not in the vote log
        await session.connection.execute(
            "delete from answers where task in (select id from tasks where request = $1 and batch is null)", request
        )
    assert await audit(server, address) == sum(b'"handout"' in one for one in lines)
    with pytest.raises(Mismatch, match=f"point 0, though point {point} was reached long before"):
        await audit(server, address, at=0)
    played = Played(server, address, people, [], lines)
    owners = played.documents.pop(played.of("owners")[0])
    for one in played.documents[1:]:
        if one["type"] == "handout":
            one["point"] = 0
    assert "tasks: [" in await played.finding(tmp_path / "changed"), "each by itself would have been handed others"
    played = Played(server, address, people, [], lines)
    played.documents[played.of("owners")[0]] = {**owners, "rule": 7}
    assert "this auditor knows rule" in await played.finding(tmp_path / "changed")
    played.documents[played.of("owners")[0]] = {**owners, "groups": []}
    assert "groups: 0, not the 1" in await played.finding(tmp_path / "changed")


async def test_tasks_cannot_be_named_where_they_are_drawn(join, post) -> None:
    address = (await post(await join("buyer"), items=2))["address"]
    labeler = await join("labeler", stake="100")
    with pytest.raises(Forbidden, match="handed out at random"):
        await labeler.claim(request=address, tasks=[bytes(32)])


def test_a_header_is_canonical() -> None:
    from assay.domain.assignment_log import Header

    line = encode_header(Header(bytes(32), bytes(32), bytes(32), 1, 2))
    assert canonical.dumps(canonical.loads(line)) == line


@pytest.mark.timeout(120)
async def test_a_killed_database_takes_no_published_line_back(home: Path, post) -> None:
    """Hand-outs do not wait for the disk; the file does, and an answer is never left without its line."""
    async with Server(load(home=home)) as server, AsyncExitStack() as stack:

        async def joined(role: str, stake: str) -> Client:
            client = await stack.enter_async_context(Client(server.url, key=Keypair(), patience=60))
            await client.faucet(tokens="10000")
            await client.enrol(role, stake=stake)
            return client

        address = (await post(await joined("buyer", "0"), items=40, overlap=2))["address"]
        people = [await joined("labeler", "100") for _ in range(3)]
        for round_ in range(3):
            for labeler in people:
                for lease in await labeler.claim(limit=3):
                    await labeler.submit(lease, LABEL)
            before = await published(server, address)
            leases = [(labeler, lease) for labeler in people for lease in await labeler.claim(limit=2)]
            postmaster = int((server.settings.postgres_dir / "data" / "postmaster.pid").read_text().split()[0])
            os.kill(postmaster, signal.SIGKILL)
            held = {(labeler.wallet, lease.task) for labeler in people for lease in await labeler.work()}
            for labeler, lease in leases:
                if (labeler.wallet, lease.task) not in held:
                    with pytest.raises(LeaseLost):
                        await labeler.submit(lease, LABEL)
            await steady(server)
            after = await published(server, address)
            assert after[: len(before)] == before, round_
            assert await audit(server, address) == sum(b'"handout"' in line for line in after)
