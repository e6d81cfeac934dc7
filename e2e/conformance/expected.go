package conformance

import "slices"

// NetHTTP lists what weir fails while net/http carries its HTTP/1.1.
func NetHTTP() []Expected {
	return slices.Concat(decidedByNetHTTP(), defectsOfNetHTTP())
}

// OwnEngine lists what weir fails with its own HTTP/1.1 engine. HTTP/2, and
// HTTP/1.1 to a function that speaks HTTP/2, is net/http's there as well.
func OwnEngine() []Expected {
	return decidedOnHTTP2()
}

// decidedByNetHTTP is what that package does to HTTP/1.1 before weir is asked.
func decidedByNetHTTP() []Expected {
	const (
		drops   = "net/http drops the Content-Length beside a Transfer-Encoding before weir sees the request"
		answers = "net/http answers 501 to every Transfer-Encoding but a single chunked; it is refused and closed, with another status than RFC 9112 6.3 has"
	)
	return []Expected{
		{Case: "refuses/content-length beside transfer-encoding", Reason: drops},
		{Case: "refuses/transfer-encoding beside content-length", Reason: drops},
		{Case: "refuses/several content-lengths", Reason: "net/http makes one of equal ones, as RFC 9110 8.6 permits"},
		{Case: "refuses/transfer-encoding without chunked", Reason: answers},
		{Case: "refuses/transfer-encoding identity", Reason: answers},
		{Case: "refuses/transfer-encoding with chunked not last", Reason: answers},
		{Case: "refuses/transfer-encoding chunked twice", Reason: answers},
		{Case: "refuses/several transfer-encodings", Reason: answers},
		{Case: "refuses/transfer-encoding chunked with a parameter", Reason: answers},
		{Case: "refuses/transfer-encoding in HTTP/1.0", Reason: "net/http ignores Transfer-Encoding in HTTP/1.0 and drops it before weir sees the request"},
		{Case: "refuses/obsolete line folding", Reason: "net/http unfolds lines"},
		{Case: "refuses/a target too long", Reason: "net/http bounds the head as a whole, and answers 431"},
		{Case: "refuses/malformed requests in its own name", Reason: "net/http answers what it cannot parse by itself, without Proxy-Status"},
		{
			Case:   "wait/a client that resets leaves the queue at once, its body unread",
			Reason: "net/http watches for the client's leaving only once the request's body was read",
		},
	}
}

// decidedOnHTTP2 is what net/http does to HTTP/2 before weir is asked.
func decidedOnHTTP2() []Expected {
	return []Expected{
		{
			Case: "interim/expect: a final answer of the function comes without 100", Over: http2Carriers,
			Reason: "net/http hides the expectation of an HTTP/2 request, and answers 100 as soon as its body is read",
		},
		{
			Case: "trailers/unannounced ones of a request", Over: http2Carriers,
			Reason: "net/http drops trailers of an HTTP/2 request that its Trailer field did not announce",
		},
	}
}

// The rest are defects: nothing but weir stands in their way.

func defectsOfNetHTTP() []Expected {
	const host = "a Host of permitted characters is not parsed"
	return []Expected{
		{Case: "refuses/host with a broken address", Reason: host},
		{Case: "refuses/host with a port that is no number", Reason: host},
	}
}
