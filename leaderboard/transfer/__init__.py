"""Votes in from other arenas, and out for whoever wants to compute with them."""
