"""``DjangoTrackableTask`` sends a job when the transaction has been committed, and not before."""

from __future__ import annotations

import django
import pytest


@pytest.fixture(scope="module")
def connection(tmp_path_factory):
    from django.conf import settings

    database = {"ENGINE": "django.db.backends.sqlite3", "NAME": str(tmp_path_factory.mktemp("django") / "db")}
    settings.configure(DATABASES={"default": database}, USE_TZ=True)
    django.setup()
    from django.db import connection

    yield connection
    connection.close()


def test_delay_on_commit_records_and_sends_after_the_commit(small, connection):
    from django.db import transaction

    from celery_jobtrack import DjangoTrackableTask

    @small.task(name="mail", base=DjangoTrackableTask)
    def mail(to):
        return to

    with transaction.atomic():
        mail.delay_on_commit("a@example.com")
        assert small.recorded() == []
    assert [job.task for job in small.recorded()] == ["mail"]
    assert small.queued() == 1


def test_delay_on_commit_of_a_transaction_that_fails_sends_nothing(small, connection):
    from django.db import transaction

    from celery_jobtrack import DjangoTrackableTask

    @small.task(name="mail", base=DjangoTrackableTask)
    def mail(to):
        return to

    def send_and_fail():
        with transaction.atomic():
            mail.apply_async_on_commit(("a@example.com",))
            raise RuntimeError("roll back")

    with pytest.raises(RuntimeError):
        send_and_fail()
    assert small.recorded() == []
    assert small.queued() == 0
