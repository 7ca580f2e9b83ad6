"""Codec for an Anchor IDL (specification 0.1.0, Anchor 0.30 and later): what goes into a program and comes out of it.

Instruction arguments and events are Borsh; accounts are Borsh or, where their type says ``bytemuck``, the bytes of a
C struct. Decoded structs are frozen dataclasses made from the IDL, so the layouts stand in one place only.
`Codec(idl)` is built once and is cheap to use: structs of plain integers are one `struct.Struct` each.

    pubkey ↔ solders Pubkey     [u8; n], bytes ↔ bytes     vec, array ↔ tuple (any sequence in)
    option ↔ None or value      enum ↔ name, or (name, value) where the variant carries something
"""

from __future__ import annotations

import dataclasses
import keyword
from collections.abc import Mapping, Sequence
from typing import Any

from solders.pubkey import Pubkey

from assay.chain.layouts import PRIMITIVES, Layout, byte_array, enumeration, option, sequence, structure
from assay.errors import AccountMalformed, FieldError

Spec = Any


@dataclasses.dataclass(frozen=True)
class InstructionSpec:
    """An instruction of the IDL: discriminator, accounts (flat, in order) and arguments."""

    name: str
    discriminator: bytes
    accounts: tuple[Mapping[str, Any], ...]
    args: Layout
    arg_names: tuple[str, ...]
    arg_specs: tuple[Mapping[str, Any], ...]


@dataclasses.dataclass(frozen=True)
class ErrorSpec:
    """An error of the program."""

    number: int
    name: str
    message: str


class Codec:
    """Encodes and decodes what the program of `idl` takes and gives."""

    def __init__(self, idl: Mapping[str, Any]) -> None:
        self.idl = idl
        self.program_id = Pubkey.from_string(idl["address"])
        self._types = {entry["name"]: entry for entry in idl.get("types", ())}
        self._layouts: dict[tuple[str, bool], Layout] = {}
        self.classes: dict[str, type[Any]] = {}
        self.instructions = {entry["name"]: self._instruction(entry) for entry in idl["instructions"]}
        self.accounts = {entry["name"]: bytes(entry["discriminator"]) for entry in idl.get("accounts", ())}
        self.events = {entry["name"]: bytes(entry["discriminator"]) for entry in idl.get("events", ())}
        self.errors = {
            entry["code"]: ErrorSpec(entry["code"], entry["name"], entry.get("msg") or entry["name"])
            for entry in idl.get("errors", ())
        }
        self._account_by_tag = {tag: name for name, tag in self.accounts.items()}
        self._event_by_tag = {tag: name for name, tag in self.events.items()}
        self._event_lengths = sorted({len(tag) for tag in self._event_by_tag}, reverse=True)

    def encode_instruction(self, name: str, args: Mapping[str, Any]) -> bytes:
        """Instruction data. Raises `FieldError` naming the argument that is missing, unknown or out of range."""
        spec = self.instructions.get(name)
        if spec is None:
            raise FieldError("instruction", f"the program has no {name!r}", hint=", ".join(self.instructions))
        if len(args) > len(spec.arg_names):
            unknown = next(key for key in args if key not in spec.arg_names)
            raise FieldError(unknown, f"is no argument of {name}", hint=", ".join(spec.arg_names))
        out = bytearray(spec.discriminator)
        spec.args.encode(args, out, "")
        return bytes(out)

    def decode_instruction(self, data: bytes) -> tuple[str, Any]:
        """Name and arguments (a mapping) of instruction data. Raises `AccountMalformed`."""
        for spec in self.instructions.values():
            if data.startswith(spec.discriminator):
                return spec.name, spec.args.decode(data, len(spec.discriminator))[0]
        raise AccountMalformed("no instruction of the program starts like this")

    def decode_account(self, data: bytes, *, name: str | None = None) -> Any:
        """The account as its dataclass. `name`: the type it must be. Raises `AccountMalformed`."""
        found = next((kind for tag, kind in self._account_by_tag.items() if data.startswith(tag)), None)
        if found is None or (name is not None and found != name):
            raise AccountMalformed(f"expected {name or 'an account of the program'}, found {found or 'other bytes'}")
        return self.layout(found).decode(data, len(self.accounts[found]))[0]

    def encode_account(self, name: str, value: Any) -> bytes:
        """The bytes of an account, discriminator included (for tests and simulations)."""
        out = bytearray(self.accounts[name])
        self.layout(name).encode(value, out, "")
        return bytes(out)

    def account_size(self, name: str) -> int | None:
        """Bytes of an account with its discriminator; None where it varies."""
        size = self.layout(name).size
        return None if size is None else size + len(self.accounts[name])

    def decode_event(self, data: bytes) -> tuple[str, Any] | None:
        """Name and dataclass of an event's bytes, or None if it is none of the program's."""
        for length in self._event_lengths:
            name = self._event_by_tag.get(data[:length])
            if name is not None:
                return name, self.layout(name).decode(data, length)[0]
        return None

    def layout(self, name: str, *, aligned: bool = False) -> Layout:
        """The layout of a type of the IDL."""
        key = (name, aligned)
        if key not in self._layouts:
            if name not in self._types:
                raise AccountMalformed(f"the IDL has no type {name!r}")
            self._layouts[key] = self._defined(self._types[name], aligned=aligned)
        return self._layouts[key]

    def compile(self, spec: Spec) -> Layout:
        """The Borsh layout of a type as the IDL writes it, such as ``"u64"`` or ``{"array": ["u8", 32]}``."""
        return self._compile(spec, aligned=False)

    def _class(self, name: str, fields: Sequence[str]) -> type[Any]:
        if name not in self.classes:
            safe = [field + "_" if keyword.iskeyword(field) else field for field in fields]
            self.classes[name] = dataclasses.make_dataclass(name, safe, frozen=True, slots=True)
        return self.classes[name]

    def _instruction(self, entry: Mapping[str, Any]) -> InstructionSpec:
        names = tuple(arg["name"] for arg in entry["args"])
        fields = [(arg["name"], self._compile(arg["type"], aligned=False)) for arg in entry["args"]]
        args = structure(lambda *v: dict(zip(names, v, strict=True)), fields, aligned=False, packed=False)
        return InstructionSpec(
            entry["name"],
            bytes(entry["discriminator"]),
            tuple(_flat(entry["accounts"])),
            args,
            names,
            tuple(entry["args"]),
        )

    def _defined(self, entry: Mapping[str, Any], *, aligned: bool) -> Layout:
        aligned = aligned or str(entry.get("serialization", "borsh")).startswith("bytemuck")
        packed = bool((entry.get("repr") or {}).get("packed"))
        body = entry["type"]
        if body["kind"] == "struct":
            return self._struct(entry["name"], body.get("fields") or (), aligned=aligned, packed=packed)
        if body["kind"] == "enum":
            variants: list[tuple[str, Layout | None]] = []
            for variant in body["variants"]:
                inner = variant.get("fields")
                name = f"{entry['name']}{variant['name']}"
                layout = self._struct(name, inner, aligned=False, packed=False) if inner else None
                variants.append((variant["name"], layout))
            return enumeration(entry["name"], variants)
        if body["kind"] == "type":
            return self._compile(body["alias"], aligned=aligned)
        raise AccountMalformed(f"the IDL's type {entry['name']!r} is of the unknown kind {body['kind']!r}")

    def _struct(self, name: str, fields: Sequence[Any], *, aligned: bool, packed: bool) -> Layout:
        named = [
            (field["name"], field["type"]) if isinstance(field, Mapping) and "name" in field else (f"field{i}", field)
            for i, field in enumerate(fields)
        ]
        layouts = [(field, self._compile(spec, aligned=aligned)) for field, spec in named]
        return structure(self._class(name, [f for f, _ in named]), layouts, aligned=aligned, packed=packed)

    def _compile(self, spec: Spec, *, aligned: bool) -> Layout:
        if isinstance(spec, str):
            if spec in PRIMITIVES:
                return PRIMITIVES[spec]
            raise AccountMalformed(f"the IDL's type {spec!r} is unknown")
        if "defined" in spec:
            inner = spec["defined"]
            return self.layout(inner if isinstance(inner, str) else inner["name"], aligned=aligned)
        if "array" in spec:
            item, count = spec["array"]
            return byte_array(count) if item == "u8" else sequence(self._compile(item, aligned=aligned), count)
        if "vec" in spec:
            return (
                PRIMITIVES["bytes"]
                if spec["vec"] == "u8"
                else sequence(self._compile(spec["vec"], aligned=False), None)
            )
        if "option" in spec:
            return option(self._compile(spec["option"], aligned=False), 1)
        if "coption" in spec:
            return option(self._compile(spec["coption"], aligned=False), 4)
        raise AccountMalformed(f"the IDL's type {spec!r} is unknown")


def _flat(accounts: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Accounts in order, composite ones opened up."""
    flat: list[Mapping[str, Any]] = []
    for entry in accounts:
        flat += _flat(entry["accounts"]) if "accounts" in entry else [entry]
    return flat
