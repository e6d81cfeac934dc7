package deploy

import (
	"bytes"
	"context"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const (
	largest  = 40 << 20 // bytes of the binary
	version  = "v9.8.7-test"
	patience = time.Minute
	nonroot  = 65532
)

var built struct {
	sync.Once
	dir  string
	file string
	err  error
}

// weirctl of this tree, for the tests that run what it writes.
var weirctl struct {
	sync.Once
	dir string
	err error
}

func TestMain(m *testing.M) {
	code := m.Run()
	for _, dir := range []string{built.dir, weirctl.dir} {
		if dir == "" {
			continue
		}
		if err := os.RemoveAll(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = max(code, 1)
		}
	}
	os.Exit(code)
}

// tool gives the path of weirctl.
func tool(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds weirctl; not with -short")
	}
	weirctl.Do(func() {
		if weirctl.dir, weirctl.err = os.MkdirTemp("", "weirctl"); weirctl.err != nil {
			return
		}
		if out, err := exec.Command("go", "build", "-o", weirctl.dir+"/", "../cmd/weirctl").CombinedOutput(); err != nil {
			weirctl.err = fmt.Errorf("building weirctl: %w\n%s", err, out)
		}
	})
	if weirctl.err != nil {
		t.Fatal(weirctl.err)
	}
	return filepath.Join(weirctl.dir, "weirctl")
}

// binary builds weir as the Dockerfile does: its very command, in a copy of what
// .dockerignore lets through, for Linux on this machine's architecture.
func binary(t *testing.T) string {
	t.Helper()
	if testing.Short() {
		t.Skip("builds the binary; not with -short")
	}
	command, patterns := buildCommand(t), dockerignore(t)
	built.Do(func() {
		if built.dir, built.err = os.MkdirTemp("", "weir-image"); built.err != nil {
			return
		}
		// Its owner alone can enter it by default; the image's user has to.
		if built.err = os.Chmod(built.dir, 0o755); built.err != nil {
			return
		}
		source := filepath.Join(built.dir, "src")
		if built.err = copySource("..", source, patterns); built.err != nil {
			return
		}
		if n := strings.Count(command, " /out/weir "); n != 1 {
			built.err = fmt.Errorf("the build command names /out/weir %d times, want once: %s", n, command)
			return
		}
		built.file = filepath.Join(built.dir, "root", "weir")
		cmd := exec.Command("sh", "-euc", strings.Replace(command, "/out/weir", `"$OUT"`, 1))
		cmd.Dir = source
		cmd.Env = append(os.Environ(), "OUT="+built.file, "TARGETOS=linux", "TARGETARCH="+runtime.GOARCH,
			"VERSION="+version, "TAGS=", "GOFLAGS=", "GOWORK=off")
		if out, err := cmd.CombinedOutput(); err != nil {
			built.err = fmt.Errorf("%s: %w\n%s", command, err, out)
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.file
}

func copySource(from, to string, patterns []string) error {
	return filepath.WalkDir(from, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			if errors.Is(err, fs.ErrNotExist) {
				return nil // of another test or an editor, gone meanwhile
			}
			return err
		}
		relative, err := filepath.Rel(from, name)
		if err != nil {
			return err
		}
		switch {
		case relative != "." && ignored(patterns, filepath.ToSlash(relative)):
			if entry.IsDir() {
				return filepath.SkipDir
			}
			return nil
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(to, relative), 0o755)
		case !entry.Type().IsRegular():
			return nil
		}
		content, err := os.ReadFile(name)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, relative), content, 0o644)
	})
}

func TestBinaryIsStatic(t *testing.T) {
	name := binary(t)
	info, err := os.Stat(name)
	if err != nil {
		t.Fatal(err)
	}
	if info.Size() > largest {
		t.Errorf("%d bytes, want %d at most", info.Size(), largest)
	}
	file, err := elf.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if slices.ContainsFunc(file.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Error("the binary asks for a dynamic loader, which the image does not have")
	}
	libraries, err := file.ImportedLibraries()
	if err != nil || len(libraries) > 0 {
		t.Errorf("the binary asks for libraries %v: %v", libraries, err)
	}
	if file.Section(".debug_info") != nil || file.Section(".symtab") != nil {
		t.Error("the binary carries symbols and debugging information")
	}
}

// A container is weir's binary in the image's file system: nothing but itself,
// nothing writable, as the image's user.
type container struct {
	t    *testing.T
	name string
	root string
	env  []string
}

func newContainer(t *testing.T, env ...string) *container {
	t.Helper()
	if runtime.GOOS != "linux" {
		t.Skip("runs the image's binary, which is for Linux")
	}
	name := binary(t)
	return &container{t: t, name: name, root: filepath.Dir(name), env: env}
}

func (c *container) command(ctx context.Context, argv []string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, argv[0], argv[1:]...)
	cmd.Env = append([]string{"PATH=/"}, c.env...)
	if os.Geteuid() == 0 {
		cmd.Dir = "/"
		cmd.SysProcAttr = &syscall.SysProcAttr{
			Chroot:     c.root,
			Credential: &syscall.Credential{Uid: nonroot, Gid: nonroot},
		}
	} else { // as somebody else already, with a file system that is in the way
		cmd.Path = c.name
	}
	return cmd
}

func TestBinaryKnowsItsVersion(t *testing.T) {
	c := newContainer(t)
	out, err := c.command(t.Context(), []string{"/weir", "version"}).CombinedOutput()
	if err != nil || !strings.Contains(string(out), version) {
		t.Errorf("weir version: %v: %s, want %s", err, out, version)
	}
}

// start runs the image with its own entry point and command, in front of a
// function, and waits until it is ready, asking as the image's health check does.
func (c *container) start(ctx context.Context) *exec.Cmd {
	t := c.t
	t.Helper()
	_, image := dockerfile(t)
	health := (instruction{args: strings.TrimPrefix(image.only(t, "HEALTHCHECK").args, "CMD ")}).exec()
	if out, err := c.command(ctx, health).CombinedOutput(); err == nil {
		t.Errorf("health before the start: %s", out)
	}

	weir := c.command(ctx, append(image.only(t, "ENTRYPOINT").exec(), image.only(t, "CMD").exec()...))
	var log bytes.Buffer
	weir.Stdout, weir.Stderr = &log, &log
	if err := weir.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if weir.ProcessState == nil {
			_ = weir.Process.Kill()
			_ = weir.Wait()
		}
		if t.Failed() {
			t.Logf("weir's log:\n%s", log.String())
		}
	})
	for _, argv := range [][]string{health, append(slices.Clone(health), "--ready")} {
		for {
			out, err := c.command(ctx, argv).CombinedOutput()
			if err == nil {
				break
			}
			select {
			case <-time.After(20 * time.Millisecond):
			case <-ctx.Done():
				t.Fatalf("%q never succeeded, last: %v: %s", argv, err, out)
			}
		}
	}
	return weir
}

// standInFront gives a container in front of a function, and its data port.
func standInFront(t *testing.T) (c *container, data string) {
	t.Helper()
	function := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "from the function")
	}))
	t.Cleanup(function.Close)
	data = freeAddress(t)
	return newContainer(t, "WEIR_UPSTREAM="+function.URL, "WEIR_LISTEN="+data, "WEIR_METRICS_LISTEN="+freeAddress(t), "WEIR_ADMIN_LISTEN="+freeAddress(t)), data
}

func TestImageServesAndEnds(t *testing.T) {
	c, data := standInFront(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	weir := c.start(ctx)

	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+data+"/", nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	body, err := io.ReadAll(response.Body)
	_ = response.Body.Close()
	if err != nil || string(body) != "from the function" {
		t.Errorf("through weir: %q, %v", body, err)
	}
	http.DefaultClient.CloseIdleConnections()

	if err := weir.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := weir.Wait(); err != nil {
		t.Errorf("weir ended with %v, want exit code 0", err)
	}
}

// The hook with which a pod's end begins. It runs in the container, beside weir
// and as its user, but outside the test's chroot, which lacks a container's /proc.
func TestHookDrainsTheWeirOfItsContainer(t *testing.T) {
	_, manifest, _ := pod(t)
	hook := manifest.Lifecycle.PreStop.Exec.Command
	c, _ := standInFront(t)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	weir := c.start(ctx)
	drain := exec.CommandContext(ctx, c.name, hook[1:]...)
	drain.Env = []string{}
	if weir.SysProcAttr != nil {
		drain.SysProcAttr = &syscall.SysProcAttr{Credential: weir.SysProcAttr.Credential}
	}
	if out, err := drain.CombinedOutput(); err != nil {
		t.Fatalf("%q: %v: %s", hook, err, out)
	}
	if err := weir.Wait(); err != nil {
		t.Errorf("weir ended with %v, want exit code 0", err)
	}
}

func freeAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
