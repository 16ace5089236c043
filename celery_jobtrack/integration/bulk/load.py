"""A chunk on its way to Redis, and the account of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from celery_jobtrack.integration.bulk.handed import Handed
from celery_jobtrack.integration.bulk.redis_storing import Written

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from celery_jobtrack.integration.bulk.envelope import Envelope
    from celery_jobtrack.integration.bulk.parcel import Parcel

COMMAND = 4 * 1024 * 1024
"""Characters that one command carries at most, about: Redis does nothing else meanwhile."""


class Load:
    """What of a chunk is written, what is on its way, and what has come of it.

    It outlives a connection: what is done is not done again on the next one.

    Args:
        parcels: The chunk.
    """

    def __init__(self, parcels: Sequence[Parcel]) -> None:
        self.parcels = parcels
        self.written: list[Written | Envelope | None] = [None] * len(parcels)
        self.is_on_its_way = False
        """Whether the commands were given to a connection."""
        self.answers: list[Any] | None = None
        """What Redis said to each command."""
        self.others_sent = 0
        """How many of ``others`` have gone out."""
        self._commands: list[tuple[str, list[str], list[int]]] | None = None

    def unwritten(self) -> Iterator[int]:
        """The numbers of the parcels that are not written yet."""
        return (number for number, written in enumerate(self.written) if written is None)

    def commands(self) -> Iterator[tuple[str, list[str]]]:
        """For each command the list, and what it takes, in order."""
        if self._commands is None:
            self._commands = list(self._packed())
        return ((key, texts) for key, texts, _ in self._commands)

    def others(self) -> Iterator[Envelope]:
        """What does not go straight into one queue, and has not gone out."""
        for number in self._other_numbers()[self.others_sent :]:
            envelope = self.written[number]
            assert envelope is not None
            assert not isinstance(envelope, Written)
            yield envelope

    def account(self, error: Exception | None) -> Handed:
        """What became of the chunk.

        Args:
            error: What interrupted it; None if nothing did.
        """
        sent: set[int] = set()
        uncertain: set[int] = set()
        if self.answers is not None:
            for answer, (_, _, numbers) in zip(self.answers, self._commands or (), strict=True):
                if isinstance(answer, Exception):
                    error = error or answer
                else:
                    sent.update(numbers)
            others = self._other_numbers()
            sent.update(others[: self.others_sent])
            uncertain.update(others[self.others_sent : self.others_sent + 1])
        elif self.is_on_its_way:
            uncertain.update(number for _, _, numbers in self._commands or () for number in numbers)
        return Handed(
            sent=len(sent),
            uncertain=[self.parcels[number] for number in sorted(uncertain)],
            not_sent=[
                parcel
                for number, parcel in enumerate(self.parcels)
                if number not in sent and number not in uncertain
            ],
            cause=error,
        )

    def _other_numbers(self) -> list[int]:
        return [number for number, written in enumerate(self.written) if not isinstance(written, Written)]

    def _packed(self) -> Iterator[tuple[str, list[str], list[int]]]:
        open_: dict[str, tuple[list[str], list[int]]] = {}
        sizes: dict[str, int] = {}
        for number, written in enumerate(self.written):
            if not isinstance(written, Written):
                continue
            key, text = written
            texts, numbers = open_.setdefault(key, ([], []))
            texts.append(text)
            numbers.append(number)
            sizes[key] = sizes.get(key, 0) + len(text)
            if sizes[key] >= COMMAND:
                yield (key, *open_.pop(key))
                del sizes[key]
        for key, (texts, numbers) in open_.items():
            yield key, texts, numbers
