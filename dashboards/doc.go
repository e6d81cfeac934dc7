// Package dashboards holds what shows weir and what wakes somebody over it: Grafana
// dashboards, recording and alerting rules, and the provisioning that loads them.
//
// The files are generated from Go, in dashboards/grafana and dashboards/rules, and
// committed; they are embedded here for `weirctl dashboards export`.
package dashboards

import (
	"embed"
	"io/fs"
)

//go:embed files
var embedded embed.FS

// Files gives all files as they are committed, by the paths that Export gives them.
func Files() fs.FS {
	files, err := fs.Sub(embedded, "files")
	if err != nil {
		panic("dashboards: " + err.Error()) // the directory is embedded above
	}
	return files
}
