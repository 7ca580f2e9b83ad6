"""The JSON-RPC port as Solana's own Python client, and a plain one, see it."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator
from typing import Any

import aiohttp
import pytest
from solana.rpc.async_api import AsyncClient
from solana.rpc.core import RPCException
from solana.rpc.models import DataSliceOpts, MemcmpOpts, TokenAccountOpts, TxOpts
from solana.rpc.websocket_api import SolanaWsClient
from solders.keypair import Keypair
from solders.message import Message
from solders.pubkey import Pubkey
from solders.rpc.config import RpcTransactionLogsFilterMentions
from solders.signature import Signature
from solders.system_program import TransferParams, transfer
from solders.transaction import Transaction, VersionedTransaction

from assay.chain import EmbeddedChain, setup, tokens
from assay.chain.rpc_server import RpcServer
from assay.errors import ConfigError


@pytest.fixture
async def client(server: RpcServer) -> AsyncIterator[AsyncClient]:
    """solana-py's client."""
    made = AsyncClient(server.url, commitment="confirmed")
    yield made
    await made.close()


async def funded(client: AsyncClient) -> Keypair:
    wallet = Keypair()
    await client.request_airdrop(wallet.pubkey(), 10**10)
    return wallet


async def signed(client: AsyncClient, wallet: Keypair, lamports: int, *, target: Pubkey | None = None) -> Transaction:
    """A legacy transfer."""
    blockhash = (await client.get_latest_blockhash()).value.blockhash
    move = transfer(
        TransferParams(from_pubkey=wallet.pubkey(), to_pubkey=target or Keypair().pubkey(), lamports=lamports)
    )
    message = Message.new_with_blockhash([move], wallet.pubkey(), blockhash)
    return Transaction([wallet], message, blockhash)


async def ask(server: RpcServer, method: str, *params: Any) -> Any:
    """The whole answer of one call."""
    async with aiohttp.ClientSession() as session:
        body = {"jsonrpc": "2.0", "id": 7, "method": method, "params": list(params)}
        async with session.post(server.url, json=body) as response:
            return await response.json()


async def test_cluster_methods(client: AsyncClient, embedded: EmbeddedChain) -> None:
    assert await client.is_connected()
    assert (await client.get_genesis_hash()).value == await embedded.genesis_hash()
    slot = (await client.get_slot()).value
    assert slot <= (await client.get_block_height()).value
    assert (await client.get_epoch_info()).value.absolute_slot >= slot
    assert abs((await client.get_block_time(slot)).value - (await embedded.clock()).unix_timestamp) <= 2
    blockhash = (await client.get_latest_blockhash()).value
    assert blockhash.last_valid_block_height >= slot + 150
    assert (await client.get_minimum_balance_for_rent_exemption(165)).value == await embedded.minimum_rent(165)
    assert (await client.get_version()).value.solana_core


async def test_a_legacy_transaction_from_sending_to_history(client: AsyncClient) -> None:
    wallet = await funded(client)
    made = await signed(client, wallet, 10**7)
    assert (await client.get_fee_for_message(made.message)).value == 5000  # type: ignore[arg-type]
    signature = (await client.send_raw_transaction(bytes(made))).value
    assert signature == made.signatures[0]
    status = (await client.get_signature_statuses([signature, Signature.default()])).value
    assert status[0] is not None
    assert status[0].err is None
    assert status[1] is None
    assert (await client.get_balance(wallet.pubkey())).value == 10**10 - 10**7 - 5000
    found = (await client.get_transaction(signature)).value  # a legacy one needs no version
    assert found is not None
    assert found.transaction.meta is not None
    assert found.transaction.meta.pre_balances[0] - found.transaction.meta.post_balances[0] == 10**7 + 5000
    for encoding in ("json", "jsonParsed", "base64", "base58"):
        again = (await client.get_transaction(signature, encoding=encoding)).value
        assert again is not None
        assert again.slot == found.slot
    # sent again it is the same, and runs no second time
    assert (await client.send_raw_transaction(bytes(made))).value == signature
    assert (await client.get_balance(wallet.pubkey())).value == 10**10 - 10**7 - 5000


async def test_history_is_paged(client: AsyncClient) -> None:
    wallet = await funded(client)
    sent = []
    for number in range(5):
        made = await signed(client, wallet, 10**7 + number)
        sent.append((await client.send_raw_transaction(bytes(made))).value)
    page = (await client.get_signatures_for_address(wallet.pubkey(), limit=2)).value
    assert [entry.signature for entry in page] == [sent[4], sent[3]]
    page = (await client.get_signatures_for_address(wallet.pubkey(), before=sent[3], until=sent[0])).value
    assert [entry.signature for entry in page] == [sent[2], sent[1]]
    assert len((await client.get_signatures_for_address(wallet.pubkey())).value) == 6


async def test_failures_look_like_a_clusters(client: AsyncClient, server: RpcServer) -> None:
    wallet = await funded(client)
    made = await signed(client, wallet, 10**12)
    with pytest.raises(RPCException, match="custom program error: 0x1"):
        await client.send_raw_transaction(bytes(made))
    assert (await client.get_signature_statuses([made.signatures[0]])).value == [None]
    await client.send_raw_transaction(bytes(made), TxOpts(skip_preflight=True))
    status = (await client.get_signature_statuses([made.signatures[0]])).value[0]
    assert status is not None
    assert status.err is not None
    versioned = VersionedTransaction.from_legacy(await signed(client, wallet, 10**12))
    simulated = (await client.simulate_transaction(versioned)).value
    assert simulated.err is not None
    assert simulated.logs

    forged = bytearray(bytes(await signed(client, wallet, 10**7)))
    forged[5] ^= 1
    encoded = base64.b64encode(bytes(forged)).decode()
    answer = await ask(server, "sendTransaction", encoded, {"encoding": "base64"})
    assert answer["error"]["code"] == -32003
    unknown = made.message.hash()  # a hash, but of no block
    old = Message.new_with_blockhash([], wallet.pubkey(), unknown)
    stale = base64.b64encode(bytes(Transaction([wallet], old, unknown))).decode()
    answer = await ask(server, "sendTransaction", stale, {"encoding": "base64"})
    assert answer["error"]["code"] == -32002
    assert answer["error"]["data"]["err"] == "BlockhashNotFound"


@pytest.mark.parametrize(
    ("method", "params", "code", "words"),
    [
        ("getAccountInfo", [], -32602, "at least 1"),
        ("getAccountInfo", ["short"], -32602, "WrongSize"),
        ("getAccountInfo", ["!" * 44], -32602, "Invalid"),
        ("getAccountInfo", [5], -32602, "expected a string"),
        ("getAccountInfo", ["1" * 32, {"encoding": "hex"}], -32602, "unknown variant `hex`"),
        ("getAccountInfo", ["1" * 32, {"commitment": "surely"}], -32602, "unknown variant `surely`"),
        ("getMultipleAccounts", [["1" * 32] * 101], -32602, "max 100"),
        ("getProgramAccounts", ["1" * 32, {"filters": [{"size": 5}]}], -32602, "unknown filter"),
        ("getProgramAccounts", ["1" * 32, {"filters": [{"dataSize": 1}] * 5}], -32602, "max 4"),
        ("getTokenAccountBalance", ["1" * 32], -32602, "not a Token account"),
        ("getTokenAccountsByOwner", ["1" * 32, {}], -32602, "expected {mint} or {programId}"),
        ("getSignaturesForAddress", ["1" * 32, {"limit": 1001}], -32602, "max 1000"),
        ("getSignatureStatuses", [["x"]], -32602, "WrongSize"),
        ("sendTransaction", ["AAAA", {"encoding": "base64"}], -32602, "no transaction"),
        ("sendTransaction", ["!!", {"encoding": "base64"}], -32602, "invalid base64"),
        ("sendTransaction", ["AAAA", {"encoding": "jsonParsed"}], -32602, "unsupported encoding"),
        ("requestAirdrop", ["1" * 32, -1], -32602, "expected u64"),
        ("getBlockTime", [1 << 60], -32004, "not available"),
        ("getMinimumBalanceForRentExemption", ["big"], -32602, "expected u64"),
        ("stealTokens", [], -32601, "Method not found"),
    ],
)
async def test_wrong_parameters(server: RpcServer, method: str, params: list[Any], code: int, words: str) -> None:
    answer = await ask(server, method, *params)
    assert answer["id"] == 7
    assert answer["error"]["code"] == code
    assert words in answer["error"]["message"]


async def test_the_protocol_itself(server: RpcServer) -> None:
    async with aiohttp.ClientSession() as session:
        async with session.post(server.url, data=b"{nonsense") as response:
            assert (await response.json())["error"]["code"] == -32700
        async with session.post(server.url, json={"id": 1, "method": "getSlot"}) as response:
            assert (await response.json())["error"]["code"] == -32600
        calls = [{"jsonrpc": "2.0", "id": n, "method": "getHealth"} for n in range(3)]
        async with session.post(server.url, json=[*calls, {"jsonrpc": "2.0", "method": "getHealth"}]) as response:
            assert [entry["id"] for entry in await response.json()] == [0, 1, 2]
        async with session.get(server.url) as response:
            assert response.status == 405
        async with session.options(server.url) as response:
            assert response.headers["Access-Control-Allow-Origin"] == "*"
        async with session.get(f"{server.url}/health") as response:
            assert await response.text() == "ok"
    taken = RpcServer(server.chain, port=server.port)
    with pytest.raises(ConfigError, match="cannot be used"):
        await taken.start()


async def test_token_accounts(client: AsyncClient, server: RpcServer, embedded: EmbeddedChain) -> None:
    payer, mint, owner = embedded.operator, Keypair(), Keypair().pubkey()
    await embedded.airdrop(payer.pubkey(), 10**10)
    rent = await embedded.minimum_rent(tokens.MINT_SIZE)
    steps = tokens.create_mint(payer.pubkey(), mint.pubkey(), authority=payer.pubkey(), decimals=6, rent=rent)
    await embedded.send(steps, payer=payer, signers=[mint])
    await setup.fund_wallet(embedded, owner, payer=payer, mint=mint.pubkey(), amount=1_500_000)
    account = tokens.associated_address(owner, mint.pubkey())
    assert (await client.get_token_account_balance(account)).value.ui_amount_string == "1.5"
    assert (await client.get_token_supply(mint.pubkey())).value.amount == "1500000"
    for options in (TokenAccountOpts(mint=mint.pubkey()), TokenAccountOpts(program_id=tokens.TOKEN)):
        found = (await client.get_token_accounts_by_owner(owner, options)).value
        assert [entry.pubkey for entry in found] == [account]
    parsed = (await client.get_token_accounts_by_owner_json_parsed(owner, TokenAccountOpts(mint=mint.pubkey()))).value
    assert parsed[0].account.data.parsed["info"]["tokenAmount"]["amount"] == "1500000"
    shown = await ask(server, "getAccountInfo", str(mint.pubkey()), {"encoding": "jsonParsed"})
    assert shown["result"]["value"]["data"]["parsed"]["info"]["decimals"] == 6
    filters: list[int | MemcmpOpts] = [165, MemcmpOpts(offset=32, bytes=str(owner))]
    held = (await client.get_program_accounts(tokens.TOKEN, encoding="base64", filters=filters)).value
    assert [entry.pubkey for entry in held] == [account]
    part = DataSliceOpts(offset=32, length=32)
    sliced = (await client.get_account_info(account, encoding="base64", data_slice=part)).value
    assert sliced is not None
    assert sliced.data == bytes(owner)


async def test_subscriptions(client: AsyncClient, server: RpcServer) -> None:
    wallet = await funded(client)
    async with SolanaWsClient(server.ws_url) as socket, asyncio.timeout(20):
        logs = await socket.logs_subscribe(filter_=RpcTransactionLogsFilterMentions(wallet.pubkey()))
        account = await socket.account_subscribe(pubkey=wallet.pubkey())
        everything = await socket.program_subscribe(program_id=Pubkey.default())
        made = await signed(client, wallet, 10**7)
        done = await socket.signature_subscribe(signature=made.signatures[0])
        await client.send_raw_transaction(bytes(made))
        seen: dict[int, Any] = {}
        wanted = {entry.subscription_id for entry in (logs, account, everything, done)}
        while set(seen) != wanted:
            notification = await socket.recv()
            seen[notification.subscription] = notification
        assert seen[logs.subscription_id].result.value.signature == made.signatures[0]
        assert seen[account.subscription_id].result.value.lamports == 10**10 - 10**7 - 5000
        assert seen[done.subscription_id].result.value.err is None
        # one that has landed before it is asked for is told of at once
        await socket.signature_subscribe(signature=made.signatures[0])
        while True:
            notification = await socket.recv()
            if type(notification).__name__ == "SignatureNotification":
                break
        for entry in (logs, account, everything):
            await socket.unsubscribe(entry)
        slots = await socket.slot_subscribe()
        first, second = (await socket.recv()).result.slot, (await socket.recv()).result.slot  # type: ignore[union-attr]
        assert second > first
        await socket.unsubscribe(slots)


async def test_web_socket_on_both_ports_answers_calls_too(server: RpcServer) -> None:
    for port in (server.port, server.ws_port):
        async with aiohttp.ClientSession() as session, session.ws_connect(f"ws://127.0.0.1:{port}") as socket:
            await socket.send_json({"jsonrpc": "2.0", "id": 1, "method": "getHealth"})
            assert (await socket.receive_json())["result"] == "ok"
            await socket.send_str("{nonsense")
            assert json.loads((await socket.receive()).data)["error"]["code"] == -32700
            await socket.send_json({"jsonrpc": "2.0", "id": 2, "method": "accountSubscribe", "params": ["x"]})
            assert (await socket.receive_json())["error"]["code"] == -32602
            await socket.send_json({"jsonrpc": "2.0", "id": 3, "method": "slotUnsubscribe", "params": [99]})
            assert (await socket.receive_json())["error"]["code"] == -32602
