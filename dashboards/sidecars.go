package dashboards

import (
	_ "embed"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Sidecar is one weir that the data source of dashboards/plugin is to ask.
type Sidecar struct {
	Name string // what it is called in Grafana: 1 to 63 letters, digits, dots, dashes, underscores
	URL  string // of its management API, as Grafana's server reaches it
}

// ParseSidecar reads NAME=URL.
func ParseSidecar(text string) (Sidecar, error) {
	name, url, ok := strings.Cut(text, "=")
	if !ok {
		return Sidecar{}, fmt.Errorf("%q: write NAME=URL, such as checkout-0=http://10.0.0.1:9465", text)
	}
	return Sidecar{name, url}, nil
}

// What Export writes where sidecars are named; without them it would name a data source
// that Grafana lacks without the plugin.
const (
	sidecarsPath = "grafana/provisioning/datasources/weir-sidecars.yaml"
	livePath     = "grafana/dashboards/weir-live.json"
)

// live is the plugin's dashboard, which it brings along too, to be imported by hand.
//
//go:embed live/weir-live.json
var live []byte

// file is one to be written.
type file struct {
	path string // below the directory of the export
	text []byte
}

// forSidecars gives what Export writes for Grafana with the plugin, nothing where no
// sidecar is named.
func (o Options) forSidecars() ([]file, error) {
	if len(o.Sidecars) == 0 {
		if o.TokenFile != "" {
			return nil, errors.New("a token file is named, and no sidecar")
		}
		return nil, nil
	}
	token := "$WEIR_ADMIN_TOKEN"
	if o.TokenFile != "" {
		path, err := place(o.TokenFile)
		if err != nil {
			return nil, fmt.Errorf("token file %w", err)
		}
		token = "$__file{" + path + "}"
	}
	source, err := provisionSidecars(o.Sidecars, token)
	if err != nil {
		return nil, err
	}
	return []file{{sidecarsPath, source}, {livePath, live}}, nil
}

var sidecarName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$`)

// provisionSidecars gives what makes Grafana know the sidecars, and where it takes their
// token from.
func provisionSidecars(sidecars []Sidecar, token string) ([]byte, error) {
	var list strings.Builder
	seen := map[string]bool{}
	for _, s := range sidecars {
		if !sidecarName.MatchString(s.Name) {
			return nil, fmt.Errorf("sidecar %q: a name has 1 to 63 letters, digits, dots, dashes or underscores", s.Name)
		}
		if seen[s.Name] {
			return nil, fmt.Errorf("sidecar %q is named twice", s.Name)
		}
		seen[s.Name] = true
		u, err := address(s.URL)
		if err != nil {
			return nil, fmt.Errorf("sidecar %s: URL %w", s.Name, err)
		}
		// A dollar would be the name of a variable to Grafana.
		fmt.Fprintf(&list, "        - name: %q\n          url: %q\n", s.Name, strings.ReplaceAll(u, "$", "$$"))
	}
	return fmt.Appendf(nil, `# For Grafana with the plugin weir-weir-datasource (docs/grafana-plugin.md). The token is
# that of --admin-token-file; Grafana's server reads it where the last line says.
apiVersion: 1
datasources:
  - name: weir
    uid: weir-sidecars
    type: weir-weir-datasource
    access: proxy
    jsonData:
      sidecars:
%s    secureJsonData:
      token: %q
`, list.String(), token), nil
}
