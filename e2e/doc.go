// Package e2e runs the real weir in front of real functions, under real load,
// and compares what weir says with what the function and its clients counted
// themselves. It drives the built binary through its ports, its signals and its
// files, and imports nothing of weir's.
//
// The tests need nothing but Go; those that want more (a Prometheus server)
// skip by name where it is not installed. Under the race detector, weir is built
// with it too.
//
// Environment:
//
//	WEIR_BINARY=/path/to/weir   tests this executable instead of building one
//	WEIR_STORM=1000000          requests of the storm; where not set, 100,000,
//	                            and 40,000 with -short or the race detector
package e2e
