"""How many members of a group wait for a retry or are parked is counted by those who let them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0004"
down_revision = "0003"

MYSQL: dict[str, Any] = {"mysql_engine": "InnoDB", "mysql_charset": "utf8mb4", "mysql_row_format": "DYNAMIC"}

KEY = (
    sa.String(255)
    .with_variant(sa.String(255, collation="C"), "postgresql")
    .with_variant(mysql.VARBINARY(255), "mysql")
)


def upgrade(op: Operations, prefix: str) -> None:
    pauses = f"{prefix}pauses"
    op.create_table(
        pauses,
        sa.Column("group_id", KEY, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False, autoincrement=False),
        sa.Column("slot", sa.Integer(), nullable=False, autoincrement=False),
        sa.Column("retrying", sa.BigInteger(), nullable=False),
        sa.Column("waiting", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("group_id", "generation", "slot", name=f"pk_{pauses}"),
        **MYSQL,
    )
    if op.get_bind().dialect.name == "postgresql":
        # As for groups: room in the page for the next version of a row.
        op.execute(f"ALTER TABLE {pauses} SET (fillfactor = 25)")
    # What pauses now. A worker of the version before does not count; the next recount of its group mends that.
    op.execute(f"""
        INSERT INTO {pauses} (group_id, generation, slot, retrying, waiting)
        SELECT jobs.group_id, jobs.generation, 0,
            SUM(CASE WHEN jobs.state = 'RETRY' THEN 1 ELSE 0 END),
            SUM(CASE WHEN jobs.state = 'WAITING' THEN 1 ELSE 0 END)
        FROM {prefix}jobs jobs JOIN {prefix}groups holders ON holders.id = jobs.group_id
        WHERE jobs.state IN ('RETRY', 'WAITING') AND jobs.generation >= holders.base_generation
        GROUP BY jobs.group_id, jobs.generation
    """)
