# syntax=docker/dockerfile:1
# Three stages: the engine (Go), the wheel with the engine inside, and a small runtime that holds nothing else.

FROM --platform=$BUILDPLATFORM golang:1.26-bookworm AS engine
ARG TARGETOS TARGETARCH
WORKDIR /src
COPY engine/go.mod engine/go.sum ./
RUN go mod download
COPY engine/ ./
RUN CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH go build -trimpath -ldflags "-s -w" -o /fleetbeat-engine .

FROM python:3.13-slim-bookworm AS wheel
WORKDIR /src
COPY . .
COPY --from=engine /fleetbeat-engine fleetbeat/render/bin/fleetbeat-engine
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /dist .

FROM python:3.13-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 65532 --no-create-home --home-dir /tmp --shell /usr/sbin/nologin fleetbeat
RUN --mount=from=wheel,source=/dist,target=/dist \
    --mount=source=requirements-runtime.lock,target=/requirements-runtime.lock \
    pip install --no-cache-dir --no-deps --require-hashes --only-binary :all: -r /requirements-runtime.lock \
    && pip install --no-cache-dir --no-deps /dist/*.whl
USER 65532:65532
WORKDIR /tmp
ENV HOME=/tmp FLEETBEAT_CACHE_DIR=/tmp/fleetbeat FLEETBEAT_LOG_FORMAT=json PYTHONUNBUFFERED=1
ENTRYPOINT ["tini", "--", "fleetbeat"]
CMD ["--help"]
