"""``make batches``: random batches under two workers that are killed from time to time."""

from __future__ import annotations

import argparse
import random
import sys
from collections import Counter

from tests.batches.drawing import draw
from tests.batches.run import run_plan
from tests.crash.lane import Lane


def main() -> int:
    options = _parse()
    failed = 0
    with Lane() as lane:
        for store in options.store or ["redis"]:
            drawn_from = {
                "seed": options.seed,
                "number": options.number,
                "store": store,
                "broker": options.broker,
                "batches": options.batches,
            }
            plan = draw(**drawn_from)
            print(plan.name, flush=True)
            result = run_plan(plan, lane, drawn_from=drawn_from, keep=options.keep)
            print(result.figures)
            if result.problems:
                failed += 1
                print(result.report)
            if result.folder:
                print(f"  kept in {result.folder}")
            kinds = Counter(problem.kind for problem in result.problems)
            wrong = ", ".join(f"{count} {kind}" for kind, count in kinds.items())
            print(f"{plan.name}: {result.seconds:.0f} s, {f'FAILED: {wrong}' if wrong else 'ok'}", flush=True)
    return 1 if failed else 0


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make batches", description=__doc__)
    parser.add_argument("--seed", type=int, default=random.randrange(1_000_000))
    parser.add_argument("--number", type=int, default=1, help="of the run; another one draws other batches")
    parser.add_argument("--batches", type=int, default=300)
    parser.add_argument("--store", action="append", choices=("redis", "postgresql", "sqlite"))
    parser.add_argument("--broker", choices=("redis", "rabbitmq"), default="redis")
    parser.add_argument("--keep", action="store_true", help="keep the folder of a good run, too")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
