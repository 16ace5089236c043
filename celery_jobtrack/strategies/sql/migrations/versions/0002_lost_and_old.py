"""Attempts know whether their job may be run again; old jobs and overdue queues are found by index."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0002"
down_revision = "0001"


def upgrade(op: Operations, prefix: str) -> None:
    def index(table: str, name: str, columns: list[str], where: str) -> None:
        condition = sa.text(where)
        op.create_index(
            f"ix_{prefix}{table}_{name}",
            f"{prefix}{table}",
            columns,
            postgresql_where=condition,
            sqlite_where=condition,
        )

    reruns: sa.Column[bool] = sa.Column("reruns", sa.Boolean(), nullable=False, server_default=sa.false())
    op.add_column(f"{prefix}attempts", reruns)
    op.drop_index(f"ix_{prefix}jobs_due", f"{prefix}jobs")
    index("jobs", "due", ["queue", "due_at"], "due_at IS NOT NULL")
    index("jobs", "ended", ["state", "finished_at"], "finished_at IS NOT NULL")
    index("groups", "completed", ["completed_at"], "completed_at IS NOT NULL")
