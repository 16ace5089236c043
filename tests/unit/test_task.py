"""What a task sees of its own job, and what it may bring along."""

from __future__ import annotations

import copy
import logging
import pickle
import subprocess
import sys

import pytest
from celery import Celery, shared_task

from celery_jobtrack import JobTrack, TrackableTask, TrackingStrategy, events
from celery_jobtrack.errors import ConfigurationError, InvalidPayload, StoreUnavailable, WouldBlock
from tests.waiting import wait_until


class Ledger(TrackingStrategy):
    def __init__(self):
        self.told = []

    def job_enqueued(self, job):
        self.told.append(("enqueued", job.id))

    def job_started(self, job):
        self.told.append(("started", job.id))

    def job_finished(self, job):
        self.told.append(("finished", job.id))

    def job_failed(self, job):
        self.told.append(("failed", job.id))

    def completed(self, job_id):
        return ("finished", job_id) in self.told

    def meta(self, job_id):
        return {"ledger": len(self.told), "job_id": "cannot overwrite"}


def test_task_sees_its_own_job(eager):
    seen = {}

    @eager.task(name="look", bind=True)
    def look(self):
        seen.update(job=self.current_job, group=self.job_group, attempt=self.attempt, off=self.cancelled)

    group = eager.jobtrack.groups.create("mine")
    result = look.job().in_group(group).dispatch()
    assert seen["job"].id == result.id
    assert (str(seen["job"].state), seen["group"], seen["attempt"], seen["off"]) == (
        "STARTED",
        group,
        1,
        False,
    )
    assert look.current_job is None
    assert look.attempt is None


def test_progress_in_a_tight_loop_writes_little_and_keeps_the_last_word(eager, monkeypatch):
    writes = []
    store = eager.jobtrack.store
    record = store.record_progress

    def counting(*args):
        writes.append(args)
        return record(*args)

    monkeypatch.setattr(store, "record_progress", counting)

    @eager.task(name="loop", bind=True)
    def loop(self, steps, total):
        for step in range(steps):
            self.progress(step + 1, total, "steps")

    result = loop.delay(10_000, 20_000)
    assert 2 <= len(writes) <= 20
    progress = eager.jobtrack.inspect.job(result.id).progress
    assert (progress.current, progress.percent, progress.text) == (10_000, 50.0, "steps")


def test_verify_says_how_a_job_stands(eager):
    @eager.task(name="half", bind=True)
    def half(self):
        self.progress(1, 2, "half")
        raise ValueError("boom")

    answer = eager.jobtrack.inspect.verify(half.delay().id)
    answer.pop("job_id")
    assert answer == {
        "completed": True,
        "state": "FAILURE",
        "successful": False,
        "progress": {"current": 1, "total": 2, "text": "half", "percent": 50.0},
    }


def test_strategy_of_a_task_is_told_and_answers_verify(eager):
    ledger = Ledger()

    @eager.task(name="kept", tracking_strategy=ledger)
    def kept():
        return None

    @eager.task(name="other")
    def other():
        return None

    result = kept.delay()
    other.delay()
    assert ledger.told == [("enqueued", result.id), ("started", result.id), ("finished", result.id)]
    answer = eager.jobtrack.inspect.verify(result.id)
    assert (answer["completed"], answer["ledger"], answer["job_id"]) == (True, 3, result.id)


def test_strategy_that_raises_does_not_disturb_the_job(eager, caplog):
    class Broken(Ledger):
        def job_started(self, job):
            raise RuntimeError("no table")

    @eager.task(name="kept", tracking_strategy=Broken)
    def kept():
        return 7

    assert kept.delay().get() == 7
    assert "Broken.job_started raised" in caplog.text


def test_global_plain_strategy_leaves_the_store_to_be_inferred():
    app = Celery("plain", broker="memory://", set_as_current=False)
    app.conf.update(jobtrack_strategy=Ledger, task_always_eager=True)
    jobtrack = JobTrack(app)

    @app.task(base=TrackableTask, shared=False)
    def work():
        return None

    result = work.delay()
    assert jobtrack.store.url == "memory://"
    assert jobtrack.inspect.verify(result.id)["ledger"] == 3
    app.close()


def test_store_on_a_task_is_refused_when_the_worker_checks(small):
    @small.task(name="wrong", tracking_strategy="sqlite:///x.db")
    def wrong():
        return None

    small.app.finalize()
    with pytest.raises(ConfigurationError, match=r"'wrong'.*an app has one store"):
        small.jobtrack.runtime.check_configuration()


def test_base_alone_installs_tracking():
    app = Celery("alone", broker="memory://", set_as_current=False)
    app.conf.update(task_always_eager=True)

    @app.task(base=TrackableTask, shared=False)
    def work():
        return 1

    result = work.delay()
    assert str(JobTrack.of(app).inspect.job(result.id).state) == "SUCCESS"
    app.close()


def test_shared_task_is_tracked_on_its_app():
    @shared_task(base=TrackableTask, name="test_task.shared_by_all")
    def shared():
        return 1

    app = Celery("sharing", broker="memory://", set_as_current=False)
    app.conf.update(task_always_eager=True)
    result = app.tasks["test_task.shared_by_all"].delay()
    assert str(JobTrack.of(app).inspect.job(result.id).state) == "SUCCESS"
    app.close()


def test_two_apps_in_one_process_do_not_meet():
    apps = []
    for name in ("one", "two"):
        app = Celery(name, broker="memory://", set_as_current=False)
        app.conf.update(task_always_eager=True)

        @app.task(base=TrackableTask, shared=False, name="work")
        def work():
            return None

        apps.append(app)
    first, second = map(JobTrack.of, apps)
    job_id = apps[0].tasks["work"].delay().id
    assert first.store.job(job_id) is not None
    assert second.store.job(job_id) is None
    for app in apps:
        app.close()


def test_secrets_are_not_shown_or_kept_in_what_is_shown(small):
    @small.task(name="login")
    def login(user, password, options=None):
        return None

    job = login.delay("bob", "hunter2", options={"api_token": "abc", "deep": [{"secret": "xyz"}]}).job()
    shown = f"{job.args} {job.kwargs}"
    assert not any(secret in shown for secret in ("hunter2", "abc", "xyz"))
    assert "bob" in shown


def test_arguments_may_be_left_out(small):
    @small.task(name="quiet", record_args="none")
    def quiet(x):
        return None

    assert quiet.delay("private").job().args is None


def test_message_is_kept_unless_it_must_not_be(small):
    @small.task(name="kept")
    def kept(x):
        return None

    @small.task(name="dropped", keep_message=False)
    def dropped(x):
        return None

    assert b"private" in small.jobtrack.store.message(kept.delay("private").id)
    assert small.jobtrack.store.message(dropped.delay("private").id) is None


def test_switched_off_everything_runs_untracked_and_asking_is_refused():
    from celery_jobtrack.errors import Disabled

    app = Celery("off", broker="memory://", set_as_current=False)
    app.conf.update(task_always_eager=True, jobtrack_enabled=False)
    jobtrack = JobTrack(app)

    @app.task(base=TrackableTask, bind=True, shared=False)
    def work(self, x):
        self.progress(1, 2)
        return (x, self.attempt, self.current_job, self.cancelled)

    assert work.apply_async((1,), job_group="any", tags=["t"]).get() == (1, None, None, False)
    assert work.job(2).tagged("x").dispatch().get()[0] == 2
    group = jobtrack.groups.get_or_create("inert").mark_running()
    with group.filling():
        assert work.apply_async((3,), job_group=group).get()[0] == 3
    assert group.cancel().refresh() is group
    with pytest.raises(Disabled):
        group.status()
    with pytest.raises(Disabled):
        jobtrack.inspect.jobs()
    app.close()


def test_task_that_tracks_started_says_so_after_admission(small):
    @small.task(name="tracking", track_started=True)
    def tracking():
        return None

    task = small.app.tasks["tracking"]
    assert (task.track_started, task.writes_started) == (False, True)


def test_waiting_inside_of_a_task_is_refused(eager):
    @eager.task(name="waiter", bind=True)
    def waiter(self, group_id):
        eager.jobtrack.groups.get(group_id).wait(1)

    group = eager.jobtrack.groups.create("g")
    with pytest.raises(WouldBlock) as refused:
        waiter.delay(group.id).get()
    assert isinstance(refused.value, RuntimeError)  # as Celery's own
    assert str(refused.value) == (
        f"group 'g' ({group.id}) cannot be waited for inside of task waiter: if every worker waited, nobody "
        "would be left to run the jobs; give it a callback (finally_=…), listen to job_group_completed, or "
        "look at group.status()"
    )


def test_waiting_for_a_job_inside_of_a_task_is_refused(eager):
    @eager.task(name="quick")
    def quick():
        return None

    @eager.task(name="waiter")
    def waiter():
        quick.delay().wait_settled(1)

    with pytest.raises(
        WouldBlock, match=r"job .* cannot be waited for inside of task waiter: .*look at result\.job"
    ):
        waiter.delay().get()


def test_signals_of_jobs_are_sent_in_their_process(eager):
    heard = []

    def listen(name):
        def receiver(sender, *, job, **_):
            heard.append((name, sender is eager.jobtrack, str(job.state)))

        return receiver

    receivers = {
        name: listen(name) for name in ("job_enqueued", "job_started", "job_succeeded", "job_failed")
    }
    for name, receiver in receivers.items():
        getattr(events, name).connect(receiver)

    @eager.task(name="fine")
    def fine():
        return None

    fine.delay()
    for name, receiver in receivers.items():
        getattr(events, name).disconnect(receiver)
    assert heard == [
        ("job_enqueued", True, "ENQUEUED"),
        ("job_started", True, "STARTED"),
        ("job_succeeded", True, "SUCCESS"),
    ]


def test_importing_the_package_imports_nothing_else():
    heavy = ("celery", "sqlalchemy", "alembic", "rich")
    code = f"import sys, celery_jobtrack; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert out.stdout.strip() == "[]"


def test_body_goes_on_when_the_store_is_away(eager, monkeypatch, caplog):
    def away(*_):
        raise StoreUnavailable("the store is away")

    @eager.task(name="going_on", bind=True)
    def going_on(self):
        with monkeypatch.context() as patched:
            patched.setattr(eager.jobtrack.store, "record_progress", away)
            patched.setattr(eager.jobtrack.store, "job", away)
            self.progress(1, 1)
            return self.cancelled

    assert going_on.delay().get() is False
    assert "the progress of job" in caplog.text


def test_group_may_stand_in_a_signature_that_is_copied(eager):
    @eager.task(name="member")
    def member():
        return 1

    group = eager.jobtrack.groups.create("g")
    member.s().set(job_group=group).clone().apply_async()
    assert copy.deepcopy({"job_group": group})["job_group"] is group
    assert pickle.loads(pickle.dumps(group)) == group.id
    assert group.status().total == 1


def test_retry_keeps_what_it_was_retried_for(eager):
    @eager.task(name="why", bind=True, max_retries=1)
    def why(self):
        if self.request.retries == 0:
            raise self.retry(exc=ValueError("why"), countdown=0)

    details = eager.jobtrack.inspect.job(why.delay().id)
    assert str(details.attempts[0].error) == "ValueError: why"


@pytest.mark.parametrize(("count", "attempts"), [(0, 1), (1, 2)])
def test_max_retries_of_a_dispatch_goes_before_the_tasks(eager, count, attempts):
    @eager.task(name="auto", autoretry_for=(ValueError,), retry_kwargs={"max_retries": 3, "countdown": 0})
    def auto():
        raise ValueError("no")

    assert len(eager.jobtrack.inspect.job(auto.job().max_retries(count).dispatch().id).attempts) == attempts


def test_eager_result_asks_the_store(eager):
    @eager.task(name="one")
    def one():
        return 1

    result = one.delay()
    assert (result.get(), str(result.job().state), str(result.wait_settled(1).state)) == (
        1,
        "SUCCESS",
        "SUCCESS",
    )


def test_settings_made_after_the_tasks_count():
    app = Celery("late", broker="memory://", set_as_current=False)
    jobtrack = JobTrack(app)

    @app.task(base=TrackableTask, shared=False)
    def work():
        return None

    assert app.tasks
    app.conf.jobtrack_namespace = "late"
    assert jobtrack.settings.namespace == "late"
    app.close()


def test_class_style_payload_may_have_any_key(eager):
    from celery_jobtrack import Job

    class Echo(Job):
        def run(self):
            return dict(self.payload)

    payload = {"self": 1, "task": 2, "name": 3, "args": 4}
    assert eager.jobtrack.jobs.pending(Echo, payload).dispatch().get() == payload
    with pytest.raises(InvalidPayload, match="keys of a job's payload are strings"):
        eager.jobtrack.jobs.pending(Echo, {1: 2})


def test_class_style_job_says_what_becomes_of_it_when_it_is_lost(eager):
    from celery_jobtrack import Job

    class Careful(Job):
        lost_policy = "fail"
        keep_message = False
        acks_late = True
        reject_on_worker_lost = True

        def run(self):
            pass

    eager.jobtrack.jobs.pending(Careful, {}).dispatch()
    task = eager.app.tasks["careful"]
    assert (task.lost_policy, task.keep_message, task.reject_on_worker_lost) == ("fail", False, True)


def test_filling_is_renewed_after_a_renewal_that_failed(eager, monkeypatch):
    monkeypatch.setattr("celery_jobtrack.features.groups.hold.FILLING_LEASE", 0.3)
    store, calls = eager.jobtrack.store, []
    begin = store.begin_filling

    def failing_once(*args):
        calls.append(args)
        if len(calls) == 3:  # the hold and the pledge are taken by the first two
            raise StoreUnavailable("away for a moment")
        return begin(*args)

    monkeypatch.setattr(store, "begin_filling", failing_once)
    group = eager.jobtrack.groups.create("g")
    with group.filling():
        wait_until(lambda: len(calls) >= 5, message="the hold is not renewed any more")
        assert group.status().filling


def test_group_that_is_cancelled_while_it_is_filled_is_told_of_once_and_without_a_warning(
    eager, monkeypatch, caplog
):
    caplog.set_level(logging.INFO)
    monkeypatch.setattr("celery_jobtrack.features.groups.hold.FILLING_LEASE", 0.3)
    store, calls = eager.jobtrack.store, []
    begin = store.begin_filling

    def counted(*args):
        calls.append(args)
        return begin(*args)

    monkeypatch.setattr(store, "begin_filling", counted)
    group = eager.jobtrack.groups.create("g")
    with group.filling():
        group.cancel()
        wait_until(lambda: len(calls) >= 4, message="the hold is not renewed any more")
    told = [each for each in caplog.records if each.name == "celery_jobtrack.features.groups.hold"]
    assert [each.levelname for each in told] == ["INFO"]
    assert group.id in told[0].getMessage()


def test_package_works_without_redis_py():
    program = "import sys; sys.modules['redis'] = None; from celery import Celery; "
    program += (
        "from celery_jobtrack import JobTrack; JobTrack(Celery('a', broker='memory://')).dispatch_many([])"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=60)
