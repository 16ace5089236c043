"""What became of a chunk that was given to the broker."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from celery_jobtrack.integration.bulk.parcel import Parcel


@dataclass(frozen=True, slots=True, kw_only=True)
class Handed:
    """How many the broker took, and which it did not."""

    sent: int
    not_sent: Sequence[Parcel] = ()
    """These the broker certainly does not have."""
    uncertain: Sequence[Parcel] = ()
    """The connection broke while they were on their way."""
    cause: Exception | None = None
    """Why not all were sent; None if they were."""
