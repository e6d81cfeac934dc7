package plugin

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// patience bounds every wait for something that must happen; it is never a result.
const patience = 60 * time.Second

var (
	update = flag.Bool("update", false, "write the golden files")
	record = flag.String("record", "", "directory to write answers to, for the test in a browser")
)

// built are the programs under test.
var built struct {
	once sync.Once
	dir  string
	err  error
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if built.dir != "" {
		if err := os.RemoveAll(built.dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// program gives the path of "gpx_weir" or "weir", built once for all tests.
func program(t testing.TB, name string) string {
	t.Helper()
	built.once.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "weir-plugin-"); built.err != nil {
			return
		}
		for _, source := range []string{"weir/dashboards/plugin/gpx_weir", "weir/cmd/weir"} {
			args := []string{"build", "-o", built.dir + "/"}
			if raceEnabled {
				args = append(args, "-race")
			}
			cmd := exec.Command("go", append(args, source)...)
			if source == "weir/cmd/weir" {
				cmd.Dir = filepath.Join("..", "..") // by its own module's go.mod, as it is shipped
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				built.err = fmt.Errorf("go build %s: %w\n%s", source, err, out)
				return
			}
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return filepath.Join(built.dir, name)
}
