"""The built image in a container engine, under the chart's own security context.

Used when `FLEETBEAT_IMAGE` names an image (`make image` builds `fleetbeat:local`). `CONTAINER_ENGINE` is the program
that runs it, Docker or one that takes Docker's options. Containers use this machine's network.
"""

from __future__ import annotations

import os
import shutil
import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.support.image import Image, run

NAME = os.environ.get("FLEETBEAT_IMAGE", "")
ENGINE = os.environ.get("CONTAINER_ENGINE", "docker")
USER = 65532


@dataclass(frozen=True)
class Container(Image):
    """An image of the engine; its processes are this machine's containers, and `home` has no meaning."""

    name: str
    user: str = f"{USER}:{USER}"

    def argv(self, arguments: Sequence[str], scratch: Path, env: Mapping[str, str]) -> list[str]:
        """The engine's own process, which passes signals on; only /tmp can be written, and it is `scratch`."""
        return self._argv([], arguments, scratch, env)

    def execute(self, program: str, *arguments: str, scratch: Path) -> str:
        """Run another program of the image to its end, under the same restrictions."""
        return run(self._argv(["--entrypoint", program], arguments, scratch, {}))

    def _argv(
        self, options: Sequence[str], arguments: Sequence[str], scratch: Path, env: Mapping[str, str]
    ) -> list[str]:
        scratch.mkdir(parents=True, exist_ok=True)
        scratch.chmod(0o777)
        strict = ["--read-only", "--cap-drop=ALL", "--security-opt=no-new-privileges", f"--user={self.user}"]
        mounts = [f"--volume={scratch}:/tmp", *self._kubeconfig(scratch, env)]
        variables = [f"--env={key}={value}" for key, value in env.items()]
        name = f"--name=fleetbeat-{uuid.uuid4().hex[:8]}"
        engine = shutil.which(ENGINE)
        assert engine, f"CONTAINER_ENGINE={ENGINE}: no such program"
        begin = [engine, "run", "--rm", "--network=host", name, *strict, *mounts, *variables]
        return [*begin, *options, self.name, *arguments]

    def _kubeconfig(self, scratch: Path, env: Mapping[str, str]) -> list[str]:
        """At its own path, as a copy that the user may read."""
        if not (named := env.get("FLEETBEAT_KUBECONFIG")):
            return []
        readable = scratch.with_name(f"{scratch.name}-kubeconfig")
        shutil.copy(named, readable)
        readable.chmod(0o644)
        return [f"--volume={readable}:{named}:ro"]
