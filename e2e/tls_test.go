package e2e

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"net/http"
	"path/filepath"
	"testing"
	"time"
)

// authority signs certificates for a test.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newAuthority(t testing.TB, name string) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := template(1, name)
	template.IsCA, template.BasicConstraintsValid, template.KeyUsage = true, true, x509.KeyUsageCertSign
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))}
}

func template(serial int64, name string) *x509.Certificate {
	return &x509.Certificate{
		SerialNumber: big.NewInt(serial),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Now().Add(-time.Hour),
		NotAfter:     time.Now().Add(24 * time.Hour),
	}
}

// issue signs a certificate for 127.0.0.1, good for servers and clients.
func (a *authority) issue(t testing.TB, serial int64) (certPEM, keyPEM string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := template(serial, "e2e")
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	template.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), a.key)
	if err != nil {
		t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER}))
}

// client makes one that trusts the authority and shows certificates.
func (a *authority) client(t testing.TB, h2 bool, certificates ...tls.Certificate) *http.Client {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!h2)
	protocols.SetHTTP2(h2)
	roots := x509.NewCertPool()
	roots.AddCert(a.cert)
	c := &http.Client{Transport: &http.Transport{
		Protocols:       protocols,
		TLSClientConfig: &tls.Config{RootCAs: roots, Certificates: certificates, MinVersion: tls.VersionTLS12},
	}}
	t.Cleanup(c.CloseIdleConnections)
	return c
}

// serial gives the number of the certificate that weir shows to a newcomer.
func (a *authority) serial(t testing.TB, w *weir, h2 bool) int64 {
	t.Helper()
	c := a.client(t, h2)
	defer c.CloseIdleConnections()
	res, err := c.Get("https://" + w.data + "/quick?for=1ms")
	if err != nil {
		t.Fatalf("over TLS: %v", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK || (res.ProtoMajor == 2) != h2 {
		t.Fatalf("over TLS: %s %s, want 200 and HTTP/2: %v", res.Proto, res.Status, h2)
	}
	return res.TLS.PeerCertificates[0].SerialNumber.Int64()
}

func TestRenewedCertificateNeedsNoRestart(t *testing.T) {
	t.Parallel()
	ca := newAuthority(t, "e2e")
	secret := func(serial int64) map[string]string {
		cert, key := ca.issue(t, serial)
		return map[string]string{"tls.crt": cert, "tls.key": key}
	}
	mount := newMount(t, secret(2))
	f := newHolding(t)
	w := start(t, "--upstream="+f.url(), "--tls-cert="+filepath.Join(mount.dir, "tls.crt"), "--tls-key="+filepath.Join(mount.dir, "tls.key"))
	w.awaitReady(t)
	for _, h2 := range []bool{false, true} {
		if n := ca.serial(t, w, h2); n != 2 {
			t.Errorf("HTTP/2 %v: the certificate is number %d, want 2", h2, n)
		}
	}
	if a := fetch(manners(t)["new connections"], "GET", "http://"+w.data+"/quick?for=1ms", nil); a.err == nil && a.status == http.StatusOK {
		t.Errorf("without TLS: %v, want anything but an answer of the function", a)
	}

	// Requests under way and connections there are do not notice.
	old := ca.client(t, false)
	held := fetching(ca.client(t, true), "GET", "https://"+w.data+"/hold", nil)
	if a := fetch(old, "GET", "https://"+w.data+"/quick?for=1ms", nil); a.err != nil || a.status != http.StatusOK {
		t.Fatal(a)
	}
	w.awaitMetric(t, 1, "weir_inflight_requests")
	mount.swap(t, secret(3))
	eventually(t, "the new certificate", func() (bool, string) { return ca.serial(t, w, false) == 3, "the old one" })
	if n := ca.serial(t, w, true); n != 3 {
		t.Errorf("HTTP/2: the certificate is number %d, want 3", n)
	}
	if a := fetch(old, "GET", "https://"+w.data+"/quick?for=1ms", nil); a.err != nil || a.status != http.StatusOK {
		t.Errorf("on a connection from before: %v, want 200", a)
	}

	// What cannot be used is not.
	broken := secret(4)
	broken["tls.key"] = "no key"
	mount.swap(t, broken)
	eventually(t, "word of the broken files", func() (bool, string) {
		if n := ca.serial(t, w, false); n != 3 {
			t.Errorf("the certificate is number %d, want still 3", n)
		}
		return w.log.count("TLS files have changed and cannot be used; the last good ones stay in force") > 0, "none"
	})
	mount.swap(t, secret(5))
	eventually(t, "the mended certificate", func() (bool, string) { return ca.serial(t, w, false) == 5, "the old one" })
	f.letGo()
	if a := await(t, "the request from before", held); a.err != nil || a.status != http.StatusOK {
		t.Errorf("the request from before: %v, want 200", a)
	}
}

func TestClientCertificatesAreDemanded(t *testing.T) {
	t.Parallel()
	server, callers, strangers := newAuthority(t, "servers"), newAuthority(t, "callers"), newAuthority(t, "strangers")
	dir := t.TempDir()
	cert, key := server.issue(t, 2)
	writeFile(t, filepath.Join(dir, "tls.crt"), cert)
	writeFile(t, filepath.Join(dir, "tls.key"), key)
	writeFile(t, filepath.Join(dir, "ca.crt"), callers.pem)
	f := newHolding(t)
	w := start(t, "--upstream="+f.url(), "--tls-cert="+filepath.Join(dir, "tls.crt"), "--tls-key="+filepath.Join(dir, "tls.key"), "--tls-client-ca="+filepath.Join(dir, "ca.crt"))
	w.awaitReady(t)
	pair := func(a *authority) tls.Certificate {
		cert, key := a.issue(t, 3)
		pair, err := tls.X509KeyPair([]byte(cert), []byte(key))
		if err != nil {
			t.Fatal(err)
		}
		return pair
	}
	for _, h2 := range []bool{false, true} {
		for _, tt := range []struct {
			name string
			show []tls.Certificate
			ok   bool
		}{
			{"none", nil, false},
			{"a stranger's", []tls.Certificate{pair(strangers)}, false},
			{"the server authority's", []tls.Certificate{pair(server)}, false},
			{"a caller's", []tls.Certificate{pair(callers)}, true},
		} {
			a := fetch(server.client(t, h2, tt.show...), "GET", "https://"+w.data+"/quick?for=1ms", nil)
			if ok := a.err == nil && a.status == http.StatusOK; ok != tt.ok {
				t.Errorf("HTTP/2 %v, certificate %s: %v, want it let in: %v", h2, tt.name, a, tt.ok)
			}
		}
	}
	if n := f.begun.now(); n != 2 {
		t.Errorf("the function got %d requests, want the 2 of the caller", n)
	}
}
