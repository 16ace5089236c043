"""Groups have callbacks and may be reopened; jobs may keep what they returned."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from celery_jobtrack.model.state import GroupOutcome
from celery_jobtrack.strategies.sql.types import BLOB, Callbacks, Key, Moment, Name

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0003"
down_revision = "0002"

MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_row_format": "DYNAMIC"}
ENDED = ("succeeded", "failed", "revoked", "skipped")


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
    reserved: sa.Column[int] = sa.Column("reserved", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column(groups, reserved)
    table = sa.table(groups, sa.column("generation"), sa.column("base_generation"))
    # Until now every generation was counted alone.
    op.execute(sa.update(table).values(base_generation=table.c.generation))

    op.create_table(
        f"{prefix}tallies",
        sa.Column("group_id", Key, nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("failed_before", sa.Boolean(), nullable=False),
        sa.Column("room", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ENDED),
        sa.PrimaryKeyConstraint("group_id", "slot", name=f"pk_{prefix}tallies"),
        **MYSQL,
    )

    step: sa.Column[int] = sa.Column("step", sa.BigInteger(), nullable=False, server_default="0")
    with op.batch_alter_table(events) as batch:
        batch.add_column(step)
        batch.add_column(sa.Column("outcome", Name(GroupOutcome)))
        batch.add_column(sa.Column("job_id", Key))
        batch.drop_constraint(f"uq_{prefix}events_once", type_="unique")
        batch.create_unique_constraint(f"uq_{prefix}events_step", ["group_id", "generation", "kind", "step"])
