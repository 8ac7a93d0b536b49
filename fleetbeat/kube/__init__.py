"""Kubernetes: client, discovery, server-side apply, ledger, fingerprints, readiness, watches."""
