"""What a serializer makes of a value: to be sent, to be kept in the store as text, and to be read again."""

from __future__ import annotations

import base64
from typing import Any

from kombu import serialization

from celery_jobtrack.errors import InvalidPayload


def serialise(what: str, value: Any, serializer: str) -> tuple[str, str, Any]:
    """The value as it is sent: content type, encoding, and data, which is text or bytes.

    Args:
        what: What it is, for the error.
        value: The value.
        serializer: One of kombu's, by name.

    Raises:
        InvalidPayload: This serializer cannot hold it.
    """
    try:
        content_type, encoding, data = serialization.dumps(value, serializer=serializer)
    except Exception as error:
        raise InvalidPayload(
            f"{what} cannot be sent as {serializer}: {error}; pass what it can hold (an id instead of an "
            "object), or choose another serializer"
        ) from error
    return content_type, encoding, data


def as_text(data: str | bytes) -> tuple[str, bool]:
    """Data as JSON can hold it, and whether it is binary."""
    return (data, False) if isinstance(data, str) else (base64.b64encode(data).decode(), True)


def from_text(text: str, *, binary: bool) -> str | bytes:
    """The data of which ``as_text`` made this."""
    return base64.b64decode(text) if binary else text


def read(data: str | bytes, content_type: str, encoding: str) -> Any:
    """The value. Our own store gave it: it is trusted as the broker is."""
    return serialization.loads(data, content_type, encoding, accept={content_type})
