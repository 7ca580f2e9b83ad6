"""Assignment by public randomness: places, starts, the walk on the circle, the log's lines."""

from __future__ import annotations

from collections import Counter
from hashlib import sha256

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assay.domain.assignment import CIRCLE, WORD, Circle, place, start
from assay.domain.assignment_log import Ended, HandOut, Header, More, Owners, decode, encode_groups, encode_header, read
from assay.domain.canonical import dumps
from assay.domain.messages import b58
from assay.errors import FieldError


def key(text: object) -> bytes:
    return sha256(str(text).encode()).digest()


def test_places_and_starts_are_what_the_protocol_says() -> None:
    domain, task = key("domain"), key("task")
    first = sha256(b"assay-place-v1\0\0" + domain + task).digest()
    assert place(domain=domain, task=task) == int.from_bytes(first[:4], "big") // 2
    second = sha256(b"assay-start-v1\0\0" + domain + bytes([3, 0, 0, 0, 1, 2, 0, 0])).digest()
    assert start(domain=domain, walk=3, n=513) == int.from_bytes(second[:4], "big") // 2
    assert all(0 <= start(domain=domain, walk=walk, n=n) < CIRCLE for walk in range(1, 20) for n in range(1, 20))


def test_everybody_is_drawn_alike() -> None:
    """Whoever it is, each task is as likely as any other, but for the gap before it."""
    domain, tasks = key("d"), 10
    counts: Counter[int] = Counter()
    for draw in range(4000):
        circle = Circle([place(domain=key(draw), task=key(i)) for i in range(tasks)], [1] * tasks)
        counts[circle.draw(start(domain=domain, walk=draw + 1, n=1), 1, lambda _: False)[0]] += 1
    assert all(330 <= counts[i] <= 470 for i in range(tasks))


@given(
    st.lists(st.tuples(st.integers(0, 40), st.integers(0, 2)), min_size=1, max_size=60),
    st.integers(0, 45),
    st.sets(st.integers(0, 60)),
    st.integers(1, 10),
)
def test_a_draw_is_the_next_tasks_on_the_circle(tasks, begin, had, asked) -> None:
    circle = Circle([at for at, _ in tasks], [room for _, room in tasks])
    order = sorted(range(len(tasks)), key=lambda i: (tasks[i][0] < begin, tasks[i][0], i))
    expected = [i for i in order if tasks[i][1] > 0 and i not in had][:asked]
    assert circle.draw(begin, asked, had.__contains__) == expected


@given(st.lists(st.integers(0, 3 * WORD), max_size=200))
def test_room_comes_and_goes(touched) -> None:
    size = 3 * WORD + 1
    circle = Circle(range(size), [1] * size)
    room = [1] * size
    for index in touched:
        if room[index]:
            circle.take(index)
            room[index] = 0
        else:
            circle.give(index)
            room[index] = 1
    assert list(circle.walk(WORD)) == [i for i in (*range(WORD, size), *range(WORD)) if room[i]]
    full = next((i for i in range(size) if not room[i]), None)
    if full is not None:
        with pytest.raises(ValueError, match="no room"):
            circle.take(full)


WALLET = b58(key("w"))
LINES = [
    {"type": "handout", "wallet": WALLET, "walk": 1, "n": 1, "start": 5, "asked": 2, "point": 0, "tasks": [3, 1]},
    {"type": "skipped", "leases": [[1, 3]]},
    {"type": "lapsed", "leases": [[1, 1]]},
    {"type": "more", "task": 1, "more": 1},
    {"type": "owners", "point": 32, "rule": 1, "groups": [[WALLET, b58(key("v"))]]},
]


def log() -> list[bytes]:
    lines = [encode_header(Header(key("p"), key("r"), key("d"), 20, 25))]
    for number, line in enumerate(LINES, start=1):
        previous = sha256(lines[-1]).hexdigest()
        lines.append(dumps({**line, "at": 1000 + number, "line": number, "previous": previous}))
    return [line + b"\n" for line in lines]


def test_the_log_is_read_as_it_was_written() -> None:
    header, *entries = read(log())
    assert header == Header(key("p"), key("r"), key("d"), 20, 25)
    assert entries == [
        HandOut(1, 1001, key("w"), 1, 1, 5, 2, 0, (3, 1)),
        Ended(2, 1002, "skipped", ((1, 3),)),
        Ended(3, 1003, "lapsed", ((1, 1),)),
        More(4, 1004, 1, 1),
        Owners(5, 1005, 32, 1, ((key("w"), key("v")),)),
    ]
    assert encode_groups([(key("w"), key("v"))]) == dumps(LINES[4]["groups"])


def test_a_line_that_is_being_written_is_left_out() -> None:
    lines = log()
    lines[-1] = lines[-1][:-5]
    assert len(list(read(lines))) == 5


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda lines: lines.pop(2), "line 2.previous"),
        (lambda lines: lines.insert(2, lines[1]), "line 2.previous"),
        (lambda lines: lines.__setitem__(1, lines[1].replace(b'"asked":2', b'"asked":3')), "line 2.previous"),
        (lambda lines: lines.__setitem__(1, lines[1].replace(b'"asked":2', b'"asked":1')), "line 1.asked"),
        (lambda lines: lines.__setitem__(1, lines[1].replace(b'"n":1', b'"n":"1"')), "line 1.n"),
        (lambda lines: lines.__setitem__(1, lines[1].replace(b'{"asked"', b'{ "asked"')), "line 1"),
        (lambda lines: lines.__setitem__(2, lines[2].replace(b"skipped", b"dropped")), "line 2.type"),
        (lambda lines: lines.__setitem__(0, lines[0].replace(b'"version":1', b'"version":2')), "line 0.type"),
        (lambda lines: lines.__setitem__(0, b"{}\n"), "line 0.type"),
    ],
)
def test_another_line_is_named(change, field) -> None:
    lines = log()
    change(lines)
    with pytest.raises(FieldError) as caught:
        list(read(lines))
    assert caught.value.field.startswith(field)


def test_a_line_number_that_is_not_the_next() -> None:
    line = dumps({**LINES[1], "at": 1, "line": 3, "previous": "00" * 32})
    with pytest.raises(FieldError, match="line: is 3"):
        decode(line, number=2, previous=bytes(32))
