package e2e

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

const module = "weir"

// rooms says what each room of the house may import of the others. A room is a
// folder and what lies below it, but for those that are rooms themselves; within
// a room, everything may import everything.
var rooms = map[string][]string{
	"cmd/weir":             {"admin", "proxy", "queue", "proxy/h1", "webhook", "metrics", "limits", "config", "tracing", "tracing/tracecontext", "cmd/manuals"},
	"cmd/manuals":          {},
	"cmd/weirctl":          {"cmd/weirctl/inject", "cmd/manuals", "config", "admin", "dashboards"},
	"cmd/weirctl/inject":   {"config"},
	"admin":                {"limits", "metrics", "queue", "config"},
	"proxy":                {"proxy/h1", "limits", "metrics", "tracing", "tracing/otlptest"},
	"queue":                {"limits", "metrics", "faults"}, // which its tests use
	"proxy/h1":             {},
	"webhook":              {},
	"metrics":              {"limits", "tracing/tracecontext"},           // without what records traces
	"tracing":              {"tracing/tracecontext", "tracing/otlptest"}, // the latter its tests
	"tracing/otlptest":     {},                                           // a receiver, for tests
	"tracing/tracecontext": {},
	"limits":               {},
	"config":               {},
	"dashboards":           {"metrics", "limits"}, // its tests ask weir what it exports
	"e2e":                  {"faults", "tracing/otlptest"},
	"faults":               {},
	"bench":                {},
	"deploy":               {"config"}, // its tests read the settings that it deploys
	"scripts":              {},
}

// roomOf gives the room that a package of the module belongs to, "" for none.
func roomOf(path string) string {
	room := ""
	for name := range rooms {
		if (path == module+"/"+name || strings.HasPrefix(path, module+"/"+name+"/")) && len(name) > len(room) {
			room = name
		}
	}
	return room
}

func isOurs(path string) bool { return path == module || strings.HasPrefix(path, module+"/") }

// listed is what go list says of a package.
type listed struct {
	ImportPath                         string
	Imports, TestImports, XTestImports []string
}

func goList(t *testing.T, args ...string) []listed {
	t.Helper()
	path, err := exec.LookPath("go")
	if err != nil {
		t.Skipf("the go command is not installed: %v", err)
	}
	cmd := exec.Command(path, append([]string{"list", "-json=ImportPath,Imports,TestImports,XTestImports"}, args...)...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", args, err, stderr.String())
	}
	var packages []listed
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		switch err := decoder.Decode(&p); {
		case errors.Is(err, io.EOF):
			return packages
		case err != nil:
			t.Fatalf("go list %v: %v", args, err)
		}
		packages = append(packages, p)
	}
}

func TestRoomsImportOnlyRoomsBelow(t *testing.T) {
	t.Parallel()
	packages := goList(t, module+"/...")
	if !slices.ContainsFunc(packages, func(p listed) bool { return roomOf(p.ImportPath) == "cmd/weir" }) {
		t.Fatalf("go list shows no cmd/weir among %d packages", len(packages))
	}
	for _, p := range packages {
		room := roomOf(p.ImportPath)
		if room == "" {
			t.Errorf("%s belongs to no room: put it into one, or add a room with what it may import", p.ImportPath)
			continue
		}
		for _, imported := range slices.Concat(p.Imports, p.TestImports, p.XTestImports) {
			if other := roomOf(imported); isOurs(imported) && other != room && !slices.Contains(rooms[room], other) {
				t.Errorf("%s imports %s: %s may import only %v", p.ImportPath, imported, room, rooms[room])
			}
		}
	}
}

func TestSidecarStaysLight(t *testing.T) {
	t.Parallel()
	heavy := []string{"github.com/apache/arrow", "github.com/hashicorp/go-plugin", "github.com/grafana/grafana-plugin-sdk-go", "k8s.io", "sigs.k8s.io", "google.golang.org/grpc", "go.opentelemetry.io/proto"}
	packages := goList(t, "-deps", module+"/cmd/weir")
	if !slices.ContainsFunc(packages, func(p listed) bool { return p.ImportPath == "net/http" }) {
		t.Fatalf("go list -deps shows no net/http among %d packages", len(packages))
	}
	for _, p := range packages {
		for _, h := range heavy {
			if p.ImportPath == h || strings.HasPrefix(p.ImportPath, h+"/") {
				t.Errorf("cmd/weir links %s", p.ImportPath)
			}
		}
		if room := roomOf(p.ImportPath); isOurs(p.ImportPath) && room != "cmd/weir" && !slices.Contains(rooms["cmd/weir"], room) {
			t.Errorf("cmd/weir links %s of the room %q", p.ImportPath, room)
		}
	}
}
