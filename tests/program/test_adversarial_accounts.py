"""Every instruction, every account position, every wrong account: generated from the IDL.

A tour goes through the whole market once. Before each instruction is sent for the first time, it is simulated with one
account changed at a time; each must fail. An instruction that the tour leaves out fails the last test, so a new one
cannot be forgotten.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from cases import panel, rejected, strikes
from flows import Flows
from solders.account import Account
from solders.hash import Hash
from solders.instruction import AccountMeta, Instruction
from solders.keypair import Keypair
from solders.message import MessageV0
from solders.pubkey import Pubkey
from solders.system_program import ID as SYSTEM
from solders.transaction import VersionedTransaction
from solders.transaction_metadata import SimulatedTransactionInfo
from world import UNIT, Outcome, keypair

STRANGER = keypair("stranger")
FOREIGN = Pubkey.from_string("MemoSq4gqABAXKb96qnH8TysNcWxMyWCqXgDLGmfcHr")

FREE = {
    ("register", "payer", "stranger"): "anyone may pay the rent",
    ("slash_equivocation", "payer", "stranger"): "anyone may show the evidence, and pays its rent",
    ("expire_request", "request", "other request"): "every request past its deadline may be ended",
}
"""What may go through, and why."""


@dataclass(frozen=True)
class Attack:
    """One wrong account: where, what, and the accounts it needs on the chain."""

    instruction: str
    account: str
    kind: str
    metas: tuple[AccountMeta, ...]
    writes: tuple[tuple[Pubkey, Account], ...] = ()
    signers: tuple[Keypair, ...] = ()


class Besieged(Flows):
    """A market that tries every attack on an instruction before it lets it through for the first time."""

    tried: Counter[str]
    through: list[tuple[str, str, str]]
    seen: set[str]

    def send(self, *instructions: Instruction, signers: Sequence[Keypair]) -> Outcome:
        if not hasattr(self, "tried"):
            self.tried, self.through, self.seen = Counter(), [], set()
        target = instructions[-1]
        name = self.name_of(target)
        fresh = name is not None and name not in self.seen
        if name is not None and fresh and self.fails(instructions, target.accounts, signers) is None:
            self.seen.add(name)
            for attack in self.attacks(name, target):
                self.tried[name] += 1
                for address, account in attack.writes:
                    self.svm.set_account(address, account)
                if self.fails(instructions, attack.metas, [*signers, *attack.signers]) is None:
                    self.through.append((attack.instruction, attack.account, attack.kind))
                for address, _ in attack.writes:
                    self.svm.set_account(address, Account(0, b"", SYSTEM))
        return super().send(*instructions, signers=signers)

    def name_of(self, instruction: Instruction) -> str | None:
        if instruction.program_id != self.id:
            return None
        return next(
            (
                one.name
                for one in self.codec.instructions.values()
                if bytes(instruction.data).startswith(one.discriminator)
            ),
            None,
        )

    def fails(
        self, instructions: Sequence[Instruction], metas: Sequence[AccountMeta], signers: Sequence[Keypair]
    ) -> str | None:
        """The error of a simulation with these accounts in the last instruction; None when it goes through."""
        last = Instruction(instructions[-1].program_id, instructions[-1].data, list(metas))
        payer = keypair("fee payer")
        if self.svm.get_balance(payer.pubkey()) is None:
            self.fund(payer.pubkey())
        message = MessageV0.try_compile(payer.pubkey(), [*instructions[:-1], last], [], Hash.default())
        wanted = message.account_keys[: message.header.num_required_signatures]
        keys = {one.pubkey(): one for one in [*signers, payer, STRANGER]}
        if any(key not in keys for key in wanted):
            return "no such signer"
        result = self.svm.simulate_transaction(VersionedTransaction(message, [keys[key] for key in wanted]))
        return None if isinstance(result, SimulatedTransactionInfo) else str(result.err())

    def attacks(self, name: str, target: Instruction) -> Iterator[Attack]:
        spec = self.codec.instructions[name].accounts
        metas = list(target.accounts)
        for at, meta in enumerate(metas):
            entry: dict[str, Any] = dict(spec[at]) if at < len(spec) else {"name": f"remaining[{at - len(spec)}]"}
            for kind, wrong, writes, extra in self.wrongs(entry, meta, metas, at):
                changed = tuple([*metas[:at], wrong, *metas[at + 1 :]])
                if kind == "missing signature":  # a wallet in two places signs in neither
                    here = meta.pubkey
                    changed = tuple(
                        AccountMeta(m.pubkey, m.is_signer and m.pubkey != here, m.is_writable) for m in metas
                    )
                yield Attack(name, entry["name"], kind, changed, tuple(writes), tuple(extra))

    def wrongs(self, entry: dict[str, Any], meta: AccountMeta, metas: Sequence[AccountMeta], at: int) -> Iterator[Any]:
        """(kind, account meta, accounts to write, signers) for one position."""
        key, signer, writable = meta.pubkey, meta.is_signer, meta.is_writable
        account = self.svm.get_account(key)
        elsewhere = Pubkey.from_bytes(bytes([7, at]) + bytes(key)[2:])
        if signer:
            yield "missing signature", AccountMeta(key, False, writable), [], []
            self.fund(STRANGER.pubkey())
            yield "stranger", AccountMeta(STRANGER.pubkey(), True, writable), [], [STRANGER]
        elif account is not None and account.executable:
            yield "foreign program", AccountMeta(FOREIGN, False, False), [], []
            fake = Account(account.lamports, account.data, account.owner, False)
            yield "not a program", AccountMeta(elsewhere, False, False), [(elsewhere, fake)], []
        elif account is not None:
            stolen = Account(account.lamports, account.data, FOREIGN)
            yield "wrong owner", AccountMeta(elsewhere, False, writable), [(elsewhere, stolen)], []
            yield "closed", AccountMeta(elsewhere, False, writable), [], []
            if account.owner == self.id:
                wrong = Account(account.lamports, bytes([255]) * 8 + account.data[8:], self.id)
                yield "wrong type", AccountMeta(elsewhere, False, writable), [(elsewhere, wrong)], []
                short = Account(account.lamports, account.data[:-1], self.id)
                yield "cut short", AccountMeta(elsewhere, False, writable), [(elsewhere, short)], []
                for label, other in self.others(account):
                    if other != key:
                        yield label, AccountMeta(other, False, writable), [], []
            if "pda" in entry:
                clone = Account(account.lamports, account.data, account.owner)
                yield "wrong PDA", AccountMeta(elsewhere, False, writable), [(elsewhere, clone)], []
        else:
            yield "wrong PDA", AccountMeta(elsewhere, False, writable), [], []
        if writable and not signer:
            for twin in metas:
                if twin.is_writable and twin.pubkey != key:
                    yield "duplicate", AccountMeta(twin.pubkey, False, True), [], []
            if account is not None and account.owner == self.id:
                yield "read-only", AccountMeta(key, False, False), [], []

    def others(self, account: Account) -> Iterator[tuple[str, Pubkey]]:
        """Accounts of the program that are not this one: of the same type (somebody else's) and of other types."""
        kinds = {bytes(tag): name for name, tag in self.codec.accounts.items()}
        mine = kinds.get(account.data[:8], "")
        shown: Counter[str] = Counter()
        for address, other in self.svm.get_program_accounts(self.id):
            kind = kinds.get(other.data[:8], "")
            shown[kind] += 1
            if shown[kind] <= 3:
                yield (f"other {kind.lower()}" if kind == mine else "wrong type"), address


@pytest.fixture(scope="module")
def besieged() -> Besieged:
    """The tour: every instruction once."""
    world = Besieged(params={"panel_size": 3, "error_rate": 0, "quorum_bps": 5_001})
    second = world.make_mint("mint-1")
    assert world.allow_mint(second).ok
    for number in range(8):
        world.validator(f"validator-{number}")
    world.advance(slots=3)
    leaver = world.validator("leaver")
    assert world.request_unstake(leaver, 500 * UNIT).ok
    assert world.cancel_unstake(leaver).ok
    assert world.request_unstake(leaver, 500 * UNIT).ok
    world.advance(seconds=4_000)
    assert world.withdraw_stake(leaver).ok

    other, outcome = world.post(world.buyer("other buyer"), id=9)
    assert outcome.ok, outcome
    assert world.top_up(other, UNIT).ok
    panel(world, other)
    case = rejected(world=world)
    assert case.open().ok
    seats = world.draw_dispute(case.posted, case.dispute)
    assert world.vote_dispute(case.posted, case.dispute, {seat: 1 for seat in seats}).ok
    assert world.end_dispute("resolve_dispute", case.posted, case.dispute).ok
    assert world.correct_votes(case.posted, case.dispute, case.votes).ok
    assert world.claim_owed(case.labeler).ok

    villain = world.actors["validator-0"]
    assert strikes(world, other, case.labeler, bad=30).ok
    assert world.slash_outlier(case.labeler).ok
    head = b"assay-batch-v1\0\0" + bytes(44)
    assert world.slash_equivocation(villain, [head + bytes([n]) * 32 for n in (1, 2)]).ok

    assert world.collect_fees(case.posted).ok
    assert world.withdraw_fees(1).ok
    assert world.end_call("cancel_request", case.posted).ok
    world.advance(seconds=601)
    assert world.close(case.posted).ok
    world.advance(seconds=10_000)
    assert world.close(case.posted).ok
    assert world.close_dispute(case.dispute, case.labeler).ok
    assert world.reap(case.posted).ok

    third, outcome = world.post(world.actors["buyer"], id=2)
    assert outcome.ok, outcome
    lapsing = rejected(world=world, id=3)
    assert lapsing.open().ok
    world.advance(seconds=1_500)
    assert world.end_dispute("expire_dispute", lapsing.posted, lapsing.dispute).ok
    world.advance(seconds=200_000)
    assert world.end_call("expire_request", third).ok

    assert world.govern("update_params", params=world.params).ok
    assert world.govern("pause").ok
    assert world.govern("unpause").ok
    heir = keypair("heir")
    world.fund(heir.pubkey())
    assert world.govern("propose_authority", pending=heir.pubkey()).ok
    assert world.govern("accept_authority", signer=heir).ok
    world.authority = heir
    assert world.send(
        world.build("disable_mint", accounts={"authority": heir.pubkey(), "mint": second}), signers=[heir]
    ).ok
    return world


def test_no_wrong_account_goes_through(besieged: Besieged) -> None:
    bad = set(besieged.through) - FREE.keys()
    assert not bad, "\n".join(f"{name}: {account} may be: {kind}" for name, account, kind in sorted(bad))
    assert set(besieged.through) == FREE.keys(), "an entry of FREE is stale"


def test_every_instruction_was_attacked(besieged: Besieged) -> None:
    missing = set(besieged.codec.instructions) - besieged.seen
    assert not missing, f"the tour leaves out {sorted(missing)}"
    positions = sum(len(spec.accounts) for spec in besieged.codec.instructions.values())
    assert sum(besieged.tried.values()) > 3 * positions
