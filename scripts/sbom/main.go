// Command sbom writes what programs are made of, as CycloneDX 1.6 JSON, from what
// the Go linker has put into them. The same programs give the same bytes.
//
//	sbom [-dir DIR] -o weir.cdx.json PROGRAM...
//
// Paths are relative to DIR.
package main

import (
	"cmp"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/hex"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	dir := flag.String("dir", ".", "directory that paths are relative to")
	out := flag.String("o", "", "file to write")
	flag.Parse()
	if err := run(*dir, *out, flag.Args()); err != nil {
		fmt.Fprintln(os.Stderr, "sbom:", err)
		os.Exit(1)
	}
}

func run(dir, out string, programs []string) (err error) {
	if out == "" {
		return errors.New("where to? usage: sbom [-dir DIR] -o FILE PROGRAM")
	}
	if err := os.Chdir(dir); err != nil {
		return err
	}
	f, err := os.Create(out)
	if err != nil {
		return err
	}
	return errors.Join(write(f, programs), f.Close())
}

// The parts of CycloneDX that are used: https://cyclonedx.org/docs/1.6/json/
type document struct {
	Format      string      `json:"bomFormat"`
	SpecVersion string      `json:"specVersion"`
	Version     int         `json:"version"`
	Metadata    metadata    `json:"metadata"`
	Components  []component `json:"components"`
}

type metadata struct {
	Component component `json:"component"`
}

type component struct {
	Type    string `json:"type"` // application or library
	Ref     string `json:"bom-ref,omitempty"`
	Name    string `json:"name"`
	Version string `json:"version,omitempty"`
	URL     string `json:"purl,omitempty"`
	Hashes  []hash `json:"hashes,omitempty"`
}

type hash struct {
	Algorithm string `json:"alg"`
	Content   string `json:"content"`
}

func write(w io.Writer, programs []string) error {
	if len(programs) == 0 {
		return errors.New("of which programs?")
	}
	d := document{Format: "CycloneDX", SpecVersion: "1.6", Version: 1}
	for _, name := range programs {
		info, err := buildinfo.ReadFile(name)
		if err != nil {
			return err
		}
		content, err := os.ReadFile(name)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(content)
		d.Metadata.Component = component{Type: "application", Ref: info.Main.Path, Name: info.Main.Path}
		program := component{Type: "application", Ref: filepath.Base(name), Name: filepath.Base(name), Hashes: []hash{{"SHA-256", hex.EncodeToString(sum[:])}}}
		goVersion := strings.TrimPrefix(info.GoVersion, "go")
		d.Components = append(d.Components, program, component{Type: "library", Ref: "pkg:golang/std@" + goVersion, Name: "std", Version: goVersion, URL: "pkg:golang/std@" + goVersion})
		for _, m := range info.Deps {
			if m.Replace != nil {
				m = m.Replace
			}
			url := "pkg:golang/" + m.Path + "@" + m.Version
			d.Components = append(d.Components, component{Type: "library", Ref: url, Name: m.Path, Version: m.Version, URL: url})
		}
	}
	slices.SortFunc(d.Components, func(a, b component) int {
		return cmp.Or(cmp.Compare(a.Type, b.Type), cmp.Compare(a.Ref, b.Ref))
	})
	d.Components = slices.CompactFunc(d.Components, func(a, b component) bool { return a.Ref == b.Ref })
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(d)
}
