package h1

import (
	"errors"
	"io"
	"net/http"
)

// Fault is one way in which a message is refused. Its String is fixed text
// without a byte of the message, so it can be logged, answered with and used as a
// label.
type Fault uint8

// The faults, in the order in which a message is read.
const (
	noFault Fault = iota

	// Request line (RFC 9112, 3).
	FaultMethod         // the method is no token
	FaultMethodTooLong  // a method longer than MaxMethod: 501
	FaultTarget         // a byte that no target may hold, or broken percent-encoding in its path
	FaultTargetForm     // a form that the method does not allow
	FaultTargetHost     // the authority of an absolute- or authority-form target is malformed
	FaultTargetTooLong  // over Limits.Target: 414
	FaultRequestLine    // the line does not end in " HTTP/1.x" and CRLF
	FaultVersion        // a version other than 1.0 and 1.1: 505
	FaultStatusLine     // a response's first line
	FaultHeadTooLarge   // over Limits.Head: 431
	FaultTooManyFields  // over Limits.Fields: 431
	FaultBareLF         // a line of the head that ends in LF alone
	FaultBareCR         // a CR that no LF follows
	FaultFolded         // a field line that starts with whitespace (obs-fold)
	FaultSpaceInName    // whitespace between a field's name and the colon
	FaultFieldName      // a name that is no token, or no colon
	FaultFieldValue     // NUL, another control character or DEL in a value
	FaultNoHost         // an HTTP/1.1 request without Host
	FaultSeveralHosts   // more than one Host
	FaultHost           // Host is no host with an optional port
	FaultContentLength  // Content-Length is not one decimal number below 2^63
	FaultLengths        // several Content-Length; in a response, only if they differ
	FaultEncoding       // Transfer-Encoding is not the one word chunked
	FaultEncodings      // several Transfer-Encoding
	FaultFramedTwice    // Transfer-Encoding beside Content-Length
	FaultEncodingIn10   // Transfer-Encoding in HTTP/1.0
	FaultConnectBody    // CONNECT, or its 2xx response, with a body
	FaultInterimBody    // a 1xx response with a body
	FaultOptions        // Connection names more than MaxConnectionOptions fields
	FaultTrailerNames   // Trailer announces a framing field
	FaultBodyTooLarge   // over Limits.Body: 413
	FaultChunkSize      // a chunk size that is no hexadecimal number, or followed by neither ";" nor CRLF
	FaultChunkOverflow  // a chunk size of more than MaxChunkDigits digits
	FaultChunkExtension // a control character in a chunk extension
	FaultChunkOverhead  // over Limits.ChunkExtensions
	FaultChunkEnd       // no CRLF after a chunk's data
	FaultTrailerSize    // over Limits.Trailer

	faults
)

// status and text of each fault.
var faultTable = [faults]struct {
	status int
	text   string
}{
	noFault:             {http.StatusInternalServerError, "no fault"},
	FaultMethod:         {http.StatusBadRequest, "method is not a token"},
	FaultMethodTooLong:  {http.StatusNotImplemented, "method is too long"},
	FaultTarget:         {http.StatusBadRequest, "malformed request target"},
	FaultTargetForm:     {http.StatusBadRequest, "request target has a form that the method does not allow"},
	FaultTargetHost:     {http.StatusBadRequest, "malformed host in the request target"},
	FaultTargetTooLong:  {http.StatusRequestURITooLong, "request target is too long"},
	FaultRequestLine:    {http.StatusBadRequest, "malformed request line"},
	FaultVersion:        {http.StatusHTTPVersionNotSupported, "HTTP version is neither 1.0 nor 1.1"},
	FaultStatusLine:     {http.StatusBadRequest, "malformed status line"},
	FaultHeadTooLarge:   {http.StatusRequestHeaderFieldsTooLarge, "head is too large"},
	FaultTooManyFields:  {http.StatusRequestHeaderFieldsTooLarge, "too many fields"},
	FaultBareLF:         {http.StatusBadRequest, "line ends in a bare LF"},
	FaultBareCR:         {http.StatusBadRequest, "bare CR"},
	FaultFolded:         {http.StatusBadRequest, "field line starts with whitespace"},
	FaultSpaceInName:    {http.StatusBadRequest, "whitespace between field name and colon"},
	FaultFieldName:      {http.StatusBadRequest, "field name is not a token"},
	FaultFieldValue:     {http.StatusBadRequest, "control character in a field value"},
	FaultNoHost:         {http.StatusBadRequest, "no Host field"},
	FaultSeveralHosts:   {http.StatusBadRequest, "several Host fields"},
	FaultHost:           {http.StatusBadRequest, "malformed Host field"},
	FaultContentLength:  {http.StatusBadRequest, "malformed Content-Length"},
	FaultLengths:        {http.StatusBadRequest, "several Content-Length fields"},
	FaultEncoding:       {http.StatusBadRequest, "Transfer-Encoding is not chunked"},
	FaultEncodings:      {http.StatusBadRequest, "several Transfer-Encoding fields"},
	FaultFramedTwice:    {http.StatusBadRequest, "Transfer-Encoding beside Content-Length"},
	FaultEncodingIn10:   {http.StatusBadRequest, "Transfer-Encoding in HTTP/1.0"},
	FaultConnectBody:    {http.StatusBadRequest, "CONNECT with a body"},
	FaultInterimBody:    {http.StatusBadRequest, "interim response with a body"},
	FaultOptions:        {http.StatusBadRequest, "Connection names too many fields"},
	FaultTrailerNames:   {http.StatusBadRequest, "Trailer names a framing field"},
	FaultBodyTooLarge:   {http.StatusRequestEntityTooLarge, "body is too large"},
	FaultChunkSize:      {http.StatusBadRequest, "malformed chunk size"},
	FaultChunkOverflow:  {http.StatusBadRequest, "chunk size is too large"},
	FaultChunkExtension: {http.StatusBadRequest, "control character in a chunk extension"},
	FaultChunkOverhead:  {http.StatusBadRequest, "chunk extensions are too large"},
	FaultChunkEnd:       {http.StatusBadRequest, "chunk is not followed by CRLF"},
	FaultTrailerSize:    {http.StatusRequestHeaderFieldsTooLarge, "trailer section is too large"},
}

// String describes the fault in a few words, none of them the sender's.
func (f Fault) String() string {
	if f >= faults {
		return "unknown fault"
	}
	return faultTable[f].text
}

// Error is a message that is refused. After one, nothing that follows on the
// same connection can be trusted: answer and close.
//
// Errors are made once: the same Fault is always the same *Error, so refusing
// allocates nothing. Take it out of a wrapping error with errors.As.
type Error struct {
	// Fault says what is wrong.
	Fault Fault
	// Status is what to answer the sender of such a request: 400, 413, 414, 431,
	// 501 or 505. For a response it is always 502, to be answered to the client.
	Status int
}

func (e *Error) Error() string { return "h1: " + e.Fault.String() }

var requestErrors, responseErrors = func() (req, resp [faults]*Error) {
	for f := range faults {
		req[f] = &Error{Fault: f, Status: faultTable[f].status}
		resp[f] = &Error{Fault: f, Status: http.StatusBadGateway}
	}
	return req, resp
}()

// SourceError is a body that ended before it was whole because reading failed:
// the side that sends it is gone or too slow. Its Err is io.ErrUnexpectedEOF
// where the side closed the connection in the middle. What was relayed so far
// must not be made to look complete.
type SourceError struct{ Err error }

func (e *SourceError) Error() string { return "h1: reading the body: " + e.Err.Error() }
func (e *SourceError) Unwrap() error { return e.Err }

// SinkError is a write that failed: the side that receives is gone or too slow.
type SinkError struct{ Err error }

func (e *SinkError) Error() string { return "h1: writing: " + e.Err.Error() }
func (e *SinkError) Unwrap() error { return e.Err }

// ErrBufferFull is returned by Source.Fill when there is no room to read into:
// Grow the source, or refuse what does not fit.
var ErrBufferFull = errors.New("h1: source buffer is full")

// ErrReframe is returned by Relay.Step for a body that cannot be framed as asked:
// one of unknown length as Content-Length, or of one length as another.
var ErrReframe = errors.New("h1: body cannot be relayed in that framing")

var errCutShort = &SourceError{io.ErrUnexpectedEOF}
