"""``python -m example_app``: the demonstration. See ``--help``."""

import argparse
import sys

from example_app.demo.stopping import Stopped, StopSignals

ABOUT = """\
A source census: a real Celery worker and a real beat count what is in every file of a tree of Python
sources, one tracked job per file. By default that is the standard library of this Python, with a few
broken files that come along. State and logs stay in a work directory: $CENSUS_HOME, or .jobtrack-demo.
"""
WRONG_USE = 2


def main() -> int:
    """Run the demonstration; the status to exit with."""
    signals = StopSignals()  # Before imports that take a while: Ctrl-C never ends in a traceback.
    arguments = _parse()

    from example_app.demo.run import run
    from example_app.demo.workplace import CannotRunError

    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr] # File names hold anything, terminals not.
    try:
        return run(
            arguments.path,
            limit=arguments.limit,
            concurrency=arguments.concurrency,
            keep=arguments.keep,
            signals=signals,
        )
    except CannotRunError as error:
        print(f"example_app: {error}", file=sys.stderr)
        return WRONG_USE
    except Stopped as stopped:
        return 128 + stopped.signum


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser("python -m example_app", description=ABOUT, allow_abbrev=False)
    parser.add_argument("--path", metavar="DIR", help="count this tree instead")
    parser.add_argument("--limit", metavar="N", type=_positive, help="count its first N files only")
    parser.add_argument(
        "--concurrency", "--workers", metavar="N", type=_positive, default=2, help="the worker's processes: 2"
    )
    parser.add_argument("--keep", action="store_true", help="keep what earlier runs have left, and add to it")
    return parser.parse_args()


def _positive(text: str) -> int:
    if text.isdecimal() and int(text) > 0:
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")


if __name__ == "__main__":
    sys.exit(main())
