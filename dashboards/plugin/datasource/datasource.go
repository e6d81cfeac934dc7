package datasource

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/backend/instancemgmt"
	"github.com/grafana/grafana-plugin-sdk-go/backend/resource/httpadapter"

	"weir/admin/api"
)

// Datasource is one data source as it is set up in Grafana: some sidecars. It is safe
// for concurrent use. Grafana makes another when the settings change.
type Datasource struct {
	uid      string
	settings *settings
	sidecars []*sidecar // as in the settings
	actions  backend.CallResourceHandler
	// ended is closed when the settings have changed or the data source is gone:
	// streams end, and Grafana runs them anew.
	ended chan struct{}
}

var (
	_ backend.QueryDataHandler      = (*Datasource)(nil)
	_ backend.CheckHealthHandler    = (*Datasource)(nil)
	_ backend.CallResourceHandler   = (*Datasource)(nil)
	_ backend.StreamHandler         = (*Datasource)(nil)
	_ instancemgmt.InstanceDisposer = (*Datasource)(nil)
)

// sidecar is one weir.
type sidecar struct {
	name    string
	client  *api.Client
	feed    *feed
	timeout time.Duration
}

// New makes a data source; nothing is sent yet.
func New(_ context.Context, s backend.DataSourceInstanceSettings) (instancemgmt.Instance, error) {
	o, err := readSettings(s)
	if err != nil {
		return nil, backend.DownstreamError(err) // what was typed is wrong, not the plugin
	}
	d := &Datasource{uid: s.UID, settings: o, ended: make(chan struct{})}
	for _, named := range o.sidecars {
		client, err := api.NewClient(api.ClientOptions{Address: named.URL, Token: o.token, TLS: o.tls})
		if err != nil {
			return nil, backend.DownstreamErrorf("sidecar %q: %w", named.Name, err)
		}
		d.sidecars = append(d.sidecars, &sidecar{
			name: named.Name, client: client, timeout: o.timeout,
			feed: newFeed(named.Name, client.Events),
		})
	}
	d.actions = httpadapter.New(d.routes())
	return d, nil
}

// Dispose implements instancemgmt.InstanceDisposer.
func (d *Datasource) Dispose() {
	close(d.ended)
	for _, s := range d.sidecars {
		s.client.Close()
	}
}

// CallResource implements backend.CallResourceHandler.
func (d *Datasource) CallResource(ctx context.Context, r *backend.CallResourceRequest, sender backend.CallResourceResponseSender) error {
	return d.actions.CallResource(ctx, r, sender)
}

// named gives the sidecars of a list of names; an empty one names all.
func (d *Datasource) named(list string) ([]*sidecar, error) {
	if strings.TrimSpace(list) == "" {
		return d.sidecars, nil
	}
	var chosen []*sidecar
	for name := range strings.SplitSeq(list, ",") {
		s := d.sidecar(strings.TrimSpace(name))
		if s == nil {
			return nil, backend.DownstreamErrorf("no sidecar of this data source is named %q", strings.TrimSpace(name))
		}
		if !slices.Contains(chosen, s) {
			chosen = append(chosen, s)
		}
	}
	return chosen, nil
}

// sidecar gives one by its name, nil where there is none. What is asked for is looked
// up in the settings and never dialled by itself.
func (d *Datasource) sidecar(name string) *sidecar {
	i := slices.IndexFunc(d.sidecars, func(s *sidecar) bool { return s.name == name })
	if i < 0 {
		return nil
	}
	return d.sidecars[i]
}

// within bounds one request to a sidecar.
func (s *sidecar) within(ctx context.Context) (context.Context, context.CancelFunc) {
	return context.WithTimeout(ctx, s.timeout)
}

// statusOf is the status that a sidecar's error has towards Grafana.
func statusOf(err error) int {
	switch problem := problemOf(err); {
	case problem == nil:
		return http.StatusBadGateway
	case problem.Status == http.StatusUnauthorized, problem.Status == http.StatusForbidden:
		// Grafana would take these for its own, and ask the user to log in.
		return http.StatusBadGateway
	default:
		return problem.Status
	}
}
