# One image for every role; the command says which:
#
#   docker run -p 5678:5678/udp -p 5678:5678 IMAGE privox-node                          a first node
#   docker run IMAGE privox-node --neighbours HOST:5678 --services stt/cpu,tts/cpu      a producer
#   docker run -p 1776:1776 -p 5678:5678/udp IMAGE privox-node --neighbours HOST:5678 --farm   a farm
#   docker run IMAGE privox-client --neighbours HOST:5678 list                          a client
#
# No downloaded model is inside. Without GPL engines: --build-arg EXTRAS= (see NOTICE).
# Every option of privox-node is an environment variable too: PRIVOX_ and its name.

FROM python:3.12-slim-bookworm AS build
ARG EXTRAS=embedded
WORKDIR /source
COPY pyproject.toml setup.cfg README.md LICENSE NOTICE ./
COPY privox_dht privox_dht/
COPY nodes nodes/
COPY client client/
RUN python -m venv /opt/privox \
    && /opt/privox/bin/pip install --no-cache-dir --disable-pip-version-check ".${EXTRAS:+[$EXTRAS]}" \
    && /opt/privox/bin/privox-node --help > /dev/null

FROM python:3.12-slim-bookworm
LABEL org.opencontainers.image.title="privox_dht" \
      org.opencontainers.image.description="Lend and borrow speech over a mesh with no central server"
COPY --from=build /opt/privox /opt/privox
COPY LICENSE NOTICE /usr/share/doc/privox-dht/
RUN useradd --system --uid 5678 --user-group --home-dir /var/lib/privox privox \
    && install --directory --owner=privox --group=privox --mode=0700 /var/lib/privox
ENV PATH=/opt/privox/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    PRIVOX_STATE_DIR=/var/lib/privox \
    PRIVOX_MODEL_CACHE=/var/lib/privox/models
USER 5678:5678
WORKDIR /var/lib/privox
VOLUME /var/lib/privox

# The mesh (UDP) and jobs (TCP); a farm's relay; a gateway.
EXPOSE 5678/udp 5678/tcp 1776/tcp 5600/tcp

# Healthy is what a stranger can ask: a guest joins through this very node.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["sh", "-c", "privox-client --state-dir /tmp/health --neighbours 127.0.0.1:${PRIVOX_PORT:-5678} list --limit 1"]

CMD ["privox-node"]
