"""Fleetbeat's domain: what GitOps means here. It imports neither Celery nor `tasks`, `beat` or `workers`."""
