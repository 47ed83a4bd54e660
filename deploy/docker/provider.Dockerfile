# The service that rents and returns machines, in a container: docs/providers.md.
#   docker build -f deploy/docker/provider.Dockerfile -t edgeplane-provider .
#   docker run -v /etc/edgeplane:/etc/edgeplane:ro -e EDGEPLANE_URL=https://edge.example.com \
#     -e EDGEPLANE_PROVIDER_TOKEN_FILE=/etc/edgeplane/provider.token edgeplane-provider
FROM node:24-bookworm-slim
WORKDIR /opt/edgeplane
COPY . .
RUN npm ci --omit=dev --no-audit --no-fund && npm cache clean --force
# The image's user `node`.
USER 1000:1000
ENV EDGEPLANE_PROVIDERS=/etc/edgeplane/providers.json EDGEPLANE_SKIP_INSTALL=1 NODE_COMPILE_CACHE=/tmp/compiled
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "provider/main.ts"]
