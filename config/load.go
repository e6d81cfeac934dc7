package config

import (
	"crypto/sha256"
	"fmt"
	"slices"

	"github.com/spf13/pflag"
)

// Source is where a configuration comes from. Its zero value gives the defaults.
type Source struct {
	// Flags is a parsed set that Flags has defined its flags in; nil for none.
	// Only flags given on the command line count.
	Flags *pflag.FlagSet
	// Environ is the environment as os.Environ gives it; nil for none.
	Environ []string
	// File is the YAML file. Where empty, --config names it, or else WEIR_CONFIG;
	// where these do not, there is no file.
	File string
	// Command is the function to start, as given on the command line.
	Command []string
}

// file gives the path of the file, "" for none, and who named it.
func (s Source) file(env environment) (path string, named Origin) {
	if s.File != "" {
		return s.File, Origin{}
	}
	if path, ok := changedFlag(s.Flags, configFlag); ok {
		return path, Origin{From: FromFlag, Name: configFlag}
	}
	return env[configVariable], Origin{From: FromEnv, Name: configVariable}
}

// Loaded is a configuration that was validated whole, and where it came from.
// It is immutable.
type Loaded struct {
	Config *Config
	// Origins holds where the value of each setting came from, by YAML key.
	Origins Origins
	// File is the path of the configuration file, empty for none.
	File string

	source  Source
	command Origin            // of Config.Command
	sum     [sha256.Size]byte // of the file's content
}

// Load reads a configuration: flags win over WEIR_* variables, these over
// of-watchdog's environment, that over the file, and that over the defaults.
// On failure it returns Errors: every mistake in every layer, also of values
// that a higher layer overrides.
func Load(src Source) (*Loaded, error) {
	path, _ := src.file(parseEnviron(src.Environ))
	var content []byte
	var err error
	if path != "" {
		content, err = readFile(path)
	}
	return load(src, content, err, settings)
}

// CheckFile validates a file alone, on top of the defaults: neither flags nor
// the environment count. The files that it names must exist. It returns Errors,
// or nil.
func CheckFile(path string) error {
	_, err := Load(Source{File: path})
	return err
}

// loading is a configuration in the making.
type loading struct {
	table    []*setting
	config   *Config
	origins  Origins
	routes   []*locatedRoute
	unusable map[string]bool // keys with a mistake
	mistakes mistakes
}

// load does what Load does with the content of the file, or with what kept it
// from being read.
func load(src Source, content []byte, unreadable error, table []*setting) (*Loaded, error) {
	src.Environ, src.Command = slices.Clone(src.Environ), slices.Clone(src.Command)
	env := parseEnviron(src.Environ)
	l := &loading{
		table:    table,
		config:   &Config{},
		origins:  make(Origins, len(table)),
		unusable: make(map[string]bool),
	}
	if err := setDefaults(l.config, table); err != nil {
		return nil, err
	}
	loaded := &Loaded{Config: l.config, Origins: l.origins, source: src}

	var doc document
	path, named := src.file(env)
	switch {
	case path == "":
		if named.From == FromFlag {
			l.mistakes.add("config", named, "is empty: name a file, or leave it out")
		}
	case unreadable != nil:
		doc.broken = true
		l.mistakes.addCause(shownPath(path), named, unreadable, "cannot be read: %s", unreadable)
	default:
		doc = readYAML(path, content, table, &l.mistakes)
		loaded.File, loaded.sum = path, sha256.Sum256(content)
	}

	for _, key := range doc.unusable {
		l.unusable[key] = true
	}

	fromEnv := readEnv(env, table, &l.mistakes)
	fromFlags := readFlags(src.Flags, table)
	standsIn, why := l.standsIn(env, doc.given, fromEnv, fromFlags)
	var fromWatchdog []given
	var command []string
	var commandOrigin Origin
	if standsIn {
		fromWatchdog, command, commandOrigin = l.readWatchdog(env)
	}
	l.config.Command, loaded.command = command, commandOrigin
	if len(src.Command) > 0 {
		l.config.Command, loaded.command = src.Command, Origin{From: FromFlag}
	}

	for _, layer := range [][]given{doc.given, fromWatchdog, fromEnv, fromFlags} {
		for _, g := range layer {
			l.set(g)
		}
	}
	l.config.OpenFaaS = standsIn
	if why != "" {
		origin := l.origins["openfaas"]
		origin.Detail = why
		l.origins["openfaas"] = origin
	}
	l.derive()
	l.setRoutes(doc.routes)
	if !doc.broken {
		l.relate()
	}
	if err := l.mistakes.err(); err != nil {
		return nil, err
	}
	return loaded, nil
}

func shownPath(path string) string { return Origin{From: FromFile, Name: path}.place() }

// set gives a setting its value, or reports why not. A mistake in a lower layer
// stands even where a higher one overrides it.
func (l *loading) set(g given) {
	key := g.setting.key
	l.origins[key] = g.origin
	if err := g.setting.value.set(l.config, g.text); err != nil {
		l.unusable[key] = true
		l.mistakes.add(key, g.origin, "%s", explain(g.setting.secret, err))
	}
}

// derive works out the defaults that depend on other settings.
func (l *loading) derive() {
	for _, s := range l.table {
		if s.derive == nil || l.explicit(s.key) {
			continue
		}
		s.derive(l.config)
		l.origins[s.key] = Origin{Detail: s.def}
	}
}

func (l *loading) setRoutes(routes []*locatedRoute) {
	l.routes = routes
	for i, r := range routes {
		l.config.Routes = append(l.config.Routes, r.Route)
		l.origins[fmt.Sprintf("%s[%d]", routesKey, i)] = r.origin
	}
}

// standsIn decides whether weir stands in for of-watchdog, before that one's
// environment, of which nothing counts where it does not. why says what decided
// where nobody did.
func (l *loading) standsIn(env environment, layers ...[]given) (yes bool, why string) {
	word := "auto"
	for _, layer := range layers {
		for _, g := range layer {
			if g.setting.key == "openfaas" {
				word = g.text
			}
		}
	}
	if word != "auto" {
		return word == "on", ""
	}
	if name, ok := recognizeWatchdog(env); ok {
		return true, "auto: of-watchdog's " + name + " is set"
	}
	return false, "auto: nothing of of-watchdog's is set"
}
