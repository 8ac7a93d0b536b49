"""The API: a Struct for every kind, the CRDs generated from them, refs and conditions. Pure data, no I/O."""
