"""A failed transaction as one of `assay.errors`: the program's own errors by name, the runtime's in words."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from solders.transaction_status import (
    InstructionErrorBorshIO,
    InstructionErrorCustom,
    TransactionErrorFieldless,
    TransactionErrorInstructionError,
)

from assay.chain.events import failing_program
from assay.chain.program import Program
from assay.errors import BlockhashExpired, ChainError, ProgramError, TransactionFailed

TOKEN_PROGRAMS = {"TokenkegQfeZyiNwAJbNbGKPFXCWuBvf9Ss623VQ5DA", "TokenzQdBNbLqP5VEhdkAS6EPFLC1PHnBqCXEpPxuEb"}
# SPL Token's error numbers, https://docs.rs/spl-token-interface (TokenError)
TOKEN_ERRORS = {
    0: "the token account is not rent exempt",
    1: "insufficient tokens",
    2: "the mint is not valid",
    3: "the token account is of another mint",
    4: "the token account belongs to another owner",
    5: "the mint's supply is fixed",
    6: "the token account is in use",
    9: "the token account is uninitialized",
    11: "the token account still holds tokens",
    14: "an amount overflows",
    17: "the token account is frozen",
}
WORDS = {
    "AccountNotFound": "the payer has no account: it holds no SOL",
    "InsufficientFundsForFee": "the payer has too little SOL for the fee",
    "AlreadyProcessed": "this transaction has already been processed",
    "SignatureFailure": "a signature does not verify",
    "AccountInUse": "an account is locked by another transaction; try again",
    "ProgramAccountNotFound": "the program is not deployed",
    "InvalidProgramForExecution": "the program is not deployed, or not executable",
    "AddressLookupTableNotFound": "the address lookup table does not exist",
    "InvalidAddressLookupTableIndex": "the address lookup table is not active yet, or too short",
}


def error_json(error: Any) -> Any:
    """A solders transaction error in the form that the JSON-RPC gives: a name, or ``{name: details}``."""
    if isinstance(error, TransactionErrorInstructionError):
        detail = error.err
        reason: Any = _name(detail)
        if isinstance(detail, InstructionErrorCustom):
            reason = {"Custom": detail.code}
        elif isinstance(detail, InstructionErrorBorshIO):
            reason = "BorshIoError"
        return {"InstructionError": [error.index, reason]}
    if isinstance(error, TransactionErrorFieldless):
        return _name(error)
    return {type(error).__name__.removeprefix("TransactionError"): json.loads(error.to_json())}


def _name(value: Any) -> str:
    """The variant's name: solders' enumerations print as ``Type.Variant``."""
    return str(value).rsplit(".", 1)[-1]


def failure_text(error: Any) -> str:
    """`error_json` as JSON text, as the store keeps it."""
    return json.dumps(error_json(error), separators=(",", ":"))


def _snake(name: str) -> str:
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def failure(error: Any, *, program: Program, logs: Sequence[str], signature: str | None = None) -> ChainError:
    """What to raise for `error` (in JSON-RPC form).

    `ProgramError` for an error of the market's program, `BlockhashExpired`, else `TransactionFailed`.
    """
    if isinstance(error, str):
        if error == "BlockhashNotFound":
            return BlockhashExpired("the transaction's blockhash is unknown or older than 150 slots")
        return TransactionFailed(WORDS.get(error, error), code=_snake(error), signature=signature, logs=logs)
    if isinstance(error, dict) and "InstructionError" in error:
        index, detail = error["InstructionError"]
        where = failing_program(logs)
        if isinstance(detail, dict) and "Custom" in detail:
            number = int(detail["Custom"])
            spec = program.codec.errors.get(number)
            if where == str(program.id):
                name = _snake(spec.name) if spec else f"error_{number}"
                message = spec.message if spec else f"the program failed with its error {number}"
                return ProgramError(number, name, message, signature=signature, logs=logs)
            if where in TOKEN_PROGRAMS and number in TOKEN_ERRORS:
                return TransactionFailed(TOKEN_ERRORS[number], code="token_error", signature=signature, logs=logs)
            text = f"instruction {index} failed in {where or 'a program'} with its error {number}"
        else:
            text = f"instruction {index} failed{f' in {where}' if where else ''}: {detail}"
        return TransactionFailed(text, code="instruction_failed", signature=signature, logs=logs)
    name = next(iter(error)) if isinstance(error, dict) and error else "unknown"
    return TransactionFailed(f"the transaction failed: {error}", code=_snake(name), signature=signature, logs=logs)
