package main

import (
	"archive/zip"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestPack(t *testing.T) {
	dist, out := t.TempDir(), t.TempDir()
	for _, name := range append(slices.Clone(expected), "gpx_weir_linux_amd64") {
		file := filepath.Join(dist, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := pack(dist, filepath.Join(out, "early.zip")); err == nil {
			t.Fatalf("packed without %s", name)
		}
		if err := os.WriteFile(file, []byte(name), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	first, second := filepath.Join(out, "first.zip"), filepath.Join(out, "second.zip")
	for _, archive := range []string{first, second} {
		if err := pack(dist, archive); err != nil {
			t.Fatal(err)
		}
	}
	a, _ := os.ReadFile(first)
	b, _ := os.ReadFile(second)
	if len(a) == 0 || !bytes.Equal(a, b) {
		t.Error("the same files give different archives")
	}
	z, err := zip.OpenReader(first)
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var list string
	for _, f := range z.File {
		name, ok := strings.CutPrefix(f.Name, folder+"/")
		if !ok {
			t.Errorf("%s is outside of the folder", f.Name)
		}
		if program := f.Mode().Perm() == 0o755; program != isProgram(name) {
			t.Errorf("%s has the mode %v", name, f.Mode())
		}
		r, err := f.Open()
		if err != nil {
			t.Fatal(err)
		}
		text, err := io.ReadAll(r)
		if err != nil {
			t.Fatal(err)
		}
		if name == sums {
			list = string(text)
		}
	}
	if len(z.File) != len(expected)+2 || strings.Count(list, "\n") != len(expected)+1 {
		t.Errorf("%d files, checksums\n%s", len(z.File), list)
	}
}
