// Package queuetest holds what every queue.Store must do, as one suite of tests.
package queuetest
