"""Finding server programs, on PATH and where distributions hide them from it."""

from __future__ import annotations

import os
import re
import shutil
from pathlib import Path

from tests.servers.errors import ServerMissingError

OFF_PATH = (
    "/usr/sbin",  # not on every user's PATH
    "/usr/local/sbin",
    "/usr/lib/postgresql/*/bin",  # Debian keeps several versions side by side
    "/usr/pgsql-*/bin",  # so do Fedora and its kin
    "/usr/lib/rabbitmq/bin",  # where PATH has wrappers only
)


def find(server: str, *names: str, package: str) -> str:
    """The path of the first of ``names`` that is installed, its newest version.

    Raises:
        ServerMissingError: None is.
    """
    for name in names:
        found = shutil.which(name) or shutil.which(name, path=os.pathsep.join(_directories()))
        if found:
            return found
    raise ServerMissingError(server, " or ".join(names), package)


def _directories() -> list[str]:
    found = [path for pattern in OFF_PATH for path in Path("/").glob(pattern.lstrip("/"))]
    return [str(path) for path in sorted(found, key=_version, reverse=True)]


def _version(path: Path) -> list[int]:
    return [int(digits) for digits in re.findall(r"\d+", str(path))]
