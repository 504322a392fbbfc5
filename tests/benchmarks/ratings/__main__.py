"""`make bench-ratings`. Apart from its work, so that child processes can import that by name."""

import sys

from tests.benchmarks.ratings.comparison import main

if __name__ == "__main__":
    sys.exit(main())
