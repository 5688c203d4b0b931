"""``python -m benchmarks.zoo images`` and ``python -m benchmarks.zoo graphs``."""

from __future__ import annotations

import argparse

from benchmarks.zoo.measure import ZOOS, measure, write


def main(arguments: list[str] | None = None) -> None:
    """Trains a zoo, measures every transfer and writes its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoo", choices=list(ZOOS))
    parser.add_argument("--draws", type=int, default=2, help="draws of the target's labels")
    parser.add_argument("--minutes", type=float, help="stop after so many; call again to go on")
    chosen = parser.parse_args(arguments)
    table = measure(chosen.zoo, chosen.draws, chosen.minutes)
    print(f"table: {write(chosen.zoo, table)}" if table else "not finished; call again to go on")


if __name__ == "__main__":
    main()
