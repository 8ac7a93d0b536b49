"""AWS KMS through the vendor's SDK: with the access key of the Secret, else as a service account or as the worker."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from contextlib import closing
from typing import Any

from fleetbeat import clouds
from fleetbeat.render.sops.keys import AWS, CannotOpen, Keys

_ARN = re.compile(r"arn:aws[\w-]*:kms:(?P<region>[a-z0-9-]+):\d{12}:(?:key|alias)/[\w/-]+")
_ROLE = re.compile(r"arn:aws[\w-]*:iam::\d{12}:role/[\w+=,.@/-]+")
_SESSION = "sops@fleetbeat"


def open_key(entry: Mapping[str, Any], keys: Keys) -> bytes:
    """The data key; raises CannotOpen naming the key's ARN."""
    from botocore.exceptions import BotoCoreError, ClientError

    arn = str(entry.get("arn") or "")
    found = _ARN.fullmatch(arn)
    if found is None:
        raise CannotOpen("its sops block has a KMS key without a valid ARN")
    try:
        blob = base64.b64decode(str(entry["enc"]), validate=True)
    except binascii.Error:
        raise CannotOpen(f"AWS KMS key {arn}: its encrypted data key is damaged") from None
    context = {name: str(value) for name, value in (entry.get("context") or {}).items()}
    try:
        session = _session(keys, str(entry.get("role") or ""), found["region"])
        with closing(clouds.aws_client(session, "kms", found["region"])) as kms:
            answer = kms.decrypt(CiphertextBlob=blob, KeyId=arn, EncryptionContext=context)
    except ClientError as error:
        code = error.response.get("Error", {}).get("Code", "unknown error")
        raise CannotOpen(f"AWS KMS key {arn}: AWS answers {code}") from None
    except BotoCoreError as error:
        raise CannotOpen(f"AWS KMS key {arn}: {type(error).__name__}") from None
    plain: bytes = answer["Plaintext"]
    return plain


def _session(keys: Keys, role: str, region: str) -> Any:
    """Of whom the keys say, in the role that the text names, if any."""
    from botocore.session import get_session

    access = keys.aws
    session = keys.login.aws(region) if keys.login and access is None else get_session()
    if access is not None:
        pair = access.get("aws_access_key_id"), access.get("aws_secret_access_key")
        if not all(isinstance(part, str) and part for part in pair):
            raise CannotOpen(f"AWS KMS: {AWS!r} of the Secret needs aws_access_key_id and aws_secret_access_key")
        session.set_credentials(*pair, access.get("aws_session_token") or None)  # type: ignore[arg-type]
    if not role:
        return session
    if not _ROLE.fullmatch(role):
        raise CannotOpen("its sops block has a KMS role without a valid ARN")
    with closing(clouds.aws_client(session, "sts", region)) as sts:
        taken = sts.assume_role(RoleArn=role, RoleSessionName=_SESSION)["Credentials"]
    session = get_session()
    session.set_credentials(taken["AccessKeyId"], taken["SecretAccessKey"], taken["SessionToken"])
    return session
