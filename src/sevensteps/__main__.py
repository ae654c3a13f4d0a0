"""`python -m sevensteps`, and the command `sevensteps`."""

from __future__ import annotations

import signal
import sys


def main() -> None:
    """Run the command line and exit with its code."""
    from .cli.main import run

    code = run(sys.argv[1:])
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # all is said and done: Ctrl-C changes nothing any more
    sys.exit(code)


if __name__ == "__main__":
    main()
