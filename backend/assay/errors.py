"""Every error of the market, in one tree.

    AssayError                     500  internal
    ├── BadRequest                 400  bad_request
    │   └── FieldError             422  invalid_field          one field is wrong; names it
    ├── Unauthenticated            401  unauthenticated
    ├── Forbidden                  403  forbidden
    │   └── SignatureInvalid       403  bad_signature
    ├── NotFound                   404  not_found
    │   └── ContentMissing         404  content_missing        no store holds this CID
    ├── Conflict                   409  conflict               the state does not allow it
    │   ├── AlreadyDone            409  already_done           done before with other content
    │   └── LeaseLost              409  lease_lost             the task went back to the queue
    ├── Gone                       410  gone                   it ended: closed, expired
    ├── TooLarge                   413  too_large
    ├── UnsupportedMedia           415  unsupported_media
    │   └── MediaError             415  bad_media              an image that fails its checks
    ├── TooManyRequests            429  too_many_requests
    │   ├── SkipLimit              429  skip_limit             answer before more is given back
    │   └── UploadLimit            429  upload_limit           post what the uploads are for
    ├── Unavailable                503  unavailable            try again; `retry_after`
    ├── StorageError               503  storage
    │   └── ContentCorrupt         500  content_corrupt        bytes do not match their CID
    ├── ChainError                 502  chain
    │   ├── ChainUnavailable       503  chain_unavailable      no answer from the cluster
    │   ├── BlockhashExpired       503  blockhash_expired      sign again and resend
    │   ├── TransactionFailed      422  transaction_failed     a cluster refused or failed it
    │   │   └── ProgramError       422  program_<name>         the program refused; carries its number
    │   ├── AccountMissing         404  account_missing
    │   └── AccountMalformed       502  account_malformed      bytes do not decode
    ├── ReplayMismatch             500  replay_mismatch        what the auditor found does not fit
    └── ConfigError                500  config

`to_problem()` is the body of a problem details answer (RFC 9457): `type`, `title`, `status`, `detail`, `code`, and
where known `field` (a path such as ``schema.classes[2]``) and `hint` (what would be right).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http import HTTPStatus

PROBLEM_TYPE = "urn:assay:problem:"


class AssayError(Exception):
    """Something went wrong inside the market."""

    status: int = 500
    code: str = "internal"

    def __init__(
        self,
        detail: str | None = None,
        *,
        field: str | None = None,
        hint: str | None = None,
        code: str | None = None,
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.detail = detail or (type(self).__doc__ or type(self).__name__).strip().splitlines()[0]
        self.field = field
        self.hint = hint
        self.retry_after = retry_after
        if code is not None:
            self.code = code
        if status is not None:
            self.status = status
        super().__init__(self.detail)

    def __str__(self) -> str:
        text = f"{self.field}: {self.detail}" if self.field else self.detail
        return f"{text} ({self.hint})" if self.hint else text

    def to_problem(self) -> dict[str, object]:
        """The error as a problem details object (RFC 9457)."""
        problem: dict[str, object] = {
            "type": PROBLEM_TYPE + self.code.replace("_", "-"),
            "title": HTTPStatus(self.status).phrase,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }
        if self.field is not None:
            problem["field"] = self.field
        if self.hint is not None:
            problem["hint"] = self.hint
        if self.retry_after is not None:
            problem["retry_after"] = self.retry_after
        return problem


class BadRequest(AssayError):
    """The request cannot be understood."""

    status, code = 400, "bad_request"


class FieldError(BadRequest):
    """One field is wrong. `FieldError("price", "must be above 0", hint="a decimal string such as '0.04'")`."""

    status, code = 422, "invalid_field"

    def __init__(self, field: str, detail: str, *, hint: str | None = None) -> None:
        super().__init__(detail, field=field, hint=hint)

    def under(self, prefix: str) -> FieldError:
        """The same error with its field inside `prefix`: ``classes`` under ``schema`` is ``schema.classes``."""
        name = self.field or ""
        joint = "" if not name or name.startswith("[") else "."
        return FieldError(f"{prefix}{joint}{name}", self.detail, hint=self.hint)


class Unauthenticated(AssayError):
    """Sign in first."""

    status, code = 401, "unauthenticated"


class Forbidden(AssayError):
    """This wallet may not do that."""

    status, code = 403, "forbidden"


class SignatureInvalid(Forbidden):
    """The signature does not fit the message and the key."""

    code = "bad_signature"


class NotFound(AssayError):
    """There is no such thing."""

    status, code = 404, "not_found"


class ContentMissing(NotFound):
    """No store holds this content."""

    code = "content_missing"


class Conflict(AssayError):
    """The state it is in does not allow that."""

    status, code = 409, "conflict"


class AlreadyDone(Conflict):
    """It was done before, with other content."""

    code = "already_done"


class LeaseLost(Conflict):
    """The lease of this task ended; claim again."""

    code = "lease_lost"


class Gone(AssayError):
    """It has ended."""

    status, code = 410, "gone"


class TooLarge(AssayError):
    """It is larger than allowed."""

    status, code = 413, "too_large"


class UnsupportedMedia(AssayError):
    """This media type is not accepted."""

    status, code = 415, "unsupported_media"


class MediaError(UnsupportedMedia):
    """The file fails its checks."""

    code = "bad_media"


class TooManyRequests(AssayError):
    """Too many requests; wait."""

    status, code = 429, "too_many_requests"


class SkipLimit(TooManyRequests):
    """Too many tasks given back without an answer; waiting does not help, answering does."""

    code = "skip_limit"


class UploadLimit(TooManyRequests):
    """Too much uploaded that no posted request needs."""

    code = "upload_limit"


class Unavailable(AssayError):
    """Not possible right now; try again."""

    status, code = 503, "unavailable"


class StorageError(AssayError):
    """The content store failed."""

    status, code = 503, "storage"


class ContentCorrupt(StorageError):
    """Stored bytes do not match their content address."""

    status, code = 500, "content_corrupt"


class ChainError(AssayError):
    """The chain failed."""

    status, code = 502, "chain"


class ChainUnavailable(ChainError):
    """The cluster does not answer."""

    status, code = 503, "chain_unavailable"


class BlockhashExpired(ChainError):
    """The transaction's blockhash expired before it landed."""

    status, code = 503, "blockhash_expired"


class TransactionFailed(ChainError):
    """The transaction failed. `logs` are the program's."""

    status, code = 422, "transaction_failed"

    def __init__(
        self,
        detail: str | None = None,
        *,
        field: str | None = None,
        hint: str | None = None,
        code: str | None = None,
        status: int | None = None,
        signature: str | None = None,
        logs: Sequence[str] = (),
    ) -> None:
        super().__init__(detail, field=field, hint=hint, code=code, status=status)
        self.signature = signature
        self.logs = tuple(logs)


class ProgramError(TransactionFailed):
    """The program refused. `number` is its error's number, `name` its name in the IDL."""

    code = "program"

    def __init__(
        self,
        number: int,
        name: str,
        detail: str,
        *,
        hint: str | None = None,
        signature: str | None = None,
        logs: Sequence[str] = (),
    ) -> None:
        super().__init__(detail, hint=hint, signature=signature, logs=logs, code=f"program_{name}")
        self.number = number
        self.name = name


class AccountMissing(ChainError):
    """There is no such account on the chain."""

    status, code = 404, "account_missing"


class AccountMalformed(ChainError):
    """The account's bytes do not decode."""

    code = "account_malformed"


class ReplayMismatch(AssayError):
    """What the chain or the vote log says does not fit what was recomputed."""

    code = "replay_mismatch"


class ConfigError(AssayError):
    """A setting is wrong."""

    code = "config"


@contextmanager
def field(prefix: str) -> Iterator[None]:
    """Names the part that is being checked: a `FieldError` raised inside gets `prefix` before its field."""
    try:
        yield
    except FieldError as error:
        raise error.under(prefix) from error.__cause__


def tree(root: type[AssayError] = AssayError) -> list[type[AssayError]]:
    """`root` and all its descendants, for OpenAPI and the docs."""
    found: list[type[AssayError]] = [root]
    for child in root.__subclasses__():
        found += tree(child)
    return found
