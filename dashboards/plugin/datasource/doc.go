// Package datasource is the backend of weir's Grafana data source: what sidecars do at
// this second, as their management API tells it, and what editors may change there.
package datasource

// ID is the plugin's, as in plugin.json.
const ID = "weir-weir-datasource"
