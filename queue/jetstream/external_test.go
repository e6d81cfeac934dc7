package jetstream

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/jwt/v2"
	"github.com/nats-io/nkeys"

	"weir/faults"
	"weir/queue"
)

// roundTrip puts a call into a store and takes it out again.
func roundTrip(t *testing.T, o Options) {
	t.Helper()
	s := mustOpen(t, o)
	defer func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	}()
	now := time.Now()
	c := &queue.Call{ID: queue.NewID(now), Method: "POST", Target: "/", EnqueuedAt: now, ExpiresAt: now.Add(time.Hour)}
	if err := s.Commit(t.Context(), &queue.Change{Entry: c, Ticket: 1}); err != nil {
		t.Fatal(err)
	}
	var e *queue.Entry
	for deadline := time.Now().Add(time.Minute); e == nil; <-time.After(5 * time.Millisecond) { // a server may take a moment to see it
		var err error
		if e, err = s.Fetch(t.Context()); err != nil || time.Now().After(deadline) {
			t.Fatalf("nothing came: %v", err)
		}
	}
	if e.Call.ID != c.ID {
		t.Fatalf("got %+v", e)
	}
	if err := e.Done(); err != nil {
		t.Error(err)
	}
}

// selfSigned makes a certificate for 127.0.0.1, its own authority, and its key, as
// files.
func selfSigned(t *testing.T, name string) (certFile, keyFile string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	cert, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	private, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	certFile, keyFile = filepath.Join(dir, name+".crt"), filepath.Join(dir, name+".key")
	for file, block := range map[string]*pem.Block{certFile: {Type: "CERTIFICATE", Bytes: cert}, keyFile: {Type: "PRIVATE KEY", Bytes: private}} {
		if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return certFile, keyFile
}

func TestAnExternalServerWithTLS(t *testing.T) {
	cert, key := selfSigned(t, "server")
	other, _ := selfSigned(t, "other")
	s := faults.StartNATS(t, fmt.Sprintf("tls { cert_file: %q, key_file: %q }\n", cert, key))
	o := testOptions(t, "f", "")
	o.URL, o.CA = strings.Replace(s.URL, "nats://", "tls://", 1), cert
	roundTrip(t, o)
	for name, ca := range map[string]string{"no authority": "", "another's": other} {
		o.CA = ca
		if text := openError(t, o); !strings.Contains(text, "x509: ") || !strings.Contains(text, "connecting to "+o.URL) {
			t.Errorf("%s: got %s", name, text)
		}
	}
	o.CA = filepath.Join(t.TempDir(), "none")
	if text := openError(t, o); !strings.Contains(text, "no such file") {
		t.Errorf("no file: got %s", text)
	}
}

// account makes an operator, an account with JetStream and one without, and a system
// account, and gives the server's configuration and credentials of the first two.
func account(t *testing.T) (config, with, without string) {
	t.Helper()
	must := func(err error) {
		if err != nil {
			t.Fatal(err)
		}
	}
	pair := func(k nkeys.KeyPair, err error) (nkeys.KeyPair, string) {
		must(err)
		public, err := k.PublicKey()
		must(err)
		return k, public
	}
	operator, operatorID := pair(nkeys.CreateOperator())
	dir := t.TempDir()
	preload := ""
	addAccount := func(name string, storage bool) (nkeys.KeyPair, string) {
		key, id := pair(nkeys.CreateAccount())
		claims := jwt.NewAccountClaims(id)
		claims.Name = name
		if storage {
			claims.Limits.JetStreamLimits = jwt.JetStreamLimits{MemoryStorage: -1, DiskStorage: -1, Streams: -1, Consumer: -1}
		}
		token, err := claims.Encode(operator)
		must(err)
		preload += fmt.Sprintf("  %s: %q\n", id, token)
		return key, id
	}
	addUser := func(name string, account nkeys.KeyPair) string {
		key, id := pair(nkeys.CreateUser())
		claims := jwt.NewUserClaims(id)
		claims.Name = name
		token, err := claims.Encode(account)
		must(err)
		seed, err := key.Seed()
		must(err)
		creds, err := jwt.FormatUserConfig(token, seed)
		must(err)
		file := filepath.Join(dir, name+".creds")
		must(os.WriteFile(file, creds, 0o600))
		return file
	}
	_, system := addAccount("SYS", false)
	calls, _ := addAccount("CALLS", true)
	bare, _ := addAccount("BARE", false)
	claims := jwt.NewOperatorClaims(operatorID)
	claims.Name, claims.SystemAccount = "test", system
	token, err := claims.Encode(operator)
	must(err)
	return fmt.Sprintf("operator: %q\nsystem_account: %s\nresolver: MEMORY\nresolver_preload: {\n%s}\n", token, system, preload),
		addUser("weir", calls), addUser("bare", bare)
}

func TestAnExternalServerWithCredentials(t *testing.T) {
	config, with, without := account(t)
	s := faults.StartNATS(t, config)
	o := testOptions(t, "f", "")
	o.URL, o.Credentials = s.URL, with
	roundTrip(t, o)
	_, others, _ := account(t)
	for name, c := range map[string]struct{ file, text string }{
		"none":                        {"", "nats: Authorization Violation"},
		"another operator's":          {others, "nats: Authorization Violation"},
		"of a user without JetStream": {without, "has no JetStream for this user: enable it there"},
		"no file":                     {filepath.Join(t.TempDir(), "none"), "no such file"},
	} {
		o.Credentials = c.file
		if text := openError(t, o); !strings.Contains(text, c.text) || strings.Contains(text, "SEED") {
			t.Errorf("%s: got %s", name, text)
		}
	}
}

// Debian's server, where it is installed, is one that is too old.
func TestADistributionsServerIsRefused(t *testing.T) {
	path, err := exec.LookPath("nats-server")
	if err != nil {
		t.Skip("nats-server is not installed; scripts/install-deps does that")
	}
	out, err := exec.Command(path, "--version").CombinedOutput()
	if err != nil {
		t.Fatal(err)
	}
	_, version, _ := strings.Cut(strings.TrimSpace(string(out)), ": v")
	if atLeast(version, oldestServer) {
		t.Skipf("the installed nats-server is %q: new enough", version)
	}
	s := faults.StartOldNATS(t, path)
	o := testOptions(t, "f", "")
	o.URL = s.URL
	if text := openError(t, o); !strings.Contains(text, "is version "+version+", without atomic batches and message schedules: weir needs 2.12 or later") {
		t.Errorf("got %s", text)
	}
}
