"""`python -m numpool`: the same command as `numpool`."""

import sys

from .cli import main

if __name__ == "__main__":
    sys.exit(main())
