# syntax=docker/dockerfile:1
# Three stages: the engine (Go), the wheel with the engine inside, and a small runtime that holds nothing else.

FROM golang:1.26-bookworm AS engine
WORKDIR /src
COPY engine/go.mod engine/go.sum ./
RUN go mod download
COPY engine/ ./
RUN CGO_ENABLED=0 go build -trimpath -ldflags "-s -w" -o /fleetbeat-engine .

FROM python:3.13-slim-bookworm AS wheel
WORKDIR /src
RUN pip install --no-cache-dir build
COPY . .
COPY --from=engine /fleetbeat-engine fleetbeat/render/bin/fleetbeat-engine
RUN python -m build --wheel --outdir /dist

FROM python:3.13-slim-bookworm
RUN apt-get update \
    && apt-get install -y --no-install-recommends git tini \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 65532 --create-home --shell /usr/sbin/nologin fleetbeat
COPY requirements.lock /tmp/requirements.lock
RUN --mount=from=wheel,source=/dist,target=/dist \
    pip install --no-cache-dir --require-hashes -r /tmp/requirements.lock \
    && pip install --no-cache-dir --no-deps /dist/*.whl \
    && rm /tmp/requirements.lock
USER 65532:65532
ENV FLEETBEAT_CACHE_DIR=/tmp/fleetbeat FLEETBEAT_LOG_FORMAT=json PYTHONUNBUFFERED=1
ENTRYPOINT ["tini", "--", "fleetbeat"]
CMD ["--help"]
