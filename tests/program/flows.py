"""What people do in the market, one method a transaction: `Flows` is a `World` with its instructions."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any

from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.pubkey import Pubkey
from world import BUYER, LABELER, UNIT, VALIDATOR, Actor, Outcome, Posted, Settled, TallyOf, World, keypair

from assay.chain.ed25519 import signatures_instruction
from assay.chain.tokens import TOKEN
from assay.domain import merkle

UNITS = 2520


def accounts_of(*keys: Pubkey) -> list[AccountMeta]:
    """Writable remaining accounts."""
    return [AccountMeta(key, False, True) for key in keys]


def raw_signatures(signed: Sequence[tuple[Pubkey, bytes, bytes]]) -> Instruction:
    """An Ed25519 instruction of (wallet, signature, message), each with a message of its own."""
    start = 2 + 14 * len(signed)
    head, body = bytearray([len(signed), 0]), bytearray()
    for wallet, signature, message in signed:
        key = start + len(body)
        head += struct.pack("<7H", key + 32, 0xFFFF, key, 0xFFFF, key + 96, len(message), 0xFFFF)
        body += bytes(wallet) + signature + message
    return Instruction(Pubkey.from_string("Ed25519SigVerify111111111111111111111111111"), bytes(head + body), [])


class Flows(World):
    """A market in which each kind of transaction is a method that returns its `Outcome`."""

    # People

    def actor(self, name: str, role: int = 0, *, stake: int = 0, tokens: int = 0, payout: bool = True) -> Actor:
        """A wallet; registered, staked and with a payout account as asked. Fails loudly."""
        key = keypair(name)
        actor = Actor(name, key, self.addresses.participant(key.pubkey()))
        self.actors[name] = actor
        self.fund(actor.wallet)
        self.give(actor.wallet, tokens + stake)
        if role:
            assert (outcome := self.register(actor, role)).ok, outcome
            if payout:
                assert (outcome := self.set_payout(actor)).ok, outcome
        if stake:
            assert (outcome := self.stake(actor, stake)).ok, outcome
        return actor

    def buyer(self, name: str = "buyer", *, tokens: int = 100_000 * UNIT) -> Actor:
        return self.actors.get(name) or self.actor(name, BUYER, tokens=tokens)

    def labeler(self, name: str = "labeler", *, stake: int = 100 * UNIT, tokens: int = 1_000 * UNIT) -> Actor:
        return self.actors.get(name) or self.actor(name, LABELER, stake=stake, tokens=tokens)

    def validator(self, name: str, *, stake: int = 500 * UNIT) -> Actor:
        return self.actor(name, VALIDATOR, stake=stake)

    def register(self, actor: Actor, role: int) -> Outcome:
        outcome = self.send(
            self.build("register", accounts={"payer": actor.wallet, "wallet": actor.wallet}, args={"role": role}),
            signers=[actor.key],
        )
        if outcome.ok:
            actor.role = role
        return outcome

    def set_payout(self, actor: Actor, payout: Pubkey | None = None, mint: Pubkey | None = None) -> Outcome:
        mint = mint or self.mint
        payout = payout or self.token_account(actor.wallet, mint)
        accounts = {"wallet": actor.wallet, "mint": mint, "payout": payout}
        return self.send(self.build("set_payout", accounts=accounts), signers=[actor.key])

    def stake(self, actor: Actor, amount: int) -> Outcome:
        accounts = {
            "wallet": actor.wallet,
            "mint": self.mint,
            "source": self.token_account(actor.wallet),
            "token_program": self.token_programs[self.mint],
        }
        return self.send(self.build("stake", accounts=accounts, args={"amount": amount}), signers=[actor.key])

    def request_unstake(self, actor: Actor, amount: int) -> Outcome:
        instruction = self.build("request_unstake", accounts={"wallet": actor.wallet}, args={"amount": amount})
        return self.send(instruction, signers=[actor.key])

    def cancel_unstake(self, actor: Actor) -> Outcome:
        return self.send(self.build("cancel_unstake", accounts={"wallet": actor.wallet}), signers=[actor.key])

    def withdraw_stake(self, actor: Actor) -> Outcome:
        accounts = {
            "wallet": actor.wallet,
            "mint": self.mint,
            "destination": self.token_account(actor.wallet),
            "token_program": self.token_programs[self.mint],
        }
        return self.send(self.build("withdraw_stake", accounts=accounts), signers=[actor.key])

    def claim_owed(self, actor: Actor, mint: Pubkey | None = None) -> Outcome:
        mint = mint or self.mint
        accounts = {
            "wallet": actor.wallet,
            "mint": mint,
            "destination": self.token_account(actor.wallet, mint),
            "token_program": self.token_programs[mint],
        }
        return self.send(self.build("claim_owed", accounts=accounts), signers=[actor.key])

    # The authority

    def govern(self, name: str, signer: Keypair | None = None, **args: Any) -> Outcome:
        """pause, unpause, update_params, propose_authority, accept_authority."""
        signer = signer or self.authority
        who = "pending" if name == "accept_authority" else "authority"
        return self.send(self.build(name, accounts={who: signer.pubkey()}, args=args), signers=[signer])

    def withdraw_fees(self, amount: int, mint: Pubkey | None = None) -> Outcome:
        mint = mint or self.mint
        accounts = {
            "authority": self.authority.pubkey(),
            "mint": mint,
            "destination": self.token_account(self.authority.pubkey(), mint),
            "token_program": self.token_programs[mint],
        }
        return self.send(
            self.build("withdraw_fees", accounts=accounts, args={"amount": amount}), signers=[self.authority]
        )

    # Requests

    def post(
        self, buyer: Actor, *, id: int = 1, amount: int = 500 * UNIT, mint: Pubkey | None = None, **changes: Any
    ) -> tuple[Posted, Outcome]:
        """Posts a review request (price 1, fee 0.04, 50 records); `changes` name other arguments."""
        mint = mint or self.mint
        args: dict[str, Any] = {
            "spec_hash": bytes(32),
            "amount": amount,
            "price": UNIT,
            "validation_fee": UNIT // 25,
            "deadline": self.market_time + 100_000,
            "records": 50,
            "overlap": 1,
            "premium_bps": (0, 0, 0, 0),
            "mode": 1,
            "kind": 0,
            "min_tier": 0,
            **changes,
        }
        posted = Posted(self.addresses.request(buyer.wallet, id), buyer, id, mint)
        accounts = {
            "buyer": buyer.wallet,
            "mint": mint,
            "source": self.token_account(buyer.wallet, mint),
            "token_program": self.token_programs[mint],
        }
        instruction = self.build("post_request", accounts=accounts, args={"id": id, "args": args})
        return posted, self.send(instruction, signers=[buyer.key])

    def money(self, posted: Posted) -> dict[str, Pubkey]:
        return {"mint": posted.mint, "token_program": self.token_programs[posted.mint]}

    def top_up(self, posted: Posted, amount: int, funder: Actor | None = None) -> Outcome:
        funder = funder or posted.buyer
        source = self.token_account(funder.wallet, posted.mint)
        accounts = {"funder": funder.wallet, "request": posted.address, "source": source, **self.money(posted)}
        return self.send(self.build("top_up_request", accounts=accounts, args={"amount": amount}), signers=[funder.key])

    def draw_call(self, posted: Posted) -> Outcome:
        """One of the two calls of draw_panel."""
        return self.send(self.build("draw_panel", accounts={"request": posted.address}), signers=[self.authority])

    def draw(self, posted: Posted) -> list[Pubkey]:
        """Both calls; the panel's wallets."""
        assert (outcome := self.draw_call(posted)).ok, outcome
        self.advance(slots=3)
        assert (outcome := self.draw_call(posted)).ok, outcome
        request = self.request(posted)
        return [Pubkey.from_bytes(bytes(wallet)) for wallet in request.panel[: request.panel_count]]

    def payout_of(self, actor: Actor, mint: Pubkey) -> Pubkey:
        index = self.mints.index(mint)
        set_to = Pubkey.from_bytes(bytes(self.person(actor).payout[index]))
        return set_to if set_to != Pubkey.default() else self.token_account(actor.wallet, mint)

    def settle_parts(
        self,
        posted: Posted,
        tallies: Sequence[TallyOf],
        *,
        root: bytes = bytes(32),
        signers: Sequence[Actor] | None = None,
        number: int | None = None,
        changes: Mapping[str, Any] | None = None,
    ) -> tuple[list[Instruction], bytes]:
        """The two instructions of a settlement, and its digest. `changes` replace arguments after the digest."""
        request = self.request(posted)
        ordered = sorted(tallies, key=lambda tally: bytes(tally.actor.participant))
        labelers = [tally for tally in ordered if tally.actor.role != VALIDATOR]
        validators = [tally for tally in ordered if tally.actor.role == VALIDATOR]
        good = sum(tally.good for tally in labelers)
        answers = good + sum(tally.bad for tally in labelers)
        args: dict[str, Any] = {
            "batch": request.next_batch if number is None else number,
            "root": root,
            "records": good,
            "judged": answers if request.mode == 1 else good,
            "answers": answers,
            "votes": sum(tally.good + tally.bad for tally in validators),
            **(changes or {}),
        }
        sums = struct.pack("<HHHI", args["records"], args["judged"], args["answers"], args["votes"])
        packed = b"".join(bytes(tally.actor.participant) + tally.pack() for tally in ordered)
        digest = hashlib.sha256(args["root"] + sums + packed).digest()
        message = b"assay-batch-v1\0\0" + bytes(request.domain)
        message += struct.pack("<QI", args["batch"], request.panel_round) + digest
        panel = [Pubkey.from_bytes(bytes(wallet)) for wallet in request.panel[: request.panel_count]]
        by_wallet = {actor.wallet: actor for actor in self.actors.values()}
        if signers is None:
            signers = [by_wallet[wallet] for wallet in panel]
        pairs = [
            key for tally in ordered for key in (tally.actor.participant, self.payout_of(tally.actor, posted.mint))
        ]
        if request.mode == 0:
            pairs += [key for one in signers for key in (one.participant, self.payout_of(one, posted.mint))]
        settle = self.build(
            "settle_batch",
            accounts={"request": posted.address, **self.money(posted)},
            args={**args, "tallies": [tally.args() for tally in ordered]},
            remaining=accounts_of(*pairs),
        )
        signed = [(one.wallet, bytes(one.key.sign_message(message))) for one in signers]
        return [signatures_instruction(message, signed) if signed else settle, settle], digest

    def settle(self, posted: Posted, tallies: Sequence[TallyOf], **options: Any) -> Outcome:
        """Settles a batch; a success is noted in `posted.batches`."""
        instructions, digest = self.settle_parts(posted, tallies, **options)
        before = self.request(posted).next_batch
        outcome = self.send(*instructions, signers=[self.authority])
        if outcome.ok:
            root = options.get("root", bytes(32))
            posted.batches.append(Settled(before, root, self.market_time, digest))
        return outcome

    def review(self, labelers: Mapping[Actor, tuple[int, int]], voters: Sequence[Actor]) -> list[TallyOf]:
        """Tallies of a review in which every voter agrees with every verdict and shares the fee alike."""
        answers = sum(good + bad for good, bad in labelers.values())
        units, left = divmod(UNITS * answers, len(voters))
        tallies = [TallyOf(one, good, bad) for one, (good, bad) in labelers.items()]
        return tallies + [TallyOf(one, answers, units=units + (at < left)) for at, one in enumerate(voters)]

    def end_call(self, name: str, posted: Posted, signer: Keypair | None = None) -> Outcome:
        """cancel_request (the buyer signs) or expire_request."""
        accounts = {"request": posted.address}
        if name == "cancel_request":
            accounts["buyer"] = posted.buyer.wallet
            signer = signer or posted.buyer.key
        return self.send(self.build(name, accounts=accounts), signers=[signer or self.authority])

    def close(self, posted: Posted) -> Outcome:
        accounts = {
            "request": posted.address,
            "participant": posted.buyer.participant,
            "payout": self.payout_of(posted.buyer, posted.mint),
            **self.money(posted),
        }
        return self.send(self.build("close_request", accounts=accounts), signers=[self.authority])

    def reap(self, posted: Posted) -> Outcome:
        accounts = {
            "request": posted.address,
            "buyer": posted.buyer.wallet,
            "participant": posted.buyer.participant,
            **self.money(posted),
        }
        return self.send(self.build("reap_request", accounts=accounts), signers=[posted.buyer.key])

    def collect_fees(self, posted: Posted) -> Outcome:
        accounts = {"request": posted.address, **self.money(posted)}
        return self.send(self.build("collect_fees", accounts=accounts), signers=[self.authority])

    # Slashing

    def slash_accounts(self, actor: Actor) -> dict[str, Pubkey]:
        return {
            "participant": actor.participant,
            "mint": self.mint,
            "token_program": self.token_programs.get(self.mint, TOKEN),
        }

    def harmed(self, actor: Actor) -> list[AccountMeta]:
        """The buyers in a participant's harms, as remaining accounts."""
        harms = self.person(actor).harms
        return accounts_of(*(Pubkey.from_bytes(bytes(harm.buyer)) for harm in harms if harm.loss))

    def slash_outlier(self, actor: Actor, harmed: Sequence[AccountMeta] | None = None) -> Outcome:
        remaining = self.harmed(actor) if harmed is None else harmed
        instruction = self.build("slash_outlier", accounts=self.slash_accounts(actor), remaining=remaining)
        return self.send(instruction, signers=[self.authority])

    def slash_equivocation(self, actor: Actor, messages: Sequence[bytes], *, prefix: int = 60) -> Outcome:
        signed = [(actor.wallet, bytes(actor.key.sign_message(message)), message) for message in messages]
        key = hashlib.sha256(messages[0][:prefix]).digest()
        instruction = self.build(
            "slash_equivocation",
            accounts={"payer": self.authority.pubkey(), **self.slash_accounts(actor)},
            args={"key": key},
            remaining=self.harmed(actor),
        )
        return self.send(raw_signatures(signed), instruction, signers=[self.authority])

    # Disputes

    def open_dispute(self, posted: Posted, labeler: Actor, entry: Any, place: int, **changes: Any) -> Outcome:
        """Disputes `entry` (an `AnswerEntry`), number `place` of a batch; `changes` has all its `entries`."""
        entries, batch = changes.pop("entries"), changes.pop("batch")
        settled = posted.batches[batch]
        mountain = merkle.mountain_proof([one.leaf for one in posted.batches], batch)
        args = {
            "answer_id": entry.answer,
            "task_id": entry.task,
            "confidence": entry.confidence,
            "evidence": entry.evidence,
            "batch": batch,
            "index": place,
            "settled_at": settled.at,
            "digest": settled.digest,
            "proof": list(merkle.proof(entries, place)),
            "log_proof": list(mountain.siblings),
            **changes,
        }
        accounts = {
            "wallet": labeler.wallet,
            "request": posted.address,
            "source": self.token_account(labeler.wallet),
            "mint": self.mint,
            "token_program": self.token_programs[self.mint],
        }
        return self.send(self.build("open_dispute", accounts=accounts, args=args), signers=[labeler.key])

    def dispute_of(self, posted: Posted, answer: bytes) -> Pubkey:
        return self.addresses.dispute(posted.address, answer)

    def seats(self, dispute: Pubkey, chosen: int | None = None) -> list[Actor]:
        """The actors of a dispute's panel, or of the seats whose bit is set."""
        state = self.read("Dispute", dispute)
        by_wallet = {bytes(actor.wallet): actor for actor in self.actors.values()}
        panel = [by_wallet[bytes(wallet)] for wallet in state.panel[: state.panel_count]]
        return [one for at, one in enumerate(panel) if chosen is None or chosen >> at & 1]

    def silent(self, dispute: Pubkey) -> list[Actor]:
        state = self.read("Dispute", dispute)
        return self.seats(dispute, ~(state.upheld | state.dismissed) & ((1 << state.panel_count) - 1))

    def draw_dispute_call(self, posted: Posted, dispute: Pubkey, remaining: Sequence[Actor] = ()) -> Outcome:
        instruction = self.build(
            "draw_dispute_panel",
            accounts={"request": posted.address, "dispute": dispute},
            remaining=accounts_of(*(one.participant for one in remaining)),
        )
        return self.send(instruction, signers=[self.authority])

    def draw_dispute(self, posted: Posted, dispute: Pubkey) -> list[Actor]:
        assert (outcome := self.draw_dispute_call(posted, dispute)).ok, outcome
        self.advance(slots=3)
        silent = self.silent(dispute)
        assert (outcome := self.draw_dispute_call(posted, dispute, silent)).ok, outcome
        return self.seats(dispute)

    def dispute_message(self, posted: Posted, dispute: Pubkey, outcome: int) -> bytes:
        state = self.read("Dispute", dispute)
        head = b"assay-dispute-v1" + bytes(self.request(posted).domain) + bytes(dispute)
        return head + struct.pack("<IB", state.panel_round, outcome)

    def vote_dispute(self, posted: Posted, dispute: Pubkey, votes: Mapping[Actor, int]) -> Outcome:
        signed = []
        for actor, vote in votes.items():
            message = self.dispute_message(posted, dispute, vote)
            signed.append((actor.wallet, bytes(actor.key.sign_message(message)), message))
        instruction = self.build("vote_dispute", accounts={"request": posted.address, "dispute": dispute})
        return self.send(raw_signatures(signed), instruction, signers=[self.authority])

    def end_dispute(
        self, name: str, posted: Posted, dispute: Pubkey, remaining: Sequence[Actor] | None = None
    ) -> Outcome:
        """resolve_dispute or expire_dispute, with the seats that each wants."""
        state = self.read("Dispute", dispute)
        if remaining is None:
            if name == "resolve_dispute":
                remaining = self.seats(dispute, state.upheld | state.dismissed)
            else:
                terms = self.request(posted).terms.params
                over = self.market_time >= state.panel_at + max(terms.panel_timeout, terms.dispute_window // 8)
                remaining = self.silent(dispute) if state.panel_count and over else []
        accounts = {
            "dispute": dispute,
            "request": posted.address,
            "labeler": Pubkey.from_bytes(bytes(state.labeler)),
            "bond_mint": self.mint,
            "bond_token_program": self.token_programs[self.mint],
            **self.money(posted),
        }
        instruction = self.build(
            name, accounts=accounts, remaining=accounts_of(*(one.participant for one in remaining))
        )
        return self.send(instruction, signers=[self.authority])

    def correct_votes(
        self, posted: Posted, dispute: Pubkey, votes: Sequence[tuple[Actor, int, bytes]], **changes: Any
    ) -> Outcome:
        ordered = sorted(votes, key=lambda vote: bytes(vote[0].wallet))
        given = changes.get("remaining", [actor for actor, _, _ in ordered])
        instruction = self.build(
            "correct_votes",
            accounts={"request": posted.address, "dispute": dispute},
            args={"votes": [{"voter": a.wallet, "vote": vote, "salt": salt} for a, vote, salt in ordered]},
            remaining=accounts_of(*(one.participant for one in given)),
        )
        return self.send(instruction, signers=[self.authority])

    def close_dispute(self, dispute: Pubkey, labeler: Actor) -> Outcome:
        accounts = {"dispute": dispute, "labeler": labeler.participant, "wallet": labeler.wallet}
        return self.send(self.build("close_dispute", accounts=accounts), signers=[self.authority])
