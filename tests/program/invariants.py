"""What must hold after every transaction: vaults cover what the books owe, and no token comes from nowhere."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from flows import Flows
from solders.pubkey import Pubkey

ACCOUNTS = ("Request", "Participant", "Dispute")


def program_state(world: Flows) -> dict[str, dict[Pubkey, Any]]:
    """Every account of the program by kind, found on the chain, not in the test's own lists."""
    tags = {bytes(world.codec.accounts[name]): name for name in ACCOUNTS}
    found: dict[str, dict[Pubkey, Any]] = {name: {} for name in ACCOUNTS}
    for address, account in world.svm.get_program_accounts(world.id):
        name = tags.get(account.data[:8])
        if name is not None:
            found[name][address] = world.codec.decode_account(account.data, name=name)
    return found


def owed_by_requests(requests: dict[Pubkey, Any]) -> dict[Pubkey, int]:
    """What each request's vault must hold: locked − paid − collected fees − refunded."""
    return {
        address: one.locked - one.paid_labelers - one.paid_validators - one.fees_collected - one.refunded
        for address, one in requests.items()
    }


def vaults(world: Flows, mints: Sequence[Pubkey] | None = None) -> dict[str, tuple[int, int]]:
    """(held, owed) of every vault of the market."""
    state = program_state(world)
    people, disputes = state["Participant"].values(), state["Dispute"].values()
    addresses = world.addresses
    stakes = sum(one.stake + one.unstaking for one in people) + sum(one.bond for one in disputes)
    out = {"stake": (world.balance(addresses.stake_vault), stakes)}
    for index, mint in enumerate(mints or world.mints):
        owed = sum(one.owed[index] for one in people)
        out[f"owed-{index}"] = (world.balance(addresses.owed_vault(mint)), owed)
    for address, amount in owed_by_requests(state["Request"]).items():
        out[f"request-{address}"] = (world.balance(addresses.vault(address)), amount)
    return out


def check(world: Flows, *, burned: int | None = None) -> None:
    """Raises AssertionError that names the vault or book which does not fit.

    Vaults of stakes, owed money and escrow hold exactly what they owe, since these tests send no stray tokens to them.
    """
    for name, (held, owed) in vaults(world).items():
        assert held == owed, f"vault {name} holds {held}, the books owe {owed}"
    state = program_state(world)
    for address, one in state["Request"].items():
        reserved = sum(reserve.amount for reserve in one.reserves)
        committed = one.paid_labelers + one.paid_validators + one.fees + one.refunded + one.bonds + reserved
        assert committed <= one.locked, f"request {address} has promised {committed} of {one.locked}"
        held = sum(dispute.held for dispute in state["Dispute"].values() if bytes(dispute.request) == bytes(address))
        assert one.bonds == held, f"request {address} holds {one.bonds} for disputes, they count on {held}"
    for mint in world.mints:
        accounts = [key for key in world.known_token_accounts() if world.mint_of(key) == mint]
        total = sum(world.balance(key) for key in accounts)
        assert total == world.supply(mint), f"accounts of {mint} hold {total}, its supply is {world.supply(mint)}"
