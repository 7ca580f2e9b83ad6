"""The program's artifacts: its IDL and its ``.so``, from the checkout or from the installed wheel."""

from __future__ import annotations

import json
from functools import cache, cached_property
from importlib import resources
from pathlib import Path
from typing import Any

from solders.pubkey import Pubkey

from assay.chain.idl import Codec
from assay.errors import ConfigError

ROOT = Path(__file__).resolve().parents[3]
PLACES = {"assay.json": "idl/assay.json", "assay.so": "programs/assay.so"}


def artifact(name: str) -> bytes:
    """Bytes of ``assay.json`` or ``assay.so``. A checkout's file wins, so that a fresh build is what runs."""
    beside = ROOT / PLACES[name]
    if beside.is_file() and (ROOT / "pyproject.toml").is_file():
        return beside.read_bytes()
    packed = resources.files("assay.chain") / "artifacts" / name
    if packed.is_file():
        return packed.read_bytes()
    raise ConfigError(f"the program's {name} is missing", hint=f"build the program: {PLACES[name]} comes from it")


class Program:
    """The program as its clients know it: address, codec and, where a chain must deploy it, its bytes."""

    def __init__(self, idl: dict[str, Any], *, program_id: Pubkey | None = None, elf: bytes | None = None) -> None:
        self.codec = Codec(idl)
        self.id = program_id or self.codec.program_id
        self._elf = elf

    @cached_property
    def elf(self) -> bytes:
        """The program's ``.so``."""
        return self._elf if self._elf is not None else artifact("assay.so")


@cache
def load_program(program_id: str | None = None) -> Program:
    """The market's program; `program_id` where a cluster has it at another address. Raises `ConfigError`."""
    try:
        return Program(
            json.loads(artifact("assay.json")), program_id=Pubkey.from_string(program_id) if program_id else None
        )
    except (ValueError, KeyError) as error:
        raise ConfigError(f"the program's IDL cannot be read: {error}", hint="make idl/assay.json anew") from error
