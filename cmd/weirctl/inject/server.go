package inject

import (
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"mime"
	"net"
	"net/http"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"

	"github.com/spf13/cobra"
)

// reviewLimit bounds a request: the API server's own limit of an object is 3 MiB,
// and a review holds it once more at most.
const reviewLimit = 8 << 20

// handler serves POST /mutate and GET /healthz.
func handler(o Options, log *slog.Logger) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "ok\n") // a prober that left cannot be told
	})
	mux.HandleFunc("POST /mutate", func(w http.ResponseWriter, r *http.Request) {
		if kind, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); err != nil || kind != "application/json" {
			http.Error(w, "an AdmissionReview as application/json is needed", http.StatusUnsupportedMediaType)
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, reviewLimit))
		if err != nil {
			status := http.StatusBadRequest
			if errors.As(err, new(*http.MaxBytesError)) {
				status = http.StatusRequestEntityTooLarge
			}
			http.Error(w, err.Error(), status)
			return
		}
		review, done, err := answer(body, o)
		if err != nil {
			log.Error("not answered", "pod", done.pod, "err", err)
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		switch done.action {
		case "failed":
			log.Error("not injected", "pod", done.pod, "why", done.why)
		case "injected":
			log.Info("injected", "pod", done.pod)
		default:
			log.Debug("left as it is", "pod", done.pod, "why", done.why)
		}
		w.Header().Set("Content-Type", "application/json")
		if err := json.NewEncoder(w).Encode(review); err != nil {
			log.Warn("the answer was not taken", "pod", done.pod, "err", err)
		}
	})
	return mux
}

// certificate is one of two files, read again when one of them changes: those who
// issue certificates renew them in place.
type certificate struct {
	cert, key string

	mu     sync.Mutex
	loaded *tls.Certificate
	seen   [2]stamp
}

type stamp struct {
	time time.Time
	size int64
}

func (c *certificate) get(log *slog.Logger) (*tls.Certificate, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	var now [2]stamp
	for i, name := range []string{c.cert, c.key} {
		info, err := os.Stat(name)
		if err != nil {
			return c.old(log, err)
		}
		now[i] = stamp{info.ModTime(), info.Size()}
	}
	if c.loaded != nil && now == c.seen {
		return c.loaded, nil
	}
	pair, err := tls.LoadX509KeyPair(c.cert, c.key)
	if err != nil {
		return c.old(log, err)
	}
	c.loaded, c.seen = &pair, now
	return c.loaded, nil
}

// old is the certificate that was read before, if any: the files may be half
// written.
func (c *certificate) old(log *slog.Logger, err error) (*tls.Certificate, error) {
	if c.loaded == nil {
		return nil, err
	}
	log.Warn("the certificate cannot be read; the old one stays in use", "err", err)
	return c.loaded, nil
}

// serve answers reviews until ctx ends, and then those under way. It closes ln.
func serve(ctx context.Context, ln net.Listener, c *certificate, o Options, log *slog.Logger) error {
	if _, err := c.get(log); err != nil {
		_ = ln.Close()
		return usage{err}
	}
	server := &http.Server{
		Handler:           handler(o, log),
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       10 * time.Second,
		WriteTimeout:      30 * time.Second, // more than the 30 s that an API server waits at most would help nobody
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    16 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
		TLSConfig: &tls.Config{
			MinVersion:     tls.VersionTLS12,
			GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) { return c.get(log) },
		},
	}
	failed := make(chan error, 1)
	go func() { failed <- server.ServeTLS(ln, "", "") }()
	select {
	case err := <-failed:
		return err
	case <-ctx.Done():
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	return server.Shutdown(ctx)
}

// WebhookCommand is weirctl webhook. The image is the one that weir has by default.
func WebhookCommand(image string) *cobra.Command {
	o := Defaults(image)
	var listen string
	var files certificate
	c := &cobra.Command{
		Use:   "webhook --tls-cert FILE --tls-key FILE",
		Short: "Put weir into pods as they are created: a mutating admission webhook",
		Long: `Serves POST /mutate for the API server, over TLS. Pods with the annotation or label
weir.sidecar/inject: "true" get weir as weirctl inject would put it there; flags are
the defaults, annotations weir.sidecar/NAME of a pod go before them. A pod is never
refused: one that cannot have weir gets an annotation weir.sidecar/not-injected that
says why. The certificate is read again when its files change.`,
		Args: cobra.NoArgs,
		RunE: func(c *cobra.Command, _ []string) error {
			if files.cert == "" || files.key == "" {
				return usage{errors.New("--tls-cert and --tls-key are needed: the API server speaks TLS only")}
			}
			if o.Ports == byService {
				return usage{errors.New("--ports service changes Services, which a pod's admission cannot: use name or move")}
			}
			log := slog.New(slog.NewJSONHandler(c.ErrOrStderr(), nil))
			ln, err := net.Listen("tcp", listen)
			if err != nil {
				return fmt.Errorf("--listen %s: %w", listen, err)
			}
			ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
			defer stop()
			log.Info("listening", "addr", ln.Addr().String(), "image", o.Image)
			return serve(ctx, ln, &files, o, log)
		},
	}
	fs := c.Flags()
	fs.StringVar(&listen, "listen", ":8443", "address to listen on, host:port")
	fs.StringVar(&files.cert, "tls-cert", "", "PEM file of the certificate and its chain")
	fs.StringVar(&files.key, "tls-key", "", "PEM file of the certificate's private key")
	optionFlags(fs, &o)
	return c
}
