# One image for every process: `capture web`, `worker`, `relay` and `migrate`.
FROM python:3.11-slim-bookworm AS build

# The AI engines to install: `speech,screen`, `speech`, or nothing for processes that run no model.
ARG EXTRAS=speech,screen

RUN python -m venv /opt/opencapture
WORKDIR /build
COPY pyproject.toml README.md ./
COPY app app
COPY workers workers
COPY migrations migrations
RUN /opt/opencapture/bin/pip install --no-cache-dir ".[${EXTRAS}]"


FROM python:3.11-slim-bookworm

# Typefaces for texts and captions beyond ASCII, which is what Pillow carries.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install --yes --no-install-recommends fonts-dejavu-core \
    && rm -rf /var/lib/apt/lists/*

RUN useradd --system --uid 10001 --create-home --home-dir /data opencapture
COPY --from=build /opt/opencapture /opt/opencapture

ENV PATH=/opt/opencapture/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    CAPTURE_HOST=0.0.0.0 \
    CAPTURE_PORT=8080 \
    CAPTURE_DATA_DIR=/data

USER 10001
WORKDIR /data
EXPOSE 8080 8554
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s \
    CMD ["python", "-c", "import os, urllib.request as r; r.urlopen(f'http://127.0.0.1:{os.environ[\"CAPTURE_PORT\"]}/healthz', timeout=3)"]
ENTRYPOINT ["capture"]
CMD ["web"]
