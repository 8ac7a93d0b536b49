"""WHAT runs: the Celery tasks, thin. The only Celery seam that faces the domain."""
