"""One run from beginning to end."""

import time

from celery_jobtrack.errors import JobTrackError
from example_app.app import HOME, jobtrack
from example_app.demo import processes
from example_app.demo.census import Census
from example_app.demo.outcome import Outcome
from example_app.demo.screen import Screen
from example_app.demo.stopping import Stopped, StopSignals
from example_app.demo.trouble import TroubleError
from example_app.demo.work import Work
from example_app.demo.workplace import Workplace


def run(path: str | None, *, limit: int | None, concurrency: int, keep: bool, signals: StopSignals) -> int:
    """Count a tree's sources with a worker and beat, and show what came out.

    Args:
        path: The tree; None is the standard library, with broken samples.
        limit: How many files of the tree at most.
        concurrency: Processes of the worker.
        keep: Whether to add to what earlier runs have left.
        signals: Those that ask to stop.

    Returns:
        The status to exit with: 0 also when files have failed, 1 when the run itself has.

    Raises:
        CannotRunError: There is nothing to count, or nowhere to work; nothing was started.
        Stopped: No more is wanted; everything that was started has ended.
    """
    work = Work.find(path, limit)
    signals.check()
    place = Workplace(HOME)
    place.occupy(signals.check)
    if not keep:
        place.require_unused()
        place.clear()

    screen = Screen(HOME)
    screen.begin(work)
    children: list[processes.Child] = []
    try:
        children.append(processes.worker(HOME, concurrency=concurrency, keeping=place.lock))
        children.append(processes.beat(HOME, keeping=place.lock))
        census = Census(work, children, screen, signals.check)
        census.run()
        stop_at = time.monotonic()
        processes.ask_to_stop(children)  # That takes a few seconds: meanwhile the results are shown.
        outcome = Outcome.read(census)
        screen.result(census, outcome)
        with screen.stopping():
            processes.stop(children, hurry=signals.came)
        census.times["stopping"] = time.monotonic() - stop_at
    except (TroubleError, JobTrackError, OSError) as error:
        processes.stop(children, hurry=signals.came)
        screen.trouble(error)
        return 1
    except Stopped:
        with screen.stopping():
            processes.stop(children, hurry=signals.came_twice)
        screen.stopped()
        raise
    finally:
        processes.stop(children, hurry=signals.came_twice)
        jobtrack.close()
    screen.end(census, outcome)
    return 1 if outcome.unexpected else 0
