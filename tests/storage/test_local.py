"""The folder store, and several stores as one."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from assay.errors import ConfigError, ContentCorrupt, ContentMissing, FieldError, StorageError
from assay.settings import load
from assay.storage import LocalStore, ReplicatedStore, Store, cid, open_store


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.binary(max_size=2000), st.booleans())
async def test_round_trip(tmp_path: Path, data: bytes, durable: bool) -> None:
    store = LocalStore(tmp_path)
    assert isinstance(store, Store)
    address = await store.put(data, durable=durable)
    assert address == cid.of(data) == await store.put(data)
    assert await store.get(address) == data


async def test_damage_is_found_and_mended_by_the_next_put(tmp_path: Path) -> None:
    store = LocalStore(tmp_path)
    address = await store.put(b"content")
    store.path(address).write_bytes(b"damaged")
    with pytest.raises(ContentCorrupt):
        await store.get(address)
    await store.put(b"content")
    assert await store.get(address) == b"content"
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == [address]


@pytest.mark.parametrize("name", ["../../etc/passwd", "", "bafkrei", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG"])
async def test_only_cids_are_names(tmp_path: Path, name: str) -> None:
    with pytest.raises(FieldError):
        await LocalStore(tmp_path).get(name)


async def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(StorageError, match="cannot write"):
        await LocalStore(tmp_path / "file").put(b"content")


async def test_replicas_mend_each_other(tmp_path: Path) -> None:
    first, second = LocalStore(tmp_path / "1"), LocalStore(tmp_path / "2")
    store = ReplicatedStore([first, second])
    address = await store.put(b"content")
    assert await first.has(address)
    assert await second.has(address)
    first.path(address).unlink()
    assert await store.get(address) == b"content"
    assert await first.get(address) == b"content"
    first.path(address).write_bytes(b"damaged")
    second.path(address).unlink()
    with pytest.raises(ContentCorrupt):
        await store.get(address)
    with pytest.raises(ContentMissing):
        await store.get(cid.of(b"missing"))


async def test_what_is_deleted_is_gone_from_all_stores(tmp_path: Path) -> None:
    first, second = LocalStore(tmp_path / "1"), LocalStore(tmp_path / "2")
    store = ReplicatedStore([first, second])
    address, other = await store.put(b"content"), await store.put(b"other")
    await first.delete(address)
    await store.delete(address)
    await store.delete(address)
    assert not await store.has(address)
    assert await store.get(other) == b"other"
    with pytest.raises(FieldError):
        await store.delete("../2")
    broken = ReplicatedStore([first, LocalStore(tmp_path / "3")])
    (tmp_path / "3" / other[-2:] / other).mkdir(parents=True)
    with pytest.raises(StorageError, match="cannot remove"):
        await broken.delete(other)
    assert not await first.has(other), "the others were asked all the same"


async def test_open_store(tmp_path: Path) -> None:
    store = open_store(load(home=tmp_path))
    address = await store.put(b"content")
    path = tmp_path / "content" / address[-2:] / address
    assert stat.S_ISREG(os.stat(path).st_mode)
    with pytest.raises(ConfigError, match="ASSAY_S3_URL"):
        open_store(load(home=tmp_path, s3_url="https://example.org/bucket"))
    both = open_store(load(home=tmp_path, ipfs_url="http://127.0.0.1:5001"))
    assert isinstance(both, ReplicatedStore)
    await both.close()
