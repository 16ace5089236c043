"""The contract suite by subject; ``StoreContract`` is all of it."""

from __future__ import annotations

import pytest

from celery_jobtrack.testing.clock import Clock
from celery_jobtrack.testing.contract.bulk import BulkContract
from celery_jobtrack.testing.contract.cancelling import CancelContract
from celery_jobtrack.testing.contract.closing import ClosingContract
from celery_jobtrack.testing.contract.completing import CompletingContract
from celery_jobtrack.testing.contract.concurrency import ConcurrencyContract
from celery_jobtrack.testing.contract.contention import ContentionContract
from celery_jobtrack.testing.contract.delivery import DeliveryContract
from celery_jobtrack.testing.contract.enqueueing import EnqueueContract
from celery_jobtrack.testing.contract.faults import FaultContract
from celery_jobtrack.testing.contract.filling import FillingContract
from celery_jobtrack.testing.contract.forgetting import ForgetContract
from celery_jobtrack.testing.contract.gates import GateContract
from celery_jobtrack.testing.contract.generations import GenerationContract
from celery_jobtrack.testing.contract.groups import GroupContract
from celery_jobtrack.testing.contract.halting import HaltContract
from celery_jobtrack.testing.contract.lines import LineContract
from celery_jobtrack.testing.contract.listing import ListingContract
from celery_jobtrack.testing.contract.locking import LockContract
from celery_jobtrack.testing.contract.names import NameContract
from celery_jobtrack.testing.contract.nesting import NestingContract
from celery_jobtrack.testing.contract.outcomes import OutcomeContract
from celery_jobtrack.testing.contract.pruning import PruningContract
from celery_jobtrack.testing.contract.recomputing import RecomputeContract
from celery_jobtrack.testing.contract.redriving import RedriveContract
from celery_jobtrack.testing.contract.reopening import ReopenContract
from celery_jobtrack.testing.contract.requeueing import RequeueContract
from celery_jobtrack.testing.contract.results import ResultContract
from celery_jobtrack.testing.contract.retrying import RetryContract
from celery_jobtrack.testing.contract.settling import SettleContract
from celery_jobtrack.testing.contract.starting import StartContract
from celery_jobtrack.testing.contract.timed_lines import TimedLineContract
from celery_jobtrack.testing.contract.uniqueness import UniqueContract
from celery_jobtrack.testing.contract.upkeep import UpkeepContract
from celery_jobtrack.testing.contract.workers import WorkerContract


class StoreContract(
    EnqueueContract,
    StartContract,
    ClosingContract,
    RetryContract,
    SettleContract,
    GroupContract,
    CompletingContract,
    FillingContract,
    GenerationContract,
    CancelContract,
    RecomputeContract,
    DeliveryContract,
    WorkerContract,
    RequeueContract,
    PruningContract,
    ForgetContract,
    UpkeepContract,
    FaultContract,
    ListingContract,
    NameContract,
    BulkContract,
    RedriveContract,
    OutcomeContract,
    ReopenContract,
    ResultContract,
    LockContract,
    LineContract,
    UniqueContract,
    TimedLineContract,
    HaltContract,
    GateContract,
    NestingContract,
    ConcurrencyContract,
    ContentionContract,
):
    """Everything that a ``Store`` must hold to, as test methods.

    Subclass it, and supply the fixture ``store``: opened, empty, and running on ``clock``. The
    docstring of ``celery_jobtrack.testing`` has an example.
    """

    @pytest.fixture
    def clock(self) -> Clock:
        """What moves the store's time."""
        return Clock()


__all__ = ["StoreContract"]
