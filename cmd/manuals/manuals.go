// Package manuals writes what packages ship beside a program and what is made from
// its commands: manual pages and completions. Only builds with the tag manuals
// import it.
package manuals

import (
	"os"
	"path/filepath"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

// Write fills dir/man and dir/completions with those of root, under its name. The
// same commands give the same bytes.
func Write(root *cobra.Command, dir string) error {
	root.DisableAutoGenTag = true // a date would make each build another one
	man, completions := filepath.Join(dir, "man"), filepath.Join(dir, "completions")
	for _, d := range []string{man, completions} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			return err
		}
	}
	root.InitDefaultCompletionCmd()
	name := root.Name()
	header := &doc.GenManHeader{Section: "1", Source: "weir", Manual: "weir", Date: new(time.Unix(0, 0).UTC())}
	if err := doc.GenManTree(root, header, man); err != nil {
		return err
	}
	for file, write := range map[string]func(string) error{
		name + ".bash": func(f string) error { return root.GenBashCompletionFileV2(f, true) },
		name + ".fish": func(f string) error { return root.GenFishCompletionFile(f, true) },
		"_" + name:     root.GenZshCompletionFile,
	} {
		if err := write(filepath.Join(completions, file)); err != nil {
			return err
		}
	}
	return nil
}
