"""What an embedded chain begins with: the runtime's own programs, the market's program as a cluster would have it
(upgradeable loader, with an upgrade authority), and a faucet."""

from __future__ import annotations

import struct

from solders.account import Account
from solders.litesvm import LiteSVM
from solders.pubkey import Pubkey

LOADER = Pubkey.from_string("BPFLoaderUpgradeab1e11111111111111111111111")
SYSTEM = Pubkey.default()
SYSVARS = Pubkey.from_string("Sysvar1111111111111111111111111111111111111")
CODE_OFFSET = 45
"""Where the code begins in a ProgramData account."""
FAUCET_LAMPORTS = 500_000_000 * 10**9


def program_data_address(program_id: Pubkey) -> Pubkey:
    """Where the upgradeable loader keeps a program's code."""
    return Pubkey.find_program_address([bytes(program_id)], LOADER)[0]


def program_data(elf: bytes, *, slot: int, authority: Pubkey | None) -> bytes:
    """Data of a ProgramData account: state 3 (u32), slot (u64), Option<authority>, code at byte 45."""
    option = bytes(33) if authority is None else b"\x01" + bytes(authority)
    return struct.pack("<IQ", 3, slot) + option + elf


def upgrade_authority(data: bytes) -> Pubkey | None:
    """The upgrade authority that a ProgramData account names."""
    return Pubkey.from_bytes(data[13:45]) if len(data) >= 45 and data[12] == 1 else None


def program_accounts(
    svm: LiteSVM, *, program_id: Pubkey, elf: bytes, slot: int, authority: Pubkey
) -> list[tuple[Pubkey, Account]]:
    """The two accounts of a deployed program, code first."""
    address = program_data_address(program_id)
    code = program_data(elf, slot=slot, authority=authority)
    pointer = struct.pack("<I", 2) + bytes(address)
    rent = svm.minimum_balance_for_rent_exemption
    return [
        (address, Account(rent(len(code)), code, LOADER)),
        (program_id, Account(rent(len(pointer)), pointer, LOADER, True)),
    ]
