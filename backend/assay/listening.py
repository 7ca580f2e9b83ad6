"""What is wrong where nobody can listen."""

from __future__ import annotations

import errno
import os
import socket

from assay.errors import ConfigError


def cannot_listen(error: OSError, *, host: str, port: int, port_field: str) -> ConfigError:
    """What is wrong with an address that nobody can listen on: the host, or the port."""
    why = error.strerror if isinstance(error, socket.gaierror) else os.strerror(error.errno or 0)
    if isinstance(error, socket.gaierror) or error.errno == errno.EADDRNOTAVAIL:
        hint = "an address of this machine such as 127.0.0.1, or 0.0.0.0 for all of them"
        return ConfigError(f"{host} is no address to listen on: {why}", field="--host", hint=hint)
    return ConfigError(f"port {port} of {host} cannot be used: {why}", field=port_field, hint="0 takes a free one")
