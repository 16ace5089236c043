"""The command line of the benchmarks. The exit status tells broken runs, never slow ones."""

from __future__ import annotations

import argparse
import signal
import sys
from importlib import import_module

from benchmarks import machine
from benchmarks.worker import BrokenRunError

COMMANDS = {
    "workers": "what tracking costs a worker, against bare Celery and its result backends",
    "operations": "what one call of each store costs",
    "dispatch": "many jobs sent at once, against Celery's loop and group",
    "chords": "many jobs and one that follows, against Celery's chord",
    "groups": "what a large group costs",
    "rates": "how evenly a global rate spaces the starts of four workers",
    "profile": "where the CPU of one job goes",
    "scale": "size and answers of a store with a million jobs",
    "readme": "write the latest figures into README.md",
}


def main(arguments: list[str]) -> int:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, about in COMMANDS.items():
        import_module(f"benchmarks.{name}").add_arguments(commands.add_parser(name, help=about))
    options = parser.parse_args(arguments or ["workers"])
    options.load = machine.load()
    # As Ctrl-C does: servers, workers and folders are left in order.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    try:
        import_module(f"benchmarks.{options.command}").run(options)
    except BrokenRunError as error:
        print(f"broken run: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
