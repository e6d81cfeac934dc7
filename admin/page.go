package admin

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"net/http"
	"path"
)

// files are the status page: small enough to be read whole, and without a word
// from anywhere else, so that it works where there is no internet.
//
//go:embed page
var files embed.FS

// pagePolicy lets the page run its own script and talk to its own sidecar, and
// nothing else (CSP Level 3).
const pagePolicy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

// pageTypes are the types of its files by extension; the machine's own list may
// differ.
var pageTypes = map[string]string{
	".html": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8",
	".js": "text/javascript; charset=utf-8", ".svg": "image/svg+xml",
}

// servePage adds the page's files to mux.
func servePage(mux *http.ServeMux) {
	entries, err := files.ReadDir("page")
	if err != nil {
		panic("admin: the embedded page: " + err.Error())
	}
	for _, e := range entries {
		content, err := files.ReadFile(path.Join("page", e.Name()))
		if err != nil {
			panic("admin: the embedded page: " + err.Error())
		}
		where := "/" + e.Name()
		if e.Name() == "index.html" {
			where = "/{$}"
		}
		mux.Handle("GET "+where, pageFile(content, pageTypes[path.Ext(e.Name())]))
	}
}

// pageFile serves one file. It is asked for each time, and sent only where it
// has changed, as it may with another version of weir on the same port.
func pageFile(content []byte, media string) http.Handler {
	if media == "" {
		panic("admin: a file of the page has a type that nobody named")
	}
	sum := sha256.Sum256(content)
	tag := `"` + hex.EncodeToString(sum[:8]) + `"`
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Type", media)
		h.Set("Content-Security-Policy", pagePolicy)
		h.Set("Cache-Control", "no-cache")
		h.Set("ETag", tag)
		if r.Header.Get("If-None-Match") == tag {
			w.WriteHeader(http.StatusNotModified)
			return
		}
		_, _ = w.Write(content) // a client that left cannot be told
	})
}
