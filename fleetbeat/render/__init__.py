"""Rendering: the engine's client, substitution and the render cache."""
