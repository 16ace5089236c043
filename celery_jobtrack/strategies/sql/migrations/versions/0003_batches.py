"""Groups have callbacks and may be reopened; jobs may keep what they returned; large groups have tallies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0003"
down_revision = "0002"

MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_row_format": "DYNAMIC"}

KEY = (
    sa.String(255)
    .with_variant(sa.String(255, collation="C"), "postgresql")
    .with_variant(mysql.VARBINARY(255), "mysql")
)
NAME = (
    sa.String(24)
    .with_variant(sa.String(24, collation="C"), "postgresql")
    .with_variant(mysql.VARCHAR(24, charset="ascii", collation="ascii_bin"), "mysql")
)
TEXT = sa.Text().with_variant(mysql.MEDIUMTEXT(), "mysql")
BLOB = sa.LargeBinary().with_variant(mysql.LONGBLOB(), "mysql")
MICROSECONDS = sa.BigInteger()
ENDED = ("succeeded", "failed", "revoked", "skipped")


def upgrade(op: Operations, prefix: str) -> None:
    jobs, groups, events, tallies = (f"{prefix}{name}" for name in ("jobs", "groups", "events", "tallies"))
    op.add_column(jobs, sa.Column("result", BLOB))

    cancels: sa.Column[bool] = sa.Column(
        "cancels_on_failure", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column(groups, cancels)
    base: sa.Column[int] = sa.Column("base_generation", sa.BigInteger(), nullable=False, server_default="1")
    op.add_column(groups, base)
    op.add_column(groups, sa.Column("first_failure", KEY))
    op.add_column(groups, sa.Column("closed_at", MICROSECONDS))
    every: sa.Column[int] = sa.Column("progress_every", sa.Integer(), nullable=False, server_default="0")
    op.add_column(groups, every)
    op.add_column(groups, sa.Column("callbacks", TEXT))
    reserved: sa.Column[int] = sa.Column("reserved", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column(groups, reserved)
    table = sa.table(groups, sa.column("generation"), sa.column("base_generation"))
    # Until now every generation was counted alone.
    op.execute(sa.update(table).values(base_generation=table.c.generation))

    op.create_table(
        tallies,
        sa.Column("group_id", KEY, nullable=False),
        sa.Column("slot", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("failed_before", sa.Boolean(), nullable=False),
        sa.Column("room", sa.BigInteger(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ENDED),
        sa.PrimaryKeyConstraint("group_id", "slot", name=f"pk_{tallies}"),
        **MYSQL,
    )
    if op.get_bind().dialect.name == "postgresql":
        # As for groups: room in the page for the next version of a row.
        op.execute(f"ALTER TABLE {tallies} SET (fillfactor = 25)")

    step: sa.Column[int] = sa.Column("step", sa.BigInteger(), nullable=False, server_default="0")
    with op.batch_alter_table(events) as batch:
        batch.add_column(step)
        batch.add_column(sa.Column("outcome", NAME))
        batch.add_column(sa.Column("job_id", KEY))
        # Not needless but too narrow: a generation has several events of one kind now.
        batch.drop_constraint(f"uq_{events}_once", type_="unique")
        batch.create_unique_constraint(f"uq_{events}_step", ["group_id", "generation", "kind", "step"])
