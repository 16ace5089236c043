"""What Redis records of halts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from celery_jobtrack.model.halt import Halt, HaltKind, Lifted
from celery_jobtrack.strategies.redis.base import RedisBase
from celery_jobtrack.strategies.redis.ids import pack_name
from celery_jobtrack.strategies.redis.lock_records import load_ids
from celery_jobtrack.strategies.redis.packing import the_moment, unpack

if TYPE_CHECKING:
    from collections.abc import Sequence

AT_ONCE = b"100"
"""How many are called in one script."""


class Halts(RedisBase):
    """Records halts, takes them back, and lists them."""

    def halt(self, kind: HaltKind, name: str, reason: str | None = None) -> bool:
        said = (reason or "").encode(errors="backslashreplace")
        return bool(self._run("halt", _field(kind, name), said))

    def lift(self, kind: HaltKind, name: str, *, only_if_lifted: bool = False) -> Lifted:
        only = b"1" if only_if_lifted else b"0"
        applied, called = self._ask("lift", _field(kind, name), AT_ONCE, only)
        return Lifted(applied=applied, called=load_ids(called))

    def halts(self) -> Sequence[Halt]:
        return self._halts(lifted=False)

    def lifted_halts(self) -> Sequence[Halt]:
        return self._halts(lifted=True)

    def _halts(self, *, lifted: bool) -> list[Halt]:
        parts = self._ask("halts")
        found = [_load(parts[at], parts[at + 1]) for at in range(0, len(parts), 2)]
        return sorted(
            (halt for halt in found if halt.lifted is lifted), key=lambda halt: (halt.kind, halt.name)
        )


def _field(kind: HaltKind, name: str) -> bytes:
    return f"{kind}:".encode() + pack_name(name)


def _load(field: bytes, value: bytes) -> Halt:
    kind, _, name = field.decode().partition(":")
    since, reason, lifted = unpack(value)
    return Halt(
        kind=HaltKind(kind),
        name=name,
        since=the_moment(since),
        reason=reason.decode() if reason else None,
        lifted=lifted,
    )
