// Package h1 is the HTTP/1.1 wire (RFC 9112, RFC 9110) and nothing else.
package h1
