package main

import (
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"weir/dashboards"
)

func (t *tool) dashboardsCommand() *cobra.Command {
	return noun(&cobra.Command{
		Use:   "dashboards",
		Short: "Grafana dashboards and Prometheus rules",
	}, t.dashboardsExportCommand())
}

func (t *tool) dashboardsExportCommand() *cobra.Command {
	var (
		o        dashboards.Options
		sidecars []string
	)
	c := &cobra.Command{
		Use:   "export DIR",
		Short: "Write dashboards, alert and recording rules, and Grafana's provisioning",
		Long: `Writes below DIR, which is made where it is missing; files of an earlier export
are replaced, others are left alone:

  grafana/dashboards/      the dashboards, as Grafana imports them
  grafana/provisioning/    what makes Grafana load them, and a data source
  prometheus/              recording and alerting rules, for rule_files
  kubernetes/              the same as a PrometheusRule`,
		Example: `  weirctl dashboards export monitoring --runbook-url https://wiki.example.com/weir-runbook
  weirctl dashboards export monitoring --prometheus-url http://prometheus.monitoring:9090 --scrape-interval 30s
  weirctl dashboards export monitoring --sidecar checkout-0=http://10.0.0.1:9465`,
		Args: cobra.ExactArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			for _, text := range sidecars {
				s, err := dashboards.ParseSidecar(text)
				if err != nil {
					return usageError("--sidecar: %w", err)
				}
				o.Sidecars = append(o.Sidecars, s)
			}
			written, err := dashboards.Export(args[0], o)
			if err != nil {
				return err
			}
			v := struct {
				Files []string `json:"files"`
			}{written}
			return t.output.print(c.OutOrStdout(), v, func(w io.Writer) error {
				for _, path := range written {
					if _, err := fmt.Fprintln(w, path); err != nil {
						return err
					}
				}
				return nil
			})
		},
	}
	c.Flags().StringVar(&o.RunbookURL, "runbook-url", "", "where docs/runbook.md is published; alerts lead to sections of it")
	c.Flags().StringVar(&o.PrometheusURL, "prometheus-url", "", "where Grafana finds Prometheus (default http://prometheus:9090)")
	c.Flags().DurationVar(&o.ScrapeInterval, "scrape-interval", 0, "at which Prometheus scrapes weir (default 15s)")
	c.Flags().StringVar(&o.DashboardsPath, "dashboards-path", "", "where Grafana finds grafana/dashboards (default /var/lib/grafana/dashboards/weir)")
	c.Flags().StringVar(&o.TokenFile, "token-file", "", "where Grafana finds the token of the sidecars (default: WEIR_ADMIN_TOKEN of its environment)")
	c.Flags().StringArrayVar(&sidecars, "sidecar", nil, "`NAME=URL` of a sidecar's management API, for Grafana with weir's plugin; may be repeated")
	return c
}
