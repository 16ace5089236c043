"""Groups have callbacks and may be reopened; jobs may keep what they returned."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from celery_jobtrack.model.state import GroupOutcome
from celery_jobtrack.strategies.sql.types import BLOB, Callbacks, Key, Moment, Name

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0003"
down_revision = "0002"


def upgrade(op: Operations, prefix: str) -> None:
    jobs, groups, events = f"{prefix}jobs", f"{prefix}groups", f"{prefix}events"
    op.add_column(jobs, sa.Column("result", BLOB))

    cancels: sa.Column[bool] = sa.Column(
        "cancels_on_failure", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column(groups, cancels)
    base: sa.Column[int] = sa.Column("base_generation", sa.BigInteger(), nullable=False, server_default="1")
    op.add_column(groups, base)
    op.add_column(groups, sa.Column("first_failure", Key))
    op.add_column(groups, sa.Column("closed_at", Moment))
    every: sa.Column[int] = sa.Column("progress_every", sa.Integer(), nullable=False, server_default="0")
    op.add_column(groups, every)
    op.add_column(groups, sa.Column("callbacks", Callbacks))
    table = sa.table(groups, sa.column("generation"), sa.column("base_generation"))
    # Until now every generation was counted alone.
    op.execute(sa.update(table).values(base_generation=table.c.generation))

    step: sa.Column[int] = sa.Column("step", sa.BigInteger(), nullable=False, server_default="0")
    with op.batch_alter_table(events) as batch:
        batch.add_column(step)
        batch.add_column(sa.Column("outcome", Name(GroupOutcome)))
        batch.add_column(sa.Column("job_id", Key))
        batch.drop_constraint(f"uq_{prefix}events_once", type_="unique")
        batch.create_unique_constraint(f"uq_{prefix}events_step", ["group_id", "generation", "kind", "step"])
