import os

# Matrices here have a few hundred rows: more threads only spin against each other, and a refresh
# that costs 25 ms of processor time costs 200. Read by OpenBLAS when NumPy is imported.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

from config.celery import app as celery_app

__all__ = ["celery_app"]
