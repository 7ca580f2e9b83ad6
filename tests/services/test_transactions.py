"""How many signatures and labelers a settlement's transaction has room for."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from solders.keypair import Keypair
from solders.pubkey import Pubkey

from assay.chain.instructions import Instructions
from assay.chain.program import load_program
from assay.services.transactions import Builder


def builder(seats: int, quorum: int, *, wallets: list[bytes], mode: int, held: bool) -> Builder:
    panel = tuple(bytes(Keypair().pubkey()) for _ in range(seats))
    view: Any = SimpleNamespace(
        address=bytes(Keypair().pubkey()), buyer=bytes(Keypair().pubkey()), panel=panel, quorum=quorum,
        account=SimpleNamespace(mode=mode),
    )  # fmt: skip
    made = Builder(
        instructions=Instructions(load_program()), view=view, mint=Keypair().pubkey(), token_program=Pubkey.default(),
        operator=Keypair().pubkey(), tables=[], payouts={one: Keypair().pubkey() for one in (*panel, *wallets)},
    )  # fmt: skip
    if held:
        table = Keypair().pubkey()
        keys = [*made.common(), *made.own(), *(key for one in (*panel, *wallets) for key in made.accounts(one))]
        made.held = dict.fromkeys(keys, table)
    return made


@pytest.mark.parametrize("mode", [0, 1])
def test_what_had_room_still_has_it_when_tables_have_grown(mode: int) -> None:
    """Signatures are counted for the batch that is sent, not for a batch of one."""
    wallets = [bytes(Keypair().pubkey()) for _ in range(40)]
    bare = builder(7, 5, wallets=wallets, mode=mode, held=False)
    full = builder(7, 5, wallets=wallets, mode=mode, held=True)
    most = next(count for count in range(40, 0, -1) if full.room(wallets[:count]))
    assert most > 1
    for count in range(1, most + 1):
        seats = full.seats(wallets[:count])
        assert 5 <= seats <= 7
        assert seats >= bare.seats(wallets[:count])
    assert full.seats(wallets[:1]) > full.seats(wallets[:40]) == 5


def test_a_small_panel_always_signs_whole() -> None:
    wallets = [bytes(Keypair().pubkey()) for _ in range(30)]
    one = builder(3, 2, wallets=wallets, mode=0, held=True)
    most = next(count for count in range(30, 0, -1) if one.room(wallets[:count]))
    assert one.seats(wallets[:most]) == 3
    assert not one.room(wallets)
