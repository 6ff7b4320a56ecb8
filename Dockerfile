# Two images from one file: `--target operator` and `--target worker` (the default). Neither holds uv, pip or a compiler.
# The base is any image with python3 >= 3.11 and its venv module; releases pin the default by digest.
ARG BASE_IMAGE=docker.io/library/python:3.13-slim-trixie

FROM ${BASE_IMAGE} AS builder
ARG UV_VERSION=0.13.9
RUN python3 -m venv /opt/uv && /opt/uv/bin/python -m pip install --no-cache-dir --quiet "uv==${UV_VERSION}"
ENV PATH=/opt/uv/bin:${PATH} \
    UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 \
    UV_NO_CACHE=1 \
    UV_PYTHON=python3 \
    UV_PYTHON_DOWNLOADS=never \
    UV_PROJECT_ENVIRONMENT=/opt/penstock
WORKDIR /src
COPY pyproject.toml uv.lock ./
COPY worker/pyproject.toml worker/README.md worker/
COPY operator/pyproject.toml operator/README.md operator/

# The locked dependencies come first, so that a change of our code does not fetch them again.
FROM builder AS worker-builder
RUN uv sync --frozen --no-default-groups --package penstock --extra uvloop --no-install-workspace
COPY worker worker
RUN uv sync --frozen --no-default-groups --package penstock --extra uvloop --no-editable

FROM builder AS operator-builder
RUN uv sync --frozen --no-default-groups --package penstock-operator --no-install-workspace
COPY worker worker
COPY operator operator
RUN uv sync --frozen --no-default-groups --package penstock-operator --no-editable

FROM ${BASE_IMAGE} AS runtime
# What an image for running needs no more than an intruder should have: installers.
RUN rm -rf /usr/local/bin/pip* /usr/local/bin/idle* /usr/local/lib/python3*/ensurepip \
    /usr/local/lib/python3*/site-packages/pip* /usr/share/python-wheels /usr/lib/python3*/ensurepip
ENV PATH=/opt/penstock/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/nonexistent
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.vendor="Penstock" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY LICENSE /usr/share/doc/penstock/LICENSE

FROM runtime AS operator
LABEL org.opencontainers.image.title="penstock-operator" \
      org.opencontainers.image.description="Keeps as many workers as each JobQueue needs."
COPY --from=operator-builder /opt/penstock /opt/penstock
USER 65532:65532
ENTRYPOINT ["python", "-m", "penstock_operator"]

FROM runtime AS worker
LABEL org.opencontainers.image.title="penstock-worker" \
      org.opencontainers.image.description="Runs background jobs; add your tasks with FROM and COPY into /app."
COPY --from=worker-builder /opt/penstock /opt/penstock
ENV PYTHONPATH=/app
WORKDIR /app
USER 65532:65532
ENTRYPOINT ["penstock"]
