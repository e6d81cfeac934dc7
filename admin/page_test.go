package admin

import (
	"io/fs"
	"net/http/httptest"
	"path"
	"regexp"
	"strings"
	"testing"
)

func TestThePageIsSmallAndAloneInTheWorld(t *testing.T) {
	_, o := newStub(t)
	handler := New(o).Handler()
	total := 0
	err := fs.WalkDir(files, "page", func(file string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		where := "/" + path.Base(file)
		if where == "/index.html" {
			where = "/"
		}
		r := httptest.NewRequestWithContext(t.Context(), "GET", where, nil)
		r.Host = "localhost"
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, r)
		h := w.Header()
		if w.Code != 200 || h.Get("Content-Type") == "" || h.Get("X-Content-Type-Options") != "nosniff" || h.Get("Cache-Control") != "no-cache" {
			t.Errorf("%s: %d %v", where, w.Code, h)
		}
		policy := h.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none'; ") || strings.Contains(policy, "unsafe") || strings.Contains(policy, "*") || !strings.Contains(policy, "frame-ancestors 'none'") {
			t.Errorf("%s: policy %q", where, policy)
		}
		total += w.Body.Len()
		body := w.Body.String()
		for what, pattern := range map[string]string{
			"an address elsewhere": `(?:src|href|url|import|fetch)\W{1,3}(?:https?:)?//`,
			"a style attribute":    `(?i)[^-]style="|"style"`,
			"an inline handler":    `(?i)\son[a-z]+=["']`,
			"inline code":          `(?i)<script(?:[^>]*)>[^<]|<style|javascript:|innerHTML|insertAdjacentHTML|\beval\(`,
		} {
			if m := regexp.MustCompile(pattern).FindString(body); m != "" {
				t.Errorf("%s holds %s: %q", where, what, m)
			}
		}
		tag := h.Get("ETag")
		r.Header.Set("If-None-Match", tag)
		w = httptest.NewRecorder()
		if handler.ServeHTTP(w, r); tag == "" || w.Code != 304 || w.Body.Len() > 0 {
			t.Errorf("%s: known as %s, it is sent with %d again", where, tag, w.Code)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if total < 10_000 || total > 48_000 {
		t.Errorf("the page has %d bytes", total)
	}
}

func TestThePageNeedsNoToken(t *testing.T) {
	_, o := newStub(t)
	o.Token = &TokenFile{}
	handler := New(o).Handler()
	for where, want := range map[string]int{"/": 200, "/page.js": 200, "/index.html": 404, "/page/": 404, "/v1/state": 401, "/v1": 401} {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", where, nil))
		if w.Code != want {
			t.Errorf("%s: %d, want %d", where, w.Code, want)
		}
	}
}
