// Package proxy is the data path: it describes a request, asks the Gate, then
// forwards it to the function or refuses it, and accounts for every outcome.
//
// What decides (describe, route, refuse, statusFor, the exchange's timers and
// accounts) is kept apart from what carries the bytes, so that the behaviour a
// client sees does not depend on which protocol or engine served it.
package proxy
