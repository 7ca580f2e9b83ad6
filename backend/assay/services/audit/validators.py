"""The validator set at every moment, from the events that change it: what panels were drawn from."""

from __future__ import annotations

from typing import Any

from assay.domain.panel import Candidate
from assay.domain.tally import Role

MAX_VALIDATORS = 128


class ValidatorSet:
    """Replays `ValidatorSet::update` of the program (state/validator_set.rs)."""

    def __init__(self) -> None:
        self.minimum = 0
        self._roles: dict[bytes, Role] = {}
        self._wallets: dict[bytes, bytes] = {}
        self._stakes: dict[bytes, int] = {}
        self._leaving: dict[bytes, int] = {}
        self._entries: list[Candidate] = []

    def wallet(self, participant: bytes) -> bytes | None:
        """The wallet of a Participant account."""
        return self._wallets.get(participant)

    def role(self, wallet: bytes) -> Role | None:
        """What a wallet registered as."""
        return self._roles.get(wallet)

    def at_stake(self, participant: bytes) -> int:
        """All stake of a Participant account, with what is on its way out."""
        return self._stakes.get(participant, 0) + self._leaving.get(participant, 0)

    def candidates(self) -> tuple[Candidate, ...]:
        """Who is in the set now."""
        return tuple(self._entries)

    def apply(self, name: str, data: Any, *, slot: int) -> None:
        """Takes an event in; those that do not touch the set are ignored."""
        if name in ("MarketInitialized", "ParamsUpdated"):
            self.minimum = data.params.min_validator_stake
        elif name == "Registered":
            wallet = bytes(data.wallet)
            self._roles[wallet] = Role(data.role)
            self._wallets[bytes(data.participant)] = wallet
        elif name in ("Staked", "UnstakeRequested", "UnstakeCancelled"):
            self._stake(bytes(data.participant), data.stake, slot)
        elif name == "Slashed":
            # Stake on its way out is taken first, and the event says only the sum: the events of leaving stake tell.
            self._slash(bytes(data.participant), data.amount, slot)
        if name == "UnstakeRequested":
            self._leaving[bytes(data.participant)] = data.unstaking
        elif name in ("UnstakeCancelled", "StakeWithdrawn"):
            self._leaving.pop(bytes(data.participant), None)

    def _slash(self, participant: bytes, amount: int, slot: int) -> None:
        leaving = self._leaving.get(participant, 0)
        taken = min(leaving, amount)
        self._leaving[participant] = leaving - taken
        self._stake(participant, self._stakes.get(participant, 0) - (amount - taken), slot)

    def _stake(self, participant: bytes, stake: int, slot: int) -> None:
        self._stakes[participant] = stake
        wallet = self._wallets.get(participant)
        if wallet is None or self._roles[wallet] is not Role.VALIDATOR:
            return
        place = next((i for i, entry in enumerate(self._entries) if entry.wallet == wallet), None)
        entry = Candidate(wallet, stake, slot)
        if place is not None and stake >= self.minimum:
            self._entries[place] = entry
        elif place is not None:
            last = self._entries.pop()
            if place < len(self._entries):
                self._entries[place] = last
        elif stake >= self.minimum and len(self._entries) < MAX_VALIDATORS:
            self._entries.append(entry)
        elif stake >= self.minimum:
            least = min(range(MAX_VALIDATORS), key=lambda i: self._entries[i].stake)
            if self._entries[least].stake < stake:
                self._entries[least] = entry
