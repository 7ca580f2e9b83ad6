"""Golden vectors of every message, id, entry and hash of docs/protocol.md, for other languages to check theirs.

`vectors.json` holds inputs and results in hexadecimal. `python tests/domain/test_vectors.py` writes it anew,
which is right only when the protocol changes.
"""

from __future__ import annotations

import json
import struct
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from solders.keypair import Keypair

from assay.domain import canonical, entries, merkle, messages, panel, tally, work
from assay.domain.tally import Role, Tally
from assay.errors import FieldError, SignatureInvalid

VECTORS = Path(__file__).with_name("vectors.json")
PROGRAM, REQUEST, SLOT_HASH, SALT = (bytes([i]) * 32 for i in (1, 2, 3, 4))
CID = "bafkreihdwdcefgh4dqkjv67uzcmw7ojee6xedzdetojuzjevtenxquvyku"
LABELER = Keypair.from_seed(bytes([5]) * 32)
VOTER = Keypair.from_seed(bytes([6]) * 32)
CONTENT = {"value": "café"}


def make() -> dict[str, Any]:
    labeler, voter = bytes(LABELER.pubkey()), bytes(VOTER.pubkey())
    domain = messages.request_domain(program=PROGRAM, request=REQUEST, slot_hash=SLOT_HASH)
    task = messages.task_id(domain=domain, index=7, cid=CID)
    content_hash = canonical.digest(CONTENT)
    answer = messages.answer(domain=domain, task=task, labeler=labeler, content_hash=content_hash)
    answer_id = messages.answer_id(domain=domain, task=task, labeler=labeler, content_hash=content_hash)
    sealed = messages.commitment(domain=domain, answer=answer_id, round=1, voter=voter, vote=1, salt=SALT)
    commit = messages.commit(domain=domain, answer=answer_id, round=1, voter=voter, commitment=sealed)
    evidence = entries.review_evidence([(voter, 1, SALT)])
    answer_entry = entries.AnswerEntry(answer_id, task, labeler, 1, 10_000, evidence)
    record_entry = entries.RecordEntry(task, content_hash, 10_000)
    packed = entries.ordered([answer_entry], [record_entry])
    root = merkle.root(packed)
    tallies = (Tally(labeler, Role.LABELER, good=1), Tally(voter, Role.VALIDATOR, good=1, units=2520))
    digest = tally.digest(
        root=root, records=1, judged=1, answers=1, votes=1, tallies=tallies, participant=lambda wallet: wallet[::-1]
    )
    batch = messages.batch(domain=domain, batch=9, panel_round=2, digest=digest)
    leaf = merkle.batch_leaf(batch=9, root=root, at=1_700_000_000, digest=digest)
    mountains = merkle.Mountains()
    for i in range(11):
        mountains.append(sha256(bytes([i])).digest())
    seed = messages.panel_seed(domain=domain, panel_round=2, slot_hash=SLOT_HASH)
    return {
        "program": PROGRAM, "request": REQUEST, "slot_hash": SLOT_HASH, "salt": SALT, "labeler": labeler,
        "voter": voter, "cid": CID, "content": canonical.dumps(CONTENT), "domain": domain, "panel_seed": seed,
        "panel_key_weight_3": panel.key(voter, seed=seed, weight=3).to_bytes(8, "little"),
        "task_id": task, "content_hash": content_hash, "answer": answer, "answer_id": answer_id,
        "answer_signature": messages.sign(LABELER, answer), "commitment": sealed, "commit": commit,
        "commit_signature": messages.sign(VOTER, commit), "review_evidence": evidence,
        "agreement_evidence": entries.agreement_evidence({answer_id: None, bytes(32): None}),
        "weighted_evidence": entries.agreement_evidence({answer_id: (20, 3), bytes(32): (0, 0)}),
        "answer_entry": answer_entry.pack(), "record_entry": record_entry.pack(), "root": root,
        "tallies": b"".join(one.pack() for one in tallies), "digest": digest, "batch": batch,
        "batch_signature": messages.sign(VOTER, batch), "batch_leaf": leaf,
        "log_head": merkle.next_head(merkle.ZERO, leaf), "peaks_of_11": b"".join(mountains.peaks[:4]),
        "gold_entry": work.gold_entry(index=7, label=CONTENT, salt=SALT),
    }  # fmt: skip


def text(vectors: dict[str, Any]) -> dict[str, str]:
    return {name: value if isinstance(value, str) else value.hex() for name, value in vectors.items()}


def test_vectors() -> None:
    assert text(make()) == json.loads(VECTORS.read_text())


def test_the_vectors_are_what_the_protocol_says() -> None:
    """The bytes put together by hand, from the page and not from the code."""
    v = make()
    assert v["domain"] == sha256(b"assay-domain-v1\0" + PROGRAM + REQUEST + SLOT_HASH).digest()
    assert v["panel_seed"] == sha256(b"assay-panel-v1\0\0" + v["domain"] + b"\2\0\0\0" + SLOT_HASH).digest()
    cid = sha256(CID.encode()).digest()
    assert v["task_id"] == sha256(b"assay-task-v1\0\0\0" + v["domain"] + b"\7\0\0\0" + cid).digest()
    assert v["content"] == '{"value":"café"}'.encode()
    assert v["answer"] == b"assay-answer-v1\0" + v["domain"] + v["task_id"] + v["labeler"] + v["content_hash"]
    assert v["answer_id"] == sha256(v["answer"]).digest()
    sealed = b"assay-vote-v1\0\0\0" + v["domain"] + v["answer_id"] + b"\1" + v["voter"] + b"\1" + SALT
    assert v["commitment"] == sha256(sealed).digest()
    assert v["commit"] == b"assay-commit-v1\0" + v["domain"] + v["answer_id"] + b"\1" + v["voter"] + v["commitment"]
    assert v["review_evidence"] == sha256(v["voter"] + b"\1" + SALT).digest()
    assert v["agreement_evidence"] == sha256(bytes(32) + v["answer_id"]).digest()
    counted = bytes(32) + bytes(8) + v["answer_id"] + (20).to_bytes(4, "little") + (3).to_bytes(4, "little")
    assert v["weighted_evidence"] == sha256(counted).digest()
    ids = v["answer_id"] + v["task_id"] + v["labeler"]
    assert v["answer_entry"] == b"\1" + ids + b"\1" + b"\x10\x27" + v["review_evidence"]
    assert v["record_entry"] == b"\2" + v["task_id"] + v["content_hash"] + b"\x10\x27"
    leaves = [sha256(b"\0" + entry).digest() for entry in (v["answer_entry"], v["record_entry"])]
    assert v["root"] == sha256(b"\1" + leaves[0] + leaves[1]).digest()
    tallies = [v["labeler"][::-1] + b"\1\0" + bytes(10), v["voter"][::-1] + b"\1\0" + bytes(6) + b"\xd8\x09\0\0"]
    counts = b"\1\0\1\0\1\0\1\0\0\0"
    assert v["digest"] == sha256(v["root"] + counts + tallies[0] + tallies[1]).digest()
    assert v["batch"] == b"assay-batch-v1\0\0" + v["domain"] + struct.pack("<QI", 9, 2) + v["digest"]
    assert len(v["batch"]) == 92
    leaf = sha256(b"\2" + struct.pack("<Q", 9) + v["root"] + struct.pack("<q", 1_700_000_000) + v["digest"]).digest()
    assert v["batch_leaf"] == leaf
    assert v["log_head"] == sha256(b"\3" + bytes(32) + leaf).digest()
    assert v["gold_entry"] == b"assay-gold-v1\0\0\0" + b"\7\0\0\0" + v["content_hash"] + SALT


def test_every_tag_is_of_16_bytes_and_its_own() -> None:
    tags = [getattr(messages, name) for name in dir(messages) if name.startswith("TAG_")] + [work.TAG_GOLD]
    assert all(len(tag) == 16 for tag in tags)
    assert len(set(tags)) == len(tags)


def test_signatures() -> None:
    v = make()
    messages.verify(v["answer_signature"], key=v["labeler"], message=v["answer"])
    assert messages.verified(v["batch_signature"], key=v["voter"], message=v["batch"])
    assert not messages.verified(v["batch_signature"], key=v["voter"], message=v["commit"])
    assert not messages.verified(b"short", key=v["voter"], message=v["commit"])
    with pytest.raises(SignatureInvalid) as failure:
        messages.verify(v["answer_signature"], key=v["voter"], message=v["answer"], field="answers[0].signature")
    assert failure.value.field == "answers[0].signature"


def test_what_no_message_takes() -> None:
    good = {"domain": bytes(32), "answer": bytes(32), "round": 0, "voter": bytes(32), "vote": 1, "salt": bytes(32)}
    for wrong in ({"vote": 2}, {"round": 256}, {"salt": b""}, {"voter": bytes(31)}):
        with pytest.raises(FieldError) as failure:
            messages.commitment(**(good | wrong))  # type: ignore[arg-type]
        assert failure.value.field == next(iter(wrong))
    with pytest.raises(FieldError, match="all zero"):
        messages.commit(domain=bytes(32), answer=bytes(32), round=0, voter=bytes(32), commitment=bytes(32))


@pytest.mark.parametrize("bad", ["", "0OIl", "1" * 31, None, 5])
def test_what_is_no_address(bad: Any) -> None:
    with pytest.raises(FieldError) as failure:
        messages.unb58(bad, field="labeler")
    assert failure.value.field == "labeler"


def test_text_forms() -> None:
    raw = sha256(b"x").digest()
    assert messages.unb58(messages.b58(raw)) == raw
    assert messages.unb58(messages.b58(raw * 2), size=64) == raw * 2
    assert messages.unhex(raw.hex()) == raw
    for wrong in (raw.hex().upper(), raw.hex()[2:], "zz" * 32, " " + raw.hex()):
        with pytest.raises(FieldError):
            messages.unhex(wrong)


if __name__ == "__main__":
    VECTORS.write_text(json.dumps(text(make()), indent=2) + "\n")
