"""Answers as JSON: dataclasses under their field names, times in ISO 8601 with their zone."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from celery_jobtrack.model.callback import Callback

if TYPE_CHECKING:
    from celery_jobtrack.model.group import GroupRecord, GroupStatus

_HIDDEN = "signature"
"""Of a callback: it holds arguments as they will be sent, with what is hidden of those of its job."""


def as_text(value: Any, *, indent: int | None = None) -> str:
    """One JSON document, in ASCII: nothing in it can disturb a terminal."""
    return json.dumps(as_document(value), indent=indent, allow_nan=False)


def as_document(value: Any) -> Any:
    """What JSON can hold of a value of the model."""
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if value is None or isinstance(value, (str, int)):
        return value
    if is_dataclass(value):
        names = [
            field.name for field in fields(value) if not isinstance(value, Callback) or field.name != _HIDDEN
        ]
        return {name: as_document(getattr(value, name)) for name in names}
    if isinstance(value, Mapping):
        return {str(as_document(key)): as_document(each) for key, each in value.items()}
    return [as_document(each) for each in value]


def group_document(record: GroupRecord) -> dict[str, Any]:
    """A group's record, with what it came to, which is computed from it."""
    return {**as_document(record), "outcome": as_document(record.outcome)}


def status_document(status: GroupStatus) -> dict[str, Any]:
    """A group's numbers, with those that are computed from them."""
    computed = {"outstanding": status.outstanding, "final": status.final, "percent": status.percent}
    return {**as_document(status), **computed}
