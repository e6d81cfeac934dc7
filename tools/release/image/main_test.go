package main

import (
	"archive/tar"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const largest = 40 << 20

// build makes weir as it is released.
func build(t *testing.T) string {
	t.Helper()
	out := filepath.Join(t.TempDir(), "weir")
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w", "-o", out, "./cmd/weir")
	cmd.Dir = "../../.."
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOFLAGS=")
	if text, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, text)
	}
	return out
}

func TestImage(t *testing.T) {
	authorities := filepath.Join(t.TempDir(), "ca.crt")
	if err := os.WriteFile(authorities, []byte("certificates\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	o := options{program: build(t), entrypoint: "/weir", command: "run", tag: "weir:1.2.3", authorities: authorities, arch: runtime.GOARCH}
	var digests []string
	for _, name := range []string{"one.tar", "two.tar"} {
		o.out = filepath.Join(t.TempDir(), name)
		if err := write(o); err != nil {
			t.Fatal(err)
		}
		image, err := tarball.ImageFromPath(o.out, nil)
		if err != nil {
			t.Fatal(err)
		}
		digest, err := image.Digest()
		if err != nil {
			t.Fatal(err)
		}
		digests = append(digests, digest.String())
	}
	if digests[0] != digests[1] {
		t.Errorf("twice is not the same: %v", digests)
	}

	// As whoever loads it reads it.
	image, err := tarball.ImageFromPath(o.out, nil)
	if err != nil {
		t.Fatal(err)
	}
	config, err := image.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	if c := config.Config; c.User != "65532:65532" || len(c.Entrypoint) != 1 || c.Entrypoint[0] != "/weir" || len(c.Cmd) != 1 || c.Cmd[0] != "run" || config.OS != "linux" {
		t.Errorf("%+v", config)
	}
	layers, err := image.Layers()
	if err != nil || len(layers) != 1 {
		t.Fatalf("%v: %d layers", err, len(layers))
	}
	content, err := layers[0].Uncompressed()
	if err != nil {
		t.Fatal(err)
	}
	root := t.TempDir()
	var size int64
	for r := tar.NewReader(content); ; {
		h, err := r.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		size += h.Size
		if h.Mode&0o6000 != 0 {
			t.Errorf("%s may run as somebody else", h.Name)
		}
		if h.Name == "weir" {
			f, err := os.OpenFile(filepath.Join(root, "weir"), os.O_CREATE|os.O_WRONLY, 0o755)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := io.Copy(f, r); err != nil {
				t.Fatal(err)
			}
			if err := f.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if size == 0 || size > largest {
		t.Errorf("%d bytes, want %d at most", size, largest)
	}
	if out, err := exec.Command(filepath.Join(root, "weir"), "version").CombinedOutput(); err != nil {
		t.Errorf("the program in it: %v\n%s", err, out)
	}
	t.Logf("%d bytes", size)
}

func TestProgramsThatAreNotStatic(t *testing.T) {
	for _, program := range []string{"main.go", "/bin/sh"} {
		if err := write(options{program: program, out: filepath.Join(t.TempDir(), "x.tar"), tag: "x", authorities: "main.go"}); err == nil {
			t.Errorf("%s is taken", program)
		}
	}
}
