// Command pack puts a built plugin into the archive that Grafana unpacks, with a list of
// checksums in it and one beside it. The same files give the same bytes.
//
//	go run ./pack DIST ARCHIVE
package main

import (
	"archive/zip"
	"bytes"
	"compress/flate"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// folder is what the archive unpacks to: the plugin's id.
const folder = "weir-weir-datasource"

// sums is the list of checksums, in the form of sha256sum.
const sums = "SHA256SUMS"

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: pack DIST ARCHIVE")
		os.Exit(2)
	}
	if err := pack(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "pack:", err)
		os.Exit(1)
	}
}

// expected must be there, besides at least one program.
var expected = []string{
	"plugin.json", "module.js", "img/logo.svg", "dashboards/weir-live.json", "README.md", "CHANGELOG.md",
	"weir-calls-panel/plugin.json", "weir-calls-panel/module.js", "weir-calls-panel/img/logo.svg",
}

func pack(dist, archive string) error {
	var names []string
	err := filepath.WalkDir(dist, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || entry.Name() == sums {
			return err
		}
		name, err := filepath.Rel(dist, file)
		names = append(names, filepath.ToSlash(name))
		return err
	})
	if err != nil {
		return err
	}
	for _, name := range expected {
		if !slices.Contains(names, name) {
			return fmt.Errorf("%s has no %s: build it first", dist, name)
		}
	}
	if !slices.ContainsFunc(names, isProgram) {
		return fmt.Errorf("%s has no program gpx_weir_SYSTEM_PROCESSOR", dist)
	}
	slices.Sort(names)

	var list strings.Builder
	for _, name := range names {
		sum, err := sumOf(filepath.Join(dist, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		fmt.Fprintf(&list, "%s  %s\n", sum, name)
	}
	if err := os.WriteFile(filepath.Join(dist, sums), []byte(list.String()), 0o644); err != nil {
		return err
	}
	if err := write(dist, archive, append(names, sums)); err != nil {
		return err
	}
	sum, err := sumOf(archive)
	if err != nil {
		return err
	}
	return os.WriteFile(archive+".sha256", fmt.Appendf(nil, "%s  %s\n", sum, filepath.Base(archive)), 0o644)
}

func isProgram(name string) bool { return strings.HasPrefix(name, "gpx_weir_") }

func sumOf(file string) (string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sha256.Sum256(text)), nil
}

func write(dist, archive string, names []string) (err error) {
	f, err := os.Create(archive)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	z := zip.NewWriter(f)
	z.RegisterCompressor(zip.Deflate, func(w io.Writer) (io.WriteCloser, error) { return flate.NewWriter(w, flate.BestCompression) })
	for _, name := range names {
		text, err := os.ReadFile(filepath.Join(dist, filepath.FromSlash(name)))
		if err != nil {
			return err
		}
		header := &zip.FileHeader{Name: path.Join(folder, name), Method: zip.Deflate, Modified: time.Date(1980, 1, 1, 0, 0, 0, 0, time.UTC)}
		header.SetMode(0o644)
		if isProgram(name) {
			header.SetMode(0o755) // Grafana starts it
		}
		w, err := z.CreateHeader(header)
		if err == nil {
			_, err = io.Copy(w, bytes.NewReader(text))
		}
		if err != nil {
			return err
		}
	}
	return z.Close()
}
