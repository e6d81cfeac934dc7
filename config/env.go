package config

import (
	"maps"
	"slices"
	"strings"
)

const variablePrefix = "WEIR_"

// toolVariables are weirctl's: whoever exports them may run weir in the same
// shell.
var toolVariables = []string{"WEIR_ADMIN", "WEIR_ADMIN_TOKEN", "WEIR_ADMIN_CA", "WEIR_ADMIN_CERT", "WEIR_ADMIN_KEY"}

// environment is the variables of a process by name.
type environment map[string]string

// parseEnviron reads what os.Environ gives. Of a name that is there twice, the
// first one counts, as for os.Getenv.
func parseEnviron(environ []string) environment {
	env := make(environment, len(environ))
	for _, pair := range environ {
		name, value, ok := strings.Cut(pair, "=")
		if _, twice := env[name]; ok && name != "" && !twice {
			env[name] = value
		}
	}
	return env
}

// readEnv gives what the WEIR_* variables say. A variable set to nothing is set:
// WEIR_READY_PATH= empties what the file says.
func readEnv(env environment, table []*setting, m *mistakes) []given {
	var out []given
	known := []string{configVariable}
	for _, s := range table {
		name := s.variable()
		known = append(known, name)
		if text, ok := env[name]; ok {
			out = append(out, given{setting: s, text: text, origin: Origin{From: FromEnv, Name: name}})
		}
	}
	for _, name := range slices.Sorted(maps.Keys(env)) {
		if !strings.HasPrefix(name, variablePrefix) || slices.Contains(known, name) || slices.Contains(toolVariables, name) || isServiceLink(name, env[name]) {
			continue
		}
		if name == "WEIR_ROUTES" {
			m.add(name, Origin{}, "routes have no variable: write them into the configuration file")
			continue
		}
		m.add(shownKey(name), Origin{}, "unknown variable, %s", suggestVariable(name, table, known))
	}
	return out
}

// suggestVariable gives the variable that was probably meant: named after the
// YAML key instead of the flag, or misspelled.
func suggestVariable(name string, table []*setting, known []string) string {
	for _, s := range table {
		if fold(strings.TrimPrefix(name, variablePrefix)) == fold(strings.ReplaceAll(s.key, ".", "_")) {
			return "did you mean " + s.variable() + "?"
		}
	}
	if best := nearest(name, known); best != "" {
		return "did you mean " + best + "?"
	}
	return "weir run --help lists the flags, and each variable is named after one"
}
