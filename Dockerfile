# Two images from one file: `--target operator` and `--target worker` (the default). Neither holds uv, pip or a compiler.
# Build arguments, secrets and the sizes: docs/how-to/images.md.
# The base is any image with python3 >= 3.11, its venv module and certificates of authorities; releases pin it by digest.
ARG BASE_IMAGE=docker.io/library/python:3.13-slim-trixie

FROM ${BASE_IMAGE} AS builder
ARG UV_VERSION=0.13.9
# An index in place of the public one; its authorities, if they are not the base's, come as the secret `ca`.
ARG PIP_INDEX_URL
RUN --mount=type=secret,id=ca python3 -m venv /opt/uv && \
    PIP_CERT="$(if [ -s /run/secrets/ca ]; then echo /run/secrets/ca; else echo "${PIP_CERT:-}"; fi)" \
    /opt/uv/bin/python -m pip install --no-cache-dir --quiet "uv==${UV_VERSION}"
ENV PATH=/opt/uv/bin:${PATH} \
    UV_LINK_MODE=copy \
    UV_COMPILE_BYTECODE=1 \
    UV_NO_CACHE=1 \
    UV_PYTHON=python3 \
    UV_PYTHON_DOWNLOADS=never
WORKDIR /src
COPY pyproject.toml uv.lock ./
COPY worker/pyproject.toml worker/README.md worker/
COPY operator/pyproject.toml operator/README.md operator/
COPY tools/image tools/image

# The locked dependencies come first, so that a change of our code does not fetch them again.
FROM builder AS worker-builder
RUN --mount=type=secret,id=ca sh tools/image/install_locked.sh dependencies penstock --extra uvloop
COPY worker worker
RUN --mount=type=secret,id=ca sh tools/image/install_locked.sh packages ./worker

FROM builder AS operator-builder
RUN --mount=type=secret,id=ca sh tools/image/install_locked.sh dependencies penstock-operator
RUN python3 tools/image/prune_kubernetes.py /opt/penstock/lib/python3*/site-packages
COPY worker worker
COPY operator operator
RUN --mount=type=secret,id=ca sh tools/image/install_locked.sh packages ./worker ./operator

FROM ${BASE_IMAGE} AS runtime
# What an image for running needs no more than an intruder should have: installers.
RUN rm -rf /usr/local/bin/pip* /usr/local/bin/idle* /usr/local/lib/python3*/ensurepip \
    /usr/local/lib/python3*/site-packages/pip* /usr/share/python-wheels /usr/lib/python3*/ensurepip
ENV PATH=/opt/penstock/bin:${PATH} \
    PYTHONUNBUFFERED=1 \
    PYTHONDONTWRITEBYTECODE=1 \
    HOME=/nonexistent \
    SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt
# By this file `sslrootcert=system` verifies a database, whatever folder the driver's own OpenSSL was built with.
RUN test -s "${SSL_CERT_FILE}" || { echo "the base image has no ${SSL_CERT_FILE}: install ca-certificates in it" >&2; exit 1; }
ARG VERSION=0.1.0
ARG REVISION=unknown
ARG CREATED=1970-01-01T00:00:00Z
ARG SOURCE_URL=unknown
ARG BASE_IMAGE
ARG BASE_DIGEST=unknown
LABEL org.opencontainers.image.vendor="Penstock" \
      org.opencontainers.image.authors="The Penstock maintainers" \
      org.opencontainers.image.created="${CREATED}" \
      org.opencontainers.image.source="${SOURCE_URL}" \
      org.opencontainers.image.url="${SOURCE_URL}" \
      org.opencontainers.image.documentation="${SOURCE_URL}" \
      org.opencontainers.image.base.name="${BASE_IMAGE}" \
      org.opencontainers.image.base.digest="${BASE_DIGEST}" \
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
