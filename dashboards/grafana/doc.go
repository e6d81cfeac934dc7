// Package grafana defines weir's Grafana dashboards, typed, and renders them as
// the JSON that Grafana imports. A test holds the committed files to it; -update
// rewrites them:
//
//	go test ./dashboards/{grafana,rules} -update
//
// A dashboard is a [sheet]: rows of panels under the same variables, annotations
// and links. A new one is a file with a function that fills a sheet, and a line in
// [All]; a panel for a new metric is an entry in a row.
package grafana
