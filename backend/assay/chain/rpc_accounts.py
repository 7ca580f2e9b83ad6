"""The JSON-RPC methods that read accounts and tokens."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from solders.account import Account
from solders.pubkey import Pubkey

from assay.chain import tokens
from assay.chain.embedded import EmbeddedChain
from assay.chain.rpc_params import Params, address
from assay.chain.rpc_views import invalid, show_account, token_amount
from assay.errors import AccountMalformed

VERSION = {"solana-core": "4.0.0", "feature-set": 0}
Method = Callable[[Params], Awaitable[Any]]
T = TypeVar("T")


class AccountMethods:
    """Methods by name in `table`; each raises `RpcFault` for what it cannot do."""

    def __init__(self, chain: EmbeddedChain) -> None:
        self.chain = chain
        self.table: dict[str, Method] = {
            "getBalance": self._balance,
            "getAccountInfo": self._account_info,
            "getMultipleAccounts": self._multiple_accounts,
            "getProgramAccounts": self._program_accounts,
            "getTokenAccountBalance": self._token_account_balance,
            "getTokenAccountsByOwner": self._token_accounts_by_owner,
            "getTokenSupply": self._token_supply,
        }

    async def with_context(self, value: Any) -> dict[str, Any]:
        """`value` with the slot it was read at."""
        return {"context": {"slot": await self.chain.slot(), "apiVersion": VERSION["solana-core"]}, "value": value}

    async def decimals(self, accounts: list[Account | None]) -> dict[Pubkey, int]:
        """Decimals of the mints that token accounts among these are of."""
        mints = set()
        for account in accounts:
            if account is not None and account.owner in tokens.PROGRAMS and len(account.data) >= tokens.ACCOUNT_SIZE:
                mints.add(Pubkey.from_bytes(account.data[:32]))
        order = list(mints)
        found = {}
        for key, account in zip(order, await self.chain.accounts(order), strict=True):
            if account is not None and len(account.data) >= tokens.MINT_SIZE:
                found[key] = account.data[44]
        return found

    async def show(self, accounts: list[Account | None], *, encoding: str, piece: tuple[int, int] | None) -> list[Any]:
        """Accounts as JSON, None where there is none."""
        decimals = await self.decimals(accounts) if encoding == "jsonParsed" else {}
        return [
            None if account is None else show_account(account, encoding=encoding, piece=piece, decimals=decimals)
            for account in accounts
        ]

    async def _balance(self, params: Params) -> Any:
        account = await self.chain.account(params.address(0))
        return await self.with_context(0 if account is None else account.lamports)

    async def _account_info(self, params: Params) -> Any:
        options = params.options(1)
        account = await self.chain.account(params.address(0))
        shown = await self.show([account], encoding=options.encoding("binary"), piece=options.piece())
        return await self.with_context(shown[0])

    async def _multiple_accounts(self, params: Params) -> Any:
        keys = params.at(0, "a list of public keys")
        if not isinstance(keys, list):
            raise invalid("invalid type: expected a list of public keys")
        if len(keys) > 100:
            raise invalid("Too many inputs provided; max 100")
        options = params.options(1)
        found = await self.chain.accounts([address(key) for key in keys])
        shown = await self.show(found, encoding=options.encoding("base64"), piece=options.piece())
        return await self.with_context(shown)

    async def _program_accounts(self, params: Params) -> Any:
        options = params.options(1)
        memcmp, size, token_state = options.filters()
        found = await self.chain.program_accounts(params.address(0), memcmp=memcmp, size=size)
        if token_state:
            found = [(k, a) for k, a in found if len(a.data) >= tokens.ACCOUNT_SIZE and a.data[108] != 0]
        shown = await self.show(
            [account for _, account in found], encoding=options.encoding("binary"), piece=options.piece()
        )
        entries = [{"pubkey": str(key), "account": entry} for (key, _), entry in zip(found, shown, strict=True)]
        return await self.with_context(entries) if options.flag("withContext") else entries

    async def _token(self, params: Params, decode: Callable[[bytes], T], what: str) -> tuple[Account, T]:
        account = await self.chain.account(params.address(0))
        if account is None:
            raise invalid("Invalid param: could not find account")
        try:
            if account.owner not in tokens.PROGRAMS:
                raise AccountMalformed
            return account, decode(account.data)
        except AccountMalformed:
            raise invalid(f"Invalid param: not a Token {what}") from None

    async def _token_account_balance(self, params: Params) -> Any:
        account, held = await self._token(params, tokens.decode_token_account, "account")
        decimals = (await self.decimals([account])).get(held.mint, 0)
        return await self.with_context(token_amount(held.amount, decimals))

    async def _token_supply(self, params: Params) -> Any:
        _, mint = await self._token(params, tokens.decode_mint, "mint")
        return await self.with_context(token_amount(mint.supply, mint.decimals))

    async def _token_accounts_by_owner(self, params: Params) -> Any:
        owner = params.address(0)
        chosen = params.at(1, "{mint} or {programId}")
        if not isinstance(chosen, dict) or not (chosen.get("mint") or chosen.get("programId")):
            raise invalid("Invalid param: expected {mint} or {programId}")
        options = params.options(2)
        mint = None
        programs = [address(chosen["programId"])] if chosen.get("programId") else list(tokens.PROGRAMS)
        if chosen.get("mint"):
            mint = address(chosen["mint"])
            account = await self.chain.account(mint)
            if account is None:
                raise invalid("Invalid param: could not find mint")
            programs = [account.owner]
        if any(program not in tokens.PROGRAMS for program in programs):
            raise invalid("Invalid param: unrecognized Token program id")
        found = [
            (key, account)
            for program in programs
            for key, account in await self.chain.program_accounts(program)
            if len(account.data) >= tokens.ACCOUNT_SIZE
            and account.data[32:64] == bytes(owner)
            and (mint is None or account.data[:32] == bytes(mint))
        ]
        shown = await self.show(
            [account for _, account in found], encoding=options.encoding("binary"), piece=options.piece()
        )
        return await self.with_context(
            [{"pubkey": str(key), "account": entry} for (key, _), entry in zip(found, shown, strict=True)]
        )
