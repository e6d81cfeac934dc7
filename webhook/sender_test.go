package webhook

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	standardwebhooks "github.com/standard-webhooks/standard-webhooks/libraries/go"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const patience = 30 * time.Second

// receiver takes messages at an address that is listed.
type receiver struct {
	*httptest.Server
	header http.Header
	body   []byte
}

func newReceiver(t *testing.T, answer http.HandlerFunc) *receiver {
	r := &receiver{}
	r.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		r.header = req.Header.Clone()
		r.body, _ = io.ReadAll(req.Body)
		if answer != nil {
			answer(w, req)
		}
	}))
	t.Cleanup(r.Close)
	return r
}

func newSender(t *testing.T, secrets *SecretFile, timeout time.Duration) *Sender {
	s := NewSender(Options{Guard: NewGuard([]Rule{prefix("127.0.0.0/8")}), Secrets: secrets, Timeout: timeout})
	t.Cleanup(s.Close)
	return s
}

// parseLines is what the file holds: a secret in base64 on each line.
func parseLines(content []byte) ([][]byte, error) {
	var secrets [][]byte
	for line := range bytes.Lines(content) {
		secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(strings.TrimSpace(string(line)), "whsec_"))
		if err != nil {
			return nil, errors.New("it is no secret")
		}
		secrets = append(secrets, secret)
	}
	return secrets, nil
}

func newSecret() string {
	b := make([]byte, 32)
	_, _ = rand.Read(b) // never fails
	return "whsec_" + base64.StdEncoding.EncodeToString(b)
}

func verifier(t *testing.T, secret string) *standardwebhooks.Webhook {
	t.Helper()
	v, err := standardwebhooks.NewWebhook(secret)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// Receivers are the standard's own library, while a secret is exchanged for another.
func TestSignaturesAreTheStandards(t *testing.T) {
	old, current, other := newSecret(), newSecret(), newSecret()
	path := filepath.Join(t.TempDir(), "secrets")
	write := func(secrets ...string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(strings.Join(secrets, "\n")), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write(old)
	var log strings.Builder
	file, err := NewSecretFile(path, parseLines, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	r := newReceiver(t, nil)
	s := newSender(t, file, patience)
	check := func(step string, valid, invalid []string) {
		t.Helper()
		file.checked = time.Time{}
		m := &Message{ID: "call.callback.1", Header: http.Header{"Content-Type": {"text/x"}}, Body: []byte(`{"a":1}` + step)}
		if err := s.SendToCaller(t.Context(), r.URL, m); err != nil {
			t.Fatal(err)
		}
		for _, secret := range valid {
			if err := verifier(t, secret).Verify(r.body, r.header); err != nil {
				t.Errorf("%s: a receiver with a valid secret says: %v", step, err)
			}
			if err := verifier(t, secret).Verify(append(r.body, '.'), r.header); err == nil {
				t.Errorf("%s: another body passes", step)
			}
		}
		for _, secret := range invalid {
			if err := verifier(t, secret).Verify(r.body, r.header); err == nil {
				t.Errorf("%s: a receiver with another secret lets it pass", step)
			}
		}
		if n := len(strings.Fields(r.header.Get("Webhook-Signature"))); n != len(valid) {
			t.Errorf("%s: %d signatures", step, n)
		}
		if r.header.Get("Content-Type") != "text/x" || r.header.Get("Webhook-Id") != m.ID || string(r.body) != string(m.Body) {
			t.Errorf("%s: received %v %q", step, r.header, r.body)
		}
	}
	check("one secret", []string{old}, []string{current, other})
	write(current, old)
	check("both", []string{old, current}, []string{other})
	write("nonsense \x00")
	check("a broken file", []string{old, current}, []string{other})
	write(current, "")
	write(current)
	check("the new one", []string{current}, []string{old, other})
	for _, secret := range []string{old, current, "nonsense"} {
		if strings.Contains(log.String(), strings.TrimPrefix(secret, "whsec_")) {
			t.Errorf("a secret is logged: %s", log.String())
		}
	}
	if !strings.Contains(log.String(), "the last good ones stay in force") {
		t.Errorf("the log says nothing of the broken file: %s", log.String())
	}
}

func TestAnswers(t *testing.T) {
	for name, c := range map[string]struct {
		answer func(w http.ResponseWriter, r *http.Request)
		status int
		after  time.Duration
		gone   bool
		says   string
	}{
		"200":             {func(http.ResponseWriter, *http.Request) {}, 0, 0, false, ""},
		"204":             {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) }, 0, 0, false, ""},
		"503, in a while": {func(w http.ResponseWriter, _ *http.Request) { w.Header().Set("Retry-After", "120"); w.WriteHeader(503) }, 503, 2 * time.Minute, false, "answered 503"},
		"410":             {func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(410) }, 410, 0, true, "answered 410"},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "/elsewhere", http.StatusTemporaryRedirect)
		}, 307, 0, false, "redirects are not followed"},
		"nothing": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, 0, 0, false, "EOF"},
	} {
		t.Run(name, func(t *testing.T) {
			var asked atomic.Int32
			r := newReceiver(t, func(w http.ResponseWriter, req *http.Request) { asked.Add(1); c.answer(w, req) })
			err := newSender(t, nil, patience).SendToCaller(t.Context(), r.URL+"/hook?token=hidden", &Message{ID: "1"})
			if n := asked.Load(); n != 1 {
				t.Errorf("asked %d times", n)
			}
			if c.says == "" {
				if err != nil {
					t.Error(err)
				}
				return
			}
			var f *Failure
			if !errors.As(err, &f) || f.Status != c.status || f.RetryAfter != c.after || f.Gone() != c.gone || !strings.Contains(f.Error(), c.says) {
				t.Errorf("got %#v", err)
			}
			if strings.Contains(err.Error(), "hidden") || strings.Contains(err.Error(), "/hook") {
				t.Errorf("the URL is shown: %v", err)
			}
		})
	}
}

func TestAnAttemptIsBounded(t *testing.T) {
	over := make(chan struct{})
	for name, answer := range map[string]http.HandlerFunc{
		"no answer": func(_ http.ResponseWriter, r *http.Request) {
			select {
			case <-r.Context().Done():
			case <-over:
			}
		},
		"a head without an end": func(w http.ResponseWriter, _ *http.Request) {
			c, b, err := w.(http.Hijacker).Hijack()
			if err != nil {
				return
			}
			defer c.Close()
			for line := "HTTP/1.1 200 OK\r\n"; err == nil; line = "X-More: " + strings.Repeat("x", 1000) + "\r\n" {
				if _, err = b.WriteString(line); err == nil {
					err = b.Flush()
				}
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newReceiver(t, answer)
			err := newSender(t, nil, 500*time.Millisecond).SendToCaller(context.Background(), r.URL+"/?token=hidden", &Message{ID: "1"})
			var f *Failure
			if !errors.As(err, &f) || strings.Contains(err.Error(), "hidden") {
				t.Errorf("got %v", err)
			}
		})
	}
	close(over)
	t.Run("a body without an end", func(t *testing.T) {
		r := newReceiver(t, func(w http.ResponseWriter, _ *http.Request) {
			var err error
			for b := make([]byte, 32<<10); err == nil; {
				_, err = w.Write(b)
			}
		})
		if err := newSender(t, nil, patience).SendToCaller(t.Context(), r.URL, &Message{ID: "1"}); err != nil {
			t.Error(err)
		}
	})
}

func TestTheEnvironmentsProxyIsNotUsed(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://127.0.0.1:1")
	t.Setenv("http_proxy", "http://127.0.0.1:1")
	r := newReceiver(t, nil)
	if err := newSender(t, nil, patience).SendToOperator(t.Context(), r.URL, &Message{ID: "1"}); err != nil {
		t.Error(err)
	}
	if p := newSender(t, nil, patience).callers.Transport.(*http.Transport).Proxy; p != nil {
		t.Error("there is a proxy")
	}
}

func TestCertificatesAreVerified(t *testing.T) {
	r := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was sent") }))
	r.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelDebug)
	r.StartTLS()
	defer r.Close()
	err := newSender(t, nil, patience).SendToCaller(t.Context(), r.URL, &Message{ID: "1"})
	if err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("got %v", err)
	}
}
