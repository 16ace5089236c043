"""Time moves the lines of keys: what a key is about, when it is due, and how long a place is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0006"
down_revision = "0005"

NAME = (
    sa.String(24)
    .with_variant(sa.String(24, collation="C"), "postgresql")
    .with_variant(mysql.VARCHAR(24, charset="ascii", collation="ascii_bin"), "mysql")
)
NUMBER: sa.Double[float] = sa.Double()
MICROSECONDS = sa.BigInteger()


def upgrade(op: Operations, prefix: str) -> None:
    locks, places = f"{prefix}locks", f"{prefix}places"
    kind: sa.Column[str] = sa.Column("kind", NAME, nullable=False, server_default="slots")
    op.add_column(locks, kind)
    op.add_column(locks, sa.Column("interval", NUMBER))
    op.add_column(locks, sa.Column("next_at", MICROSECONDS))
    op.add_column(locks, sa.Column("due_at", MICROSECONDS))
    due = sa.text("due_at IS NOT NULL")
    op.create_index(
        f"ix_{locks}_due", locks, ["due_at", "key"], postgresql_where=due, sqlite_where=due
    )

    until_start: sa.Column[bool] = sa.Column(
        "until_start", sa.Boolean(), nullable=False, server_default=sa.false()
    )
    op.add_column(places, until_start)
    op.add_column(places, sa.Column("until", MICROSECONDS))
