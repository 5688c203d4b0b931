"""``python -m benchmarks.zoo images finetune``: all transfers of a zoo, measured in one way."""

from __future__ import annotations

import argparse

from benchmarks.zoo.measure import MEASURES, ZOOS, measure, write


def main(arguments: list[str] | None = None) -> None:
    """Trains a zoo, measures every transfer and writes its table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("zoo", choices=list(ZOOS))
    parser.add_argument("kind", choices=list(MEASURES))
    parser.add_argument("--draws", type=int, default=1, help="draws of the target's labels")
    parser.add_argument("--minutes", type=float, help="stop after so many; call again to go on")
    options = parser.parse_args(arguments)
    part = measure(options.zoo, options.kind, options.draws, options.minutes)
    if part is None:
        print("not finished; call again to go on")
    else:
        print(f"table: {write(options.zoo, options.kind, part)}")


if __name__ == "__main__":
    main()
