"""Jobs may claim keys; the store knows who has one and who waits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0005"
down_revision = "0004"

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
MICROSECONDS = sa.BigInteger()


def upgrade(op: Operations, prefix: str) -> None:
    jobs, locks, places = (f"{prefix}{name}" for name in ("jobs", "locks", "places"))
    keyed: sa.Column[bool] = sa.Column("keyed", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column(jobs, keyed)
    op.add_column(jobs, sa.Column("waits_for", KEY))
    op.add_column(jobs, sa.Column("blocked_by", KEY))

    op.create_table(
        locks,
        sa.Column("key", KEY, nullable=False),
        sa.Column("limit", sa.Integer(), nullable=False),
        sa.Column("taken", sa.Integer(), nullable=False),
        sa.Column("waiting", sa.Integer(), nullable=False),
        sa.Column("fence", sa.BigInteger(), nullable=False),
        sa.Column("rejected", sa.BigInteger(), nullable=False),
        sa.Column("touched_at", MICROSECONDS, nullable=False),
        sa.PrimaryKeyConstraint("key", name=f"pk_{locks}"),
        **MYSQL,
    )
    if op.get_bind().dialect.name == "postgresql":
        # As for groups: room in the page for the next version of a row.
        op.execute(f"ALTER TABLE {locks} SET (fillfactor = 50)")

    op.create_table(
        places,
        sa.Column("key", KEY, nullable=False),
        sa.Column("job_id", KEY, nullable=False),
        sa.Column("standing", NAME, nullable=False),
        sa.Column("fence", sa.BigInteger()),
        sa.Column("since", MICROSECONDS, nullable=False),
        sa.Column("priority", sa.Integer(), nullable=False),
        sa.Column("precedence", sa.Integer(), nullable=False),
        sa.Column("recorded_at", MICROSECONDS, nullable=False),
        sa.Column("across_retries", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("key", "job_id", name=f"pk_{places}"),
        **MYSQL,
    )
    op.create_index(f"ix_{places}_job", places, ["job_id"])
    op.create_index(
        f"ix_{places}_line", places, ["key", "standing", "precedence", "recorded_at", "job_id"]
    )
    marked = sa.text("standing IN ('called', 'superseded')")
    op.create_index(
        f"ix_{places}_marked",
        places,
        ["standing", "since", "job_id"],
        postgresql_where=marked,
        sqlite_where=marked,
    )
