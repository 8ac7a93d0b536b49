"""WHEN: a Celery scheduler over the due-set.

Any number of beats run side by side without a leader, because claiming is atomic in Redis. Reaches the domain through
`fleetbeat.state` only, and never runs a task.
"""
