"""Content in a folder: one file a CID, written beside and renamed, checked whenever it is read."""

from __future__ import annotations

import asyncio
import os
import tempfile
from contextlib import suppress
from pathlib import Path

from assay.errors import ContentCorrupt, ContentMissing, StorageError
from assay.storage import cid as cids


class LocalStore:
    """Files under `root/ab/<cid>`, spread by the last two characters (the first ones are all alike)."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def path(self, cid: str) -> Path:
        """Where a CID's file lies. Raises `FieldError` for anything else, so no name can lead out of the folder."""
        cids.parse(cid)
        return self.root / cid[-2:] / cid

    async def put(self, data: bytes, *, durable: bool = True) -> str:
        return await asyncio.to_thread(self._put, data, durable)

    def _put(self, data: bytes, durable: bool) -> str:
        cid = cids.of(data)
        path = self.path(cid)
        # A file of the right size that a crash left without its content would be found at the next read: a durable
        # put therefore writes anew unless what is there is right.
        if path.exists() and (not durable or self._intact(path, cid)):
            return cid
        temporary: str | None = None
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=".new-")
            with os.fdopen(handle, "wb") as file:
                file.write(data)
                file.flush()
                if durable:
                    os.fsync(file.fileno())
            os.replace(temporary, path)
            temporary = None
            if durable:
                _sync_folder(path.parent)
                _sync_folder(self.root)
        except OSError as error:
            raise StorageError(f"cannot write {path}: {error.strerror}") from error
        finally:
            if temporary is not None:
                with suppress(OSError):
                    os.unlink(temporary)
        return cid

    def _intact(self, path: Path, cid: str) -> bool:
        try:
            return cids.of(path.read_bytes()) == cid
        except OSError:
            return False

    async def get(self, cid: str) -> bytes:
        return await asyncio.to_thread(self._get, cid)

    def _get(self, cid: str) -> bytes:
        path = self.path(cid)
        try:
            data = path.read_bytes()
        except FileNotFoundError as error:
            raise ContentMissing(f"there is no content {cid}", field="cid") from error
        except OSError as error:
            raise StorageError(f"cannot read {path}: {error.strerror}") from error
        if cids.of(data) != cid:
            raise ContentCorrupt(f"the file of {cid} holds other bytes", hint=f"restore {path} from another store")
        return data

    async def has(self, cid: str) -> bool:
        return await asyncio.to_thread(self.path(cid).exists)

    async def delete(self, cid: str) -> None:
        await asyncio.to_thread(self._delete, cid)

    def _delete(self, cid: str) -> None:
        path = self.path(cid)
        try:
            path.unlink(missing_ok=True)
        except OSError as error:
            raise StorageError(f"cannot remove {path}: {error.strerror}") from error

    async def close(self) -> None:
        """Nothing to let go of."""


def _sync_folder(path: Path) -> None:
    """Makes a rename in `path` durable."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
