"""Finished runs side by side: which are public, how two differ, how a figure is written."""
