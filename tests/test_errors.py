"""The error tree: its drawing, and problem details."""

from __future__ import annotations

import re

import pytest

from assay import errors, settings
from assay.errors import AssayError, ConfigError, FieldError


def test_the_drawing_is_the_tree() -> None:
    drawn = dict(re.findall(r"([A-Z]\w+)\s+([45]\d\d)  ", errors.__doc__ or ""))
    own = {kind.__name__: str(kind.status) for kind in errors.tree() if kind.__module__ == errors.__name__}
    assert drawn == own


def test_problem_details() -> None:
    problem = FieldError("price", "must be above 0", hint='such as "0.04"').under("terms").to_problem()
    assert problem.pop("title")
    assert problem == {
        "type": "urn:assay:problem:invalid-field",
        "status": 422,
        "detail": "must be above 0",
        "code": "invalid_field",
        "field": "terms.price",
        "hint": 'such as "0.04"',
    }
    assert str(AssayError()) == "Something went wrong inside the market."
    assert all(kind.__doc__ for kind in errors.tree())


def test_fields_nest() -> None:
    with pytest.raises(FieldError) as failure, errors.field("items"), errors.field("[3]"):
        raise FieldError("cid", "is missing")
    assert failure.value.field == "items[3].cid"


def test_settings_name_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASSAY_PORT", "99999")
    with pytest.raises(ConfigError) as failure:
        settings.load()
    assert failure.value.field == "ASSAY_PORT"
    assert settings.load(port=8080).port == 8080
    assert settings.load(port=1, home=None).log_dir.name == "log"
