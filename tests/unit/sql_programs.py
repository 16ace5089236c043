"""What the tests of forks and processes run as programs of their own: ``python sql_programs.py NAME …``.

A program that forks while threads run must not be the test runner itself.
"""

from __future__ import annotations

import os
import sys
import threading
import warnings

from celery_jobtrack.strategies.sql import SqlStore
from celery_jobtrack.testing.steps import enqueue, finish, start

CHILDREN = 5


def transitions(url: str, namespace: str, name: str, count: str) -> None:
    """Make ``count`` transitions on members of the group "g"."""
    store = SqlStore(url, namespace=namespace)
    store.open()
    for number in range(int(count) // 4):
        job, token = f"{name}-{number}", f"t-{name}-{number}"
        enqueue(store, job, group_id="g")
        start(store, job, token, group_id="g")
        store.record_progress(job, token, _progress())
        finish(store, job, token, group_id="g")
    store.close()


def fork(url: str, namespace: str) -> None:
    """Fork with open connections; parent and child go on at the same time."""
    store = SqlStore(url, namespace=namespace)
    store.open()
    enqueue(store, "before")
    claimant = store.claimant
    child = os.fork()
    name = "parent" if child else "child"
    if not child:
        assert store.claimant != claimant
    for number in range(50):
        _one_job(store, f"{name}-{number}")
    store.close()
    _end(child)


def fork_among_threads(url: str, namespace: str) -> None:
    """Fork again and again while threads write; each child writes, too."""
    store = SqlStore(url, namespace=namespace)
    store.open()
    stopped = threading.Event()
    failures: list[BaseException] = []
    written = [0, 0, 0]

    def write(thread: int) -> None:
        try:
            while not stopped.is_set():
                _one_job(store, f"thread-{thread}-{written[thread]}")
                written[thread] += 1
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(len(written))]
    for thread in threads:
        thread.start()
    children = []
    for number in range(CHILDREN):
        child = os.fork()
        if not child:
            _in_child(store, number)
        children.append(child)
        _one_job(store, f"between-{number}")
    statuses = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
    stopped.set()
    for thread in threads:
        thread.join()
    store.close()
    assert not failures, failures
    assert statuses == [0] * CHILDREN, statuses
    print(sum(written))


def _in_child(store: SqlStore, number: int) -> None:
    code = 1
    try:
        for job in range(20):
            _one_job(store, f"child-{number}-{job}")
        store.close()
        code = 0
    finally:
        os._exit(code)


def _one_job(store: SqlStore, name: str) -> None:
    enqueue(store, name)
    start(store, name, f"t-{name}")
    assert finish(store, name, f"t-{name}").applied


def _progress() -> object:
    from celery_jobtrack.model.job import Progress

    return Progress(current=1)


def _end(child: int) -> None:
    if child:
        code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        assert code == 0, code


if __name__ == "__main__":
    # Python 3.12 warns of forks among threads, which is what is tested.
    warnings.filterwarnings("ignore", message=".*fork.*", category=DeprecationWarning)
    globals()[sys.argv[1]](*sys.argv[2:])
