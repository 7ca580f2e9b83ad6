"""The program's instructions: one builder for each, with what a caller knows as arguments.

Wallets that must sign are named so in the docstrings; token accounts are addresses, amounts base units.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from solders.instruction import AccountMeta, Instruction
from solders.pubkey import Pubkey

from assay.chain.addresses import Addresses
from assay.chain.builder import build
from assay.chain.program import Program

__all__ = ["Instructions", "build"]


class Instructions:
    """Builders for one deployment of the program: `Instructions(program).register(...)`."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.addresses = Addresses(program.id)

    def build(
        self,
        name: str,
        *,
        accounts: Mapping[str, Pubkey | None],
        args: Mapping[str, Any] | None = None,
        remaining: Sequence[AccountMeta] = (),
    ) -> Instruction:
        """See `build`."""
        return build(self.program, name, accounts=accounts, args=args, remaining=remaining)

    # -- the market ---------------------------------------------------------------------------------------------------

    def initialize_market(
        self, *, authority: Pubkey, mint: Pubkey, token_program: Pubkey, params: Mapping[str, Any]
    ) -> Instruction:
        """Creates the market. `authority` (the program's upgrade authority) signs and pays the rent."""
        accounts = {
            "authority": authority,
            "program_data": self.addresses.program_data,
            "mint": mint,
            "token_program": token_program,
        }
        return self.build("initialize_market", accounts=accounts, args={"params": params})

    def update_params(self, *, authority: Pubkey, params: Mapping[str, Any]) -> Instruction:
        """Sets the parameters of requests to come; the authority signs."""
        return self.build("update_params", accounts={"authority": authority}, args={"params": params})

    def pause(self, *, authority: Pubkey) -> Instruction:
        """Stops new work and the market's clock; the authority signs."""
        return self.build("pause", accounts={"authority": authority})

    def unpause(self, *, authority: Pubkey) -> Instruction:
        """Ends a pause; the authority signs."""
        return self.build("unpause", accounts={"authority": authority})

    def propose_authority(self, *, authority: Pubkey, pending: Pubkey) -> Instruction:
        """Names who may take over; the authority signs. The zero address takes it back."""
        return self.build("propose_authority", accounts={"authority": authority}, args={"pending": pending})

    def accept_authority(self, *, pending: Pubkey) -> Instruction:
        """Takes over; the proposed authority signs."""
        return self.build("accept_authority", accounts={"pending": pending})

    def allow_mint(self, *, authority: Pubkey, mint: Pubkey, token_program: Pubkey) -> Instruction:
        """Lets requests pay in a mint; the authority signs and pays the rent."""
        accounts = {"authority": authority, "mint": mint, "token_program": token_program}
        return self.build("allow_mint", accounts=accounts)

    def disable_mint(self, *, authority: Pubkey, mint: Pubkey) -> Instruction:
        """No more requests in a mint; the authority signs."""
        return self.build("disable_mint", accounts={"authority": authority, "mint": mint})

    def withdraw_fees(
        self, *, authority: Pubkey, mint: Pubkey, destination: Pubkey, token_program: Pubkey, amount: int
    ) -> Instruction:
        """Takes collected fees; the authority signs."""
        accounts = {
            "authority": authority,
            "mint": mint,
            "destination": destination,
            "token_program": token_program,
        }
        return self.build("withdraw_fees", accounts=accounts, args={"amount": amount})

    # -- participants -------------------------------------------------------------------------------------------------

    def register(self, *, payer: Pubkey, wallet: Pubkey, role: int) -> Instruction:
        """Registers `wallet` in a role: 1 buyer, 2 labeler, 3 validator. Payer and wallet sign."""
        return self.build("register", accounts={"payer": payer, "wallet": wallet}, args={"role": role})

    def set_payout(self, *, wallet: Pubkey, mint: Pubkey, payout: Pubkey) -> Instruction:
        """Where a participant is paid in one mint; the wallet signs."""
        return self.build("set_payout", accounts={"wallet": wallet, "mint": mint, "payout": payout})

    def stake(self, *, wallet: Pubkey, mint: Pubkey, source: Pubkey, token_program: Pubkey, amount: int) -> Instruction:
        """Adds to a stake out of `source`; the wallet signs. `mint` is the market's first."""
        accounts = {"wallet": wallet, "mint": mint, "source": source, "token_program": token_program}
        return self.build("stake", accounts=accounts, args={"amount": amount})

    def request_unstake(self, *, wallet: Pubkey, amount: int) -> Instruction:
        """Starts an exit; the wallet signs."""
        return self.build("request_unstake", accounts={"wallet": wallet}, args={"amount": amount})

    def cancel_unstake(self, *, wallet: Pubkey) -> Instruction:
        """Takes an exit back; the wallet signs."""
        return self.build("cancel_unstake", accounts={"wallet": wallet})

    def withdraw_stake(
        self, *, wallet: Pubkey, mint: Pubkey, destination: Pubkey, token_program: Pubkey
    ) -> Instruction:
        """Takes out stake whose window is over; the wallet signs."""
        accounts = {"wallet": wallet, "mint": mint, "destination": destination, "token_program": token_program}
        return self.build("withdraw_stake", accounts=accounts)

    def claim_owed(self, *, wallet: Pubkey, mint: Pubkey, destination: Pubkey, token_program: Pubkey) -> Instruction:
        """Takes what could not be delivered; the wallet signs."""
        accounts = {"wallet": wallet, "mint": mint, "destination": destination, "token_program": token_program}
        return self.build("claim_owed", accounts=accounts)

    # -- requests -----------------------------------------------------------------------------------------------------

    def post_request(
        self,
        *,
        buyer: Pubkey,
        request_id: int,
        mint: Pubkey,
        source: Pubkey,
        token_program: Pubkey,
        args: Mapping[str, Any],
    ) -> Instruction:
        """Posts a request and locks its budget out of `source`; the buyer signs. `args`: `PostRequestArgs`."""
        accounts = {"buyer": buyer, "mint": mint, "source": source, "token_program": token_program}
        return self.build("post_request", accounts=accounts, args={"id": request_id, "args": args})

    def top_up_request(
        self, *, funder: Pubkey, request: Pubkey, mint: Pubkey, source: Pubkey, token_program: Pubkey, amount: int
    ) -> Instruction:
        """Adds to a request's budget; the funder signs."""
        accounts = {
            "funder": funder,
            "request": request,
            "mint": mint,
            "source": source,
            "token_program": token_program,
        }
        return self.build("top_up_request", accounts=accounts, args={"amount": amount})

    def draw_panel(self, *, request: Pubkey) -> Instruction:
        """First call: fixes the seed slot; second: draws the panel. Open to anyone."""
        return self.build("draw_panel", accounts={"request": request})

    def settle_batch(
        self,
        *,
        request: Pubkey,
        mint: Pubkey,
        token_program: Pubkey,
        args: Mapping[str, Any],
        paid: Sequence[tuple[Pubkey, Pubkey]],
    ) -> Instruction:
        """Pays a batch. The Ed25519 instruction must stand right before it.

        `args`: batch, root, records, judged, answers, votes, tallies; `paid`: (Participant, payout account) of each
        tally, then of each co-signer in agreement mode; an unset payout is the zero address.
        """
        remaining = [
            AccountMeta(key, False, key != Pubkey.default()) for participant_pair in paid for key in participant_pair
        ]
        accounts = {"request": request, "mint": mint, "token_program": token_program}
        return self.build("settle_batch", accounts=accounts, args=args, remaining=remaining)

    def collect_fees(self, *, request: Pubkey, mint: Pubkey, token_program: Pubkey) -> Instruction:
        """Moves a request's fees to the fee vault. Open to anyone."""
        accounts = {"request": request, "mint": mint, "token_program": token_program}
        return self.build("collect_fees", accounts=accounts)

    def cancel_request(self, *, buyer: Pubkey, request: Pubkey) -> Instruction:
        """Stops a request; the buyer signs."""
        return self.build("cancel_request", accounts={"buyer": buyer, "request": request})

    def expire_request(self, *, request: Pubkey) -> Instruction:
        """Ends a request past its deadline. Open to anyone."""
        return self.build("expire_request", accounts={"request": request})

    def close_request(
        self, *, request: Pubkey, buyer: Pubkey, payout: Pubkey, mint: Pubkey, token_program: Pubkey
    ) -> Instruction:
        """Refunds what nobody can claim to the buyer's `payout`. Open to anyone."""
        accounts = {
            "request": request,
            "participant": self.addresses.participant(buyer),
            "payout": payout,
            "mint": mint,
            "token_program": token_program,
        }
        return self.build("close_request", accounts=accounts)

    def reap_request(self, *, request: Pubkey, buyer: Pubkey, mint: Pubkey, token_program: Pubkey) -> Instruction:
        """Removes a swept request; its rent goes to the buyer. Open to anyone."""
        accounts = {
            "buyer": buyer,
            "request": request,
            "participant": self.addresses.participant(buyer),
            "mint": mint,
            "token_program": token_program,
        }
        return self.build("reap_request", accounts=accounts)

    # -- slashes and disputes -----------------------------------------------------------------------------------------

    def slash_outlier(
        self, *, wallet: Pubkey, mint: Pubkey, token_program: Pubkey, harmed: Sequence[Pubkey] = ()
    ) -> Instruction:
        """Slashes whose strikes are beyond chance. `harmed`: the buyers' Participants in the order of its harms."""
        accounts = {
            "participant": self.addresses.participant(wallet),
            "mint": mint,
            "token_program": token_program,
        }
        remaining = [AccountMeta(key, False, True) for key in harmed]
        return self.build("slash_outlier", accounts=accounts, remaining=remaining)

    def slash_equivocation(
        self,
        *,
        payer: Pubkey,
        wallet: Pubkey,
        key: bytes,
        mint: Pubkey,
        token_program: Pubkey,
        harmed: Sequence[Pubkey] = (),
    ) -> Instruction:
        """Slashes a voter for two signatures for one number; the payer signs. `key`: sha256 of what they share."""
        accounts = {
            "payer": payer,
            "participant": self.addresses.participant(wallet),
            "mint": mint,
            "token_program": token_program,
        }
        remaining = [AccountMeta(account, False, True) for account in harmed]
        return self.build("slash_equivocation", accounts=accounts, args={"key": key}, remaining=remaining)

    def open_dispute(
        self,
        *,
        wallet: Pubkey,
        request: Pubkey,
        source: Pubkey,
        mint: Pubkey,
        token_program: Pubkey,
        args: Mapping[str, Any],
    ) -> Instruction:
        """Disputes a rejection with proofs and a bond out of `source`; the labeler's wallet signs."""
        accounts = {
            "wallet": wallet,
            "request": request,
            "source": source,
            "mint": mint,
            "token_program": token_program,
        }
        return self.build("open_dispute", accounts=accounts, args=args)

    def draw_dispute_panel(self, *, dispute: Pubkey, request: Pubkey, seats: Sequence[Pubkey] = ()) -> Instruction:
        """Draws a dispute's panel in two calls. `seats`: Participants of the panel that is replaced, in its order."""
        remaining = [AccountMeta(key, False, True) for key in seats]
        return self.build("draw_dispute_panel", accounts={"dispute": dispute, "request": request}, remaining=remaining)

    def vote_dispute(self, *, dispute: Pubkey, request: Pubkey) -> Instruction:
        """Shows signatures of a dispute's panel, which stand in the Ed25519 instruction before it."""
        return self.build("vote_dispute", accounts={"dispute": dispute, "request": request})

    def end_dispute(
        self,
        *,
        expired: bool,
        dispute: Pubkey,
        request: Pubkey,
        labeler: Pubkey,
        mint: tuple[Pubkey, Pubkey],
        bond_mint: tuple[Pubkey, Pubkey],
        remaining: Sequence[AccountMeta] = (),
    ) -> Instruction:
        """Ends a dispute as decided, or (`expired`) undecided after its time. Mints come with their token programs."""
        accounts = {
            "dispute": dispute,
            "request": request,
            "labeler": self.addresses.participant(labeler),
            "mint": mint[0],
            "token_program": mint[1],
            "bond_mint": bond_mint[0],
            "bond_token_program": bond_mint[1],
        }
        name = "expire_dispute" if expired else "resolve_dispute"
        return self.build(name, accounts=accounts, remaining=remaining)

    def correct_votes(
        self, *, dispute: Pubkey, request: Pubkey, votes: Sequence[Mapping[str, Any]], voters: Sequence[Pubkey]
    ) -> Instruction:
        """Sets right the votes behind an upheld rejection. `voters`: wallets, in the order of `votes`."""
        remaining = [AccountMeta(self.addresses.participant(voter), False, True) for voter in voters]
        return self.build(
            "correct_votes",
            accounts={"dispute": dispute, "request": request},
            args={"votes": votes},
            remaining=remaining,
        )

    def close_dispute(self, *, dispute: Pubkey, labeler: Pubkey) -> Instruction:
        """Returns the rent of a dispute that is over for good to the labeler's wallet. Open to anyone."""
        accounts = {"dispute": dispute, "labeler": self.addresses.participant(labeler), "wallet": labeler}
        return self.build("close_dispute", accounts=accounts)
