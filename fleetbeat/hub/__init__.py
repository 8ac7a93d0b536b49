"""What stands between the hub's API server and Redis: registrar (in), reporter (out), observer (what clusters do).

Logic only; `workers` hosts it. Nothing here reconciles.
"""
