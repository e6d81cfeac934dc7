package plugin

import (
	"context"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	"github.com/grafana/grafana-plugin-sdk-go/backend/grpcplugin"
	"github.com/grafana/grafana-plugin-sdk-go/genproto/pluginv2"
	"github.com/hashicorp/go-hclog"
	goplugin "github.com/hashicorp/go-plugin"

	"weir/dashboards/plugin/datasource"
)

// host is Grafana's side of a running plugin: the handshake, the protocol and the
// services are those that Grafana's server uses.
type host struct {
	diagnostics grpcplugin.DiagnosticsClient
	resource    grpcplugin.ResourceClient
	data        grpcplugin.DataClient
	stream      grpcplugin.StreamClient
	log         *logText
}

// logText keeps what a plugin says. It is safe for concurrent use.
type logText struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logText) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logText) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func startPlugin(t testing.TB) *host {
	t.Helper()
	h := &host{log: new(logText)}
	cmd := exec.Command(program(t, "gpx_weir"))
	// Grafana hands on no more of its environment than it must.
	cmd.Env = []string{"GF_PLUGIN_ID=" + datasource.ID, "PATH=" + os.Getenv("PATH")}
	client := goplugin.NewClient(&goplugin.ClientConfig{
		Cmd: cmd,
		HandshakeConfig: goplugin.HandshakeConfig{
			ProtocolVersion: grpcplugin.ProtocolVersion, MagicCookieKey: grpcplugin.MagicCookieKey, MagicCookieValue: grpcplugin.MagicCookieValue,
		},
		VersionedPlugins: map[int]goplugin.PluginSet{grpcplugin.ProtocolVersion: {
			"diagnostics": &grpcplugin.DiagnosticsGRPCPlugin{},
			"resource":    &grpcplugin.ResourceGRPCPlugin{},
			"data":        &grpcplugin.DataGRPCPlugin{},
			"stream":      &grpcplugin.StreamGRPCPlugin{},
		}},
		SkipHostEnv:      true,
		AllowedProtocols: []goplugin.Protocol{goplugin.ProtocolGRPC},
		Logger:           hclog.New(&hclog.LoggerOptions{Level: hclog.Trace, Output: h.log}),
	})
	t.Cleanup(func() {
		client.Kill()
		if t.Failed() {
			t.Logf("the plugin said:\n%s", h.log)
		}
	})
	rpc, err := client.Client()
	if err != nil {
		t.Fatalf("the plugin does not start: %v\n%s", err, h.log)
	}
	if v := client.NegotiatedVersion(); v != 2 {
		t.Fatalf("the plugin speaks protocol %d", v)
	}
	h.diagnostics = dispense[grpcplugin.DiagnosticsClient](t, rpc, "diagnostics")
	h.resource = dispense[grpcplugin.ResourceClient](t, rpc, "resource")
	h.data = dispense[grpcplugin.DataClient](t, rpc, "data")
	h.stream = dispense[grpcplugin.StreamClient](t, rpc, "stream")
	return h
}

func dispense[T any](t testing.TB, rpc goplugin.ClientProtocol, name string) T {
	t.Helper()
	raw, err := rpc.Dispense(name)
	if err != nil {
		t.Fatal(err)
	}
	return raw.(T)
}

// source is a data source as Grafana has it stored.
type source struct {
	uid      string
	sidecars map[string]string // URLs by name; in the order of order
	order    []string
	token    string
	more     map[string]any // of the JSON data
}

// as gives the context of a request by a user of some role; "" is no user.
func (s source) as(t testing.TB, role string) *pluginv2.PluginContext {
	t.Helper()
	type named struct {
		Name string `json:"name"`
		URL  string `json:"url"`
	}
	visible := map[string]any{"timeoutSeconds": 10}
	var list []named
	for _, name := range s.order {
		list = append(list, named{name, s.sidecars[name]})
	}
	visible["sidecars"] = list
	for k, v := range s.more {
		visible[k] = v
	}
	text, err := json.Marshal(visible)
	if err != nil {
		t.Fatal(err)
	}
	c := backend.PluginContext{
		Namespace: "default", PluginID: datasource.ID, PluginVersion: "0.0.0",
		DataSourceInstanceSettings: &backend.DataSourceInstanceSettings{
			ID: 7, UID: s.uid, Type: datasource.ID, Name: s.uid, JSONData: text,
			DecryptedSecureJSONData: map[string]string{"token": s.token}, Updated: time.Unix(1, 0),
		},
	}
	if role != "" {
		c.User = &backend.User{Login: "somebody", Name: "Some Body", Role: role}
	}
	return backend.ToProto().PluginContext(c)
}

func (h *host) health(t testing.TB, s source) (status, message string) {
	t.Helper()
	answer, err := h.diagnostics.CheckHealth(t.Context(), &pluginv2.CheckHealthRequest{PluginContext: s.as(t, "Admin")})
	if err != nil {
		t.Fatal(err)
	}
	return answer.Status.String(), answer.Message
}

// query asks one query, over the last ten minutes.
func (h *host) query(t testing.TB, s source, role, kind string, q map[string]any) backend.DataResponse {
	t.Helper()
	text, err := json.Marshal(q)
	if err != nil {
		t.Fatal(err)
	}
	now := time.Now()
	answer, err := h.data.QueryData(t.Context(), &pluginv2.QueryDataRequest{
		PluginContext: s.as(t, role),
		Queries: []*pluginv2.DataQuery{{
			RefId: "A", QueryType: kind, Json: text, MaxDataPoints: 1000, IntervalMS: 1000,
			TimeRange: &pluginv2.TimeRange{FromEpochMS: now.Add(-10 * time.Minute).UnixMilli(), ToEpochMS: now.Add(time.Minute).UnixMilli()},
		}},
	})
	if err != nil {
		t.Fatal(err)
	}
	response, err := backend.FromProto().QueryDataResponse(answer)
	if err != nil {
		t.Fatal(err)
	}
	return response.Responses["A"]
}

// resource calls a resource, and gives its status and body.
func (h *host) call(t testing.TB, s source, role, method, path, body string) (int, string) {
	t.Helper()
	return h.callWith(t, s, role, method, path, body, "application/json")
}

func (h *host) callWith(t testing.TB, s source, role, method, path, body, media string) (int, string) {
	t.Helper()
	stream, err := h.resource.CallResource(t.Context(), &pluginv2.CallResourceRequest{
		PluginContext: s.as(t, role), Method: method, Path: path, Url: path, Body: []byte(body),
		Headers: map[string]*pluginv2.StringList{"Content-Type": {Values: []string{media}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	status, text := 0, ""
	for {
		part, err := stream.Recv()
		if err == io.EOF {
			return status, text
		}
		if err != nil {
			t.Fatalf("%s %s: %v", method, path, err)
		}
		if part.Code != 0 {
			status = int(part.Code)
		}
		text += string(part.Body)
	}
}

// follow runs a stream; what it sends comes on the channel, which is closed at its end.
func (h *host) follow(t testing.TB, ctx context.Context, s source, path string) <-chan json.RawMessage {
	t.Helper()
	stream, err := h.stream.RunStream(ctx, &pluginv2.RunStreamRequest{PluginContext: s.as(t, "Viewer"), Path: path})
	if err != nil {
		t.Fatal(err)
	}
	packets := make(chan json.RawMessage, 100)
	go func() {
		defer close(packets)
		for {
			packet, err := stream.Recv()
			if err != nil {
				return
			}
			packets <- packet.Data
		}
	}()
	return packets
}
