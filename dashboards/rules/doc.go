// Package rules defines weir's recording and alerting rules once, and renders them
// as the file that Prometheus loads and as the object that the Prometheus operator
// does. A test holds the committed files to it; -update rewrites them:
//
//	go test ./dashboards/{grafana,rules} -update
//
// Each alert has a section of its name in docs/runbook.md, and cases in testdata
// in which it fires, does not and resolves, run by promtool.
package rules
