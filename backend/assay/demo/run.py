"""`./assay demo`: the whole market, from an order to its last payment, and what it came to."""

from __future__ import annotations

import asyncio
import sys
import time
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from solders.keypair import Keypair

from assay.chain.keys import ensure_key
from assay.client import Client
from assay.demo import crowd, digits, report
from assay.demo.crowdfile import MAX_OVERLAP, CrowdAnswers, read_answers, read_truth
from assay.demo.markets import MarketProcesses
from assay.domain.tally import Role
from assay.errors import AssayError, FieldError
from assay.settings import load

PRICE, FEE = "0.05", "0.02"
STALL_SECONDS = 120.0
"""Without any progress for so long, the demo gives up and says where it stands."""
UPLOADS = 16
LONGEST_NAME = 100
MOST_PREPARED = 400
"""Wallets that the market's lookup tables are waited for; larger crowds have later ones of their own."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What `./assay demo` was asked for."""

    home: Path | None = None
    rpc: str | None = None
    answers: Path | None = None
    truth: Path | None = None
    example: bool = False
    records: int = 120
    labelers: int = 10
    overlap: int = 5
    more: str | None = None
    validators: int = 3
    quiet: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """A request and its crowd. `truth`: the right label by item index; `answers`: label by (item index, worker)."""

    order: dict[str, Any]
    items: Sequence[tuple[bytes, str]]
    truth: Mapping[int, str]
    workers: Sequence[str]
    readers: Sequence[digits.Reader] = ()
    answers: Mapping[str, Mapping[int, str]] | None = None
    grows: bool = False


def plan(options: Options) -> Plan:
    """What the demo will order and who will answer. Raises `FieldError` naming the option that is wrong."""
    if options.truth is not None and options.answers is None:
        raise FieldError("--truth", "goes with --answers")
    if options.example and (options.answers is not None or options.more is not None):
        raise FieldError("--example", f"does not go with {'--more' if options.answers is None else '--answers'}")
    more = _more(options)
    if options.answers is not None:
        truth = {} if options.truth is None else read_truth(options.truth)
        answers = read_answers(options.answers)
        return _replay_plan(answers, truth, name=options.answers.parent.name, overlap=options.overlap, more=more)
    if options.example:
        return _example_plan()
    if options.overlap > options.labelers:
        raise FieldError("--overlap", f"is {options.overlap}", hint=f"at most the {options.labelers} labelers")
    if more is not None and more["most"] > options.labelers:
        raise FieldError("--more", f"asks for {more['most']} answers", hint=f"at most the {options.labelers} labelers")
    return _digits_plan(options, more)


def _more(options: Options) -> dict[str, int] | None:
    if options.more is None:
        return None
    most, _, confidence = options.more.partition(":")
    if not (most.isascii() and most.isdecimal() and confidence.isascii() and confidence.isdecimal()):
        raise FieldError("--more", f"is {options.more!r}", hint="most answers and confidence (bps), such as 9:7500")
    if not options.overlap < int(most) <= MAX_OVERLAP:
        hint = f"more than --overlap, {options.overlap}, up to {MAX_OVERLAP}"
        raise FieldError("--more", f"asks for {most} answers", hint=hint)
    if not 1 <= int(confidence) <= 10_000:
        raise FieldError("--more", f"has a confidence of {confidence}", hint="1 to 10000 basis points")
    return {"most": int(most), "confidence_bps": int(confidence)}


def _order(title: str, classes: Sequence[str], **more: Any) -> dict[str, Any]:
    spec = {
        "title": title,
        "kind": "choice",
        "schema": {"classes": list(classes)},
        "consensus": {"method": "majority"},
        "gold": None,
        **more.pop("spec"),
    }
    return {"spec": spec, "price": PRICE, "validation_fee": FEE, **more}


def _digits_plan(options: Options, more: dict[str, int] | None) -> Plan:
    items = digits.items(options.records, seed=11)
    spec = {
        "instructions": "Which digit does the image show?",
        "mode": "agreement",
        "overlap": options.overlap,
        "assignment": "random",
        "limits": {"lease_seconds": 60},
        "more": more,
    }
    return Plan(
        order=_order("Handwritten digits", digits.CLASSES, spec=spec),
        items=[(item.png, "image/png") for item in items],
        truth={index: item.truth for index, item in enumerate(items)},
        workers=[f"labeler {index}" for index in range(options.labelers)],
        readers=[digits.labeler(index) for index in range(options.labelers)],
    )


def _example_plan() -> Plan:
    """The reference example: an expert's 50 digits, reviewed by three validators who read them too."""
    items = digits.items(50, seed=0)
    truth = {item.png: item.truth for item in items}
    spec = {
        "instructions": "Which digit does the image show?",
        "mode": "review",
        "overlap": 1,
        "assignment": "random",
        "limits": {"lease_seconds": 60},
    }
    return Plan(
        order={
            **_order("The reference example", digits.CLASSES, spec=spec),
            "price": "1",
            "validation_fee": "0.04",
            "budget": "500",
        },
        items=[(item.png, "image/png") for item in items],
        truth={index: item.truth for index, item in enumerate(items)},
        workers=["contributor"],
        readers=[lambda png: truth[png]],
    )


def _replay_plan(
    answers: CrowdAnswers, truth: Mapping[str, str], *, name: str, overlap: int, more: dict[str, int] | None
) -> Plan:
    """A file's answers: all of them, or `overlap` a task and those that it asks for after that."""
    index = {task: number for number, task in enumerate(answers.tasks)}
    overlaps = answers.overlaps()
    if more is not None:
        overlaps = Counter({task: min(count, overlap) for task, count in overlaps.items()})
    by_worker: dict[str, dict[int, str]] = {worker: {} for worker in answers.workers}
    for (task, worker), label in answers.labels.items():
        by_worker[worker][index[task]] = label
    spec = {
        "instructions": "Answers of an earlier crowd.",
        "mode": "agreement",
        "overlap": max(overlaps.values()),
        "assignment": "open",
        "limits": {"lease_seconds": 600},
        "more": more,
    }
    classes = sorted({*answers.classes, *(truth[task] for task in answers.tasks if task in truth)})
    order = _order(f"Replay of {name or 'a crowd'}", classes, spec=spec)
    order["spec"]["items"] = [{"overlap": overlaps[task]} for task in answers.tasks]
    return Plan(
        order=order,
        items=[(task.encode(), "text/plain") for task in answers.tasks],
        truth={index[task]: label for task, label in truth.items() if task in index},
        workers=answers.workers,
        answers=by_worker,
        grows=more is not None,
    )


async def run(options: Options) -> dict[str, Any]:
    """Run the market; what it came to (docs: README, the keys of `--json`)."""
    began = time.monotonic()
    console = Console(stderr=True, quiet=options.quiet, highlight=False)

    def say(text: str) -> None:
        console.print(f"[dim]{time.monotonic() - began:6.1f} s[/dim]  {text}")

    settings = load(home=options.home or Path(".assay/demo"), rpc_url=options.rpc)
    settings.make_home()
    made = await asyncio.to_thread(plan, options)
    async with MarketProcesses(settings, validators=options.validators, say=say) as market:
        return await _trade(market, made, say=say, began=began)


async def _trade(market: MarketProcesses, made: Plan, *, say: Any, began: float) -> dict[str, Any]:
    keys_dir = market.settings.keys_dir
    buyer_key = ensure_key(keys_dir / "buyer.json")
    names = [f"crowd/{_safe(worker)}.json" for worker in made.workers]
    keys = [ensure_key(keys_dir / name) for name in names]
    wallets = {str(key.pubkey()): worker for key, worker in zip(keys, made.workers, strict=True)}
    await market.enrol([buyer_key], Role.BUYER, stake=0, spend=10_000)
    stake = market.stakes.labeling(len(made.items))
    await market.enrol(keys, Role.LABELER, stake=stake)
    say(f"wallets: a buyer and {len(keys)} labelers, {stake} tokens at stake each")

    buyer = market.client(buyer_key)
    before = await report.balances(market.chain, [key.pubkey() for key in (*keys, *market.validators, buyer_key)])
    order = await with_items(buyer, made)
    draft = await buyer.post(order)
    request = draft["address"]
    say(f"request {request}: {len(made.items)} records, {draft['budget']} tokens locked")
    await market.until_panel(request)
    prepared = await market.until_prepared(keys[:MOST_PREPARED])
    say(f"its panel is drawn{'' if prepared else ', lookup tables not ready'}; the crowd begins")
    posted = time.monotonic()
    if made.grows and made.answers is not None:
        offers = {key: made.answers[worker] for key, worker in zip(keys, made.workers, strict=True)}
        await _offer(market, offers, request, say=say)
    else:
        await _label(market, made, keys, request, say=say)
    worked = time.monotonic() - posted
    say("all answers are judged and paid; closing the request")
    await buyer.end(request)
    return await report.gather(
        market.chain,
        buyer,
        request=request,
        truth=made.truth,
        wallets=wallets,
        validators=[str(key.pubkey()) for key in market.validators],
        before=before,
        seconds={"seconds": round(time.monotonic() - began, 3), "working_seconds": round(worked, 3)},
        home=str(market.settings.home),
    )


def _safe(worker: str) -> str:
    """A worker's name as a file name; distinct workers keep distinct names."""
    name = "".join(char if char.isalnum() or char in "-_" else f"%{ord(char):x}" for char in worker)
    if len(name) <= LONGEST_NAME and name.isascii():
        return name
    return f"{name.encode('ascii', 'ignore').decode()[:LONGEST_NAME]}~{sha256(worker.encode()).hexdigest()[:16]}"


async def with_items(buyer: Client, made: Plan) -> dict[str, Any]:
    """The plan's order with its items uploaded."""
    gate = asyncio.Semaphore(UPLOADS)

    async def upload(data: bytes, media_type: str) -> dict[str, Any]:
        async with gate:
            stored = await buyer.upload(data, media_type=media_type)
        return {"cid": stored["cid"], "media_type": stored["media_type"]}

    uploaded = await asyncio.gather(*(upload(data, media_type) for data, media_type in made.items))
    own = made.order["spec"].get("items") or [{}] * len(uploaded)
    items = [{**stored, **extra} for stored, extra in zip(uploaded, own, strict=True)]
    return {**made.order, "spec": {**made.order["spec"], "items": items}}


async def _label(market: MarketProcesses, made: Plan, keys: Sequence[Keypair], request: str, *, say: Any) -> None:
    finished, pace = asyncio.Event(), crowd.Pace()
    work: list[Awaitable[int]]
    if made.answers is not None:
        tasks = [bytes.fromhex(task["task"]) for task in await market.client(keys[0]).tasks(request)]
        gate = asyncio.Semaphore(4)
        work = [
            crowd.give_answers(
                market.client(key),
                {tasks[index]: label for index, label in made.answers[worker].items()},
                request=request,
                gate=gate,
                pace=pace,
            )
            for key, worker in zip(keys, made.workers, strict=True)
        ]
    else:
        work = [
            crowd.read_images(market.client(key), read, request=request, done=finished.is_set, pace=pace)
            for key, read in zip(keys, made.readers, strict=True)
        ]
    labelling = asyncio.ensure_future(crowd.all_of(work))
    watching = asyncio.ensure_future(_until_done(market, request, pace, say=say))
    try:
        await asyncio.wait(
            {labelling, watching}, return_when=asyncio.FIRST_EXCEPTION if not made.readers else asyncio.FIRST_COMPLETED
        )
        if labelling.done():
            labelling.result()
        await watching
        finished.set()
        await labelling
    finally:
        for task in (labelling, watching):
            task.cancel()
        await asyncio.gather(labelling, watching, return_exceptions=True)


async def _offer(
    market: MarketProcesses, offers: Mapping[Keypair, Mapping[int, str]], request: str, *, say: Any
) -> None:
    """The file's answers, as far as they are asked for; what is in doubt when it has no more is settled as it is."""
    buyer = market.client(ensure_key(market.settings.keys_dir / "buyer.json"))
    tasks = [bytes.fromhex(task["task"]) for task in await buyer.tasks(request)]
    left = {
        market.client(key): {tasks[index]: label for index, label in answers.items()} for key, answers in offers.items()
    }
    if asking := await crowd.offer(buyer, left, request=request, check=market.processes.check):
        say(f"{asking} records ask for more answers than there are; they are settled as they are")
        await buyer.end(request, cancel=True)
    await _until_done(market, request, crowd.Pace(), say=say)


async def _until_done(market: MarketProcesses, request: str, pace: crowd.Pace, *, say: Any) -> None:
    """Wait until every record is done and every answer settled. Raises `AssayError` when nothing moves any more."""
    buyer = market.client(ensure_key(market.settings.keys_dir / "buyer.json"))
    last, moved, told = (-1, -1), time.monotonic(), time.monotonic()
    while True:
        market.processes.check()
        now = await buyer.progress(request)
        pace.note(judged=now["accepted"] + now["rejected"], paid=now["settled"])
        chain = now["chain"] or {"records_done": 0}
        if chain["records_done"] >= now["request"]["records"] and now["settled"] >= now["answers"]:
            return
        state = (now["answers"], now["settled"])
        if state != last:
            last, moved = state, time.monotonic()
        if time.monotonic() - told > 5:
            told = time.monotonic()
            say(f"answers {now['answers']}, paid {now['settled']}, records {chain['records_done']}")
        if time.monotonic() - moved > STALL_SECONDS:
            tails = "\n".join(f"-- {name}\n{market.processes.tail(name)}" for name in market.processes.running)
            raise AssayError(f"nothing has moved for {STALL_SECONDS:.0f} s: {now}\n{tails}")
        await asyncio.sleep(0.1)


def _agreement(found: Mapping[str, Any]) -> str:
    if found["krippendorff_alpha"] is None:
        return "no record has two ratings"
    text = f"Krippendorff's α {found['krippendorff_alpha']:.3f}"
    if found["fleiss_kappa"] is not None:
        text += f", Fleiss' κ {found['fleiss_kappa']:.3f}; {found['observed_agreement']:.1%} of pairs agree"
    return text


def show(result: Mapping[str, Any]) -> None:
    """Print a result as tables."""
    console = Console(file=sys.stdout, highlight=False)
    latency = result["latency_ms"]
    accuracy = result["accuracy"]
    main = Table(title="From request to paid record", show_header=False)
    rows = {
        "records": result["records"],
        "answers accepted / rejected": f"{result['answers_accepted']} / {result['answers_rejected']}",
        "accuracy of the records": "no truth given" if accuracy is None else f"{accuracy:.1%}",
        "accuracy of the average labeler": (
            "no truth given" if accuracy is None else f"{result['accuracy_average_labeler']:.1%}"
        ),
        f"agreement of {result['agreement']['raters']}": _agreement(result["agreement"]),
        "tokens locked": result["locked"],
        "paid to contributors": result["paid_contributors"],
        "paid to validators": result["paid_validators"],
        "market fees": result["fees"],
        "back to the buyer": f"{result['refundable']} ({result['reserved']} of it once nobody can dispute any more)",
        "every unit accounted for": "yes" if result["conserved"] else "NO",
        "deciding vote → tokens, ms": f"p50 {latency['p50']}  p95 {latency['p95']}  p99 {latency['p99']}",
        "settlement transactions": result["transactions"],
        "compute units a record": result["compute_units_per_record"],
        "seconds": f"{result['seconds']} in all, {result['working_seconds']} from posting to the last payment",
    }
    for name, value in rows.items():
        main.add_row(name, str(value))
    console.print(main)
    earned = Table("who", "answers", "accepted", "right", "earned", title="What each earned (tokens)")
    people = sorted(result["labelers"], key=lambda one: -float(one["earned"]))
    for one in people[:20]:
        right = "" if one["accuracy"] is None else f"{one['accuracy']:.1%}"
        earned.add_row(one["name"], str(one["answers"]), str(one["accepted"]), right, one["earned"])
    if len(people) > 20:
        earned.add_row(f"… {len(people) - 20} more", "", "", "", "")
    for one in result["validators"]:
        earned.add_row(one["name"], "", "", "", one["earned"])
    console.print(earned)
    console.print(f"request {result['request']}; check it all: ./assay replay --home {result['home']}")
