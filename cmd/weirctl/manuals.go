//go:build manuals

package main

import (
	"fmt"
	"os"

	"weir/cmd/manuals"
)

// Built with the tag manuals, the program does one thing: it writes its manual
// pages and completions, for packages. What generates them is not part of what is
// shipped.
func init() {
	if err := manuals.Write(newRoot(func(string) string { return "" }), os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, "weirctl:", err)
		os.Exit(exitFailed)
	}
	os.Exit(exitOK)
}
