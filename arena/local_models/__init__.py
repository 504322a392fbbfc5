"""Small models with real weights on this machine: fetched, checked, quantised and served.

`catalogue` says which, `sources` where from, `quantise` makes variants, `server` is the child
process that serves them, `supervisor` keeps it alive. No Django here.
"""
