"""The batch tree and the log: proofs of what is in, and of nothing else."""

from __future__ import annotations

import time
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.domain import merkle, work

entries = st.lists(st.binary(max_size=40), min_size=1, max_size=40, unique=True)


@given(entries, st.data())
def test_proofs_hold_for_their_entry_and_place_only(leaves: list[bytes], data: st.DataObject) -> None:
    index = data.draw(st.integers(0, len(leaves) - 1))
    root, proof = merkle.root(leaves), merkle.proof(leaves, index)
    assert merkle.verify(leaves[index], index, proof, root)
    assert 1 << len(proof) >= len(leaves)
    other = data.draw(st.integers(0, (1 << len(proof)) - 1).filter(lambda one: one != index) if proof else st.just(1))
    assert not merkle.verify(leaves[index], other, proof, root)
    assert not merkle.verify(leaves[index] + b"x", index, proof, root)
    assert not merkle.verify(leaves[index], index + (1 << len(proof)), proof, root)
    if proof:
        place = data.draw(st.integers(0, len(proof) - 1))
        bent = [*proof]
        bent[place] = sha256(bent[place]).digest()
        assert not merkle.verify(leaves[index], index, bent, root)


@given(entries)
def test_a_node_is_no_entry(leaves: list[bytes]) -> None:
    """The inner nodes of a tree cannot be passed off as entries of a shallower one."""
    hashes = [merkle.leaf(leaf) for leaf in leaves]
    inner = hashes[0] + (hashes[1] if len(hashes) > 1 else merkle.ZERO)
    assert not merkle.verify(inner, 0, merkle.proof(leaves, 0)[1:], merkle.root(leaves))


@given(st.integers(1, 70), st.data())
def test_mountains(count: int, data: st.DataObject) -> None:
    leaves = [sha256(bytes([i])).digest() for i in range(count)]
    range_ = merkle.Mountains()
    for leaf in leaves:
        range_.append(leaf)
    assert range_.count == count
    assert [peak != merkle.ZERO for peak in range_.peaks] == [bool(count >> h & 1) for h in range(32)]
    index = data.draw(st.integers(0, count - 1))
    proof = merkle.mountain_proof(leaves, index)
    assert merkle.verify_mountain(leaves[index], proof, count=count, peaks=range_.peaks)
    other = data.draw(st.integers(0, count - 1).filter(lambda one: one != index) if count > 1 else st.just(count))
    wrong = merkle.MountainProof(other, proof.height, proof.siblings)
    assert not merkle.verify_mountain(leaves[index], wrong, count=count, peaks=range_.peaks)
    assert not merkle.verify_mountain(sha256(leaves[index]).digest(), proof, count=count, peaks=range_.peaks)
    short = merkle.MountainProof(index, proof.height, proof.siblings[:-1])
    if proof.siblings:
        assert not merkle.verify_mountain(leaves[index], short, count=count, peaks=range_.peaks)


def test_a_large_commitment_is_one_tree() -> None:
    """A buyer's 20,000 gold labels: a tree for each would take minutes, in which the market does nothing else."""
    before = time.process_time()
    root, opened = work.commit_gold((index, {"value": "a"}, index.to_bytes(32, "big")) for index in range(20_000))
    assert time.process_time() - before < 20
    one = opened[12_345]
    entry = work.gold_entry(index=12_345, label=one.label, salt=one.salt)
    assert merkle.verify(entry, one.position, one.proof, root)


def test_places_outside() -> None:
    assert merkle.root([]) == merkle.ZERO
    with pytest.raises(IndexError):
        merkle.proof([b"a"], 1)
    with pytest.raises(IndexError):
        merkle.locate(3, 3)
