package config

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
)

// Messages about PEM files say what kind of block is wrong, never what is in
// one: a key given where a certificate belongs must not end up in a log.

// checkCertificates checks that content holds certificates, all of them readable.
func checkCertificates(content []byte) error {
	found := 0
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "CERTIFICATE" {
			continue
		}
		found++
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			return fmt.Errorf("its certificate no. %d cannot be read", found)
		}
	}
	if found == 0 {
		return errors.New("it holds no certificate in PEM form (-----BEGIN CERTIFICATE-----)")
	}
	return nil
}

// checkPrivateKey checks that content holds a private key that weir can read.
func checkPrivateKey(content []byte) error {
	for block, rest := pem.Decode(content); block != nil; block, rest = pem.Decode(rest) {
		if !strings.HasSuffix(block.Type, "PRIVATE KEY") {
			continue
		}
		if block.Type == "ENCRYPTED PRIVATE KEY" || block.Headers["DEK-Info"] != "" {
			return errors.New("its private key is encrypted, and weir has no passphrase for it: decrypt it first")
		}
		if !readableKey(block.Bytes) {
			return errors.New("its private key cannot be read")
		}
		return nil
	}
	return errors.New("it holds no private key in PEM form (-----BEGIN PRIVATE KEY-----)")
}

func readableKey(der []byte) bool {
	if _, err := x509.ParsePKCS8PrivateKey(der); err == nil {
		return true
	}
	if _, err := x509.ParsePKCS1PrivateKey(der); err == nil {
		return true
	}
	_, err := x509.ParseECPrivateKey(der)
	return err == nil
}

// checkPair checks that a key belongs to a certificate, both known to be readable.
func checkPair(certificate, key []byte) error {
	if _, err := tls.X509KeyPair(certificate, key); err != nil {
		return errors.New("its private key does not belong to that certificate")
	}
	return nil
}
