"""`python -m bench [NAME ...]`: run the benchmarks named, or all of them."""

import asyncio
import importlib
import sys

NAMES = ("bus", "drivers", "generations", "jobs", "library", "list_page", "subscribers", "upload")


def main() -> None:
    """Run them one after the other: they share two cores."""
    for name in sys.argv[1:] or NAMES:
        if name not in NAMES:
            sys.exit(f"There is no benchmark {name}: choose from {', '.join(NAMES)}")
        print(f"\n== {name}", flush=True)
        asyncio.run(importlib.import_module(f"bench.{name}").run())


if __name__ == "__main__":
    main()
