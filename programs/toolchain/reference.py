#!/usr/bin/env python3
"""Writes the tables of docs/program.md from idl/assay.json:  reference.py [--check]

Everything between the two marker lines is made here; the text around them is written by hand. `--check` writes nothing
and fails when the page is not what the IDL says.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "program.md"
BEGIN, END = "<!-- made by programs/toolchain/reference.py -->", "<!-- end -->"
SIZES = {"u8": 1, "i8": 1, "bool": 1, "u16": 2, "i16": 2, "u32": 4, "i32": 4, "u64": 8, "i64": 8, "pubkey": 32}


def type_name(spec: Any) -> str:
    """A type as the tables write it: `u64`, `[pubkey; 7]`, `Vec<Tally>`."""
    if isinstance(spec, str):
        return spec
    if "array" in spec:
        return f"[{type_name(spec['array'][0])}; {spec['array'][1]}]"
    if "vec" in spec:
        return f"Vec<{type_name(spec['vec'])}>"
    if "option" in spec:
        return f"Option<{type_name(spec['option'])}>"
    return str(spec["defined"]["name"])


def size(spec: Any, types: dict[str, Any]) -> int:
    """Bytes of a fixed-size type without padding (the program's structs have none)."""
    if isinstance(spec, str):
        return SIZES[spec]
    if "array" in spec:
        return size(spec["array"][0], types) * int(spec["array"][1])
    return sum(size(field["type"], types) for field in types[spec["defined"]["name"]]["type"]["fields"])


def docs(entry: dict[str, Any]) -> str:
    return " ".join(line.strip() for line in entry.get("docs", [])).replace("|", "\\|")


def fixed_table(fields: list[Any], types: dict[str, Any], offset: int) -> list[str]:
    lines = ["| offset | field | type | bytes | |", "|---|---|---|---|---|"]
    for field in fields:
        width = size(field["type"], types)
        lines.append(f"| {offset} | `{field['name']}` | {type_name(field['type'])} | {width} | {docs(field)} |")
        offset += width
    return lines


def accounts(idl: dict[str, Any], types: dict[str, Any]) -> list[str]:
    lines = ["## Accounts, byte by byte", "", "The first 8 bytes are the discriminator."]
    nested: list[str] = []
    for account in sorted(idl["accounts"], key=lambda one: one["name"]):
        fields = types[account["name"]]["type"]["fields"]
        total = 8 + sum(size(field["type"], types) for field in fields)
        lines += ["", f"### {account['name']} ({total:,} bytes)", "", docs(types[account["name"]]), ""]
        lines.append(f"Discriminator `{bytes(account['discriminator']).hex()}`.")
        lines += ["", *fixed_table(fields, types, 8)]
        for field in fields:
            inner = (
                field["type"]["array"][0]
                if isinstance(field["type"], dict) and "array" in field["type"]
                else field["type"]
            )
            if isinstance(inner, dict) and "defined" in inner and inner["defined"]["name"] not in nested:
                nested.append(inner["defined"]["name"])
    if "Terms" in nested and "Params" not in nested:
        nested.append("Params")
    lines += ["", "### Structs within"]
    for name in nested:
        lines += ["", f"**{name}** {docs(types[name])}", "", *fixed_table(types[name]["type"]["fields"], types, 0)]
    return lines


def instructions(idl: dict[str, Any]) -> list[str]:
    lines = [
        "## Instructions",
        "",
        "*w*: writable, *s*: signs. Accounts with seeds are found by every client by itself.",
    ]
    for one in idl["instructions"]:
        arguments = ", ".join(f"{arg['name']}: {type_name(arg['type'])}" for arg in one["args"])
        lines += ["", f"### {one['name']}({arguments})", "", docs(one), "", "| account | | |", "|---|---|---|"]
        for account in one["accounts"]:
            flags = ", ".join(flag for flag, key in (("w", "writable"), ("s", "signer")) if account.get(key))
            lines.append(f"| `{account['name']}` | {flags} | {where(account)} {docs(account)} |")
    return lines


def where(account: dict[str, Any]) -> str:
    """Seeds or address of an account."""
    if account.get("address"):
        return f"`{account['address']}`"
    if "pda" not in account:
        return ""
    parts = []
    for seed in account["pda"]["seeds"]:
        if seed["kind"] == "const":
            parts.append('"' + bytes(seed["value"]).decode("ascii", "replace") + '"')
        else:
            parts.append(str(seed["path"]))
    return "seeds " + ", ".join(parts) + "."


def events(idl: dict[str, Any], types: dict[str, Any]) -> list[str]:
    lines = ["## Events", "", "| event | fields |", "|---|---|"]
    for event in idl["events"]:
        fields = ", ".join(
            f"{field['name']}: {type_name(field['type'])}" for field in types[event["name"]]["type"]["fields"]
        )
        lines.append(f"| `{event['name']}` | {fields} |")
    return lines


def errors(idl: dict[str, Any]) -> list[str]:
    lines = ["## Errors", "", "| code | name | what is wrong, and what would be right |", "|---|---|---|"]
    return lines + [f"| {one['code']} | `{one['name']}` | {one.get('msg', '')} |" for one in idl["errors"]]


def tables() -> str:
    """The made part of the page."""
    idl = json.loads((ROOT / "idl" / "assay.json").read_text())
    types = {one["name"]: one for one in idl["types"]}
    parts = [accounts(idl, types), instructions(idl), events(idl, types), errors(idl)]
    return "\n\n".join("\n".join(line.rstrip() for line in part) for part in parts)


def page() -> str:
    """The whole page with its made part brought up to date."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    return before + BEGIN + "\n" + tables() + "\n" + END + rest.partition(END)[2]


def main() -> None:
    wanted = page()
    if "--check" in sys.argv:
        if PAGE.read_text() != wanted:
            sys.exit("docs/program.md does not match idl/assay.json: run programs/toolchain/reference.py")
        return
    PAGE.write_text(wanted)


if __name__ == "__main__":
    main()
