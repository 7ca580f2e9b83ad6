"""The document is valid OpenAPI 3.1, and the API does what it says for whatever schemathesis tries."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from solders.keypair import Keypair

from assay.client import Client
from assay.db.postgres import EmbeddedPostgres
from assay.server import Server
from assay.settings import load


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, str]]:
    """A server in a thread of its own, for a client that blocks: its URL and a labeler's token."""
    home: Path = tmp_path_factory.mktemp("openapi")
    ready, stop = threading.Event(), threading.Event()
    found: list[str] = []

    async def main() -> None:
        async with Server(load(home=home)) as server, Client(server.url, key=Keypair()) as client:
            await client.faucet()
            await client.enrol("labeler", stake="100")
            assert client._token is not None
            found.extend((server.url, client._token))
            ready.set()
            await asyncio.to_thread(stop.wait)

    thread = threading.Thread(target=lambda: asyncio.run(main()))
    thread.start()
    for _ in range(600):
        if ready.wait(0.1) or not thread.is_alive():
            break
    assert ready.is_set(), "the server did not start"
    yield found[0], found[1]
    stop.set()
    thread.join(30)
    assert EmbeddedPostgres(home / "pg").pid() is None


def test_the_document_names_every_error(running: tuple[str, str]) -> None:
    import urllib.request

    document = json.loads(urllib.request.urlopen(running[0] + "/openapi.json").read())
    assert document["openapi"] == "3.1.0"
    names = set()
    for path, operations in document["paths"].items():
        for method, operation in operations.items():
            assert operation["operationId"] not in names, operation["operationId"]
            names.add(operation["operationId"])
            assert operation["summary"], (method, path)
            assert "429" in operation["responses"]
    assert {"labelers_claim", "labelers_submit", "labelers_earnings", "buyers_draft", "buyers_dataset"} <= names


def test_schemathesis_finds_nothing(running: tuple[str, str]) -> None:
    url, token = running
    schema = schemathesis.openapi.from_url(url + "/openapi.json")
    tested = schema.exclude(path_regex="/(live|events|metrics|healthz|openapi.json)$|faucet").exclude(
        path="/v1/session", method="DELETE"
    )
    checks = [
        schemathesis.checks.not_a_server_error,
        schemathesis.checks.status_code_conformance,
        schemathesis.checks.content_type_conformance,
        schemathesis.checks.response_schema_conformance,
    ]
    done = 0
    for result in tested.get_all_operations():
        operation = result.ok()

        @settings(
            max_examples=12,
            deadline=None,
            database=None,
            derandomize=True,
            phases=[Phase.generate],
            suppress_health_check=list(HealthCheck),
        )
        @given(case=operation.as_strategy())
        def attempt(case: schemathesis.Case) -> None:
            case.call_and_validate(headers={"Authorization": f"Bearer {token}"}, checks=checks)

        attempt()
        done += 1
    assert done > 25
