"""Not approved."""

from __future__ import annotations


def outside() -> str:
    return "outside"
