package webhook

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// SecretFile holds the secrets that messages are signed with, all of them at once while
// they are being exchanged. The file is read again when it has changed. It is safe for
// concurrent use.
type SecretFile struct {
	path  string
	parse func(content []byte) ([][]byte, error)
	log   *slog.Logger

	mu      sync.Mutex
	checked time.Time
	stamp   string // size and time of what was read
	secrets [][]byte
}

// secretCheck is how often, at most, the file is looked at.
const secretCheck = time.Second

// NewSecretFile reads the file with parse.
func NewSecretFile(path string, parse func(content []byte) ([][]byte, error), log *slog.Logger) (*SecretFile, error) {
	f := &SecretFile{path: path, parse: parse, log: log}
	if err := f.read(); err != nil {
		return nil, fmt.Errorf("webhook: secrets file %s: %w", path, err)
	}
	return f, nil
}

// current gives the secrets in force. A file that cannot be read keeps the last good
// ones in force, with an error in the log.
func (f *SecretFile) current() [][]byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	if now := time.Now(); now.Sub(f.checked) >= secretCheck {
		f.checked = now
		before := f.stamp
		if err := f.read(); err != nil {
			f.log.Error("the file with the secrets of callbacks has changed and cannot be used; the last good ones stay in force", "file", f.path, "err", err)
		} else if f.stamp != before {
			f.log.Info("secrets of callbacks read again", "file", f.path, "secrets", len(f.secrets))
		}
	}
	return f.secrets
}

// read takes the secrets from the file, unless that is as it was.
func (f *SecretFile) read() error {
	info, err := os.Stat(f.path)
	if err != nil {
		return err
	}
	stamp := fmt.Sprintf("%d %v", info.Size(), info.ModTime())
	if stamp == f.stamp {
		return nil
	}
	content, err := os.ReadFile(f.path)
	if err != nil {
		return err
	}
	secrets, err := f.parse(content)
	if err != nil {
		return err
	}
	f.stamp, f.secrets = stamp, secrets
	return nil
}

// sign gives the value of webhook-signature: one signature for each secret (Standard
// Webhooks 1.0.0, "Signature scheme").
func (f *SecretFile) sign(id string, at time.Time, body []byte) string {
	var all []string
	for _, secret := range f.current() {
		mac := hmac.New(sha256.New, secret)
		_, _ = io.WriteString(mac, id+"."+strconv.FormatInt(at.Unix(), 10)+".") // a hash takes everything
		_, _ = mac.Write(body)
		all = append(all, "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	return strings.Join(all, " ")
}
