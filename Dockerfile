# One image for every role; the command says which:
#
#   docker run -p 5678:5678/udp -p 5678:5678 -p 1776:1776 IMAGE privox-node             a first node
#   docker run IMAGE privox-node --neighbours HOST:5678 --services stt/cpu,tts/cpu      a producer
#   docker run -p 1776:1776 -p 5678:5678/udp IMAGE privox-node --neighbours HOST:5678 --farm   a farm
#   docker run IMAGE privox-client --neighbours HOST:5678 list                          a client
#
# No downloaded model is inside. Without engines, so without GPL ones: --build-arg EXTRAS=none
# (see NOTICE); with faster-whisper and piper: EXTRAS=all. What it installs is pinned with its
# hashes in deploy/requirements; `make lock` makes it anew.
# Every option of privox-node is an environment variable too: PRIVOX_ and its name.
# docs/install.md tells how to keep it running. Another base: --build-arg BASE=IMAGE; it needs
# Python 3.13 as python3, with venv: for that the requirements were pinned.

ARG BASE=python:3.13.13-slim-trixie

# What it needs: a layer that changes only when its requirements do.
FROM ${BASE} AS needs
ARG EXTRAS=embedded
COPY deploy/requirements/${EXTRAS}.txt /source/requirements.txt
RUN python3 -m venv /opt/privox \
    && /opt/privox/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
        --only-binary=:all: --require-hashes --requirement /source/requirements.txt

# Our own code, in a folder beside it.
FROM needs AS code
WORKDIR /source
COPY deploy/requirements/build.txt ./
RUN python3 -m venv /opt/build \
    && /opt/build/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
        --only-binary=:all: --require-hashes --requirement build.txt
COPY pyproject.toml setup.cfg LICENSE NOTICE ./
COPY docs/package.md docs/
COPY privox_dht privox_dht/
COPY nodes nodes/
COPY client client/
RUN /opt/build/bin/python -m pip wheel --no-cache-dir --disable-pip-version-check --no-index \
        --no-build-isolation --no-deps --wheel-dir dist . \
    && /opt/privox/bin/python -m pip install --no-cache-dir --disable-pip-version-check \
        --no-index --no-deps --target /opt/privox-dht dist/*.whl

FROM ${BASE}
LABEL org.opencontainers.image.title="privox_dht" \
      org.opencontainers.image.description="Lend and borrow speech over a mesh with no central server"
RUN useradd --uid 5678 --user-group --no-create-home --home-dir /var/lib/privox \
        --shell /usr/sbin/nologin privox \
    && install --directory --owner=privox --group=privox --mode=0700 /var/lib/privox
COPY LICENSE NOTICE /usr/share/doc/privox-dht/
COPY --from=needs /opt/privox /opt/privox
COPY --from=code /opt/privox-dht /opt/privox-dht
ENV PATH=/opt/privox-dht/bin:/opt/privox/bin:$PATH \
    PYTHONPATH=/opt/privox-dht \
    PYTHONUNBUFFERED=1 \
    PRIVOX_STATE_DIR=/var/lib/privox \
    PRIVOX_MODEL_CACHE=/var/lib/privox/models
RUN privox-node --help > /dev/null && privox-client --help > /dev/null
USER 5678:5678
WORKDIR /var/lib/privox
VOLUME /var/lib/privox

# The mesh (UDP) and jobs (TCP); a farm's relay.
EXPOSE 5678/udp 5678/tcp 1776/tcp

# Asks the node that keeps its key in PRIVOX_STATE_DIR, at whatever port and in whatever mesh it is.
# An engine may load its model for minutes before the node listens: that is no fault.
HEALTHCHECK --interval=30s --timeout=10s --start-period=10m --retries=3 \
    CMD ["privox-node", "health"]

CMD ["privox-node"]
