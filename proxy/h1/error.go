package h1

import (
	"errors"
	"io"
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
	noFault:             {500, "no fault"},
	FaultMethod:         {400, "method is not a token"},
	FaultMethodTooLong:  {501, "method is too long"},
	FaultTarget:         {400, "malformed request target"},
	FaultTargetForm:     {400, "request target has a form that the method does not allow"},
	FaultTargetHost:     {400, "malformed host in the request target"},
	FaultTargetTooLong:  {414, "request target is too long"},
	FaultRequestLine:    {400, "malformed request line"},
	FaultVersion:        {505, "HTTP version is neither 1.0 nor 1.1"},
	FaultStatusLine:     {400, "malformed status line"},
	FaultHeadTooLarge:   {431, "head is too large"},
	FaultTooManyFields:  {431, "too many fields"},
	FaultBareLF:         {400, "line ends in a bare LF"},
	FaultBareCR:         {400, "bare CR"},
	FaultFolded:         {400, "field line starts with whitespace"},
	FaultSpaceInName:    {400, "whitespace between field name and colon"},
	FaultFieldName:      {400, "field name is not a token"},
	FaultFieldValue:     {400, "control character in a field value"},
	FaultNoHost:         {400, "no Host field"},
	FaultSeveralHosts:   {400, "several Host fields"},
	FaultHost:           {400, "malformed Host field"},
	FaultContentLength:  {400, "malformed Content-Length"},
	FaultLengths:        {400, "several Content-Length fields"},
	FaultEncoding:       {400, "Transfer-Encoding is not chunked"},
	FaultEncodings:      {400, "several Transfer-Encoding fields"},
	FaultFramedTwice:    {400, "Transfer-Encoding beside Content-Length"},
	FaultEncodingIn10:   {400, "Transfer-Encoding in HTTP/1.0"},
	FaultConnectBody:    {400, "CONNECT with a body"},
	FaultInterimBody:    {400, "interim response with a body"},
	FaultOptions:        {400, "Connection names too many fields"},
	FaultTrailerNames:   {400, "Trailer names a framing field"},
	FaultBodyTooLarge:   {413, "body is too large"},
	FaultChunkSize:      {400, "malformed chunk size"},
	FaultChunkOverflow:  {400, "chunk size is too large"},
	FaultChunkExtension: {400, "control character in a chunk extension"},
	FaultChunkOverhead:  {400, "chunk extensions are too large"},
	FaultChunkEnd:       {400, "chunk is not followed by CRLF"},
	FaultTrailerSize:    {431, "trailer section is too large"},
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
		resp[f] = &Error{Fault: f, Status: 502}
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
