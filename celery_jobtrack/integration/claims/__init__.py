"""What jobs claim before they may be sent or run."""

from celery_jobtrack.integration.claims.claiming import OVERLAPS, claims_of
from celery_jobtrack.integration.claims.declared import (
    GIVEN,
    check_claims,
    check_given,
    check_unique,
    declares_claims,
)
from celery_jobtrack.integration.claims.moments import (
    clock_claim,
    counts_starts,
    deadline_claim,
    is_far,
    needs_the_store,
)

__all__ = [
    "GIVEN",
    "OVERLAPS",
    "check_claims",
    "check_given",
    "check_unique",
    "claims_of",
    "clock_claim",
    "counts_starts",
    "deadline_claim",
    "declares_claims",
    "is_far",
    "needs_the_store",
]
