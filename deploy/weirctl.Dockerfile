# weirctl as an image, for the admission webhook: one static binary, no root.
#
#   docker build -f deploy/weirctl.Dockerfile --build-arg VERSION=… -t weirctl .
FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /out/weirctl ./cmd/weirctl

FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/weirctl /weirctl
USER 65532:65532
EXPOSE 8443
ENTRYPOINT ["/weirctl"]
