"""The `fleetbeat` command: the words of the command line, and nothing that a running Fleetbeat needs."""
