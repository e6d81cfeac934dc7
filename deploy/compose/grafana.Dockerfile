# Grafana with weir's data source and panel in it, for compose.yaml.
#
#   docker build -f deploy/compose/grafana.Dockerfile -t weir-grafana .
FROM --platform=$BUILDPLATFORM node:22-slim AS frontend
WORKDIR /src/dashboards/plugin/frontend
# What it needs changes less often than what it is.
COPY dashboards/plugin/frontend/package.json dashboards/plugin/frontend/package-lock.json dashboards/plugin/frontend/.npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY dashboards/live /src/dashboards/live
COPY dashboards/plugin/frontend ./
RUN node build.mjs /out

FROM --platform=$BUILDPLATFORM golang:1.26 AS backend
WORKDIR /src
COPY . .
ARG TARGETOS
ARG TARGETARCH
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go -C dashboards/plugin build -trimpath -buildvcs=false -ldflags "-s -w" \
    -o /out/gpx_weir_${TARGETOS}_${TARGETARCH} ./gpx_weir

# The release whose components the plugin is tested with.
FROM grafana/grafana:13.2.2
# Outside of Grafana's own directory of plugins, which a volume may hide.
COPY --from=frontend /out /usr/share/weir/plugins/weir-weir-datasource
COPY --from=backend /out /usr/share/weir/plugins/weir-weir-datasource
