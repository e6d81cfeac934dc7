//go:build race

package sim

// raced: the race detector makes a run ten times as slow, and one goroutine that
// drives everything has few races; the longest runs are shorter then.
const raced = true
