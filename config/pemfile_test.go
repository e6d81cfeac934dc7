package config

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/base64"
	"encoding/pem"
	"math/big"
	"os"
	"strings"
	"testing"
	"time"
)

// identity is a certificate and its key, made for one test.
type identity struct{ certificate, key []byte }

func newIdentity(t *testing.T, key crypto.Signer) identity {
	t.Helper()
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: "weir"},
		NotAfter:     time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return identity{
		certificate: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}),
		key:         pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}),
	}
}

func newKeys(t *testing.T) (ec *ecdsa.PrivateKey, ed ed25519.PrivateKey) {
	t.Helper()
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	_, ed, err = ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return ec, ed
}

func TestTLSFiles(t *testing.T) {
	ec, ed := newKeys(t)
	first, second := newIdentity(t, ec), newIdentity(t, ed)
	sec1, err := x509.MarshalECPrivateKey(ec)
	if err != nil {
		t.Fatal(err)
	}
	block, _ := pem.Decode(first.key)
	files := map[string][]byte{
		"cert.pem":      first.certificate,
		"key.pem":       first.key,
		"sec1.pem":      pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1}),
		"both.pem":      append(bytes.Clone(first.key), first.certificate...),
		"chain.pem":     append(bytes.Clone(first.certificate), second.certificate...),
		"other.pem":     second.key,
		"broken.pem":    pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("nonsense")}),
		"brokenkey.pem": pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: block.Bytes[:20]}),
		"encrypted.pem": pem.EncodeToMemory(&pem.Block{Type: "ENCRYPTED PRIVATE KEY", Bytes: block.Bytes}),
		"legacy.pem":    pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Headers: map[string]string{"DEK-Info": "AES-256-CBC,00"}, Bytes: sec1}),
		"empty.pem":     {},
		"large.pem":     bytes.Repeat([]byte("x"), maxFileSize+1),
	}
	dir := t.TempDir() + "/"
	for name, content := range files {
		if err := os.WriteFile(dir+name, content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		flags string
		want  string // of the error, after "config: "; "" for none
	}{
		{"--tls-cert=DIR/cert.pem --tls-key=DIR/key.pem", ""},
		{"--tls-cert=DIR/chain.pem --tls-key=DIR/sec1.pem --tls-client-ca=DIR/chain.pem", ""},
		{"--tls-cert=DIR/both.pem --tls-key=DIR/both.pem", ""},
		{"--upstream=https://function --upstream-ca=DIR/chain.pem", ""},
		{"--tls-cert=DIR/cert.pem --tls-key=DIR/other.pem", "tls.key: DIR/other.pem cannot be used with tls.cert DIR/cert.pem: its private key does not belong to that certificate (--tls-key)"},
		{"--tls-cert=DIR/key.pem --tls-key=DIR/key.pem", "tls.cert: DIR/key.pem cannot be used: it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----) (--tls-cert)"},
		{"--tls-cert=DIR/cert.pem --tls-key=DIR/cert.pem", "tls.key: DIR/cert.pem cannot be used: it holds no private key in PEM form (-----BEGIN PRIVATE KEY-----) (--tls-key)"},
		{"--tls-cert=DIR/cert.pem --tls-key=DIR/brokenkey.pem", "tls.key: DIR/brokenkey.pem cannot be used: its private key cannot be read (--tls-key)"},
		{"--tls-cert=DIR/cert.pem --tls-key=DIR/encrypted.pem", "tls.key: DIR/encrypted.pem cannot be used: its private key is encrypted, and weir has no passphrase for it: decrypt it first (--tls-key)"},
		{"--tls-cert=DIR/cert.pem --tls-key=DIR/legacy.pem", "tls.key: DIR/legacy.pem cannot be used: its private key is encrypted, and weir has no passphrase for it: decrypt it first (--tls-key)"},
		{"--tls-cert=DIR/broken.pem --tls-key=DIR/key.pem", "tls.cert: DIR/broken.pem cannot be used: its certificate no. 1 cannot be read (--tls-cert)"},
		{"--tls-cert=DIR/cert.pem --tls-key=DIR/key.pem --tls-client-ca=DIR/empty.pem", "tls.client_ca: DIR/empty.pem cannot be used: it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----) (--tls-client-ca)"},
		{"--tls-cert=DIR/cert.pem --tls-key=DIR/large.pem", "tls.key: DIR/large.pem cannot be used: it is larger than 1MiB (--tls-key)"},
		{"--tls-cert=DIR/cert.pem --tls-key=DIR/none.pem", "tls.key: DIR/none.pem cannot be used: no such file or directory (--tls-key)"},
		{"--tls-cert=DIR/cert.pem", "tls.cert: cannot be set without tls.key (--tls-cert)"},
		{"--tls-key=DIR/key.pem", "tls.key: cannot be set without tls.cert (--tls-key)"},
		{"--tls-client-ca=DIR/cert.pem", "tls.client_ca: cannot be set without tls.cert: only TLS carries client certificates (--tls-client-ca)"},
		{"--upstream=h2c://function --upstream-ca=DIR/cert.pem", "upstream.ca: is for an https:// upstream only: upstream.url is h2c://function:80 from --upstream (--upstream-ca)"},
		{"--upstream=https://function --upstream-ca=DIR/key.pem", "upstream.ca: DIR/key.pem cannot be used: it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----) (--upstream-ca)"},
	} {
		args := strings.Fields(strings.ReplaceAll(c.flags, "DIR/", dir))
		_, err := Load(Source{Flags: parseFlags(t, args...)})
		got := ""
		if err != nil {
			got = strings.ReplaceAll(strings.TrimPrefix(err.Error(), "config: "), dir, "DIR/")
		}
		if got != c.want {
			t.Errorf("%s:\ngot  %s\nwant %s", c.flags, got, c.want)
		}
		for _, id := range []identity{first, second} {
			block, _ := pem.Decode(id.key)
			if strings.Contains(got, base64.StdEncoding.EncodeToString(block.Bytes)[:16]) {
				t.Errorf("%s shows a key", got)
			}
		}
	}
}
