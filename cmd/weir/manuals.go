//go:build manuals

package main

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra/doc"
)

// Built with the tag manuals, the program does one thing: it writes its manual
// pages and completions, for packages. They are generated from the commands; what
// generates them is not part of what is shipped.
func init() {
	if err := writeManuals(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "weir:", err)
		os.Exit(exitFailed)
	}
	os.Exit(exitOK)
}

func writeManuals(dir string) error {
	root := newRoot(nil)
	root.DisableAutoGenTag = true // a date would make each build another one
	man, completions := filepath.Join(dir, "man"), filepath.Join(dir, "completions")
	for _, d := range []string{man, completions} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	root.InitDefaultCompletionCmd()
	header := &doc.GenManHeader{Section: "1", Source: "weir", Manual: "weir", Date: new(time.Unix(0, 0).UTC())}
	if err := doc.GenManTree(root, header, man); err != nil {
		return err
	}
	for name, write := range map[string]func(string) error{
		"weir.bash": func(f string) error { return root.GenBashCompletionFileV2(f, true) },
		"weir.fish": func(f string) error { return root.GenFishCompletionFile(f, true) },
		"_weir":     root.GenZshCompletionFile,
	} {
		if err := write(filepath.Join(completions, name)); err != nil {
			return err
		}
	}
	return nil
}
