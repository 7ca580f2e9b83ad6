#!/usr/bin/env python3
"""Builds idl/assay.json from the program's sources, as `anchor idl build` does:  idl.py [output file]

The program's `idl-build` tests print the parts between marker lines; this puts them together (Anchor's IDL
specification 0.1.0, https://github.com/solana-foundation/anchor/tree/master/idl/spec).
"""

from __future__ import annotations

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


def main() -> None:
    """Writes the IDL."""
    out = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "idl" / "assay.json"
    out.parent.mkdir(exist_ok=True)
    out.write_text(json.dumps(build(), indent=2) + "\n")


if __name__ == "__main__":
    main()
