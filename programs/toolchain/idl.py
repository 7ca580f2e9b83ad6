#!/usr/bin/env python3
"""Builds idl/assay.json from the program's sources, as `anchor idl build` does:  idl.py [output folder]

The program's `idl-build` tests print the parts between marker lines; this puts them together (Anchor's IDL
specification 0.1.0, https://github.com/solana-foundation/anchor/tree/master/idl/spec). Beside it
goes assay.legacy.json, the same interface in the form of before Anchor 0.30, which anchorpy reads.
"""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import re
import subprocess
import sys
from typing import Any

ROOT = pathlib.Path(__file__).resolve().parents[2]
PART = re.compile(r"--- IDL begin (\w+) ---\n(.*?)\n--- IDL end \1 ---", re.DOTALL)


def parts() -> list[tuple[str, str]]:
    """Runs the printing tests and returns (kind, text) of each part."""
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "idl"
    run = subprocess.run(
        [
            "/usr/bin/cargo",
            "test",
            "--quiet",
            "--locked",
            "--lib",
            "--features",
            "idl-build",
            "__anchor_private_print_idl",
            "--",
            "--show-output",
            "--test-threads=1",
        ],
        cwd=ROOT / "programs" / "assay",
        env={**os.environ, "RUSTC": "/usr/bin/rustc", "CARGO_TARGET_DIR": str(target)},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        sys.exit(f"cargo test --features idl-build failed:\n{run.stdout}{run.stderr}")
    return PART.findall(run.stdout)


def build() -> dict[str, Any]:
    """Assembles the IDL; types by name, so that the order of the tests does not show."""
    idl: dict[str, Any] = {}
    events: list[Any] = []
    errors: list[Any] = []
    constants: list[Any] = []
    types: dict[str, Any] = {}
    address = ""
    for kind, text in parts():
        if kind == "address":
            address = text.strip()
            continue
        part = json.loads(text)
        if kind == "program":
            idl = part
            types.update((each["name"], each) for each in part.pop("types"))
        elif kind == "event":
            events.append(part["event"])
            types.update((each["name"], each) for each in part["types"])
        elif kind == "errors":
            errors += part
        elif kind == "const":
            constants.append(part)
    if not idl or not address:
        sys.exit("the idl-build tests printed no program: is #[program] there?")
    name = lambda each: each["name"]  # noqa: E731
    idl["address"] = address
    # Events carry their discriminator; accounts only stand in types with theirs in `accounts`.
    idl["accounts"].sort(key=name)
    idl["events"] = sorted(events, key=name)
    idl["errors"] = sorted(errors, key=lambda each: each["code"])
    idl["types"] = [types[key] for key in sorted(types)]
    idl["constants"] = sorted(constants, key=name)
    return idl


def tag(kind: str, name: str) -> list[int]:
    """The discriminator that clients of the old form compute from a name."""
    return list(hashlib.sha256(f"{kind}:{name}".encode()).digest()[:8])


def camel(name: str) -> str:
    """`stake_vault` → `stakeVault`, as old IDLs have instructions, accounts and arguments."""
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def old_type(spec: Any) -> Any:
    """A type in the old form: `publicKey`, and `{"defined": name}`."""
    if spec == "pubkey":
        return "publicKey"
    if not isinstance(spec, dict):
        return spec
    if "defined" in spec:
        return {"defined": spec["defined"]["name"]}
    if "array" in spec:
        return {"array": [old_type(spec["array"][0]), spec["array"][1]]}
    return {kind: old_type(inner) for kind, inner in spec.items()}


def legacy(idl: dict[str, Any]) -> dict[str, Any]:
    """The old form. Every account is packed, so its Borsh reader sees what the C layout has."""
    for kind, part in (("global", "instructions"), ("account", "accounts"), ("event", "events")):
        for each in idl[part]:
            if each["discriminator"] != tag(kind, each["name"]):
                sys.exit(f"{each['name']} has a discriminator of its own, which the old form cannot say")

    def fields(each: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
        return [{"name": camel(one["name"]), "type": old_type(one["type"]), **more} for one in each["type"]["fields"]]

    types = {each["name"]: each for each in idl["types"]}
    accounts = [each["name"] for each in idl["accounts"]]
    events = [each["name"] for each in idl["events"]]
    inner = [name for name in types if name not in accounts and name not in events]

    def struct(name: str) -> dict[str, Any]:
        return {"name": name, "type": {"kind": "struct", "fields": fields(types[name])}}

    return {
        "version": idl["metadata"]["version"],
        "name": idl["metadata"]["name"],
        "instructions": [
            {
                "name": camel(each["name"]),
                "accounts": [
                    {
                        "name": camel(one["name"]),
                        "isMut": one.get("writable", False),
                        "isSigner": one.get("signer", False),
                    }
                    for one in each["accounts"]
                ],
                "args": [{"name": camel(one["name"]), "type": old_type(one["type"])} for one in each["args"]],
            }
            for each in idl["instructions"]
        ],
        "accounts": [struct(name) for name in accounts],
        "types": [struct(name) for name in inner],
        "events": [{"name": name, "fields": fields(types[name], index=False)} for name in events],
        "errors": idl["errors"],
        "metadata": {"address": idl["address"]},
    }


def main() -> None:
    """Writes both forms."""
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "idl"
    out.mkdir(exist_ok=True)
    idl = build()
    (out / "assay.json").write_text(json.dumps(idl, indent=2) + "\n")
    (out / "assay.legacy.json").write_text(json.dumps(legacy(idl), indent=2) + "\n")


if __name__ == "__main__":
    main()
