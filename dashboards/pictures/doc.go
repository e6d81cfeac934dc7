// Package pictures draws the dashboards with Grafana's own panel components
// (@grafana/ui, in headless Chromium) from what their queries gave on a real
// Prometheus, and checks what is seen: every panel has its title, its lines, a row of
// the legend for each with the right figures, or says that it has no data.
//
// It is a page of JavaScript beside a test that runs it; `make test-dashboards` does.
// These are Grafana's components, not the Grafana application.
package pictures
