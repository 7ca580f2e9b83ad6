"""An operator that wants to see votes before others commit: none is opened to it alone, and no late one counts."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from assay.domain import messages


async def test_an_operator_sees_no_vote_early_and_gets_no_late_one_signed(stage: Callable[..., Any]) -> None:
    market = await stage(vote_seconds=8, batch_ms=10_000)

    async def sql(text: str, *values: object) -> list[Any]:
        async with market.market.db.session() as session:
            return list(await session.connection.fetch(text, *values))

    async def votes(least: int, where: str = "true") -> bool:
        return len(await sql(f"select 1 from votes where {where}")) >= least

    buyer, labeler = await market.client("buyer"), await market.client("labeler", stake="100")
    address = await market.post(buyer, mode="review", items=1)
    domain = bytes.fromhex((await buyer.progress(address))["domain"])
    await market.start_worker(1)
    await market.until(lambda: market.connected(1), what="a worker")
    await market.label(labeler, address, ["cat"])
    await market.until(lambda: votes(1), what="its commitment")

    # It named eight seconds to this one alone, and asks for the vote when they are over.
    await sql("update rounds set state = 'reveal', reveal_until = now() + interval '1 hour' where state = 'commit'")
    await market.until(lambda: "too_few_commits" in market.log(1), what="a refusal")
    assert not await votes(1, "vote is not null")

    # With a second commitment both open theirs: what they are shown then is all that they will sign.
    await market.start_worker(2)
    await market.until(lambda: market.connected(2), what="a second worker")
    await sql("update rounds set state = 'commit', commit_until = now() + interval '15 s' where state = 'reveal'")
    await market.until(lambda: votes(2, "vote"), what="two votes")
    (decided,) = await sql("select answer, round from rounds where state in ('reveal', 'decided')")
    third, answer, round = market.validators[2], decided["answer"], decided["round"]
    voter, salt = bytes(third.pubkey()), b"s" * 32
    said = messages.commitment(domain=domain, answer=answer, round=round, voter=voter, vote=1, salt=salt)
    signed = messages.commit(domain=domain, answer=answer, round=round, voter=voter, commitment=said)
    await sql(
        "insert into votes (answer, round, voter, commitment, signature, vote, salt, revealed_at)"
        " values ($1, $2, $3, $4, $5, true, $6, now())",
        answer, round, voter, said, messages.sign(third, signed), salt,
    )  # fmt: skip

    async def refused() -> bool:
        rows = await sql("select validator, refusal from batch_signatures where refusal is not null")
        return {(row["validator"], row["refusal"]) for row in rows} == {
            (bytes(one.pubkey()), "late_vote") for one in market.validators[:2]
        }

    await market.until(refused, what="refusals of both")
    assert await market.settled(buyer, address) == 0
