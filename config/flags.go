package config

import (
	"strings"

	"github.com/spf13/pflag"
)

// Flags defines a flag for each setting, and --config. A flag takes any text;
// Load reads it, so that its mistakes are reported together with all others.
func Flags(fs *pflag.FlagSet) {
	fs.Var(&flagText{typ: "file"}, configFlag, configUsage)
	for _, s := range settings {
		if s.secret {
			continue // every user of the machine can read a command line
		}
		typ := string(s.value.kind)
		switch s.value.kind {
		case kindBool:
			typ = "bool" // pflag then knows that it needs no value
		case kindChoice:
			typ = strings.Trim(strings.Join(s.value.choices, "|"), "|")
		}
		flag := fs.VarPF(&flagText{text: s.def, typ: typ, list: s.value.kind == kindList}, s.flag, "", s.usage)
		if s.value.kind == kindBool {
			flag.NoOptDefVal = "true"
		}
	}
}

// flagText is a pflag.Value that takes what it is given. A list given several
// times grows; of everything else, the last one counts.
type flagText struct {
	text string
	typ  string // as shown by --help
	list bool
	set  bool
}

func (f *flagText) String() string { return f.text }
func (f *flagText) Type() string   { return f.typ }

func (f *flagText) Set(text string) error {
	if f.list && f.set {
		text = strings.Join([]string{f.text, text}, ",")
	}
	f.text, f.set = text, true
	return nil
}

// changedFlag gives the text of a flag that was given on the command line.
func changedFlag(fs *pflag.FlagSet, name string) (string, bool) {
	if fs == nil {
		return "", false
	}
	flag := fs.Lookup(name)
	if flag == nil || !flag.Changed {
		return "", false
	}
	return flag.Value.String(), true
}

// readFlags gives what the command line says.
func readFlags(fs *pflag.FlagSet, table []*setting) []given {
	var out []given
	for _, s := range table {
		if text, ok := changedFlag(fs, s.flag); ok && !s.secret {
			out = append(out, given{setting: s, text: text, origin: Origin{From: FromFlag, Name: s.flag}})
		}
	}
	return out
}
