"""OCI registries: the client, logins, and what becomes of a layer. Knows neither Kubernetes, Redis nor S3."""
