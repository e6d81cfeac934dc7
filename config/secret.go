package config

import (
	"encoding/base64"
	"errors"
	"fmt"
	"iter"
	"strings"
)

// Bounds of a signing secret, in bytes, as Standard Webhooks has them, and of how many
// there are.
const (
	leastSecret = 24
	mostSecret  = 64
	mostSecrets = 8
)

// ParseSecrets gives the signing secrets that a file holds: one on each line, in base64,
// with "whsec_" before it or not; empty lines and those that begin with # mean nothing.
// What it says of a wrong one never shows it.
func ParseSecrets(content []byte) ([][]byte, error) {
	var secrets [][]byte
	for n, line := range secretLines(content) {
		secret, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(line, "whsec_"))
		switch {
		case err != nil:
			return nil, fmt.Errorf("its line %d is no secret in base64, such as printf 'whsec_%%s\\n' \"$(openssl rand -base64 32)\" makes", n)
		case len(secret) < leastSecret || len(secret) > mostSecret:
			return nil, fmt.Errorf("the secret in its line %d has %d bytes: %d to %d are possible", n, len(secret), leastSecret, mostSecret)
		case len(secrets) == mostSecrets:
			return nil, fmt.Errorf("it holds more than %d secrets: leave out those that no receiver needs any more", mostSecrets)
		}
		secrets = append(secrets, secret)
	}
	if len(secrets) == 0 {
		return nil, errors.New("it holds no secret")
	}
	return secrets, nil
}

// secretLines gives the lines of a file of secrets that mean something, with their
// numbers from 1.
func secretLines(content []byte) iter.Seq2[int, string] {
	return func(yield func(int, string) bool) {
		n := 0
		for line := range strings.Lines(string(content)) {
			n++
			line = strings.TrimSpace(line)
			if line != "" && line[0] != '#' && !yield(n, line) {
				return
			}
		}
	}
}
