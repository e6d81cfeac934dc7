package dashboards

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"strings"
	"time"
	"unicode"
)

// What the committed files say, where an export may say something else.
const (
	committedRunbook    = "runbook_url: docs/runbook.md#"
	committedPrometheus = "url: http://prometheus:9090\n"
	committedInterval   = "timeInterval: 15s\n"
	committedDashboards = "path: /var/lib/grafana/dashboards/weir\n"
)

// Options say what the files are adapted to. The zero value exports them as they
// are committed.
type Options struct {
	// RunbookURL is where docs/runbook.md is published for those who are woken:
	// http or https. Alerts lead to sections of it. Empty names its path here.
	RunbookURL string
	// PrometheusURL is where Grafana finds Prometheus: http or https, without a
	// password. Empty is http://prometheus:9090.
	PrometheusURL string
	// ScrapeInterval is that of Prometheus for weir, in whole seconds. 0 is 15 s.
	ScrapeInterval time.Duration
	// DashboardsPath is where Grafana's server finds grafana/dashboards: absolute. Empty is
	// /var/lib/grafana/dashboards/weir.
	DashboardsPath string
	// Sidecars are those that Grafana asks with the plugin; none leave its data source out.
	Sidecars []Sidecar
	// TokenFile is where Grafana's server finds the sidecars' token: absolute. Empty has it
	// take WEIR_ADMIN_TOKEN from its environment.
	TokenFile string
}

// Export writes all files below dir, which it makes where it is missing, and gives
// their paths. A file that is there already is replaced as a whole, others are left
// alone. Nothing is written where the options have a mistake.
func Export(dir string, o Options) ([]string, error) {
	adapt, err := o.adapter()
	if err != nil {
		return nil, err
	}
	more, err := o.forSidecars()
	if err != nil {
		return nil, fmt.Errorf("dashboards: export: %w", err)
	}
	files := Files()
	var written []string
	err = fs.WalkDir(files, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(files, path)
		if err != nil {
			return err
		}
		target := filepath.Join(dir, filepath.FromSlash(path))
		if err := replace(target, adapt(text)); err != nil {
			return err
		}
		written = append(written, target)
		return nil
	})
	for _, f := range more {
		if err != nil {
			break
		}
		target := filepath.Join(dir, filepath.FromSlash(f.path))
		err = replace(target, f.text)
		written = append(written, target)
	}
	if err != nil {
		return nil, fmt.Errorf("dashboards: export: %w", err)
	}
	return written, nil
}

// adapter gives what turns a committed file into one of these options.
func (o Options) adapter() (func([]byte) []byte, error) {
	var pairs []string
	if o.RunbookURL != "" {
		u, err := address(o.RunbookURL)
		if err != nil {
			return nil, fmt.Errorf("dashboards: export: runbook URL %w", err)
		}
		pairs = append(pairs, committedRunbook, "runbook_url: "+u+"#")
	}
	if o.PrometheusURL != "" {
		u, err := address(o.PrometheusURL)
		if err != nil {
			return nil, fmt.Errorf("dashboards: export: Prometheus URL %w", err)
		}
		pairs = append(pairs, committedPrometheus, "url: "+u+"\n")
	}
	if o.ScrapeInterval != 0 {
		if o.ScrapeInterval < time.Second || o.ScrapeInterval%time.Second != 0 {
			return nil, fmt.Errorf("dashboards: export: scrape interval %v: it must be whole seconds, 1s or more", o.ScrapeInterval)
		}
		pairs = append(pairs, committedInterval, fmt.Sprintf("timeInterval: %ds\n", o.ScrapeInterval/time.Second))
	}
	if o.DashboardsPath != "" {
		path, err := place(o.DashboardsPath)
		if err != nil {
			return nil, fmt.Errorf("dashboards: export: dashboards path %w", err)
		}
		pairs = append(pairs, committedDashboards, fmt.Sprintf("path: %q\n", path))
	}
	replacer := strings.NewReplacer(pairs...)
	return func(text []byte) []byte { return []byte(replacer.Replace(string(text))) }, nil
}

// address checks a URL and writes it so that YAML takes it for plain text.
func address(text string) (string, error) {
	u, err := url.Parse(text)
	switch {
	case err != nil:
		return "", fmt.Errorf("cannot be read: %w", errors.Unwrap(err)) // it may hold a password
	case u.Scheme != "http" && u.Scheme != "https", u.Host == "":
		return "", fmt.Errorf("%q: it must begin with http:// or https:// and a host", text)
	case u.User != nil:
		return "", errors.New("must not hold a user or a password: the files are not kept secret")
	case u.Fragment != "":
		return "", fmt.Errorf("%q: leave #%s out", text, u.Fragment)
	}
	return u.String(), nil
}

// place checks the path of something that Grafana's server finds, in a file system that
// need not be this one's. To Grafana a dollar begins a variable, and a brace ends one.
func place(text string) (string, error) {
	if !path.IsAbs(text) || strings.ContainsAny(text, "$}") || strings.ContainsFunc(text, unicode.IsControl) {
		return "", fmt.Errorf("%q: it must begin with /, without $, } and control characters", text)
	}
	return path.Clean(text), nil
}

// replace writes a file so that whoever reads it, at whatever moment, finds the old
// one or the new one whole: Grafana and Prometheus look at them while they run.
func replace(path string, text []byte) (err error) {
	if old, err := os.ReadFile(path); err == nil && bytes.Equal(old, text) {
		return nil // it need not be loaded again
	}
	dir := filepath.Dir(path)
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+filepath.Base(path)+"-*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	_, err = f.Write(text)
	// Readable by the users that Grafana and Prometheus run as.
	err = errors.Join(err, f.Chmod(0o644), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}
