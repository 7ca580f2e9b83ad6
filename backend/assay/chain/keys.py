"""Key files in the form of Solana's CLI: a JSON list of 64 bytes, readable by their owner only."""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path

from solders.keypair import Keypair

from assay.errors import ConfigError


def read_key(path: Path, *, field: str | None = None) -> Keypair:
    """The key in `path`. Raises `ConfigError` for `field` naming the file."""
    try:
        return Keypair.from_bytes(bytes(json.loads(path.read_text())))
    except FileNotFoundError:
        raise ConfigError(
            f"there is no key file {path}", field=field, hint=f"solana-keygen new --outfile {path}"
        ) from None
    except (ValueError, TypeError, OSError) as error:
        raise ConfigError(f"{path} is no key file: {error}", field=field, hint="a JSON list of 64 bytes") from error


def ensure_key(path: Path) -> Keypair:
    """The key in `path`; made, and on disk before it is returned, if there is none."""
    if path.exists():
        return read_key(path)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    key = Keypair()
    descriptor, name = tempfile.mkstemp(prefix=path.name, dir=path.parent)  # readable by the owner only
    temporary = Path(name)
    with os.fdopen(descriptor, "w") as file:
        json.dump(list(bytes(key)), file)
        file.flush()
        os.fsync(file.fileno())
    try:
        os.link(temporary, path)  # fails where another process was first: then its key counts
    except FileExistsError:
        return read_key(path)
    finally:
        temporary.unlink()
    return key
