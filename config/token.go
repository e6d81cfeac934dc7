package config

import (
	"bytes"
	"errors"
	"fmt"
)

// leastToken is how long a token is at least, in characters: 16 random ones of
// base64 are 96 bits, which nobody guesses over a network.
const leastToken = 16

// mostToken bounds a token, so that it fits into a request's head.
const mostToken = 4096

// ParseToken gives the token that a file holds: visible ASCII characters on one
// line, with or without its end. What it says of a wrong one never shows it.
func ParseToken(content []byte) (string, error) {
	token := bytes.TrimSpace(content)
	switch {
	case len(token) == 0:
		return "", errors.New("it holds no token")
	case len(token) < leastToken:
		return "", fmt.Errorf("its token has %d characters: at least %d, random ones (openssl rand -base64 24)", len(token), leastToken)
	case len(token) > mostToken:
		return "", fmt.Errorf("its token has %d characters: at most %d", len(token), mostToken)
	}
	for _, c := range token {
		if c <= ' ' || c >= 0x7f {
			return "", errors.New("its token has other characters than visible ASCII ones, or more than one line")
		}
	}
	return string(token), nil
}
