"""WHERE: the Celery application, its queues, and every process that Fleetbeat starts."""
