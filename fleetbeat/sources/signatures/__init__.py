"""Signatures of OCI artifacts: cosign with and without keys, and notation.

`judge_of` says whose signatures count, `verify` finds one in the artifact's repository or raises VerificationFailed.
Knows neither Kubernetes, Redis nor S3; verifying again whenever anything changed is the pipelines' business.
"""

from fleetbeat.sources.signatures.model import Judge, Shelf, Target, Verified, verify
from fleetbeat.sources.signatures.policy import SecretData, Terms, judge_of
from fleetbeat.sources.signatures.publicroot import PublicRoot
from fleetbeat.sources.signatures.shelf import RegistryShelf

__all__ = [
    "Judge",
    "PublicRoot",
    "RegistryShelf",
    "SecretData",
    "Shelf",
    "Target",
    "Terms",
    "Verified",
    "judge_of",
    "verify",
]
