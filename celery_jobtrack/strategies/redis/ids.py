"""Ids and names as they lie in keys and values. A UUID takes 17 bytes instead of 36."""

from __future__ import annotations

from celery_jobtrack.errors import InvalidPayload

LONGEST = 255

# Neither byte begins a text in UTF-8, so no packed id looks like one that was not packed.
_UUID, _HEX = b"\xff", b"\xfe"


def pack_id(text: str) -> bytes:
    """An id as it is compared and kept: byte by byte, canonical UUIDs and hexadecimal ones short.

    Raises:
        InvalidPayload: It has more than 255 bytes, or half of a surrogate pair.
    """
    size = len(text)
    if size == 36 and text[8] == text[13] == text[18] == text[23] == "-":  # noqa: PLR2004
        digits = text.replace("-", "")
        mark = _UUID
    else:
        digits = text
        mark = _HEX
    if len(digits) == 32:  # noqa: PLR2004
        try:
            packed = bytes.fromhex(digits)
        except ValueError:
            return pack_name(text)
        if packed.hex() == digits:  # not in capitals, no spaces
            return mark + packed
    return pack_name(text)


def unpack_id(packed: bytes) -> str:
    """The id that ``pack_id`` packed."""
    mark = packed[:1]
    if mark == _UUID:
        digits = packed[1:].hex()
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"
    return packed[1:].hex() if mark == _HEX else packed.decode()


def pack_name(text: str) -> bytes:
    """A name or a key as it is compared.

    Raises:
        InvalidPayload: It has more than 255 bytes, or half of a surrogate pair.
    """
    try:
        packed = str(text).encode()
    except UnicodeEncodeError as error:
        raise InvalidPayload(f"{text!a} cannot be an id, a key or a name: it is not Unicode text") from error
    if len(packed) > LONGEST:
        raise InvalidPayload(
            f"{text[:40]!r}… has {len(packed)} bytes; an id, a key, a tag or a name may have {LONGEST}"
        )
    return packed


def pack_key(text: str) -> bytes:
    """The name of a lock as it is compared.

    Raises:
        InvalidPayload: It has more than 255 characters, or half of a surrogate pair.
    """
    if len(text) > LONGEST:
        raise InvalidPayload(f"{text[:40]!r}… has {len(text)} characters; a lock's key may have {LONGEST}")
    try:
        return text.encode()
    except UnicodeEncodeError as error:
        raise InvalidPayload(f"{text!a} cannot be a lock's key: it is not Unicode text") from error
