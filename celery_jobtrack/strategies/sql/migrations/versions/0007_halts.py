"""Queues and tasks can be paused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0007"
down_revision = "0006"

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
MICROSECONDS = sa.BigInteger()


def upgrade(op: Operations, prefix: str) -> None:
    halts = f"{prefix}halts"
    op.create_table(
        halts,
        sa.Column("kind", NAME, nullable=False),
        sa.Column("name", KEY, nullable=False),
        sa.Column("since", MICROSECONDS, nullable=False),
        sa.Column("reason", TEXT),
        sa.Column("lifted", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("kind", "name", name=f"pk_{halts}"),
        **MYSQL,
    )
