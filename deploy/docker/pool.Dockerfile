# A GPU host in a container: docs/gpu-hosts.md. It fetches the pool of the edge's release when it starts.
#   docker build -f deploy/docker/pool.Dockerfile -t edgeplane-pool .
#   docker run --gpus all --stop-timeout 90 -v edgeplane-pool:/pool \
#     -e EDGEPLANE_URL=https://edge.example.com -e EDGEPLANE_POOL_TOKEN=epp_… edgeplane-pool
FROM nvidia/cuda:12.8.1-cudnn-runtime-ubuntu24.04
# The distribution's own versions, with its security fixes; what models need more, their cog.yaml names.
# hadolint ignore=DL3008
RUN apt-get update \
  && apt-get install -y --no-install-recommends \
    build-essential ca-certificates curl ffmpeg git libgl1 libglib2.0-0 python3 python3-dev python3-venv tini \
  && rm -rf /var/lib/apt/lists/* \
  && useradd --uid 10001 --create-home pool \
  && install -d -o 10001 -g 10001 /pool
COPY --chmod=755 deploy/docker/pool-entrypoint.sh /usr/local/bin/pool-entrypoint.sh
USER 10001:10001
ENV EDGEPLANE_POOL_DIR=/pool \
  EDGEPLANE_START=foreground \
  EDGEPLANE_ENVIRONMENTS_DIR=/pool/environments \
  EDGEPLANE_BUNDLES_DIR=/pool/bundles \
  HF_HOME=/pool/huggingface
# Models, their environments and weights, Node, and results that could not be delivered yet.
VOLUME /pool
STOPSIGNAL SIGTERM
HEALTHCHECK --start-period=5m CMD ["sh", "-c", "curl -fsS http://127.0.0.1:${EDGEPLANE_METRICS_PORT:-9464}/healthz"]
# What models leave behind is taken away by tini.
ENTRYPOINT ["tini", "--", "pool-entrypoint.sh"]
