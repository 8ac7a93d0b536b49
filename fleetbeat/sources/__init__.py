"""Sources: each module turns a source's spec into an Artifact."""
