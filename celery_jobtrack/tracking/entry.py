"""A fact as one line of the spool, and back."""

from __future__ import annotations

import base64
import json
from dataclasses import asdict, dataclass, fields
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from celery_jobtrack.model.job import ErrorInfo
from celery_jobtrack.model.lock import Claim, OnConflict
from celery_jobtrack.model.requests import (
    EnqueueRequest,
    FinishRequest,
    Origin,
    RetryRequest,
    SettleRequest,
    StartRequest,
    Worker,
)
from celery_jobtrack.model.state import JobState, Outcome, Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

VERSION = 1
R = TypeVar("R")

Request = EnqueueRequest | StartRequest | RetryRequest | FinishRequest | SettleRequest


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What should have been recorded, and when that was."""

    at: float
    """Seconds since 1970 by the clock of the machine, for the order on this machine only."""
    request: Request

    @property
    def order(self) -> tuple[str, int, int, float]:
        """Facts of one job in the order in which they came to be."""
        request = self.request
        began = request.start if isinstance(request, (RetryRequest, FinishRequest)) else request
        return began.origin.job_id, began.origin.run, began.origin.retries, self.at

    @property
    def opens(self) -> str:
        """The token of the attempt that this fact opens; empty if it opens none."""
        return self.request.token if isinstance(self.request, StartRequest) else ""

    @property
    def closes(self) -> str | None:
        """The token of the attempt that this fact closes."""
        return self.request.start.token if isinstance(self.request, (RetryRequest, FinishRequest)) else None

    def dump(self) -> bytes:
        """One line."""
        document = {
            "v": VERSION,
            "at": self.at,
            "kind": type(self.request).__name__,
            "request": asdict(self.request),
        }
        return json.dumps(document, default=_plain, separators=(",", ":")).encode() + b"\n"

    @classmethod
    def load(cls, line: bytes) -> Entry:
        """From one line. Raises ValueError when it is none."""
        try:
            document = json.loads(line)
            load = _LOADERS[document["kind"]]
            return cls(at=float(document["at"]), request=load(document["request"]))
        except (KeyError, TypeError, AttributeError, RecursionError) as error:
            raise ValueError(f"not an entry of a spool: {error!r}") from error


def _plain(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} cannot be spooled")


def _made(cls: Callable[..., R], values: Mapping[str, Any], **converted: Any) -> R:
    known = {field.name for field in fields(cls)}  # type: ignore[arg-type]
    return cls(**{**{name: value for name, value in values.items() if name in known}, **converted})


def _origin(values: Mapping[str, Any]) -> Origin:
    return _made(
        Origin,
        values,
        tags=tuple(values["tags"]),
        within=tuple(values.get("within") or ()),
        part_of=tuple(values.get("part_of") or ()),
        claims=tuple(map(_claim, values.get("claims") or ())),
        eta=_moment(values["eta"]),
        expires_at=_moment(values["expires_at"]),
    )


def _claim(values: Mapping[str, Any]) -> Claim:
    return _made(Claim, values, on_conflict=OnConflict(values["on_conflict"]))


def _enqueue(values: Mapping[str, Any]) -> EnqueueRequest:
    return _made(EnqueueRequest, values, origin=_origin(values["origin"]), message=_bytes(values["message"]))


def _start(values: Mapping[str, Any]) -> StartRequest:
    return _made(
        StartRequest, values, origin=_origin(values["origin"]), worker=_made(Worker, values["worker"])
    )


def _retry(values: Mapping[str, Any]) -> RetryRequest:
    return RetryRequest(
        start=_start(values["start"]),
        origin=_origin(values["origin"]),
        message=_bytes(values["message"]),
        outcome=Outcome(values["outcome"]),
        error=_error(values["error"]),
    )


def _finish(values: Mapping[str, Any]) -> FinishRequest:
    return FinishRequest(
        start=_start(values["start"]),
        outcome=Outcome(values["outcome"]),
        reason=_reason(values["reason"]),
        error=_error(values["error"]),
        result=_bytes(values.get("result")),
    )


def _settle(values: Mapping[str, Any]) -> SettleRequest:
    return _made(
        SettleRequest,
        values,
        origin=_origin(values["origin"]),
        state=JobState(values["state"]),
        reason=_reason(values["reason"]),
        error=_error(values["error"]),
        only_from=frozenset(JobState(state) for state in values["only_from"]),
        outcome=None if values["outcome"] is None else Outcome(values["outcome"]),
    )


_LOADERS: Mapping[str, Callable[[Mapping[str, Any]], Request]] = {
    "EnqueueRequest": _enqueue,
    "StartRequest": _start,
    "RetryRequest": _retry,
    "FinishRequest": _finish,
    "SettleRequest": _settle,
}


def _moment(text: str | None) -> datetime | None:
    return None if text is None else datetime.fromisoformat(text)


def _bytes(text: str | None) -> bytes | None:
    return None if text is None else base64.b64decode(text)


def _reason(text: str | None) -> Reason | None:
    return None if text is None else Reason(text)


def _error(values: Mapping[str, Any] | None) -> ErrorInfo | None:
    return None if values is None else _made(ErrorInfo, values)
