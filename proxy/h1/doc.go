// Package h1 is the HTTP/1.1 wire (RFC 9112, and RFC 9110 where it speaks of
// messages): it parses heads, serialises them for the next hop, and relays
// bodies. It knows no policy, keeps no connections, starts no goroutines, sets no
// deadlines and logs nothing.
//
// What it promises:
//
//   - A head is scanned once, in place, over the buffer that it was read into. Its
//     fields are offsets into that buffer. From message to message nothing is
//     allocated.
//   - Whatever it accepts, net/http reads as the same message: method, target,
//     host, fields, body, trailers and what follows. It may refuse more; see below.
//   - What it writes is exactly one message, framed in one way.
//   - A body that was cut short, malformed or over its bound is never written so
//     that it looks complete.
//
// # The parts
//
// A [Source] reads a connection into a buffer of the caller's, a [Sink] collects
// what is to be written to one and writes it at once. [Request] and [Response]
// parse heads from a Source's bytes and append them, without what belongs to
// their own connection, to a Sink's. A [Relay] moves a body from a Source to a
// Sink. All are structs that the caller owns and uses again, message after
// message and connection after connection; buffers come from the caller's pool.
//
// An engine's way with one request, errors left out:
//
//	for req.Reset(); ; src.Fill() {
//		if n, err := req.Parse(src.Buffered(), limits); n > 0 {
//			req.Rebase(src.Hold(n)) // the head stays readable until Release
//			break
//		}
//	}
//	... decide; Drop fields ...
//	b := req.AppendLine(up.Begin(), authority)
//	b = req.AppendFields(b, req.Body())
//	b = h1.AppendField(b, "Via", "1.1 weir")
//	b = req.Body().AppendTo(b)
//	up.Commit(h1.AppendEnd(b))
//	relay.Start(&src, &up, req.Body(), req.Body(), limits)
//	for done := false; !done; {
//		done, err = relay.Step() // head and first bytes of the body in one write
//	}
//	... and the same back, with Response.Forwarded for the framing ...
//	src.Release()
//
// What follows the message is then in src.Buffered: the next request of a client
// that pipelines. After a response nothing may follow: an upstream connection
// with bytes buffered is not used again.
//
// # Which targets are accepted
//
// Origin-form (/a?b) is forwarded byte for byte. Absolute-form is accepted for
// http and https, and forwarded in origin form with its host as Host field, since
// RFC 9112, 3.2.2 has a proxy ignore the one that came. Authority-form is CONNECT's
// alone, asterisk-form OPTIONS' alone. Paths must be sound in their
// percent-encoding; queries pass whatever they hold, but for "#", spaces and
// control characters.
//
// # Stricter than net/http
//
// Refused here although net/http's server or client would take it:
//
//   - lines that end in LF alone, and folded lines, in any head;
//   - in responses too: whitespace before a colon, a malformed field name, a status
//     below 100, Transfer-Encoding in HTTP/1.0;
//   - versions other than 1.0 and 1.1;
//   - Transfer-Encoding beside Content-Length, or in HTTP/1.0;
//   - several Content-Length in a request, even if they are equal;
//   - a Host that is empty, is not a host with an optional port up to 65535, holds a
//     comma, or percent-encodes ASCII;
//   - "#" in a target; absolute-form with user information or another scheme than
//     http and https; asterisk-form but for OPTIONS; CONNECT to anything but host and
//     port, or with a body;
//   - methods of more than [MaxMethod] bytes, and more than [MaxConnectionOptions]
//     fields named in Connection;
//   - chunk sizes of more than [MaxChunkDigits] digits or with whitespace after them,
//     control characters in chunk extensions, and extensions of more than
//     [Limits].ChunkExtensions in all;
//   - interim responses, and 2xx to CONNECT, that claim to have a body.
//
// Accepted, but changed on the way:
//
//   - chunk extensions are dropped, and chunk sizes written in their shortest form;
//   - trailer fields that have no place in a trailer section (framing, connection,
//     routing, request modifiers, authentication, format of the content) are
//     dropped, not refused: at that point most of the message has been forwarded.
//     All others pass, announced or not;
//   - fields that a function may take for framing, as Content_Length, are dropped;
//   - Expect in HTTP/1.0 is ignored and dropped;
//   - a 204 that claims to have a body is forwarded without, and its connection is
//     not to be used again.
package h1
