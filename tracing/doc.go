// Package tracing records what became of requests as spans of OpenTelemetry, and sends
// them by OTLP over HTTP.
//
// A request's ids are made when it begins, in memory of the caller's, for the function
// is told them; its spans when it has ended and is recorded. So a request that is not
// recorded costs some random numbers, and one that is nothing before its response has
// been sent.
//
// Spans wait in a bounded queue. One that finds no place is dropped and counted: nothing
// here ever waits for the receiver but the goroutine that sends.
package tracing
