"""What a census has found so far: a folder of JSON lines, written by many processes at once."""

import json
import os
from pathlib import Path
from typing import Any

from example_app.app import HOME


def add(census: str, book: str, **row: Any) -> None:
    """Add a row. It is one write at the end of a file, so rows never mix."""
    file = _path(census, f"{book}.jsonl")
    file.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o666)
    try:
        os.write(descriptor, json.dumps(row).encode() + b"\n")
    finally:
        os.close(descriptor)


def rows(census: str, book: str) -> list[dict[str, Any]]:
    """All rows of a book so far, oldest first."""
    try:
        return [json.loads(line) for line in _path(census, f"{book}.jsonl").read_bytes().splitlines()]
    except FileNotFoundError:
        return []


def write(census: str, page: str, **content: Any) -> None:
    """Write a page, whole or not at all."""
    file = _path(census, f"{page}.json")
    aside = file.with_suffix(f".{os.getpid()}")
    aside.write_text(json.dumps(content))
    aside.replace(file)


def read(census: str, page: str) -> dict[str, Any] | None:
    """Read a page; None when it is not written."""
    try:
        content: dict[str, Any] = json.loads(_path(census, f"{page}.json").read_bytes())
    except FileNotFoundError:
        return None
    return content


def _path(census: str, name: str) -> Path:
    return HOME / "census" / census / name
