"""Ratings from pairwise votes: numpy and scipy only, nothing of the web or the database."""
