"""Where a result comes from: the machine and the versions, without names and paths."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import re
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

if TYPE_CHECKING:
    from collections.abc import Iterable

PACKAGES = (
    "celery",
    "kombu",
    "billiard",
    "redis",
    "SQLAlchemy",
    "psycopg",
    "pymysql",
    "Django",
    "django-celery-results",
    "celery-jobtrack",
)
VERSION = re.compile(r"\d+(?:\.\d+)+")


def load() -> list[float]:
    """How busy the machine is: its load over 1, 5 and 15 minutes."""
    return [round(load, 2) for load in os.getloadavg()]


def facts() -> dict[str, Any]:
    """The machine that this runs on."""
    return {
        "system": platform.system(),
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
    }


def versions(servers: Iterable[str] = ()) -> dict[str, str]:
    """Of Python, the packages that take part, and server programs given by their paths."""
    found = {"python": platform.python_version()}
    for package in PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    for program in servers:
        said = subprocess.run(_asking(program), capture_output=True, text=True, check=False).stdout
        number = VERSION.search(said)
        if number is not None:
            found[Path(program).name] = number[0]
    return found


def _asking(program: str) -> list[str]:
    """The command that says a server's version."""
    path = Path(program)
    if path.name == "rabbitmq-server":  # it takes no options, and starts
        return [str(path.with_name("rabbitmqctl")), "version"]
    return [program, "--version"]


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "") or (
        platform.machine()
    )
