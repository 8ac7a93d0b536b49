# Three stages: the engine (Go), the Python packages with the engine inside, and a small runtime that holds nothing else.
# Any builder will do: nothing here is of one builder alone. Mirrors are named with --build-arg, see docs/install.md.
ARG GO_IMAGE=docker.io/library/golang:1.26-bookworm
ARG PYTHON_IMAGE=docker.io/library/python:3.13-slim-bookworm

FROM --platform=$BUILDPLATFORM $GO_IMAGE AS engine
ARG TARGETOS TARGETARCH GOPROXY
WORKDIR /src
COPY engine/go.mod engine/go.sum ./
RUN go mod download
COPY engine/ ./
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags "-s -w" -o /fleetbeat-engine .

FROM $PYTHON_IMAGE AS packages
ARG PIP_INDEX_URL
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_NO_DEPS=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements-runtime.lock requirements-build.lock ./
# Byte code is made here, for a root that is read-only, and is never compared with its source: builders set file times.
RUN pip install --require-hashes --only-binary :all: --ignore-installed --no-compile --no-warn-script-location \
        --root /dependencies -r requirements-runtime.lock \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash -s /dependencies -p / /dependencies \
    && pip install --require-hashes --only-binary :all: -r requirements-build.lock
COPY . .
COPY --from=engine /fleetbeat-engine fleetbeat/render/bin/fleetbeat-engine
RUN pip install --no-build-isolation --no-compile --no-warn-script-location --root /fleetbeat . \
    && python -m compileall -q -j 0 --invalidation-mode unchecked-hash -s /fleetbeat -p / /fleetbeat

FROM $PYTHON_IMAGE
RUN apt-get update \
    && apt-get install -y --no-install-recommends ca-certificates tini \
    && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
    && groupadd --gid 65532 fleetbeat \
    && useradd --uid 65532 --gid 65532 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin fleetbeat
COPY --from=packages /dependencies /
COPY --from=packages /fleetbeat /
USER 65532:65532
WORKDIR /tmp
ENV HOME=/tmp FLEETBEAT_CACHE_DIR=/tmp/fleetbeat FLEETBEAT_LOG_FORMAT=json PYTHONUNBUFFERED=1
ENTRYPOINT ["tini", "--", "fleetbeat"]
CMD ["--help"]
