"""Servers that come in wheels, run as children of this process: a Redis and an S3 for `fleetbeat up` and the tests."""
