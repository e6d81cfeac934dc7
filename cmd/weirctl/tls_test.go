package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// certificates writes an authority, and a certificate of its for 127.0.0.1 with the
// key, and gives their paths.
func certificates(t *testing.T) (ca, cert, key string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name, kind string, der []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	template := func(serial int64) *x509.Certificate {
		return &x509.Certificate{
			SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "weirctl"},
			NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		}
	}
	authorityKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	authority := template(1)
	authority.IsCA, authority.BasicConstraintsValid, authority.KeyUsage = true, true, x509.KeyUsageCertSign
	authorityDER, err := x509.CreateCertificate(rand.Reader, authority, authority, authorityKey.Public(), authorityKey)
	if err != nil {
		t.Fatal(err)
	}
	leafKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	leaf := template(2)
	leaf.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	leaf.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	leafDER, err := x509.CreateCertificate(rand.Reader, leaf, authority, leafKey.Public(), authorityKey)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(leafKey)
	if err != nil {
		t.Fatal(err)
	}
	return write("ca.pem", "CERTIFICATE", authorityDER), write("cert.pem", "CERTIFICATE", leafDER), write("key.pem", "PRIVATE KEY", keyDER)
}

func TestOverTLS(t *testing.T) {
	t.Parallel()
	ca, cert, key := certificates(t)
	s := startSidecar(t, "--admin-tls-cert="+cert, "--admin-tls-key="+key, "--admin-tls-client-ca="+ca)
	address := "https://" + s.admin
	mine := map[string]string{"WEIR_ADMIN": address, "WEIR_ADMIN_CA": ca, "WEIR_ADMIN_CERT": cert, "WEIR_ADMIN_KEY": key}
	for _, args := range [][]string{{"state"}, {"limits", "set", "max_inflight=7"}, {"top", "-n", "2"}} { // a stream over HTTP/2 too
		if e := weirctlWith(mine, args...); e.code != exitOK || e.stderr != "" || e.stdout == "" {
			t.Errorf("%v: %+v", args, e)
		}
	}
	for what, env := range map[string]map[string]string{
		"no certificate":            {"WEIR_ADMIN": address, "WEIR_ADMIN_CA": ca},
		"an authority nobody knows": {"WEIR_ADMIN": address, "WEIR_ADMIN_CERT": cert, "WEIR_ADMIN_KEY": key},
	} {
		// Of a missing certificate a client may learn only that it was hung up on.
		if e := weirctlWith(env, "state"); e.code != exitUnreachable || !strings.Contains(e.stderr, "no sidecar answers: ") || e.stdout != "" {
			t.Errorf("%s: %+v", what, e)
		}
	}
	if e := weirctlWith(map[string]string{"WEIR_ADMIN": s.admin}, "state"); e.code == exitOK {
		t.Errorf("http to https: %+v", e)
	}
}
