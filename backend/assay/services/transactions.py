"""A settlement's transaction: its accounts, its size, and how many participants one has room for."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

from solders.address_lookup_table_account import AddressLookupTableAccount
from solders.compute_budget import set_compute_unit_limit
from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from assay.chain.base import PACKET
from assay.chain.ed25519 import signatures_instruction
from assay.chain.instructions import Instructions
from assay.domain import messages

if TYPE_CHECKING:
    from assay.services.market import Market
    from assay.services.panels import View
    from assay.services.proposals import Proposal

LOCKS = 64
"""Accounts that a transaction may lock (Solana's MAX_TX_ACCOUNT_LOCKS)."""
FIXED_LOCKS = 13
"""Accounts beside the participants': payer, four programs, seven of the instruction, one to spare."""
SIGNATURE, KEY, TABLE, TALLY = 110, 32, 34, 12
"""Bytes of one Ed25519 signature with key and offsets, an address, a lookup table and a tally in a transaction."""
FIXED = 65 + 3 + 1 + 32 + 1 + 2 + 92 + 8 + 62 + 60
"""Bytes of the rest: signature, header, blockhash, the signed message, the instructions' heads and lengths."""
MOST_SIGNATURES = 5
"""Validators' signatures for which there is room beside at least one labeler who is in no table yet."""
UNITS, UNITS_EACH = 80_000, 20_000
"""Compute units asked for: for a settlement, and for each participant that it pays."""
MOST_UNITS = 1_400_000
"""Compute units of a transaction at most."""


@dataclass
class Builder:
    """Puts a settlement's transaction together. Payouts of the wallets it was made for are known to it."""

    instructions: Instructions
    view: View
    mint: Pubkey
    token_program: Pubkey
    operator: Pubkey
    tables: list[AddressLookupTableAccount]
    payouts: dict[bytes, Pubkey]
    held: dict[Pubkey, Pubkey] = field(default_factory=dict)
    """The table that an address is named through."""

    @classmethod
    async def ready(
        cls,
        market: Market,
        view: View,
        *,
        operator: Pubkey,
        tables: list[AddressLookupTableAccount],
        wallets: Sequence[bytes],
        known: dict[tuple[bytes, int], Pubkey],
    ) -> Builder:
        """A builder that knows the payouts of `wallets` and of the panel; those in `known` are not read again."""
        index = view.account.mint_index
        entry = await market.terms.mint(index)
        payouts = {}
        for wallet in dict.fromkeys((*wallets, *view.panel)):
            if (wallet, index) not in known:
                found = await market.participants.find(wallet)
                known[wallet, index] = Pubkey(found.payout[index]) if found is not None else Pubkey.default()
            payouts[wallet] = known[wallet, index]
        return cls(
            instructions=Instructions(market.chain.program),
            view=view,
            mint=Pubkey(bytes(entry.mint)),
            token_program=Pubkey(bytes(entry.token_program)),
            operator=operator,
            tables=tables,
            payouts=payouts,
            held={address: table.key for table in reversed(tables) for address in table.addresses},
        )

    def participant(self, wallet: bytes) -> bytes:
        """Address of a wallet's Participant account."""
        return bytes(self.instructions.addresses.participant(Pubkey(wallet)))

    def common(self) -> list[Pubkey]:
        """Accounts that every settlement in this mint names."""
        addresses = self.instructions.addresses
        return [addresses.market, addresses.owed_vault(self.mint), self.mint, self.token_program]

    def own(self) -> list[Pubkey]:
        """Accounts that every settlement of this request names beside them."""
        request = Pubkey(self.view.address)
        return [request, self.instructions.addresses.vault(request)]

    def accounts(self, wallet: bytes) -> list[Pubkey]:
        """The two accounts of a participant."""
        return [Pubkey(self.participant(wallet)), self.payouts.get(wallet, Pubkey.default())]

    def seats(self, wallets: Sequence[bytes]) -> int:
        """Signatures that fit beside tallies of these wallets: of the whole panel, or fewer, never under the quorum."""
        panel = len(self.view.panel)
        fitting = [seats for seats in range(self.view.quorum, panel + 1) if self._fits(wallets, seats)]
        return max(fitting, default=self.view.quorum)

    @cached_property
    def _beside_one(self) -> int:
        """`seats` beside one labeler who is in no table: what batches are made for."""
        return self.seats([self.view.buyer])  # any wallet that is not on the panel

    def room(self, wallets: Sequence[bytes]) -> bool:
        """Whether one transaction has room for tallies of these wallets beside the panel's signatures."""
        return self._fits(wallets, self._beside_one)

    def _fits(self, wallets: Sequence[bytes], seats: int) -> bool:
        panel = self.view.panel if self.view.account.mode == 0 else ()
        # Which of the panel will sign is not known yet: the dearest ones, to be safe.
        cosigners = sorted((self._bytes(self.accounts(member)) for member in panel), reverse=True)[:seats]
        named = [key for wallet in wallets for key in self.accounts(wallet)]
        if FIXED_LOCKS + len(named) + 2 * len(cosigners) > LOCKS:
            return False
        keys = [*self.common(), *self.own(), *named]
        tables = {
            self.held[key] for key in (*keys, *(key for one in panel for key in self.accounts(one))) if key in self.held
        }
        size = FIXED + SIGNATURE * seats + TALLY * len(wallets) + TABLE * len(tables)
        size += KEY * 4  # payer and the programs that are called
        size += self._bytes(keys) + sum(cosigners)
        return size <= PACKET

    def _bytes(self, keys: Sequence[Pubkey]) -> int:
        """What naming these accounts takes in a transaction, tables aside."""
        return sum(2 if key in self.held else KEY + 1 for key in keys)

    def settle(self, proposal: Proposal, view: View, signatures: Sequence[tuple[bytes, bytes]]) -> list[Instruction]:
        """The instructions that settle `proposal`; the signatures stand right before it."""
        message = messages.batch(
            domain=view.domain, batch=proposal.batch, panel_round=view.panel_round, digest=proposal.digest
        )
        paid = [one.wallet for one in proposal.tallies]
        if view.account.mode == 0:
            paid += [wallet for wallet, _ in signatures]
        settle = self.instructions.build(
            "settle_batch",
            accounts={"request": Pubkey(view.address), "mint": self.mint, "token_program": self.token_program},
            args={
                "batch": proposal.batch,
                "root": proposal.root,
                "records": proposal.records,
                "judged": proposal.judged,
                "answers": proposal.answers,
                "votes": proposal.votes,
                "tallies": [
                    {
                        "good": one.good,
                        "bad": one.bad,
                        "gold_passed": one.gold_passed,
                        "gold_failed": one.gold_failed,
                        "units": one.units,
                    }
                    for one in proposal.tallies
                ],
            },
            remaining=[
                AccountMeta(key, False, key != Pubkey.default()) for wallet in paid for key in self.accounts(wallet)
            ],
        )
        return [
            set_compute_unit_limit(min(UNITS + UNITS_EACH * len(paid), MOST_UNITS)),
            signatures_instruction(message, [(Pubkey(wallet), signature) for wallet, signature in signatures]),
            settle,
        ]
