"""Content-addressed storage.

store = open_store(settings)
cid = await store.put(data)      # "bafkrei…"
data = await store.get(cid)      # checked against the CID
"""

from __future__ import annotations

from assay.errors import ConfigError
from assay.settings import Settings
from assay.storage.base import Store
from assay.storage.ipfs import IpfsStore
from assay.storage.local import LocalStore
from assay.storage.replicated import ReplicatedStore
from assay.storage.s3 import S3Store

__all__ = ["IpfsStore", "LocalStore", "ReplicatedStore", "S3Store", "Store", "open_store"]


def open_store(settings: Settings) -> Store:
    """The store that the settings describe: the folder under home, and copies on IPFS and S3 where those are set."""
    stores: list[Store] = [LocalStore(settings.content_dir)]
    if settings.ipfs_url:
        stores.append(IpfsStore(settings.ipfs_url))
    if settings.s3_url:
        if not settings.s3_access_key or not settings.s3_secret_key:
            raise ConfigError("needs a key", field="ASSAY_S3_URL", hint="ASSAY_S3_ACCESS_KEY and ASSAY_S3_SECRET_KEY")
        stores.append(
            S3Store(
                settings.s3_url,
                region=settings.s3_region,
                access_key=settings.s3_access_key,
                secret_key=settings.s3_secret_key,
            )
        )
    return stores[0] if len(stores) == 1 else ReplicatedStore(stores)
