"""Decryption of what was encrypted with SOPS: data keys are opened here, documents by the engine.

Owns the key material of one Kustomization and the order in which keys are tried. Plain values and keys exist in memory
only: nothing here writes a file, and no message names more than a key's public name, a file, an object or a field.
"""
