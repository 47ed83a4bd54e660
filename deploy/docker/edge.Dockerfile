# The edge in a container: docs/self-host.md.
#   docker build -f deploy/docker/edge.Dockerfile -t edgeplane-edge .
#   docker run -v edgeplane:/state -e PUBLIC_ORIGIN=https://edge.example.com -p 127.0.0.1:8787:8787 edgeplane-edge
FROM node:24-bookworm-slim
WORKDIR /opt/edgeplane
COPY . .
RUN npm ci --no-audit --no-fund && npm cache clean --force && mkdir /state && chown node:node /state
# The image's user `node`.
USER 1000:1000
ENV EDGEPLANE_STATE_DIR=/state EDGEPLANE_HOST=0.0.0.0 EDGEPLANE_SKIP_INSTALL=1 NODE_COMPILE_CACHE=/tmp/compiled
VOLUME /state
EXPOSE 8787
HEALTHCHECK CMD ["node", "-e", "fetch('http://127.0.0.1:8787/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
ENTRYPOINT ["node", "scripts/run.mjs", "serve"]
