"""What the author of the files should know of a build that succeeds."""

from __future__ import annotations

import json

import pytest

from tests.support.deployed import Deployed

pytestmark = pytest.mark.cluster


def test_a_field_that_was_left_out_is_told(deployed: Deployed) -> None:
    """By a Warning event that names file and field; the objects are applied, and a build from the cache tells too."""
    meta = {"name": "one", "namespace": deployed.namespace}
    files = {
        "a/one.yaml": json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": meta}),
        "a/kustomization.yaml": "resources: [one.yaml]\npatchs: []\n",
    }
    deployed.publish("main@sha1:1", files)
    deployed.put("a")
    deployed.run_until_ready("a")
    deployed.publish("main@sha1:2", {**files, "b.txt": "elsewhere"})
    assert deployed.again("a")["status"] == "True"
    told = [event for event in deployed.events() if event["reason"] == "BuildWarning"]
    assert [event["type"] for event in told] == ["Warning"] * 2
    for event in told:
        assert "a/kustomization.yaml: " in event["message"]
        assert 'unknown field "patchs": left out' in event["message"]
