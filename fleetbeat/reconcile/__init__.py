"""The pipelines: each a literal list of steps."""
