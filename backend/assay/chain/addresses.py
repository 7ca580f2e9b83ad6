"""Addresses of the program's accounts (docs/protocol.md, "Addresses"); a golden test compares them with the IDL."""

from __future__ import annotations

from functools import lru_cache

from solders.pubkey import Pubkey

from assay.chain.genesis import program_data_address
from assay.errors import FieldError


@lru_cache(maxsize=65_536)
def find(program_id: Pubkey, *seeds: bytes) -> tuple[Pubkey, int]:
    """The program-derived address of `seeds` and its canonical bump."""
    return Pubkey.find_program_address(list(seeds), program_id)


class Addresses:
    """The accounts of one deployment of the program."""

    def __init__(self, program_id: Pubkey) -> None:
        self.program_id = program_id

    def _at(self, *seeds: bytes) -> Pubkey:
        return find(self.program_id, *seeds)[0]

    @property
    def program_data(self) -> Pubkey:
        """Where the loader keeps the program's code and upgrade authority."""
        return program_data_address(self.program_id)

    @property
    def market(self) -> Pubkey:
        """The `Market`, token authority of every vault."""
        return self._at(b"market")

    @property
    def validators(self) -> Pubkey:
        """The `ValidatorSet`."""
        return self._at(b"validators")

    @property
    def stake_vault(self) -> Pubkey:
        """Token account of stakes and bonds."""
        return self._at(b"stake")

    def participant(self, wallet: Pubkey) -> Pubkey:
        """A wallet's `Participant`."""
        return self._at(b"participant", bytes(wallet))

    def request(self, buyer: Pubkey, request_id: int) -> Pubkey:
        """A `Request` of a buyer's wallet. Raises `FieldError` if the id does not fit u64."""
        if not 0 <= request_id < 1 << 64:
            raise FieldError("request_id", f"must be from 0 to {(1 << 64) - 1}, not {request_id}")
        return self._at(b"request", bytes(buyer), request_id.to_bytes(8, "little"))

    def vault(self, request: Pubkey) -> Pubkey:
        """Token account that holds a request's escrow."""
        return self._at(b"vault", bytes(request))

    def owed_vault(self, mint: Pubkey) -> Pubkey:
        """Token account of what is earned and could not be delivered."""
        return self._at(b"owed", bytes(mint))

    def fee_vault(self, mint: Pubkey) -> Pubkey:
        """Token account of the market's fees."""
        return self._at(b"fees", bytes(mint))

    def dispute(self, request: Pubkey, answer_id: bytes) -> Pubkey:
        """The `Dispute` over an answer."""
        if len(answer_id) != 32:
            raise FieldError("answer_id", f"must be 32 bytes, not {len(answer_id)}")
        return self._at(b"dispute", bytes(request), answer_id)

    def offence(self, participant: Pubkey, key: bytes) -> Pubkey:
        """The `Offence` that keeps one equivocation from being slashed twice."""
        return self._at(b"offence", bytes(participant), key)
