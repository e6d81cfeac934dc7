package inject

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/pmezard/go-difflib/difflib"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// usage is a mistake in what was typed.
type usage struct{ error }

func (usage) ExitCode() int   { return 2 }
func (u usage) Unwrap() error { return u.error }

// optionFlags registers the options, and weir's own settings through --set.
func optionFlags(fs *pflag.FlagSet, o *Options) {
	for _, option := range options {
		def := option.def
		if option.name == "image" {
			def = o.Image
		}
		fs.Var(&optionFlag{def, option.kind, func(v string) error { return option.set(o, v) }}, option.name, option.usage)
	}
	fs.BoolVar(&o.Classic, "classic", false, "a container like others instead of a native sidecar, for Kubernetes before 1.29")
	fs.Var(&optionFlag{"", "name=value", func(v string) error {
		name, value, ok := strings.Cut(v, "=")
		if !ok {
			return fmt.Errorf("%q is not NAME=VALUE, as in max-inflight=10", v)
		}
		return o.setSetting(name, value)
	}}, "set", "a setting of weir's by its flag, as in max-inflight=10; may be given several times (weir run --help)")
	fs.Var(&optionFlag{"100", "number", func(v string) error { return o.setSetting("max-inflight", v) }}, "max-inflight", "requests running at once in each pod: --set max-inflight=")
	fs.Var(&optionFlag{"60s", "duration", func(v string) error { return o.setSetting("timeout", v) }}, "timeout", "time for a request, which a drain waits for: --set timeout=")
}

// optionFlag is an option as a flag.
type optionFlag struct {
	text, typ string
	set       func(string) error
}

func (f *optionFlag) String() string     { return f.text }
func (f *optionFlag) Type() string       { return f.typ }
func (f *optionFlag) Set(v string) error { f.text = v; return f.set(v) }

// Command is weirctl inject. The image is the one that weir has by default.
func Command(image string) *cobra.Command {
	r := Request{Options: Defaults(image)}
	var names []string
	var uninject, diff bool
	c := &cobra.Command{
		Use:   "inject [-f FILE]...",
		Short: "Put weir beside functions in Kubernetes manifests, or take it out again",
		Long: `Reads Deployments, StatefulSets, DaemonSets, Jobs, CronJobs, Pods, Knative Services
and Lists of them, and writes them with weir as a sidecar. Everything else stays as
it is written: comments, order, quotes. What weir adds stands between marks, so that
--uninject gives back the input byte for byte, and a second run changes nothing.

Annotations weir.sidecar/NAME of a pod template go before the flags of the same
name; any setting of weir run is one too: weir.sidecar/max-inflight: "10".`,
		Example: `  weirctl inject -f deployment.yaml --max-inflight 10 | kubectl apply -f -
  helm template shop | weirctl inject --annotated | kubectl apply -f -
  weirctl inject -f deployment.yaml --diff
  weirctl inject -f injected.yaml --uninject > deployment.yaml`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			files, err := read(names, c.InOrStdin())
			if err != nil {
				return err
			}
			var out []File
			var notes []Message
			if uninject {
				out, err = Strip(files, r.Force)
			} else {
				out, notes, err = Add(files, r)
			}
			if err != nil {
				return asUsage(err)
			}
			for _, n := range notes {
				_, _ = fmt.Fprintf(c.ErrOrStderr(), "%v\n", &n) // there is nobody else to tell
			}
			return write(c.OutOrStdout(), files, out, diff)
		},
	}
	fs := c.Flags()
	fs.StringArrayVarP(&names, "file", "f", []string{"-"}, "manifests to read; - is standard input; may be given several times")
	fs.BoolVar(&uninject, "uninject", false, "take out what weirctl inject added")
	fs.BoolVar(&diff, "diff", false, "print what would change instead of the manifests")
	fs.BoolVar(&r.Annotated, "annotated", false, "only pods with the annotation weir.sidecar/inject: \"true\"")
	fs.BoolVar(&r.Force, "force", false, "give up what was edited by hand between weir's marks")
	optionFlags(fs, &r.Options)
	return c
}

// asUsage makes one error of mistakes in the input, one a line.
func asUsage(err error) error {
	return usage{errors.New(strings.ReplaceAll(err.Error(), "\n", "\nweirctl: "))}
}

// sizeLimit bounds one file. Lists of a whole cluster are smaller.
const sizeLimit = 64 << 20

func read(names []string, stdin io.Reader) ([]File, error) {
	var files []File
	for _, name := range names {
		from := stdin
		if name == "-" {
			name = "stdin"
		} else {
			f, err := os.Open(name)
			if err != nil {
				return nil, usage{err}
			}
			defer func() { _ = f.Close() }()
			from = f
		}
		text, err := io.ReadAll(io.LimitReader(from, sizeLimit+1))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		if len(text) > sizeLimit {
			return nil, usage{fmt.Errorf("%s: more than %d MiB", name, sizeLimit>>20)}
		}
		files = append(files, File{name, string(text)})
	}
	return files, nil
}

// write prints the files as one stream, or how they differ from what was read.
func write(w io.Writer, from, to []File, diff bool) error {
	for i := range to {
		text := to[i].Text
		if diff {
			var err error
			if text, err = difflib.GetUnifiedDiffString(difflib.UnifiedDiff{
				A: difflib.SplitLines(from[i].Text), B: difflib.SplitLines(to[i].Text),
				FromFile: from[i].Name, ToFile: from[i].Name + " with weir", Context: 3,
			}); err != nil {
				return err
			}
		} else if i > 0 && !strings.HasPrefix(text, "---") {
			text = "---\n" + text
		}
		if !diff && i < len(to)-1 && text != "" && !strings.HasSuffix(text, "\n") {
			text += "\n"
		}
		if _, err := io.WriteString(w, text); err != nil {
			return err
		}
	}
	return nil
}
