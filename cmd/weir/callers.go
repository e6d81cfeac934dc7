package main

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync/atomic"

	"weir/admin/api"
	"weir/limits"
)

// callersShown is how many callers the management API names.
const callersShown = 10

// callers tells operators who uses most. Keys that may be secrets are shown as a
// keyed hash: the same for one caller as long as this process lives, and of no use to
// anybody who would guess what it was made from.
type callers struct {
	gate *limits.Gate
	// secret is set once a key may be a secret and never reset, for the table still has
	// such keys after the setting has changed.
	secret atomic.Bool
	key    [32]byte
}

func newCallers(gate *limits.Gate) *callers {
	c := &callers{gate: gate}
	_, _ = rand.Read(c.key[:]) // never fails
	return c
}

// identifiedBy notes what callers are told apart by.
func (c *callers) identifiedBy(kind, name string) {
	if kind == "header" && isSecretField(name) {
		c.secret.Store(true)
	}
}

// isSecretField reports whether a field's value by its name is what gives access.
func isSecretField(name string) bool {
	name = strings.ToLower(name)
	for _, word := range []string{"auth", "cookie", "token", "key", "secret", "session", "password", "signature", "credential"} {
		if strings.Contains(name, word) {
			return true
		}
	}
	return false
}

func (c *callers) top() []api.Caller {
	used := c.gate.TopCallers(callersShown)
	if used == nil {
		return nil
	}
	top := make([]api.Caller, len(used))
	for i, u := range used {
		top[i] = api.Caller{Caller: c.name(u.Caller), Admitted: u.Admitted, SlotSeconds: api.Thousandth(u.SlotSeconds), Refused: u.Refused}
	}
	return top
}

func (c *callers) name(key string) string {
	if key == "" || !c.secret.Load() {
		return key
	}
	h := hmac.New(sha256.New, c.key[:])
	h.Write([]byte(key))
	return "hidden:" + hex.EncodeToString(h.Sum(nil)[:8])
}
