"""How the types of an IDL are written and read: one `Layout` a type, put together from smaller ones."""

from __future__ import annotations

import dataclasses
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from solders.pubkey import Pubkey

from assay.errors import AccountMalformed, FieldError

Encode = Callable[[Any, bytearray, str], None]
Decode = Callable[[bytes, int], tuple[Any, int]]

INTEGERS = {"u8": "B", "i8": "b", "u16": "H", "i16": "h", "u32": "I", "i32": "i", "u64": "Q", "i64": "q"}
WIDE = {"u128": 16, "i128": 16, "u256": 32, "i256": 32}


@dataclasses.dataclass(frozen=True)
class Layout:
    """How one type is written and read. `size` is None where it varies; `code` is its letter in `struct`, or None."""

    encode: Encode
    decode: Decode
    size: int | None
    align: int = 1
    code: str | None = None


def _truncated(at: int) -> AccountMalformed:
    return AccountMalformed(f"the bytes end before offset {at}")


def _integer(code: str) -> Layout:
    packer = struct.Struct("<" + code)
    bits = packer.size * 8
    low, high = (-(1 << (bits - 1)), (1 << (bits - 1)) - 1) if code.islower() else (0, (1 << bits) - 1)

    def encode(value: Any, out: bytearray, path: str) -> None:
        try:
            out += packer.pack(value)
        except struct.error:
            raise FieldError(path, f"must be an integer from {low} to {high}, not {value!r}") from None

    def decode(data: bytes, at: int) -> tuple[Any, int]:
        try:
            return packer.unpack_from(data, at)[0], at + packer.size
        except struct.error:
            raise _truncated(at + packer.size) from None

    return Layout(encode, decode, packer.size, packer.size, code)


def _wide(size: int, *, signed: bool) -> Layout:
    def encode(value: Any, out: bytearray, path: str) -> None:
        try:
            out += value.to_bytes(size, "little", signed=signed)
        except (OverflowError, AttributeError):
            raise FieldError(path, f"must be an integer of {size * 8} bits, not {value!r}") from None

    def decode(data: bytes, at: int) -> tuple[Any, int]:
        if len(data) < at + size:
            raise _truncated(at + size)
        return int.from_bytes(data[at : at + size], "little", signed=signed), at + size

    return Layout(encode, decode, size, 16)


def _boolean() -> Layout:
    def encode(value: Any, out: bytearray, path: str) -> None:
        if not isinstance(value, bool):
            raise FieldError(path, f"must be true or false, not {value!r}")
        out.append(value)

    def decode(data: bytes, at: int) -> tuple[Any, int]:
        if len(data) <= at:
            raise _truncated(at + 1)
        return data[at] != 0, at + 1

    return Layout(encode, decode, 1)


def _address() -> Layout:
    def encode(value: Any, out: bytearray, path: str) -> None:
        if isinstance(value, str):
            try:
                value = Pubkey.from_string(value)
            except ValueError:
                raise FieldError(path, f"must be an address in base 58, not {value!r}") from None
        raw = bytes(value) if isinstance(value, Pubkey | bytes | bytearray) else b""
        if len(raw) != 32:
            raise FieldError(path, f"must be an address of 32 bytes, not {value!r}")
        out += raw

    def decode(data: bytes, at: int) -> tuple[Any, int]:
        if len(data) < at + 32:
            raise _truncated(at + 32)
        return Pubkey.from_bytes(data[at : at + 32]), at + 32

    return Layout(encode, decode, 32)


def byte_array(size: int) -> Layout:
    """`size` bytes: bytes, a list of integers, or what has `__bytes__`."""

    def encode(value: Any, out: bytearray, path: str) -> None:
        try:
            raw = b"" if isinstance(value, int | str) else bytes(value)
        except (TypeError, ValueError):
            raise FieldError(path, f"must be {size} bytes, not {value!r}") from None
        if len(raw) != size:
            raise FieldError(path, f"must be {size} bytes, not {len(raw)}")
        out += raw

    def decode(data: bytes, at: int) -> tuple[Any, int]:
        if len(data) < at + size:
            raise _truncated(at + size)
        return bytes(data[at : at + size]), at + size

    return Layout(encode, decode, size)


def _bytes(*, text: bool) -> Layout:
    def encode(value: Any, out: bytearray, path: str) -> None:
        if isinstance(value, str) != text:
            raise FieldError(path, f"must be {'text' if text else 'bytes'}, not {value!r}")
        raw = value.encode() if text else bytes(value)
        out += struct.pack("<I", len(raw)) + raw

    def decode(data: bytes, at: int) -> tuple[Any, int]:
        if len(data) < at + 4:
            raise _truncated(at + 4)
        end = at + 4 + int.from_bytes(data[at : at + 4], "little")
        if len(data) < end:
            raise _truncated(end)
        raw = bytes(data[at + 4 : end])
        try:
            return (raw.decode() if text else raw), end
        except UnicodeDecodeError as error:
            raise AccountMalformed(f"text at offset {at} is not UTF-8") from error

    return Layout(encode, decode, None)


def sequence(item: Layout, count: int | None) -> Layout:
    """A vector (`count` None: a u32 goes before it) or an array."""

    def encode(value: Any, out: bytearray, path: str) -> None:
        if not isinstance(value, Sequence) or isinstance(value, str):
            raise FieldError(path, f"must be a list, not {value!r}")
        if count is None:
            out += struct.pack("<I", len(value))
        elif len(value) != count:
            raise FieldError(path, f"must have {count} entries, not {len(value)}")
        write = item.encode
        for index, entry in enumerate(value):
            write(entry, out, f"{path}[{index}]")

    def decode(data: bytes, at: int) -> tuple[Any, int]:
        length = count
        if length is None:
            if len(data) < at + 4:
                raise _truncated(at + 4)
            length = int.from_bytes(data[at : at + 4], "little")
            at += 4
            if length * (item.size or 1) > len(data) - at:
                raise _truncated(at + length)
        if item.code is not None:
            try:
                return struct.unpack_from(f"<{length}{item.code}", data, at), at + length * (item.size or 0)
            except struct.error:
                raise _truncated(at + length) from None
        values = []
        read = item.decode
        for _ in range(length):
            value, at = read(data, at)
            values.append(value)
        return tuple(values), at

    size = None if count is None or item.size is None else count * item.size
    return Layout(encode, decode, size, item.align)


def option(item: Layout, tag: int) -> Layout:
    """`tag` is the width of the presence flag: 1 for Option, 4 for COption (whose value is always there)."""

    def encode(value: Any, out: bytearray, path: str) -> None:
        out += int(value is not None).to_bytes(tag, "little")
        if value is not None:
            item.encode(value, out, path)
        elif tag == 4:
            out += bytes(item.size or 0)

    def decode(data: bytes, at: int) -> tuple[Any, int]:
        if len(data) < at + tag:
            raise _truncated(at + tag)
        present = int.from_bytes(data[at : at + tag], "little")
        at += tag
        if present:
            return item.decode(data, at)
        return None, at + (item.size or 0 if tag == 4 else 0)

    return Layout(encode, decode, tag + item.size if tag == 4 and item.size is not None else None)


def _value(source: Any, name: str, path: str) -> Any:
    if isinstance(source, Mapping):
        if name not in source:
            raise FieldError(f"{path}.{name}" if path else name, "is missing")
        return source[name]
    try:
        return getattr(source, name)
    except AttributeError:
        raise FieldError(f"{path}.{name}" if path else name, "is missing") from None


def structure(make: Callable[..., Any], fields: Sequence[tuple[str, Layout]], *, aligned: bool, packed: bool) -> Layout:
    """A struct. With `aligned` every field stands where C puts it; Borsh puts them end to end."""
    names = [name for name, _ in fields]
    pads: list[int] = []
    at, align, fixed = 0, 1, True
    for _, field in fields:
        step = 1 if packed or not aligned else field.align
        align = max(align, step)
        pad = -at % step
        pads.append(pad)
        fixed = fixed and field.size is not None
        at += pad + (field.size or 0)
    tail = -at % align
    size = at + tail if fixed else None
    codes = [field.code for _, field in fields]

    if fields and all(codes) and not any(pads) and not tail:
        packer = struct.Struct("<" + "".join(code or "" for code in codes))

        def encode_flat(value: Any, out: bytearray, path: str) -> None:
            values = [_value(value, name, path) for name in names]
            try:
                out += packer.pack(*values)
            except struct.error:  # say which one is wrong
                for name, (_, field), entry in zip(names, fields, values, strict=True):
                    field.encode(entry, bytearray(), f"{path}.{name}" if path else name)
                raise

        def decode_flat(data: bytes, at: int) -> tuple[Any, int]:
            try:
                return make(*packer.unpack_from(data, at)), at + packer.size
            except struct.error:
                raise _truncated(at + packer.size) from None

        return Layout(encode_flat, decode_flat, size, align)

    steps = list(zip(names, (field for _, field in fields), pads, strict=True))

    def encode(value: Any, out: bytearray, path: str) -> None:
        for name, field, pad in steps:
            if pad:
                out += bytes(pad)
            if name == "reserved" and isinstance(value, Mapping) and name not in value:
                out += bytes(field.size or 0)  # zero until a later version gives it a meaning
                continue
            field.encode(_value(value, name, path), out, f"{path}.{name}" if path else name)
        out += bytes(tail)

    def decode(data: bytes, at: int) -> tuple[Any, int]:
        values = []
        for _, field, pad in steps:
            value, at = field.decode(data, at + pad)
            values.append(value)
        return make(*values), at + tail

    return Layout(encode, decode, size, align)


def enumeration(name: str, variants: Sequence[tuple[str, Layout | None]]) -> Layout:
    index_of = {variant: index for index, (variant, _) in enumerate(variants)}

    def encode(value: Any, out: bytearray, path: str) -> None:
        tag, inner = value if isinstance(value, tuple) else (value, None)
        if tag not in index_of:
            raise FieldError(path, f"must be one of {', '.join(index_of)}, not {tag!r}")
        out.append(index_of[tag])
        layout = variants[index_of[tag]][1]
        if layout is not None:
            layout.encode(inner, out, path)

    def decode(data: bytes, at: int) -> tuple[Any, int]:
        if len(data) <= at:
            raise _truncated(at + 1)
        if data[at] >= len(variants):
            raise AccountMalformed(f"{name} has no variant {data[at]}")
        variant, layout = variants[data[at]]
        if layout is None:
            return variant, at + 1
        value, at = layout.decode(data, at + 1)
        return (variant, value), at

    return Layout(encode, decode, 1 if all(layout is None for _, layout in variants) else None)


PRIMITIVES: dict[str, Layout] = {
    **{name: _integer(code) for name, code in INTEGERS.items()},
    **{name: _wide(size, signed=name.startswith("i")) for name, size in WIDE.items()},
    "bool": _boolean(),
    "pubkey": _address(),
    "publicKey": _address(),
    "bytes": _bytes(text=False),
    "string": _bytes(text=True),
}
