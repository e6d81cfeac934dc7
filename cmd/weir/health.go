package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/config"
)

// healthTimeout bounds one probe: a sidecar that takes longer to say that it is
// well is not.
const healthTimeout = 3 * time.Second

// healthCommand is for container health checks, where there is no shell and no
// curl. It finds the metrics port as run does: by flag, environment or file.
func healthCommand(environ []string) *cobra.Command {
	var ready bool
	c := &cobra.Command{
		Use:   "health",
		Short: "Ask the sidecar on this machine whether it is alive, or ready",
		Args:  cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			loaded, err := config.Load(config.Source{Flags: c.Flags(), Environ: environ})
			if err != nil {
				return &exitError{exitUsage, err}
			}
			path := "/healthz"
			if ready {
				path = "/readyz"
			}
			answer, err := probeSidecar(c.Context(), loaded.Config.Metrics.Listen, path)
			if err != nil {
				return &exitError{exitFailed, err}
			}
			_, err = fmt.Fprintln(c.OutOrStdout(), answer)
			return err
		},
	}
	config.Flags(c.Flags())
	c.Flags().BoolVar(&ready, "ready", false, "ask whether it should get traffic, not only whether it lives")
	return c
}

func probeSidecar(ctx context.Context, listen, path string) (string, error) {
	host, port, err := net.SplitHostPort(listen)
	if err != nil {
		return "", fmt.Errorf("metrics address %q: %w", listen, err)
	}
	if ip := net.ParseIP(host); host == "" || (ip != nil && ip.IsUnspecified()) {
		host = "localhost"
	}
	url := "http://" + net.JoinHostPort(host, port) + path
	ctx, cancel := context.WithTimeout(ctx, healthTimeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	client := &http.Client{Transport: &http.Transport{Proxy: nil, DisableKeepAlives: true}}
	res, err := client.Do(req)
	if err != nil {
		return "", fmt.Errorf("no sidecar answers: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4096))
	if err != nil {
		return "", fmt.Errorf("%s: %w", url, err)
	}
	answer := strings.TrimSpace(string(body))
	if res.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s: %s: %s", url, res.Status, answer)
	}
	return answer, nil
}
