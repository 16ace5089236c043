"""What we add to a message's headers, under one key, so that it survives brokers and versions."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from celery_jobtrack.integration.flow import Flow
from celery_jobtrack.model.lock import Claim, Kind, OnConflict

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

KEY = "jobtrack"
VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """Marks a message as a tracked job's. Fields that a newer version added are ignored."""

    group_id: str | None = None
    tags: tuple[str, ...] = ()
    run: int = 1
    max_retries: int | None = None
    store_result: bool | None = None
    """Whether what the job returns is kept; None leaves it to the task."""
    copy: int = 0
    """How many copies of the message were published before, because it seemed lost."""
    within: tuple[str, ...] = ()
    """Further groups that the job is part of without being counted: the cancel flag of any refuses it."""
    part_of: tuple[str, ...] = ()
    """The jobs of its flow that end with this one if it does not succeed."""
    flow: Flow | None = None
    """What the rest of its canvas carries, too."""
    callback_of: str | None = None
    """The group whose callback the job is."""

    claims: tuple[Claim, ...] = ()
    """The keys at which the job needs a place to run."""

    def dump(self) -> dict[str, Any]:
        """As it stands in the message."""
        dumped: dict[str, Any] = {"v": VERSION}
        if self.group_id is not None:
            dumped["group"] = self.group_id
        if self.tags:
            dumped["tags"] = list(self.tags)
        if self.run != 1:
            dumped["run"] = self.run
        if self.copy:
            dumped["copy"] = self.copy
        if self.claims:
            dumped["claims"] = [_dumped(claim) for claim in self.claims]
        if self.flow is not None:
            # What follows from it is not said twice.
            dumped["flow"] = self.flow.dump()
        elif self.within:
            dumped["within"] = list(self.within)
        given = {name: getattr(self, name) for name in ("max_retries", "store_result", "callback_of")}
        return dumped | {name: value for name, value in given.items() if value is not None}

    @classmethod
    def load(cls, headers: Mapping[str, Any]) -> Header | None:
        """From a message's headers; None if the message is not a tracked job's."""
        found = headers.get(KEY)
        if not isinstance(found, dict) or not isinstance(found.get("v"), int):
            return None
        flow = Flow.load(found.get("flow"))
        group_id, within = found.get("group"), tuple(found.get("within") or ())
        part_of: tuple[str, ...] = ()
        if flow is not None:
            job_id = headers.get("id") or ""
            group_id = group_id or flow.group_of(job_id)
            within, part_of = flow.groups_around(job_id), flow.members_after(job_id)
        return cls(
            group_id=group_id,
            tags=tuple(found.get("tags") or ()),
            run=found.get("run") or 1,
            max_retries=found.get("max_retries"),
            store_result=found.get("store_result"),
            copy=found.get("copy") or 0,
            within=within,
            part_of=part_of,
            flow=flow,
            callback_of=found.get("callback_of"),
            claims=tuple(map(_loaded, found.get("claims") or ())),
        )

    @classmethod
    def of_request(cls, request: Any) -> Header | None:
        """From a running task's request. An eager run has its headers one level deeper."""
        attributes = vars(request)
        return cls.load(attributes) or cls.load(
            {"id": attributes.get("id"), **(attributes.get("headers") or {})}
        )


def _dumped(claim: Claim) -> list[Any]:
    dumped: list[Any] = [claim.key, claim.limit, str(claim.on_conflict), claim.across_retries]
    more = {name: value for name in ("lease", "interval") if (value := getattr(claim, name)) is not None}
    if claim.until_start:
        more["until_start"] = True
    if claim.kind is not Kind.SLOTS:
        more["kind"] = str(claim.kind)
    return [*dumped, more] if more else dumped


def _loaded(dumped: Sequence[Any]) -> Claim:
    """What a start has to know of a claim; when its line is due, only the dispatch does."""
    key, limit, on_conflict, across_retries = dumped[:4]
    more = dumped[4] if len(dumped) > 4 and isinstance(dumped[4], dict) else {}  # noqa: PLR2004
    return Claim(
        key=key,
        kind=Kind(more.get("kind", "slots")),
        limit=limit,
        on_conflict=OnConflict(on_conflict),
        across_retries=bool(across_retries),
        until_start=bool(more.get("until_start")),
        lease=more.get("lease"),
        interval=more.get("interval"),
    )
