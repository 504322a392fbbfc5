"""Benchmarks in their official files, and results in those of lm-evaluation-harness.

Each format has a module of its own; `catalogue` knows them by name. Nothing here knows Django.
"""
