"""Sign-in, and what an attacker may try with it."""

from __future__ import annotations

import pytest
from solders.keypair import Keypair

from assay.client import Client
from assay.domain import messages
from assay.errors import SignatureInvalid, Unauthenticated
from assay.server import Server


async def _challenge(client: Client) -> dict[str, str]:
    return await client.call("POST", "/v1/session/challenge", body={"wallet": client.wallet}, auth=False)


def _signed(client: Client, challenge: dict[str, str], *, key: Keypair | None = None) -> dict[str, str]:
    signature = messages.sign(key or client.key, challenge["message"].encode())
    return {"wallet": client.wallet, "nonce": challenge["nonce"], "signature": messages.b58(signature)}


@pytest.fixture
async def client(server: Server):
    async with Client(server.url, key=Keypair()) as made:
        yield made


async def _open(client: Client, body: dict[str, str]) -> dict[str, str]:
    return await client.call("POST", "/v1/session", body=body, auth=False)


async def test_the_message_names_market_wallet_and_end(client: Client, server: Server) -> None:
    challenge = await _challenge(client)
    assert challenge["message"].startswith(f"{server.settings.host}:{server.port} wants you to sign in")
    assert client.wallet in challenge["message"]
    assert f"Nonce: {challenge['nonce']}" in challenge["message"]
    assert "Expiration Time: " in challenge["message"]


async def test_a_challenge_works_once(client: Client) -> None:
    body = _signed(client, await _challenge(client))
    assert (await _open(client, body))["wallet"] == client.wallet
    with pytest.raises(Unauthenticated, match="unknown or was used"):
        await _open(client, body)


async def test_a_failed_attempt_uses_the_challenge_up(client: Client) -> None:
    challenge = await _challenge(client)
    with pytest.raises(SignatureInvalid):
        await _open(client, _signed(client, challenge, key=Keypair()))
    with pytest.raises(Unauthenticated):
        await _open(client, _signed(client, challenge))


async def test_a_challenge_of_another_wallet_is_refused(client: Client, server: Server) -> None:
    async with Client(server.url, key=Keypair()) as thief:
        body = _signed(thief, await _challenge(client))
        with pytest.raises(SignatureInvalid, match="another wallet"):
            await _open(thief, body)


async def test_an_expired_challenge_is_refused(client: Client, server: Server) -> None:
    challenge = await _challenge(client)
    async with server.market.db.session() as session:
        await session.connection.execute("update challenges set expires_at = now() - interval '1 second'")
    with pytest.raises(Unauthenticated, match="expired"):
        await _open(client, _signed(client, challenge))


async def test_tokens_end(client: Client, server: Server) -> None:
    await client.sign_in()
    assert (await client.me())["wallet"] == client.wallet
    await client.call("DELETE", "/v1/session")
    token = client._token
    client.key = None
    client._token = None
    with pytest.raises(Unauthenticated):
        await client._session_get(token) if hasattr(client, "_session_get") else await _raw(client, token)


async def _raw(client: Client, token: str | None) -> None:
    assert client._session is not None
    async with client._session.get(client.url + "/v1/me", headers={"Authorization": f"Bearer {token}"}) as response:
        assert response.headers["WWW-Authenticate"].startswith("Bearer")
        problem = await response.json(content_type="application/problem+json")
    raise Unauthenticated(problem["detail"])


async def test_a_token_is_kept_as_its_hash_alone(client: Client, server: Server) -> None:
    await client.sign_in()
    assert client._token is not None
    async with server.market.db.session() as session:
        rows = await session.connection.fetch("select token_hash::text, wallet::text from sessions")
    assert all(client._token.encode().hex() not in row["token_hash"] for row in rows)


async def test_an_expired_token_is_refused_and_the_client_signs_in_anew(client: Client, server: Server) -> None:
    await client.sign_in()
    first = client._token
    async with server.market.db.session() as session:
        await session.connection.execute("update sessions set expires_at = now() - interval '1 second'")
    server.market.sessions._known.clear()
    assert (await client.me())["wallet"] == client.wallet
    assert client._token != first


@pytest.mark.parametrize("header", ["Basic abc", "Bearer", "Bearer nonsense", "nonsense"])
async def test_headers_that_are_no_token(server: Server, client: Client, header: str) -> None:
    assert client._session is not None
    async with client._session.get(server.url + "/v1/me", headers={"Authorization": header}) as response:
        assert response.status == 401
        assert (await response.json(content_type="application/problem+json"))["code"] == "unauthenticated"
