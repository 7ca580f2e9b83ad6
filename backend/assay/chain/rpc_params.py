"""Parameters of JSON-RPC calls, checked, with the words and numbers that Agave answers for wrong ones."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from solders.hash import Hash
from solders.pubkey import Pubkey
from solders.signature import Signature

from assay.chain.base import Memcmp
from assay.chain.rpc_views import b58decode, invalid

ENCODINGS = ("base58", "base64", "base64+zstd", "jsonParsed", "binary", "json")
COMMITMENTS = ("processed", "confirmed", "finalized")
MAX_FILTERS = 4
"""Filters of getProgramAccounts at most (Agave's MAX_GET_PROGRAM_ACCOUNT_FILTERS)."""


class Params:
    """The positional parameters of one call."""

    def __init__(self, values: Sequence[Any]) -> None:
        self.values = list(values)

    def at(self, index: int, name: str) -> Any:
        """A parameter that must be there."""
        if index >= len(self.values) or self.values[index] is None:
            raise invalid(f"`params` should have at least {index + 1} argument(s): {name} is missing")
        return self.values[index]

    def address(self, index: int) -> Pubkey:
        """A public key."""
        return address(self.at(index, "a public key"))

    def signature(self, index: int) -> Signature:
        """A signature."""
        return signature(self.at(index, "a signature"))

    def integer(self, index: int, name: str) -> int:
        """An integer that fits u64."""
        return integer(self.at(index, name), name)

    def options(self, index: int) -> Options:
        """The configuration object, empty if there is none."""
        value = self.values[index] if index < len(self.values) else None
        if value is None:
            return Options({})
        if not isinstance(value, Mapping):
            raise invalid(f"invalid type: {type(value).__name__}, expected a configuration object")
        return Options(value)


class Options:
    """A configuration object; nulls count as absent, since some clients send them."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self._values = {name: value for name, value in values.items() if value is not None}
        commitment = self._values.get("commitment")
        if commitment is not None and commitment not in COMMITMENTS:
            raise invalid(f"unknown variant `{commitment}`, expected one of {', '.join(COMMITMENTS)}")

    def get(self, name: str, default: Any = None) -> Any:
        """The option, or `default`."""
        return self._values.get(name, default)

    def flag(self, name: str) -> bool:
        """An option that is true or false (default)."""
        value = self.get(name, False)
        if not isinstance(value, bool):
            raise invalid(f"{name} must be true or false")
        return value

    def integer(self, name: str, default: int) -> int:
        """An option that is an integer."""
        return integer(self.get(name, default), name)

    def encoding(self, default: str) -> str:
        """The encoding; compressed ones are answered as plain base64 by nobody, so they are refused."""
        value = self.get("encoding", default)
        if value not in ENCODINGS:
            raise invalid(f"unknown variant `{value}`, expected one of {', '.join(ENCODINGS)}")
        if value == "base64+zstd":
            raise invalid("base64+zstd is not served here; use base64")
        return str(value)

    def piece(self) -> tuple[int, int] | None:
        """`dataSlice` as (offset, length)."""
        value = self.get("dataSlice")
        if value is None:
            return None
        if not isinstance(value, Mapping):
            raise invalid("dataSlice must be {offset, length}")
        return integer(value.get("offset"), "offset"), integer(value.get("length"), "length")

    def filters(self) -> tuple[list[Memcmp], int | None, bool]:
        """`filters` as (comparisons, size, whether only token accounts are meant)."""
        found: list[Memcmp] = []
        size: int | None = None
        token_state = False
        entries = self.get("filters", [])
        if not isinstance(entries, list):
            raise invalid("filters must be a list")
        if len(entries) > MAX_FILTERS:
            raise invalid(f"Too many filters provided; max {MAX_FILTERS}")
        for entry in entries:
            if isinstance(entry, Mapping) and "dataSize" in entry:
                size = integer(entry["dataSize"], "dataSize")
            elif isinstance(entry, Mapping) and isinstance(entry.get("memcmp"), Mapping):
                found.append(_memcmp(entry["memcmp"]))
            elif entry == "tokenAccountState":
                token_state = True
            else:
                raise invalid(f"unknown filter {entry!r}, expected dataSize or memcmp")
        return found, size, token_state


def _memcmp(entry: Mapping[str, Any]) -> Memcmp:
    value, encoding = entry.get("bytes"), entry.get("encoding") or "base58"
    try:
        if isinstance(value, list):
            data = bytes(value)
        elif encoding == "base64":
            data = base64.b64decode(value or "", validate=True)
        else:
            data = b58decode(value or "")
    except (ValueError, TypeError, binascii.Error):
        raise invalid(f"Invalid param: memcmp bytes are not {encoding}") from None
    if len(data) > 128:
        raise invalid("Invalid param: memcmp bytes are over 128 long")
    return Memcmp(integer(entry.get("offset", 0), "offset"), data)


def address(value: Any) -> Pubkey:
    """A public key from base 58."""
    if not isinstance(value, str):
        raise invalid(f"invalid type: {type(value).__name__}, expected a string")
    try:
        return Pubkey.from_string(value)
    except ValueError:
        raise invalid("Invalid param: WrongSize" if value.isalnum() else "Invalid param: Invalid") from None


def signature(value: Any) -> Signature:
    """A signature from base 58."""
    if not isinstance(value, str):
        raise invalid(f"invalid type: {type(value).__name__}, expected a string")
    try:
        return Signature.from_string(value)
    except ValueError:
        raise invalid("Invalid param: WrongSize" if value.isalnum() else "Invalid param: Invalid") from None


def blockhash(value: Any) -> Hash:
    """A hash from base 58."""
    try:
        return Hash.from_string(value)
    except (ValueError, TypeError):
        raise invalid("Invalid param: WrongSize") from None


def integer(value: Any, name: str) -> int:
    """An integer that fits u64."""
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 1 << 64:
        raise invalid(f"invalid value {value!r} for {name}, expected u64")
    return value


def wire(value: Any, encoding: str) -> bytes:
    """A transaction or message in base58 or base64."""
    if not isinstance(value, str):
        raise invalid(f"invalid type: {type(value).__name__}, expected a string")
    if encoding not in ("base58", "base64"):
        raise invalid(f"unsupported encoding: {encoding}. Supported encodings: base58, base64")
    try:
        raw = base64.b64decode(value, validate=True) if encoding == "base64" else b58decode(value)
    except (ValueError, binascii.Error):
        raise invalid(f"invalid {encoding} encoding") from None
    return raw
