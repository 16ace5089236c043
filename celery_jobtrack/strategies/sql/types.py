"""Column types that mean the same on SQLite, PostgreSQL, MySQL and MariaDB.

Databases differ where it hurts: MySQL matches ``'key '`` to ``'Key'``, PostgreSQL refuses NUL,
timestamps lose their zone or their microseconds. These types leave no room for it.
"""

from __future__ import annotations

import json
import math
from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

from sqlalchemy import BigInteger, Double, LargeBinary, String, Text, TypeDecorator
from sqlalchemy.dialects import mysql

from celery_jobtrack.errors import InvalidPayload
from celery_jobtrack.model.callback import Callback

if TYPE_CHECKING:
    from collections.abc import Callable
    from enum import Enum

    from sqlalchemy import Dialect
    from sqlalchemy.types import TypeEngine

    Processor = Callable[[Any], Any]

KEY_BYTES = 255
NAME_CHARS = 24
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_MICROSECOND = timedelta(microseconds=1)


def to_microseconds(moment: datetime) -> int:
    """Microseconds since 1970 in UTC, exactly. ``moment`` must be aware."""
    return (moment - EPOCH) // _MICROSECOND


def from_microseconds(microseconds: int) -> datetime:
    """The aware moment in UTC, exactly."""
    return EPOCH + timedelta(microseconds=microseconds)


def key_bytes(key: str) -> bytes:
    """A key as it is compared: byte by byte.

    Raises:
        InvalidPayload: It has more than 255 bytes, a NUL, or half of a surrogate pair.
    """
    try:
        encoded = str(key).encode()
    except UnicodeEncodeError as error:
        raise InvalidPayload(f"{key!a} cannot be an id, a key or a tag: it is not Unicode text") from error
    if len(encoded) > KEY_BYTES:
        raise InvalidPayload(
            f"{key[:40]!r}… has {len(encoded)} bytes; an id, a key, a tag or a name may have {KEY_BYTES}"
        )
    if b"\0" in encoded:
        raise InvalidPayload(f"{key!a} cannot be an id, a key or a tag: it contains NUL")
    return encoded


def visible_text(text: str) -> str:
    r"""Text that every database takes: NUL becomes ``\x00``, half a surrogate pair ``\ud83d``."""
    text = str(text)
    if "\0" in text:
        text = text.replace("\0", "\\x00")
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode()


def _checked_key(key: str) -> str:
    return key_bytes(key).decode()


def _json_text(value: object) -> str:
    try:
        return json.dumps(value, separators=(",", ":"), allow_nan=False)
    except (TypeError, ValueError) as error:
        raise InvalidPayload(f"the payload cannot be kept as JSON: {error}") from error


def _finite(number: float) -> float:
    number = float(number)
    if not math.isfinite(number):
        raise InvalidPayload(f"{number} cannot be kept: it is not a finite number")
    return number


def _or_none(process: Processor) -> Processor:
    return lambda value: None if value is None else process(value)


class Key(TypeDecorator[str]):
    """An id, key, token, tag or name: at most 255 bytes, equal only to the very same bytes."""

    impl = String
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "mysql":
            return mysql.VARBINARY(KEY_BYTES)
        collation = "C" if dialect.name == "postgresql" else None
        return String(KEY_BYTES, collation=collation)

    def bind_processor(self, dialect: Dialect) -> Processor | None:
        return _or_none(key_bytes if dialect.name == "mysql" else _checked_key)

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor | None:  # noqa: ARG002
        return _or_none(bytes.decode) if dialect.name == "mysql" else None


class Name(TypeDecorator[Any]):
    """A member of one of the model's enumerations, kept as its value."""

    impl = String
    cache_ok = True

    def __init__(self, names: type[Enum]) -> None:
        super().__init__(NAME_CHARS)
        self.names = names

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        if dialect.name == "mysql":
            return mysql.VARCHAR(NAME_CHARS, charset="ascii", collation="ascii_bin")
        collation = "C" if dialect.name == "postgresql" else None
        return String(NAME_CHARS, collation=collation)

    def bind_processor(self, dialect: Dialect) -> Processor | None:  # noqa: ARG002
        return _or_none(lambda name: name.value)

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor | None:  # noqa: ARG002
        return _or_none(self.names)


class FreeText(TypeDecorator[str]):
    """Text for people, of any length; what a database would refuse is written out visibly."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return _long_text(dialect)

    def bind_processor(self, dialect: Dialect) -> Processor | None:  # noqa: ARG002
        return _or_none(visible_text)

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor | None:  # noqa: ARG002
        return None


class Json(TypeDecorator[Any]):
    """Anything that JSON can hold, as ASCII text, so that it comes back exactly."""

    impl = Text
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return _long_text(dialect)

    def bind_processor(self, dialect: Dialect) -> Processor | None:  # noqa: ARG002
        return _or_none(_json_text)

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor | None:  # noqa: ARG002
        return _or_none(json.loads)


class Tags(Json):
    """A job's tags as its record shows them; the filter by tag has a table of its own."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Processor | None:  # noqa: ARG002
        return lambda tags: _json_text(list(tags)) if tags else None

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor | None:  # noqa: ARG002
        return lambda text: () if text is None else tuple(json.loads(text))


class Callbacks(Json):
    """A group's callbacks."""

    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Processor | None:  # noqa: ARG002
        return lambda callbacks: _json_text([c.dump() for c in callbacks]) if callbacks else None

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor | None:  # noqa: ARG002
        return lambda text: () if text is None else tuple(Callback.load(c) for c in json.loads(text))


class Moment(TypeDecorator[datetime]):
    """An aware time in UTC, kept as microseconds since 1970."""

    impl = BigInteger
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Processor | None:  # noqa: ARG002
        return _or_none(to_microseconds)

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor | None:  # noqa: ARG002
        return _or_none(from_microseconds)


class Number(TypeDecorator[float]):
    """A finite number in double precision."""

    impl = Double
    cache_ok = True

    def bind_processor(self, dialect: Dialect) -> Processor | None:  # noqa: ARG002
        return _or_none(_finite)

    def result_processor(self, dialect: Dialect, coltype: object) -> Processor | None:  # noqa: ARG002
        return None


BLOB = LargeBinary().with_variant(mysql.LONGBLOB(), "mysql")


def _long_text(dialect: Dialect) -> TypeEngine[Any]:
    return mysql.MEDIUMTEXT() if dialect.name == "mysql" else Text()
