"""`make bench-eval`. Apart from its work, as the other comparisons are."""

import sys

from tests.benchmarks.evaluation.comparison import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
