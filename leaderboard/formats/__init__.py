"""Votes in the formats other arenas publish, read and written as streams. No Django."""
