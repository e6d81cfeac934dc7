package datasource

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"
	"time"

	"github.com/grafana/grafana-plugin-sdk-go/backend"

	"weir/admin/api"
)

// Bounds of a change.
const (
	maxChangeBody   = 4 << 10
	maxCursor       = 1 << 10
	changeTimeout   = 20 * time.Second // of redriving a page of dead letters
	maxFailedListed = 20
)

// routes are the resources of the data source. Grafana has checked that the user may
// ask it, and its protection against cross-site requests; who may change anything is
// checked here, since for that Grafana asks for no more than the right to query.
func (d *Datasource) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sidecars", d.listSidecars)
	mux.HandleFunc("POST /sidecars/{sidecar}/calls/{id}/cancel", d.change("cancel", func(ctx context.Context, s *sidecar, c change) (any, error) {
		return s.client.CancelCall(ctx, api.CallQuery{ID: c.id})
	}))
	mux.HandleFunc("POST /sidecars/{sidecar}/dead-letters/{id}/redrive", d.change("redrive", func(ctx context.Context, s *sidecar, c change) (any, error) {
		return s.client.Redrive(ctx, api.CallQuery{ID: c.id})
	}))
	mux.HandleFunc("POST /sidecars/{sidecar}/dead-letters/redrive", d.change("redrive all", func(ctx context.Context, s *sidecar, c change) (any, error) {
		done, err := s.client.RedriveAll(ctx, api.RedriveQuery{Cursor: c.Cursor})
		if err == nil && len(done.Failed) > maxFailedListed {
			done.Failed = done.Failed[:maxFailedListed]
		}
		return done, err
	}))
	mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusNotFound, "there is no such resource")
	})
	return mux
}

func (d *Datasource) listSidecars(w http.ResponseWriter, _ *http.Request) {
	list := make([]string, len(d.sidecars)) // without their URLs: viewers see it
	for i, s := range d.sidecars {
		list[i] = s.name
	}
	write(w, http.StatusOK, map[string]any{"sidecars": list})
}

// change is what is to be changed.
type change struct {
	id     string // of a call, "" where all are meant
	Cursor string `json:"cursor"`
}

// change makes a handler of something that editors and admins may do.
func (d *Datasource) change(name string, do func(context.Context, *sidecar, change) (any, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		user := backend.UserFromContext(r.Context())
		if !mayChange(user) {
			refuse(w, http.StatusForbidden, "this takes the role Editor or Admin")
			return
		}
		s := d.sidecar(r.PathValue("sidecar"))
		if s == nil {
			refuse(w, http.StatusNotFound, "no sidecar of this data source has that name")
			return
		}
		c := change{id: r.PathValue("id")}
		if strings.Contains(r.Pattern, "{id}") && !isID(c.id) {
			refuse(w, http.StatusBadRequest, "that is no id of a call")
			return
		}
		if status, err := readChange(r, &c); err != nil {
			refuse(w, status, err.Error())
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), max(s.timeout, changeTimeout))
		defer cancel()
		answer, err := do(ctx, s, c)
		log := backend.Logger.With("action", name, "sidecar", s.name, "call", c.id, "user", user.Login, "role", user.Role)
		if err != nil {
			log.Warn("a change was refused", "error", explain(err))
			refuse(w, statusOf(err), s.name+": "+explain(err))
			return
		}
		log.Info("a change was made")
		write(w, http.StatusOK, answer)
	}
}

// mayChange says whether a user may change anything. Grafana's alerting and others
// that ask without a user may not.
func mayChange(user *backend.User) bool {
	return user != nil && (user.Role == "Editor" || user.Role == "Admin")
}

// isID says whether text can be a call's id.
func isID(text string) bool {
	return text != "" && len(text) <= 128 && strings.Trim(strings.ToLower(text), "0123456789abcdefghijklmnopqrstuvwxyz") == ""
}

// readChange reads the body: a JSON object, and nothing that a form could send.
func readChange(r *http.Request, c *change) (status int, err error) {
	if media, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || media != "application/json" {
		return http.StatusUnsupportedMediaType, errors.New("a change needs Content-Type: application/json")
	}
	if r.Body == nil {
		return http.StatusBadRequest, errors.New("the body is empty: it must be a JSON object")
	}
	body, err := io.ReadAll(io.LimitReader(r.Body, maxChangeBody+1))
	if err != nil || len(body) > maxChangeBody {
		return http.StatusRequestEntityTooLarge, errors.New("the body is too large")
	}
	decoder := json.NewDecoder(strings.NewReader(string(body)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(c); err != nil || decoder.More() {
		return http.StatusBadRequest, errors.New(`the body is no JSON object with nothing but a cursor in it`)
	}
	if len(c.Cursor) > maxCursor {
		return http.StatusBadRequest, errors.New("the cursor is too long")
	}
	return 0, nil
}

func refuse(w http.ResponseWriter, status int, text string) {
	write(w, status, map[string]string{"message": text}) // as Grafana's own errors
}

func write(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v) // whoever has left cannot be told
}
