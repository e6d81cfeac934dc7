package config

import (
	"fmt"
	"strings"
)

// setting is one thing that can be configured. The table of settings is all
// there is to know about them: flags, variables, the YAML reader, what is
// printed and the reference in docs/ come from it.
type setting struct {
	flag string // on the command line, without dashes; names the variable too
	key  string // in YAML, its section before a dot
	// def is the default as a file would write it; where derive is set, it says
	// in words what derive works out.
	def   string
	usage string // one line, for --help and the reference
	value value
	// derive sets the default that depends on other settings.
	derive func(*Config)
	// fixed settings need a restart; the others change while weir runs.
	fixed bool
	// secret settings have no flag, which every user of the machine could read,
	// and are never shown.
	secret bool
}

// variable gives the name of the environment variable.
func (s *setting) variable() string {
	return "WEIR_" + strings.ToUpper(strings.ReplaceAll(s.flag, "-", "_"))
}

// section gives the part of the key before the dot, and the part after.
func (s *setting) section() (section, name string) {
	section, name, nested := strings.Cut(s.key, ".")
	if !nested {
		return "", s.key
	}
	return section, name
}

// shown gives text, or what stands for it where it is secret.
func (s *setting) shown(text string) string {
	if s.secret {
		return "(secret)"
	}
	return text
}

// The file itself is named by a flag and a variable, and by nothing else.
const (
	configFlag     = "config"
	configVariable = "WEIR_CONFIG"
	configUsage    = "configuration file (YAML); read again when it changes"
)

// routesKey is the one part of a file that is no setting.
const routesKey = "routes"

// settingByKey gives the setting of the table with a key, nil if there is none.
func settingByKey(table []*setting, key string) *setting {
	for _, s := range table {
		if s.key == key {
			return s
		}
	}
	return nil
}

// Default returns the configuration of a weir that nobody configured: no file,
// no variable, no flag.
func Default() *Config {
	c := &Config{}
	if err := setDefaults(c, settings); err != nil {
		panic("config: default " + err.Error()) // a mistake in the table above
	}
	return c
}

func setDefaults(c *Config, table []*setting) error {
	for _, s := range table {
		if s.derive != nil {
			continue
		}
		if err := s.value.set(c, s.def); err != nil {
			return fmt.Errorf("%s: %w", s.key, err)
		}
	}
	for _, s := range table {
		if s.derive != nil {
			s.derive(c)
		}
	}
	return nil
}
