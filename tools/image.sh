#!/bin/sh
# Builds the image of this checkout with the first builder that works here: docker, podman, buildah; BUILDER names one.
# The first argument is the image's name; others, such as --build-arg, are passed on.
set -eu
cd "$(dirname "$0")/.."

find_builder() {
    for candidate in docker podman buildah; do
        if command -v "$candidate" >/dev/null && "$candidate" info >/dev/null 2>&1; then
            echo "$candidate"
            return
        fi
    done
    echo "no container engine: start Docker, or install podman or buildah" >&2
    return 1
}

builder=${BUILDER:-$(find_builder)}
name=$1
shift
echo "== $builder builds $name"
exec "$builder" build --tag "$name" "$@" .
