// Package frontend is what runs in the browser of weir's Grafana data source, in
// TypeScript: the editors of its settings and of a query, and a panel of calls. The
// test here has it type-checked, its own tests run, and uses the built modules in a
// headless Chromium. These are Grafana's components and its way to load a plugin, not the
// Grafana application.
package frontend
