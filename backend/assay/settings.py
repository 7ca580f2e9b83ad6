"""Settings: read from the environment (prefix ``ASSAY_``), each with a default that makes the embedded market work."""

from __future__ import annotations

import tempfile
from functools import cached_property
from pathlib import Path

from pydantic import Field, ValidationError, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from assay.errors import ConfigError


class Settings(BaseSettings):
    """All settings. `Settings(home=...)` overrides the environment; lists are JSON."""

    model_config = SettingsConfigDict(env_prefix="ASSAY_", env_file=None, extra="forbid", frozen=True)

    home: Path = Field(default=Path(".assay"), description="Folder for everything the market keeps")

    database_url: str | None = Field(
        default=None, description="PostgreSQL server; none: the embedded one under home/pg"
    )
    database_pool: int = Field(default=8, ge=1, le=200, description="Connections to PostgreSQL")

    rpc_url: str | None = Field(default=None, description="JSON-RPC of a cluster; none: the embedded chain")
    ws_url: str | None = Field(default=None, description="Web socket of the cluster; none: derived from rpc_url")
    chain_port: int = Field(default=0, ge=0, le=65535, description="Port of the embedded chain's JSON-RPC; 0: any free")
    program_id: str | None = Field(default=None, description="Address of the program; none: the one in the IDL")
    commitment: str = Field(default="confirmed", pattern="^(processed|confirmed|finalized)$")
    priority_fee: int = Field(default=0, ge=0, le=10_000_000, description="Micro-lamports a compute unit")
    operator_key: Path | None = Field(
        default=None, description="Key file of the operator; none: home/keys/operator.json"
    )

    host: str = "127.0.0.1"
    port: int = Field(default=0, ge=0, le=65535, description="Port of the API; 0: any free")
    public_url: str | None = Field(default=None, description="Address that wallets sign in to; none: http://host:port")
    session_seconds: int = Field(default=24 * 3600, ge=60)
    max_body: int = Field(default=16 * 1024 * 1024, ge=1024, description="Bytes of an upload")

    upload_bytes: int = Field(
        default=2 * 2**30, ge=1, description="Bytes of a wallet's uploads and drafts that no posted request needs"
    )
    upload_items: int = Field(default=200_000, ge=1, description="How many uploads and drafts these may be")
    upload_seconds: int = Field(
        default=24 * 3600, ge=600, le=366 * 24 * 3600, description="Age at which these are dropped"
    )
    request_bytes: int = Field(default=2 * 2**30, ge=1, description="Bytes of a request's items")
    request_items: int = Field(default=200_000, ge=1, description="Different items of a request")
    disk_reserve: int = Field(default=512 * 2**20, ge=0, description="Free bytes of home's disk that uploads leave")

    batch_records: int = Field(default=16, ge=1, le=64, description="Records in a settlement at most")
    batch_ms: int = Field(default=50, ge=1, le=60_000, description="Age of a verdict that flushes a batch")
    sign_timeout: float = Field(default=2.0, gt=0, le=60, description="Seconds the settler waits for a quorum")
    lease_seconds: int = Field(
        default=600, ge=5, le=7 * 24 * 3600, description="Lease of a task unless its request says"
    )
    skips_free: int = Field(
        default=20, ge=1, le=10_000, description="Tasks of a request that a wallet may skip or let lapse"
    )
    skips_share: int = Field(default=20, ge=0, le=100, description="Percent of its answers that it may besides")
    vote_seconds: int = Field(default=120, ge=1, le=7 * 24 * 3600, description="Time to commit, and then to reveal")

    keeper: bool = Field(default=True, description="Whether the leading engine slashes and ends what anyone may")
    keeper_seconds: float = Field(
        default=300.0, ge=1, le=24 * 3600, description="Seconds between the keeper's looks at everything on chain"
    )

    ipfs_url: str | None = Field(default=None, description="HTTP API of a Kubo node that also keeps the content")
    s3_url: str | None = Field(default=None, description="Bucket that also keeps the content: https://host/bucket")
    s3_region: str = "us-east-1"
    s3_access_key: str | None = Field(default=None, repr=False)
    s3_secret_key: str | None = Field(default=None, repr=False)

    max_pixels: int = Field(default=40_000_000, ge=1, description="Pixels of an image, over all its frames")
    log_level: str = Field(default="info", pattern="^(debug|info|warning|error)$")
    log_json: bool = False

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    def make_home(self) -> None:
        """Make the home where there is none. Raises `ConfigError` if it cannot be used."""
        try:
            self.home.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=self.home):
                pass
        except OSError as error:
            why = "is a file" if self.home.is_file() else f"cannot be used: {error.strerror}"
            raise ConfigError(f"{self.home} {why}", field="--home", hint="a folder that can be written") from error

    @cached_property
    def content_dir(self) -> Path:
        """Where the local content store lies."""
        return self.home / "content"

    @cached_property
    def log_dir(self) -> Path:
        """Where the published vote logs lie, one file a request."""
        return self.home / "log"

    @cached_property
    def keys_dir(self) -> Path:
        """Key files that the market made itself."""
        return self.home / "keys"

    @cached_property
    def operator_file(self) -> Path:
        """Key file of the operator: who pays for settlements and, where the market is begun here, its authority."""
        return self.operator_key or self.keys_dir / "operator.json"

    @cached_property
    def chain_dir(self) -> Path:
        """Where the embedded chain keeps its journal."""
        return self.home / "chain"

    @cached_property
    def postgres_dir(self) -> Path:
        """Data folder of the embedded PostgreSQL."""
        return self.home / "pg"


OPTIONS = {"rpc_url": "--rpc"}
"""How an option of the command line is called where it is not as its setting."""


def load(**overrides: object) -> Settings:
    """Settings from the environment with `overrides`, which come from options (None values are skipped).

    Raises `ConfigError` naming the option or the variable that is wrong.
    """
    try:
        return Settings(**{name: value for name, value in overrides.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        option = OPTIONS.get(name, f"--{name.replace('_', '-')}")
        field = option if overrides.get(name) is not None else f"ASSAY_{name.upper()}"
        raise ConfigError(f"is {first['input']!r}", field=field, hint=first["msg"]) from error
