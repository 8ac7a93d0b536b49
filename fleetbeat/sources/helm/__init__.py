"""Helm charts: indexes of chart repositories, packages, and directories that become packages.

Owns what Helm's formats mean and how much of a worker they may take. Knows neither Kubernetes nor Redis nor the
artifact store: typed credentials and local files in, files out.
"""
