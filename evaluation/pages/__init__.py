"""The benchmarks' pages, for everybody and for the staff, and the socket of a run under way."""
