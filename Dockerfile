# syntax=docker/dockerfile:1

FROM node:26-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
# Not `npm ci`: it refuses a lockfile that lacks the optional packages of other platforms. What is locked is kept.
RUN npm install --no-save
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && npm prune --omit=dev

FROM node:26-bookworm-slim
ARG VERSION=0.1.0
ARG REVISION=unknown
LABEL org.opencontainers.image.title="modelhook" \
      org.opencontainers.image.description="Push a tag, get a served model: a GitOps controller for KServe" \
      org.opencontainers.image.version="$VERSION" \
      org.opencontainers.image.revision="$REVISION"

# tini reaps what a killed git leaves behind: Node as process 1 would not.
RUN apt-get update \
 && apt-get install -y --no-install-recommends ca-certificates git openssh-client tini \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt /var/cache/debconf/*-old /var/log/* \
 && rm -rf /usr/local/lib/node_modules /usr/local/include /usr/local/share/doc /usr/local/share/man /opt/yarn* \
 && rm -f /usr/local/bin/npm /usr/local/bin/npx /usr/local/bin/corepack /usr/local/bin/yarn /usr/local/bin/yarnpkg \
          /usr/local/bin/docker-entrypoint.sh \
 && install -d -o 1000 -g 1000 -m 0750 /var/lib/modelhook

WORKDIR /app
COPY package.json ./
COPY bin bin
COPY config config
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist

# The root file system may be read-only: state goes to this volume, temporary files to /tmp.
VOLUME /var/lib/modelhook
ENV NODE_ENV=production HOME=/tmp
USER 1000:1000
EXPOSE 8080
STOPSIGNAL SIGTERM

HEALTHCHECK --interval=30s --timeout=5s --start-period=10s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:8080/healthz').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]

ENTRYPOINT ["tini", "--", "node", "--max-semi-space-size=1", "/app/dist/main.js"]
CMD ["serve", "--config", "/etc/modelhook/modelhook.yaml"]
