"""The Lua scripts: read from the package, put together, and known to the server by their digest."""

from __future__ import annotations

import hashlib
import re
from functools import cache
from importlib.resources import files

from celery_jobtrack.strategies.redis.fields import IN_LUA

_NAME = re.compile(r"\b(" + "|".join(IN_LUA) + r")\.([A-Za-z_]+)\b")
_USES = re.compile(r"^-- uses: (.*)$", re.MULTILINE)
_COMMENT = re.compile(r"^\s*--.*$|\s+-- .*$", re.MULTILINE)


class Script:
    """One operation: its source with all that it uses in front, and its digest."""

    def __init__(self, name: str) -> None:
        parts = [_plain(_read(part)) for part in [*_parts_of(name), name]]
        self.name = name
        self.source = "\n".join(parts).encode()
        self.digest = hashlib.sha1(self.source).hexdigest().encode()  # noqa: S324 - Redis names them so
        self.called = b"$7\r\nEVALSHA\r\n$40\r\n%b\r\n" % self.digest
        """How a call of it begins on the wire."""


@cache
def script(name: str) -> Script:
    """The script in ``lua/<name>.lua``.

    Raises:
        KeyError: It uses a name that ``fields.py`` does not have.
    """
    return Script(name)


def _parts_of(name: str) -> list[str]:
    """What a source says that it uses, each after what it uses itself."""
    found: list[str] = []
    for used in _uses(name):
        found += [part for part in [*_parts_of(used), used] if part not in found]
    return found


def _uses(name: str) -> list[str]:
    line = _USES.search(_read(name))
    return [] if line is None else line.group(1).replace(",", " ").split()


@cache
def _read(name: str) -> str:
    return files(__package__).joinpath("lua", f"{name}.lua").read_text(encoding="utf-8")


def _plain(source: str) -> str:
    """Without comments, and with numbers in the place of names."""
    source = _COMMENT.sub("", source)
    source = _NAME.sub(lambda found: str(IN_LUA[found.group(1)][found.group(2)]), source)
    return "\n".join(line.rstrip() for line in source.splitlines() if line.strip())
