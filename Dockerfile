# weir as an image: one static binary, nothing else, no root, nothing to write.
#
#   docker build --build-arg VERSION="$(git describe --tags --always --dirty)" -t weir .
#   docker run --rm --read-only --cap-drop ALL -p 8080:8080 -p 9464:9464 weir run --upstream http://…
#
# To make it the parent of a function instead, take the binary into its image:
#
#   COPY --from=weir /weir /weir
#   ENTRYPOINT ["/weir", "run", "--", "node", "server.js"]
#
# The bases are named by tag, so that every build takes up their security fixes.
# Where a build has to be repeatable, pin both by digest (FROM name:tag@sha256:…),
# and let a bot raise the digests: a pin that nobody raises collects holes.

FROM --platform=$BUILDPLATFORM golang:1.26 AS build
WORKDIR /src
COPY . .
ARG TARGETOS
ARG TARGETARCH
ARG VERSION=dev
# noqueueserver leaves the queue's own server out, for sidecars that need none.
ARG TAGS=
# The same build as `make build`. The caches outlive the layer, so that a changed
# line does not download and compile the world again.
RUN --mount=type=cache,target=/go/pkg/mod \
    --mount=type=cache,target=/root/.cache/go-build \
    CGO_ENABLED=0 GOOS=$TARGETOS GOARCH=$TARGETARCH \
    go build -tags=$TAGS -trimpath -buildvcs=false -ldflags "-s -w -X main.version=$VERSION" -o /out/weir ./cmd/weir

# Certificates of public authorities, time zones, a passwd file with nonroot; no
# shell, no package manager.
FROM gcr.io/distroless/static-debian12:nonroot
COPY --from=build /out/weir /weir
# By number, so that Kubernetes can verify runAsNonRoot. The image has it already;
# this holds for any other base too.
USER 65532:65532
# Data; metrics and health.
EXPOSE 8080 9464
# There is no shell and no curl: the binary asks itself, at the metrics port that
# flags, environment or file name. Kubernetes ignores this and has its own probes.
HEALTHCHECK --interval=10s --timeout=5s --start-period=30s --start-interval=1s --retries=3 \
    CMD ["/weir", "health"]
ENTRYPOINT ["/weir"]
CMD ["run"]
