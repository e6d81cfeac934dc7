package admin

import (
	"crypto/sha256"
	"crypto/subtle"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"weir/config"
)

// TokenFile is the token that operators show, from a file that is read again
// when it has changed. It is safe for concurrent use.
type TokenFile struct {
	path string
	log  *slog.Logger

	mu      sync.Mutex
	checked time.Time
	stamp   string // size and time of what was read
	sum     [sha256.Size]byte
}

// tokenCheck is how often, at most, requests look at the file.
const tokenCheck = time.Second

// NewTokenFile reads the file.
func NewTokenFile(path string, log *slog.Logger) (*TokenFile, error) {
	f := &TokenFile{path: path, log: log}
	if err := f.read(); err != nil {
		return nil, fmt.Errorf("admin: token file %s: %w", path, err)
	}
	return f, nil
}

// Matches reports whether text is the token, in a time that does not tell how
// much of it is right.
func (f *TokenFile) Matches(text string) bool {
	want := f.current()
	got := sha256.Sum256([]byte(text))
	return subtle.ConstantTimeCompare(got[:], want[:]) == 1
}

// current gives the token in force. A file that cannot be read keeps the last
// good one in force, with an error in the log.
func (f *TokenFile) current() [sha256.Size]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	if now.Sub(f.checked) < tokenCheck {
		return f.sum
	}
	f.checked = now
	before := f.sum
	if err := f.read(); err != nil {
		f.log.Error("the token file has changed and cannot be used; the last good token stays in force", "err", err)
	} else if f.sum != before {
		f.log.Info("token file read again", "file", f.path)
	}
	return f.sum
}

// read takes the token from the file, unless that is as it was.
func (f *TokenFile) read() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	if stamp := fmt.Sprintf("%d %v", info.Size(), info.ModTime()); stamp == f.stamp {
		return nil
	} else if content, err := os.ReadFile(f.path); err != nil {
		return err
	} else if token, err := config.ParseToken(content); err != nil {
		return err
	} else {
		f.stamp, f.sum = stamp, sha256.Sum256([]byte(token))
	}
	return nil
}

// bearer gives the token of an Authorization field (RFC 6750, 2.1), "" where
// there is none.
func bearer(field string) string {
	scheme, token, ok := strings.Cut(field, " ")
	if !ok || !strings.EqualFold(scheme, "bearer") {
		return ""
	}
	return strings.TrimLeft(token, " ")
}
