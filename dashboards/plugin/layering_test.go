package plugin

import (
	"os/exec"
	"strings"
	"testing"
)

// The plugin is a client of sidecars: of weir it links the client alone.
func TestOfWeirOnlyTheClientIsLinked(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", "./gpx_weir").Output()
	if err != nil {
		t.Fatal(err)
	}
	client := false
	for path := range strings.Lines(string(out)) {
		path = strings.TrimSpace(path)
		switch {
		case path == "weir/admin/api":
			client = true
		case strings.HasPrefix(path, "weir/dashboards/plugin/"):
		case strings.HasPrefix(path, "weir/"):
			t.Errorf("the plugin links %s", path)
		}
	}
	if !client {
		t.Error("the plugin links no client of the management API: the test looks at something else")
	}
}
