"""The first tables."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql

if TYPE_CHECKING:
    from alembic.operations import Operations

revision = "0001"
down_revision = None

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
SEQ = sa.BigInteger().with_variant(sa.Integer(), "sqlite")


def upgrade(op: Operations, prefix: str) -> None:
    """Make every table and index."""

    def index(table: str, name: str, columns: list[str], where: str | None = None) -> None:
        condition: dict[str, Any] = {}
        if where is not None:
            condition = {"postgresql_where": sa.text(where), "sqlite_where": sa.text(where)}
        op.create_index(f"ix_{prefix}{table}_{name}", prefix + table, columns, **condition)

    def seq() -> sa.Column[int]:
        return sa.Column("seq", SEQ, primary_key=True, autoincrement=True)

    op.create_table(
        f"{prefix}jobs",
        seq(),
        sa.Column("id", KEY, nullable=False),
        sa.Column("task", KEY, nullable=False),
        sa.Column("state", NAME, nullable=False),
        sa.Column("reason", NAME),
        sa.Column("queue", KEY),
        sa.Column("priority", sa.Integer),
        sa.Column("group_id", KEY),
        sa.Column("generation", sa.BigInteger),
        sa.Column("retries", sa.Integer, nullable=False),
        sa.Column("max_retries", sa.Integer),
        sa.Column("run", sa.Integer, nullable=False),
        sa.Column("attempts", sa.Integer, nullable=False),
        sa.Column("token", KEY),
        sa.Column("root_id", KEY),
        sa.Column("parent_id", KEY),
        sa.Column("enqueued_at", MICROSECONDS),
        sa.Column("published_at", MICROSECONDS),
        sa.Column("copies", sa.Integer, nullable=False),
        sa.Column("eta", MICROSECONDS),
        sa.Column("expires_at", MICROSECONDS),
        sa.Column("started_at", MICROSECONDS),
        sa.Column("finished_at", MICROSECONDS),
        sa.Column("due_at", MICROSECONDS),
        sa.Column("expiring_at", MICROSECONDS),
        sa.Column("cancel_requested", sa.Boolean, nullable=False),
        sa.Column("copy_waiting", sa.Boolean, nullable=False),
        sa.Column("progress_current", sa.Double),
        sa.Column("progress_total", sa.Double),
        sa.Column("progress_text", TEXT),
        sa.Column("error_type", TEXT),
        sa.Column("error_message", TEXT),
        sa.Column("error_traceback", TEXT),
        sa.Column("tags", TEXT),
        sa.Column("args", TEXT),
        sa.Column("kwargs", TEXT),
        sa.Column("message", BLOB),
        sa.UniqueConstraint("id", name=f"uq_{prefix}jobs_id"),
        **MYSQL,
    )
    index("jobs", "state", ["state", "seq"], "state <> 'SUCCESS'")
    index("jobs", "member", ["group_id", "state", "generation"], "group_id IS NOT NULL")
    index("jobs", "group", ["group_id", "seq"], "group_id IS NOT NULL")
    index("jobs", "due", ["due_at"], "due_at IS NOT NULL")
    index("jobs", "expiring", ["expiring_at"], "expiring_at IS NOT NULL")
    index("jobs", "queue", ["queue", "published_at", "started_at"], "started_at IS NOT NULL")

    op.create_table(
        f"{prefix}tags",
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("tag", KEY, nullable=False),
        sa.PrimaryKeyConstraint("seq", "tag", name=f"pk_{prefix}tags"),
        **MYSQL,
    )
    index("tags", "tag", ["tag", "seq"])

    op.create_table(
        f"{prefix}attempts",
        seq(),
        sa.Column("token", KEY, nullable=False),
        sa.Column("job_id", KEY, nullable=False),
        sa.Column("number", sa.Integer, nullable=False),
        sa.Column("worker_id", KEY, nullable=False),
        sa.Column("worker", TEXT, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("retries", sa.Integer, nullable=False),
        sa.Column("run", sa.Integer, nullable=False),
        sa.Column("started_at", MICROSECONDS, nullable=False),
        sa.Column("finished_at", MICROSECONDS),
        sa.Column("outcome", NAME),
        sa.Column("late_outcome", NAME),
        sa.Column("error_type", TEXT),
        sa.Column("error_message", TEXT),
        sa.Column("error_traceback", TEXT),
        sa.UniqueConstraint("token", name=f"uq_{prefix}attempts_token"),
        sa.UniqueConstraint("job_id", "number", name=f"uq_{prefix}attempts_number"),
        **MYSQL,
    )
    index("attempts", "open", ["outcome", "worker_id"], "outcome IS NULL")

    totals = ("total", "succeeded", "failed", "revoked", "skipped")
    op.create_table(
        f"{prefix}groups",
        seq(),
        sa.Column("id", KEY, nullable=False),
        sa.Column("key", KEY),
        sa.Column("parent_id", KEY),
        sa.Column("state", NAME, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        *(sa.Column(name, sa.BigInteger, nullable=False) for name in totals),
        *(sa.Column(f"earlier_{name}", sa.BigInteger, nullable=False) for name in totals),
        sa.Column("standing", sa.Boolean, nullable=False),
        sa.Column("sealed", sa.Boolean, nullable=False),
        sa.Column("incomplete", sa.Boolean, nullable=False),
        sa.Column("time_to_check", sa.Double, nullable=False),
        sa.Column("settle_after", sa.Double, nullable=False),
        sa.Column("created_at", MICROSECONDS, nullable=False),
        sa.Column("started_at", MICROSECONDS),
        sa.Column("completed_at", MICROSECONDS),
        sa.Column("idle_since", MICROSECONDS),
        sa.Column("next_check_at", MICROSECONDS),
        sa.Column("title", TEXT, nullable=False),
        sa.Column("description", TEXT, nullable=False),
        sa.Column("payload", TEXT),
        sa.UniqueConstraint("id", name=f"uq_{prefix}groups_id"),
        sa.UniqueConstraint("key", name=f"uq_{prefix}groups_key"),
        **MYSQL,
    )
    if op.get_bind().dialect.name == "postgresql":
        # Counters change with every member's end: room in the page keeps that a HOT update.
        # (As a table's argument only SQLAlchemy 2.1 knows it.)
        op.execute(f"ALTER TABLE {prefix}groups SET (fillfactor = 50)")
    index("groups", "state", ["state", "seq"])
    index("groups", "check", ["next_check_at"], "next_check_at IS NOT NULL")
    index(
        "groups",
        "cancelled",
        ["state", "completed_at"],
        "state = 'CANCELLED' AND completed_at IS NULL",
    )

    op.create_table(
        f"{prefix}fillers",
        sa.Column("group_id", KEY, nullable=False),
        sa.Column("token", KEY, nullable=False),
        sa.Column("until", MICROSECONDS, nullable=False),
        sa.PrimaryKeyConstraint("group_id", "token", name=f"pk_{prefix}fillers"),
        **MYSQL,
    )

    op.create_table(
        f"{prefix}events",
        seq(),
        sa.Column("id", KEY, nullable=False),
        sa.Column("kind", NAME, nullable=False),
        sa.Column("group_id", KEY, nullable=False),
        sa.Column("generation", sa.BigInteger, nullable=False),
        sa.Column("pending", sa.Boolean),
        sa.Column("created_at", MICROSECONDS, nullable=False),
        sa.Column("claimed_by", KEY),
        sa.Column("claimed_until", MICROSECONDS),
        sa.Column("tries", sa.Integer, nullable=False),
        sa.Column("delivered_at", MICROSECONDS),
        sa.Column("undeliverable", sa.Boolean, nullable=False),
        sa.Column("error", TEXT),
        sa.UniqueConstraint("id", name=f"uq_{prefix}events_id"),
        sa.UniqueConstraint("group_id", "generation", "kind", name=f"uq_{prefix}events_once"),
        **MYSQL,
    )
    index("events", "pending", ["pending", "group_id", "seq"], "pending IS NOT NULL")
    index("events", "due", ["pending", "seq"], "pending IS NOT NULL")

    op.create_table(
        f"{prefix}workers",
        sa.Column("id", KEY, nullable=False),
        sa.Column("name", TEXT, nullable=False),
        sa.Column("pid", sa.BigInteger, nullable=False),
        sa.Column("registered_at", MICROSECONDS, nullable=False),
        sa.Column("heartbeat_at", MICROSECONDS, nullable=False),
        sa.Column("lease_until", MICROSECONDS, nullable=False),
        sa.Column("stopped_at", MICROSECONDS),
        sa.PrimaryKeyConstraint("id", name=f"pk_{prefix}workers"),
        **MYSQL,
    )

    op.create_table(
        f"{prefix}leases",
        sa.Column("name", KEY, nullable=False),
        sa.Column("holder", KEY, nullable=False),
        sa.Column("until", MICROSECONDS, nullable=False),
        sa.PrimaryKeyConstraint("name", name=f"pk_{prefix}leases"),
        **MYSQL,
    )
