"""Content addresses: byte for byte what IPFS's Go library makes (boxo 0.39.0, balanced layout, raw leaves)."""

from __future__ import annotations

from hashlib import sha256

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.errors import FieldError
from assay.storage import cid

# Files whose byte i is (7 i + ⌊i / 251⌋) mod 256; the sizes are edges of chunks and of nodes (174 · 256 KiB).
BOXO = {
    0: "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku",
    1: "bafkreidogqfzz75tpkmjzjke425xqcrmpcib2p5tg44hnbirumdbpl5adu",
    262144: "bafkreidtpmdhdmgsrvgltsrlzrfs5ragszmg3o3legvfagtwldoeiucayu",
    262145: "bafybeidbuw2hpnkpnbwvz6xirywx74hyz64czv2fhdsr2m2c67bbpsd3m4",
    524288: "bafybeie2mcy5aidfd35o63mt73tdbth65qvara2mo64w2qa6ybvz3ht6rm",
    1048577: "bafybeici3drswogfsisfrxe4drbnalrszmvzvy7khuuxkzfqtz3jgdqxwi",
    45613056: "bafybeifkad4lwwpmhjv3zogc6cs6jklt2bcozbnx7e6sa7v2izt4pih4l4",
    45613057: "bafybeigktympmejeejzzjhua6csk4zi2ddb2m76y7bndfseboyvdmghwcy",
}


@pytest.mark.parametrize("size", BOXO)
def test_as_ipfs_makes_them(size: int) -> None:
    sevens = np.resize(np.arange(256) * 7 % 256, size).astype(np.uint8)
    steps = np.repeat((np.arange(size // 251 + 1) % 256).astype(np.uint8), 251)[:size]
    assert cid.of((sevens + steps).tobytes()) == BOXO[size]


@given(st.binary(max_size=100))
def test_a_small_files_cid_carries_its_hash(data: bytes) -> None:
    assert cid.parse(cid.of(data)) == (cid.RAW, sha256(data).digest())
    assert cid.text(sha256(data).digest()) == cid.of(data)


@pytest.mark.parametrize("wrong", ["", "bafkrei", "QmYwAPJzv5CZsnA625s3Xf2nemtYgPpHdWEz79ojWnPbdG", "b" * 59, 7, None])
def test_what_is_no_cid(wrong: object) -> None:
    with pytest.raises(FieldError, match="no content address"):
        cid.parse(wrong)  # type: ignore[arg-type]
