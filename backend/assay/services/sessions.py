"""Sign-in: a wallet signs a one-time message that names this market, and gets a bearer token.

The message follows Sign-In With Solana (https://github.com/phantom/sign-in-with-solana), so wallets show what it is
for. It is bound to the market's own domain, the wallet, a nonce and a time; a nonce is used up by the first attempt,
right or wrong. Of a token only the sha256 is kept.
"""

from __future__ import annotations

import secrets
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from assay.domain import messages
from assay.errors import SignatureInvalid, Unauthenticated

if TYPE_CHECKING:
    from assay.services.market import Market

CHALLENGE_SECONDS = 300
CACHE = 50_000  # tokens remembered, about 10 MB


@dataclass(frozen=True, slots=True)
class Challenge:
    """What the wallet has to sign."""

    nonce: str
    message: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Session:
    """A bearer token, shown once."""

    token: str
    wallet: bytes
    expires_at: datetime


def challenge_text(*, uri: str, wallet: str, nonce: str, issued: datetime, expires: datetime) -> str:
    """The message to sign."""
    return (
        f"{urlsplit(uri).netloc} wants you to sign in with your Solana account:\n{wallet}\n\n"
        "Sign in to Assay. This costs nothing and moves no tokens.\n\n"
        f"URI: {uri}\nVersion: 1\nNonce: {nonce}\n"
        f"Issued At: {issued:%Y-%m-%dT%H:%M:%SZ}\nExpiration Time: {expires:%Y-%m-%dT%H:%M:%SZ}"
    )


class Sessions:
    """Challenges and tokens. `uri` is the address that wallets sign in to; the server sets it when it listens."""

    def __init__(self, market: Market) -> None:
        self._db = market.db
        self._settings = market.settings
        self.uri = market.settings.public_url or "http://127.0.0.1"
        self._known: dict[bytes, tuple[bytes, float]] = {}

    async def challenge(self, wallet: bytes) -> Challenge:
        """A fresh message for `wallet` to sign within five minutes."""
        issued = datetime.now(UTC)
        expires = issued + timedelta(seconds=CHALLENGE_SECONDS)
        nonce = secrets.token_hex(16)
        text = challenge_text(uri=self.uri, wallet=messages.b58(wallet), nonce=nonce, issued=issued, expires=expires)
        await self._db.execute("challenge_insert", nonce, wallet, text, expires)
        return Challenge(nonce, text, expires)

    async def open(self, *, wallet: bytes, nonce: str, signature: bytes) -> Session:
        """A token for a signed challenge.

        Raises `Unauthenticated` for a nonce that is unknown, used, expired or of another wallet, `SignatureInvalid`.
        """
        row = await self._db.row("challenge_take", nonce)
        if row is None:
            raise Unauthenticated(
                "this challenge is unknown or was used", field="nonce", hint="POST /v1/session/challenge gives another"
            )
        if row["expires_at"] <= datetime.now(UTC):
            raise Unauthenticated("this challenge has expired", field="nonce", hint="sign within five minutes")
        if row["wallet"] != wallet:
            raise SignatureInvalid("this challenge was made for another wallet", field="wallet")
        messages.verify(signature, key=wallet, message=row["message"].encode())
        token = secrets.token_urlsafe(32)
        expires = datetime.now(UTC) + timedelta(seconds=self._settings.session_seconds)
        await self._db.execute("session_insert", sha256(token.encode()).digest(), wallet, expires)
        return Session(token, wallet, expires)

    async def wallet(self, token: str) -> bytes:
        """Who holds `token`. Raises `Unauthenticated`."""
        digest = sha256(token.encode()).digest()
        known = self._known.get(digest)
        if known is not None and known[1] > time.time():
            return known[0]
        self._known.pop(digest, None)
        row = await self._db.row("session_wallet", digest)
        if row is None:
            raise Unauthenticated("this token is unknown or has expired", hint="sign in again: POST /v1/session")
        if len(self._known) >= CACHE:
            self._known.clear()
        self._known[digest] = (row["wallet"], row["expires_at"].timestamp())
        return bytes(row["wallet"])

    def remembers(self, token: str) -> bool:
        """Whether `token` was found good lately; asks nobody."""
        known = self._known.get(sha256(token.encode()).digest())
        return known is not None and known[1] > time.time()

    async def close(self, token: str) -> None:
        """Ends the session of `token`."""
        digest = sha256(token.encode()).digest()
        self._known.pop(digest, None)
        await self._db.execute("session_delete", digest)

    async def sweep(self) -> None:
        """Forgets what has expired."""
        await self._db.execute("sessions_sweep")
        now = time.time()
        self._known = {key: value for key, value in self._known.items() if value[1] > now}
