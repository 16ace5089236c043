"""``make crash``: many rounds, a line for each, and a table at the end."""

from __future__ import annotations

import argparse
import random
import sys
import time
from typing import TYPE_CHECKING

from tests.crash.plan import Fault, draw
from tests.crash.pool import run_all
from tests.crash.report import line, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.crash.plan import Plan

STORES = ("postgresql", "redis")
EVERY_STORE = (*STORES, "sqlite")


def main() -> int:
    options = _parse()
    plans = list(_plans(options))
    print(f"seed {options.seed}: {len(plans)} rounds, {options.jobs} at a time")
    began = time.monotonic()
    results = []
    for result in run_all(plans, options.jobs, keep=options.keep):
        results.append(result)
        print(line(result), flush=True)
        if result.problems:
            print(_indented(result.report), flush=True)
            print(f"      kept in {result.folder}; again with: {_replay(result.plan)}", flush=True)
        elif result.folder:
            print(f"      kept in {result.folder}", flush=True)
    failed = sum(bool(result.problems) for result in results)
    print(f"\n{table(results)}")
    print(
        f"\nseed {options.seed}: {len(results)} rounds, {failed} failed, {time.monotonic() - began:.0f} s, "
        f"{sum(result.seconds for result in results) / max(1, len(results)):.1f} s a round"
    )
    return 1 if failed or not results else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make crash", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--rounds", type=int, default=50, help="for each store")
    parser.add_argument("--round", type=int, default=None, help="this one only")
    parser.add_argument("--store", action="append", choices=EVERY_STORE, help="this one; again for more")
    parser.add_argument("--fault", choices=[fault.value for fault in Fault], help="this one in every round")
    parser.add_argument("--broker", help="this one in every round")
    parser.add_argument("--jobs", type=int, default=2, help="rounds at a time")
    parser.add_argument("--keep", action="store_true", help="keep the folders of good rounds, too")
    return parser.parse_args()


def _plans(options: argparse.Namespace) -> Iterator[Plan]:
    numbers = [options.round] if options.round else range(1, options.rounds + 1)
    for number in numbers:
        for store in options.store or STORES:
            yield draw(options.seed, number, store, fault=options.fault, broker=options.broker)


def _replay(plan: Plan) -> str:
    chosen = f"--fault {plan.fault.value} --broker {plan.broker}"
    return f'make crash ARGS="--seed {plan.seed} --round {plan.number} --store {plan.store} {chosen}"'


def _indented(text: str) -> str:
    return "\n".join(f"      {text_line}" for text_line in text.splitlines())


if __name__ == "__main__":
    sys.exit(main())
