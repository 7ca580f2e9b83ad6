"""`./assay simulate`: what attacks of each kind do to the market, in a table or as JSON."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import Annotated, Any

import typer

from assay.errors import FieldError


def simulate(
    mix: Annotated[
        list[str] | None,
        typer.Option(
            help="A strategy's share of the workers, such as lazy=0.1; repeat it to mix. Default: each in turn."
        ),
    ] = None,
    attackers: Annotated[float, typer.Option(min=0, max=0.9, help="Share of attackers without --mix.")] = 0.3,
    tasks: Annotated[int, typer.Option(min=10, max=200_000, help="Tasks.")] = 2000,
    workers: Annotated[int, typer.Option(min=3, max=20_000, help="Workers.")] = 100,
    overlap: Annotated[int, typer.Option(min=1, max=100, help="Answers to each task.")] = 7,
    gold: Annotated[float, typer.Option(min=0, max=1, help="Share of tasks whose answer is known.")] = 0.05,
    classes: Annotated[int, typer.Option(min=2, max=100, help="Classes.")] = 2,
    seeds: Annotated[int, typer.Option(min=1, max=1000, help="Runs of each mix.")] = 3,
    method: Annotated[str, typer.Option(help="Consensus method.")] = "auto",
    as_json: Annotated[bool, typer.Option("--json", help="Print one JSON object instead of tables.")] = False,
) -> None:
    """Simulate attacks: accuracy, who is flagged, who earns what, and what a wrong record costs the attacker."""
    mixes = mixes_of(mix or [], attackers)
    rows = []
    for one in mixes:
        rows.append(
            simulated(
                one,
                tasks=tasks,
                workers=workers,
                overlap=overlap,
                gold=gold,
                classes=classes,
                seeds=seeds,
                method=method,
            )
        )
        if not as_json:
            print(f"{name_of(one)}: {rows[-1]['seconds']} s", file=sys.stderr)
    if as_json:
        setting = {"tasks": tasks, "workers": workers, "overlap": overlap, "gold": gold, "classes": classes}
        print(json.dumps({**setting, "seeds": seeds, "method": method, "runs": rows}))
    else:
        print(table(rows))


def simulated(
    mix: Mapping[str, float],
    *,
    tasks: int = 2000,
    workers: int = 100,
    overlap: int = 7,
    gold: float = 0.05,
    classes: int = 2,
    seeds: int = 3,
    method: str = "auto",
) -> dict[str, Any]:
    """One mix as plain numbers; `FieldError` for what makes no sense."""
    from assay.consensus import InvalidAnswers

    from .run import run

    start = time.perf_counter()
    try:
        report = run(
            mix,
            tasks=tasks,
            workers=workers,
            overlap=overlap,
            gold=gold,
            classes=classes,
            seeds=range(seeds),
            method=method,
        )
    except InvalidAnswers as error:
        field, _, detail = str(error).partition(" ")
        raise FieldError(field, detail) from error
    return {**report.summary(), "seconds": round(time.perf_counter() - start, 2)}


def mixes_of(given: Sequence[str], attackers: float) -> list[dict[str, float]]:
    """The mixes to run: that of the options, or nobody, each strategy alone, and all at once."""
    from .crowd import STRATEGIES

    if given:
        mix: dict[str, float] = {}
        for text in given:
            name, _, share = text.partition("=")
            name = name.strip().replace("-", "_")
            if name in mix:
                raise FieldError("mix", f"names {name} twice", hint="one share a strategy")
            try:
                mix[name] = float(share)
            except ValueError:
                raise FieldError("mix", f"is {text!r}", hint="a strategy and its share, such as lazy=0.1") from None
        return [mix]
    alone = [{name: attackers} for name in STRATEGIES]
    return [{}, *alone, {name: round(attackers / len(STRATEGIES), 6) for name in STRATEGIES}]


def name_of(mix: Mapping[str, float]) -> str:
    """A mix in words: "lazy 30 %"."""
    if not mix:
        return "all honest"
    if len(mix) > 3:
        return f"{len(mix)} strategies, {100 * sum(mix.values()):.0f} %"
    return ", ".join(f"{name} {100 * share:.0f} %" for name, share in mix.items())


COLUMNS = (
    ("right", "labels that are right, by all answers together"),
    ("worst", "the same in the worst seed"),
    ("settled", "as they were settled, each by what the answers before it had shown"),
    ("majority", "by plain majority"),
    ("flagged", "colluders found"),
    ("honest", "honest workers flagged"),
    ("pay", "an attacker's pay per answer over an honest voter's, with the record that the run leaves"),
    ("new", "from the first answer on, in a crowd of which nobody is known"),
    ("labeler", "as labelers: paid answers instead of fees"),
    ("naive", "if whoever agrees were paid"),
    ("convicted", "slashes per attacker"),
    ("wrong", "records that are wrong because of the attack"),
    ("cost", "tokens that each of them costs the attackers: pay forgone, stake slashed"),
)


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """The runs as lines of text, with what each column says below."""
    lines = [f"{'attackers':<22}" + "".join(f"{name:>10}" for name, _ in COLUMNS)]
    for row in rows:
        strategies = [name for name in row["slashed"] if name != "honest"]
        cells = (
            *(_share(row[name]) for name in ("accuracy", "worst_accuracy", "accuracy_new", "accuracy_majority")),
            *(_share(row[name]) for name in ("recall", "honest_flagged")),
            *(_highest(row[name]) for name in ("pay", "pay_new", "pay_labeler", "pay_naive")),
            f"{max((row['slashed'][name] for name in strategies), default=0.0):.1f}",
            f"{row['wrong_by_attack']:.0f}",
            "–" if row["attack_cost"] is None else f"{row['attack_cost']:.0f}",
        )
        lines.append(f"{name_of(row['mix']):<22}" + "".join(f"{cell:>10}" for cell in cells))
    return "\n".join([*lines, "", *(f"{name:<10} {meaning}" for name, meaning in COLUMNS)])


def _share(value: float | None) -> str:
    return "–" if value is None else f"{100 * value:.1f} %"


def _highest(values: Mapping[str, float | None]) -> str:
    """Of several strategies the one that earns most."""
    found = [value for value in values.values() if value is not None]
    return f"{max(found):.3f}" if found else "–"
