// Package webhook tells receivers outside what became of a call, once for each time it
// is asked to: signed as Standard Webhooks, to nowhere but where the operator allows,
// within a bounded time. Whether to tell again, and when, is somebody else's to decide.
package webhook
