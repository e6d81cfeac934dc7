package e2e

import "os"

// proofs reports whether the long proofs of asynchronous calls are asked for, with
// their figures: `make queue-proofs` does. Otherwise they are small, and assert nothing
// that a busy machine may upset.
func proofs() bool { return os.Getenv("QUEUE_PROOFS") != "" }
