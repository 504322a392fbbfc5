"""Benchmark results from elsewhere and to elsewhere.

lm-evaluation-harness's result files in and out, inspect-ai's logs in.
"""
