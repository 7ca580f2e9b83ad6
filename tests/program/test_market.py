"""The market itself: who may create and change it, which mints it takes, its pause and its clock."""

from __future__ import annotations

import struct
from typing import Any

import pytest
from cases import market
from flows import Flows
from solders.account import Account
from solders.pubkey import Pubkey
from world import PARAMS, UNIT, World, keypair

from assay.chain import genesis
from assay.chain.tokens import TOKEN_2022

PERMANENT_DELEGATE, TRANSFER_HOOK, TRANSFER_FEE, DEFAULT_STATE = 12, 14, 1, 6


def deployed_as(world: World, *, slot: int, authority: Pubkey | None) -> None:
    """Rewrites what the loader says of the program."""
    data = genesis.program_data(world.program.elf, slot=slot, authority=authority)
    world.svm.set_account(world.addresses.program_data, Account(10**12, data, genesis.LOADER))


def initialize(world: World, name: str) -> str | None:
    key = keypair(name)
    world.fund(key.pubkey())
    return world.send(world.initialize_instruction(key), signers=[key]).error


def test_only_the_upgrade_authority_initializes() -> None:
    world = Flows(initialize=False)
    deployed_as(world, slot=7, authority=world.authority.pubkey())
    assert initialize(world, "stranger") == "NotInitializer"
    outcome = world.send(world.initialize_instruction(), signers=[world.authority])
    assert outcome.ok, outcome
    event = outcome.event("MarketInitialized")
    assert event.mint == world.mint
    state = world.market
    assert state.authority == world.authority.pubkey()
    assert (state.mint_count, state.paused, state.mints[0].decimals, state.mints[0].enabled) == (1, 0, 6, 1)
    assert state.params.quorum_bps == PARAMS["quorum_bps"]
    again = world.send(world.initialize_instruction(), signers=[world.authority])
    assert not again.ok


@pytest.mark.parametrize(
    ("slot", "authority"),
    [
        (7, Pubkey.default()),  # deployed, then given to the zero key
        (0, None),  # final program of a genesis
        (7, None),
        (0, keypair("other").pubkey()),
    ],
)
def test_no_stranger_initializes(slot: int, authority: Pubkey | None) -> None:
    world = Flows(initialize=False)
    deployed_as(world, slot=slot, authority=authority)
    assert initialize(world, "stranger") == "NotInitializer"


def test_anyone_initializes_a_private_genesis() -> None:
    world = Flows(initialize=False)
    deployed_as(world, slot=0, authority=Pubkey.default())
    assert initialize(world, "stranger") is None


def test_program_data_must_be_the_loaders() -> None:
    world = Flows(initialize=False)
    data = genesis.program_data(b"", slot=0, authority=Pubkey.default())
    forged = keypair("forged").pubkey()
    world.svm.set_account(forged, Account(10**12, data, genesis.LOADER))
    instruction = world.build(
        "initialize_market",
        accounts={
            "authority": world.authority.pubkey(),
            "program_data": forged,
            "mint": world.mint,
            "token_program": world.token_programs[world.mint],
        },
        args={"params": world.params},
    )
    assert world.send(instruction, signers=[world.authority]).error == "NotInitializer"
    world.svm.set_account(world.addresses.program_data, Account(10**12, data, genesis.SYSTEM))
    assert world.send(world.initialize_instruction(), signers=[world.authority]).error == "NotInitializer"


YEAR = 365 * 86_400


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("min_labeler_stake", 1 << 56),
        ("min_validator_stake", 0),
        ("min_validator_stake", 1 << 56),
        ("dispute_bond", 1 << 56),
        ("unstake_window", 0),
        ("unstake_window", -1),
        ("unstake_window", YEAR + 1),
        ("dispute_window", -1),
        ("dispute_window", PARAMS["unstake_window"] + 1),
        ("grace", -1),
        ("grace", YEAR + 1),
        ("panel_timeout", 0),
        ("panel_term", 0),
        ("fee_bps", 1_001),
        ("quorum_bps", 5_000),
        ("quorum_bps", 10_001),
        ("slash_bps", 5_001),
        ("equivocation_bps", 10_001),
        ("panel_size", 0),
        ("panel_size", 8),
        ("error_rate", 8),
        ("slash_policy", 2),
        ("reserved", b"\x01" + bytes(8)),
    ],
)
def test_parameters_are_bounded(name: str, value: Any) -> None:
    world = Flows()
    assert world.govern("update_params", params={**PARAMS, name: value}).error == "ParameterOutOfBounds"
    fresh = Flows(initialize=False, params={name: value})
    refused = fresh.send(fresh.initialize_instruction(), signers=[fresh.authority])
    assert refused.error == "ParameterOutOfBounds"


def test_parameters_change_for_requests_to_come_only() -> None:
    world = market()
    posted, _ = world.post(world.buyer())
    outcome = world.govern("update_params", params={**PARAMS, "fee_bps": 0, "grace": 1})
    assert outcome.event("ParamsUpdated").params.grace == 1
    assert world.request(posted).terms.params.fee_bps == PARAMS["fee_bps"]
    later, _ = world.post(posted.buyer, id=2)
    assert world.request(later).terms.params.fee_bps == 0


@pytest.mark.parametrize("name", ["update_params", "pause", "unpause", "propose_authority"])
def test_only_the_authority_governs(name: str) -> None:
    world = Flows()
    stranger = keypair("stranger")
    world.fund(stranger.pubkey())
    args = {"update_params": {"params": PARAMS}, "propose_authority": {"pending": stranger.pubkey()}}.get(name, {})
    assert world.govern(name, stranger, **args).error == "NotAuthority"


def test_authority_is_handed_over_in_two_steps() -> None:
    world = Flows()
    heir, stranger = keypair("heir"), keypair("stranger")
    for key in (heir, stranger):
        world.fund(key.pubkey())
    assert world.govern("accept_authority", heir).error == "NotPendingAuthority"
    assert world.govern("propose_authority", pending=heir.pubkey()).ok
    assert world.govern("accept_authority", stranger).error == "NotPendingAuthority"
    assert world.govern("pause").ok  # the old one keeps its power until the new one has shown that it can sign
    assert world.govern("unpause").ok
    event = world.govern("accept_authority", heir).event("AuthorityAccepted")
    assert (event.old, event.authority) == (world.authority.pubkey(), heir.pubkey())
    assert world.govern("pause").error == "NotAuthority"
    assert world.govern("pause", heir).ok
    assert world.govern("accept_authority", heir).error == "NotPendingAuthority"


def test_a_proposal_can_be_taken_back() -> None:
    world = Flows()
    heir = keypair("heir")
    world.fund(heir.pubkey())
    assert world.govern("propose_authority", pending=heir.pubkey()).ok
    assert world.govern("propose_authority", pending=Pubkey.default()).ok
    assert world.govern("accept_authority", heir).error == "NotPendingAuthority"


def test_pause_stops_market_time_only() -> None:
    world = Flows()
    assert world.govern("unpause").error == "NotPaused"
    assert world.govern("pause").event("Paused").at == world.now
    assert world.govern("pause").error == "Paused"
    started = world.market_time
    world.advance(seconds=1_000)
    assert world.market_time == started
    assert world.govern("unpause").event("Unpaused").paused_total == 1_000
    world.advance(seconds=5)
    assert world.market_time == started + 5
    assert world.govern("pause").ok
    world.advance(seconds=10)
    assert world.govern("unpause").event("Unpaused").paused_total == 1_010


def test_pause_stops_new_work_and_nothing_else() -> None:
    world = market()
    buyer, labeler = world.buyer(), world.labeler()
    posted, _ = world.post(buyer)
    wallets = world.draw(posted)
    panel = [one for one in world.actors.values() if one.wallet in wallets]
    assert world.govern("pause").ok
    assert world.post(buyer, id=2)[1].error == "Paused"
    assert world.top_up(posted, UNIT).error == "Paused"
    late = world.actor("late")
    assert world.register(late, 2).error == "Paused"
    assert world.register(late, 1).ok
    assert world.settle(posted, world.review({labeler: (1, 0)}, panel)).ok
    assert world.request_unstake(labeler, 100 * UNIT).ok
    assert world.end_call("cancel_request", posted).ok
    world.advance(seconds=PARAMS["unstake_window"] + 1)
    assert world.withdraw_stake(labeler).ok
    assert world.collect_fees(posted).ok
    # grace runs on market time, which stands still
    assert world.close(posted).error == "StillOpen"
    assert world.govern("unpause").ok
    world.advance(seconds=PARAMS["grace"] + 1)
    assert world.close(posted).ok


def extension(kind: int, size: int, value: bytes = b"") -> bytes:
    return struct.pack("<HH", kind, size) + value.ljust(size, b"\0")


@pytest.mark.parametrize(
    ("kind", "size", "error"),
    [
        (1, 108, "MintHasTransferFee"),
        (3, 32, "MintExtensionUnknown"),  # mint close authority
        (4, 65, "MintConfidential"),
        (6, 1, "MintDefaultFrozen"),
        (9, 0, "MintNonTransferable"),
        (10, 52, "MintExtensionUnknown"),  # interest bearing
        (12, 32, "MintHasPermanentDelegate"),
        (14, 64, "MintHasTransferHook"),
        (16, 129, "MintConfidential"),
        (24, 196, "MintConfidential"),
        (25, 56, "MintExtensionUnknown"),  # scaled amount
        (26, 33, "MintPausable"),
        (99, 4, "MintExtensionUnknown"),
    ],
)
def test_mints_with_dangerous_extensions_are_refused(kind: int, size: int, error: str) -> None:
    world = Flows()
    bad = extension(kind, size)
    alone = world.make_mint("alone", token_program=TOKEN_2022, extensions=bad)
    assert world.allow_mint(alone).error == error
    # also behind a harmless one
    behind = world.make_mint("behind", token_program=TOKEN_2022, extensions=extension(18, 64) + bad)
    assert world.allow_mint(behind).error == error
    first = Flows(initialize=False)
    first.mint = first.make_mint("mint-0", token_program=TOKEN_2022, extensions=bad)
    assert first.send(first.initialize_instruction(), signers=[first.authority]).error == error


@pytest.mark.parametrize("extensions", [b"", extension(18, 64) + extension(19, 80), extension(20, 64)])
def test_plain_and_metadata_mints_of_token_2022_are_taken(extensions: bytes) -> None:
    world = Flows()
    mint = world.make_mint("m22", token_program=TOKEN_2022, extensions=extensions)
    event = world.allow_mint(mint).event("MintAllowed")
    assert (event.mint, event.mint_index, event.token_program) == (mint, 1, TOKEN_2022)
    for vault in (world.addresses.owed_vault(mint), world.addresses.fee_vault(mint)):
        account = world.svm.get_account(vault)
        assert account is not None
        assert account.owner == TOKEN_2022


def test_what_is_no_mint_is_refused() -> None:
    world = Flows()
    mint = world.make_mint("m")
    wrong_program = {**world.token_programs, mint: TOKEN_2022}
    world.token_programs, kept = wrong_program, world.token_programs
    assert world.allow_mint(mint).error == "NotAMint"
    world.token_programs = kept
    account = world.token_account(world.authority.pubkey())
    world.token_programs[account] = kept[world.mint]
    assert world.allow_mint(account).error == "NotAMint"
    cut = world.make_mint("cut", token_program=TOKEN_2022, extensions=struct.pack("<HH", 18, 64) + bytes(10))
    assert world.allow_mint(cut).error == "NotAMint"
    strange = world.make_mint("strange", token_program=genesis.SYSTEM)
    assert world.allow_mint(strange).error == "NotAMint"
    data = bytearray(world.svm.get_account(world.mint).data)  # type: ignore[union-attr]
    data[45] = 0  # never initialized
    blank = world.make_mint("blank")
    world.svm.set_account(blank, Account(10**9, bytes(data), kept[world.mint]))
    assert world.allow_mint(blank).error == "NotAMint"


def disable(world: Flows, mint: Pubkey) -> Any:
    accounts = {"authority": world.authority.pubkey(), "mint": mint}
    return world.send(world.build("disable_mint", accounts=accounts), signers=[world.authority])


def test_mints_are_disabled_and_enabled_again() -> None:
    world = market()
    buyer = world.buyer()
    other = world.make_mint("other")
    assert disable(world, other).error == "WrongMint"
    assert world.allow_mint(other).ok
    world.give(buyer.wallet, 1_000 * UNIT, other)
    assert world.post(buyer, mint=other)[1].ok
    assert disable(world, other).event("MintDisabled").mint_index == 1
    assert world.post(buyer, id=2, mint=other)[1].error == "MintDisabled"
    assert world.allow_mint(other).ok
    assert world.market.mint_count == 2
    assert world.post(buyer, id=2, mint=other)[1].ok


def test_four_mints_at_most() -> None:
    world = Flows()
    for number in range(3):
        assert world.allow_mint(world.make_mint(f"m{number}")).ok
    assert world.allow_mint(world.make_mint("fifth")).error == "TooManyMints"


def test_fees_go_to_the_authority_only() -> None:
    world = market()
    labeler = world.labeler()
    posted, _ = world.post(world.buyer())
    wallets = world.draw(posted)
    panel = [one for one in world.actors.values() if one.wallet in wallets]
    assert world.collect_fees(posted).error == "NoFees"
    assert world.settle(posted, world.review({labeler: (50, 0)}, panel)).ok
    assert world.collect_fees(posted).event("FeesCollected").amount == UNIT  # 2 % of 50
    assert world.collect_fees(posted).error == "NoFees"
    assert world.withdraw_fees(UNIT + 1).error == "NoFees"
    assert world.withdraw_fees(0).error == "NoFees"
    assert world.withdraw_fees(UNIT).ok
    assert world.balance(world.token_account(world.authority.pubkey())) == UNIT
    world.authority, kept = labeler.key, world.authority
    assert world.withdraw_fees(1).error == "NotAuthority"
    world.authority = kept
