// Package plugin is the Grafana data source weir-weir-datasource. gpx_weir is the
// program that Grafana starts, datasource what it does, frontend what runs in the
// browser. The tests here start the program as Grafana does, in front of a real weir.
package plugin
