// Package conformance is what weir's data path promises on the wire, written
// down as black-box cases: it drives an address where weir listens and controls
// the function that stands behind it, and imports nothing of weir.
//
// The same cases run over every carrier (HTTP/1.1 and HTTP/2, each in the clear
// and over TLS) and over every engine that weir may be built with: what a client
// sees may depend on neither. Cases that an engine is known to fail are listed
// by name with the reason (see [Expected]); they run all the same, and fail the
// suite as soon as they pass, so that the list can only shrink.
package conformance

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
)

// patience bounds every wait for something that must happen. It is generous,
// since a busy machine must not fail a case, and is never itself a result.
const patience = 45 * time.Second

// patienceForFailure is it where a case is expected to fail: it will wait in vain.
const patienceForFailure = 10 * time.Second

func patienceOf(t testing.TB) time.Duration {
	if _, judged := t.(*judge); judged {
		return patienceForFailure
	}
	return patience
}

// Carrier is what carries requests to weir.
type Carrier struct {
	Name string
	H2   bool // HTTP/2; by prior knowledge in the clear, by ALPN over TLS
	TLS  bool
}

// The carriers that weir listens for on its data port.
var (
	H1    = Carrier{Name: "h1"}
	H2C   = Carrier{Name: "h2c", H2: true}
	H1TLS = Carrier{Name: "h1-tls", TLS: true}
	H2TLS = Carrier{Name: "h2-tls", H2: true, TLS: true}

	http1Carriers = []Carrier{H1, H1TLS}
	http2Carriers = []Carrier{H2C, H2TLS}
)

// Behind says what stands behind weir in a case.
type Behind int

const (
	// FunctionHTTP is the programmable Function over HTTP/1.1.
	FunctionHTTP Behind = iota
	// FunctionH2C is the same over HTTP/2 by prior knowledge.
	FunctionH2C
	// FunctionUnix is the same over HTTP/1.1 on a Unix socket.
	FunctionUnix
	// FunctionUnspecified is FunctionHTTP, reached by the unspecified address.
	FunctionUnspecified
	// Scripted is the Origin whose bytes the case writes itself.
	Scripted
	// Nothing is a port that refuses connections until the case opens it.
	Nothing
)

// Case is one thing that must hold.
type Case struct {
	// Name is group/what must hold.
	Name string
	// Over lists the carriers that the case makes sense for; none means all.
	Over []Carrier
	// Behind says what answers.
	Behind Behind
	// With is what weir is started with, beside addresses and certificates.
	With Settings
	// ClientCA makes weir demand certificates of its clients (TLS carriers only).
	ClientCA bool
	// Alone is for cases that need a weir which has served nobody else: they look at
	// what others leave behind (memory, connections, figures that remember), or end it.
	Alone bool
	// RunsOn is for cases in which weir gives a request up while the function
	// goes on with it, so that the function may see more at once than the limit.
	// In all others the harness asserts that it does not.
	RunsOn bool
	// Run drives the case. It must use t for failures, since an expected failure
	// is judged by it, and must leave nothing running behind.
	Run func(t testing.TB, s *Stage)
}

// Cases returns the whole table. Names are unique; the order is that of the
// groups, and of no consequence.
func Cases() []Case {
	return slices.Concat(
		refuseCases(),
		refuseHTTP2Cases(),
		forwardCases(),
		forwardedCases(),
		loopCases(),
		interimCases(),
		trailerCases(),
		responseCases(),
		truncationCases(),
		streamCases(),
		alone(retryCases()),
		alone(upstreamCases()),
		timeoutCases(),
		clientCases(),
		upgradeCases(),
		alone(http2Cases()),
		grpcCases(),
		alone(limiterCases()),
		alone(waitCases()),
		alone(callerCases()),
		alone(meterCases()),
		alone(drainCases()),
		alone(probeCases()),
		alone(tlsCases()),
	)
}

func alone(cases []Case) []Case {
	for i := range cases {
		cases[i].Alone = true
	}
	return cases
}

// Expected is a case that an engine is known to fail.
type Expected struct {
	Case   string
	Over   []Carrier // where it fails; none means on every carrier of the case
	Reason string
}

// Carriers returns all that weir listens for, those of HTTP/1.1 first.
func Carriers() []Carrier { return []Carrier{H1, H1TLS, H2C, H2TLS} }

// Run runs every case over those of the carriers that it is for, against what
// launcher starts. Cases in expected are run too, and fail when they pass.
func Run(t *testing.T, launcher Launcher, carriers []Carrier, expected []Expected) {
	cases := Cases()
	if err := validate(cases, expected); err != nil {
		t.Fatal(err)
	}
	certs, err := newCertificates(t.TempDir())
	if err != nil {
		t.Fatalf("conformance: making certificates: %v", err)
	}
	var keys []string
	for _, c := range cases {
		for _, carrier := range carriers {
			_, fails := expectation(expected, c.Name, carrier)
			if slices.Contains(c.carriers(), carrier) && c.shares() && !fails {
				keys = append(keys, c.venueKey(carrier))
			}
		}
	}
	venues := newVenues(keys)
	t.Cleanup(func() { venues.close(t) })
	for _, c := range cases {
		if !slices.ContainsFunc(c.carriers(), func(carrier Carrier) bool { return slices.Contains(carriers, carrier) }) {
			continue
		}
		t.Run(c.Name, func(t *testing.T) {
			t.Parallel()
			for _, carrier := range carriers {
				if !slices.Contains(c.carriers(), carrier) {
					continue
				}
				t.Run(carrier.Name, func(t *testing.T) {
					if reason, ok := expectation(expected, c.Name, carrier); ok {
						t.Parallel()
						mustFail(t, reason, func(t testing.TB) { c.play(t, newStage(t, &c, launcher, certs, carrier)) })
						return
					}
					if c.shares() {
						c.play(t, venues.take(t, &c, launcher, certs, carrier))
						return
					}
					t.Parallel()
					c.play(t, newStage(t, &c, launcher, certs, carrier))
				})
			}
		})
	}
}

// validate rejects tables that would let a case be lost or an expectation be
// forgotten.
func validate(cases []Case, expected []Expected) error {
	over := make(map[string][]Carrier, len(cases))
	for _, c := range cases {
		if group, rest, ok := strings.Cut(c.Name, "/"); !ok || group == "" || rest == "" {
			return fmt.Errorf("conformance: case %q is not named group/what must hold", c.Name)
		}
		if c.Run == nil {
			return fmt.Errorf("conformance: case %q does nothing", c.Name)
		}
		if _, dup := over[c.Name]; dup {
			return fmt.Errorf("conformance: two cases are named %q", c.Name)
		}
		over[c.Name] = c.carriers()
	}
	type where struct {
		name    string
		carrier Carrier
	}
	listed := map[where]bool{}
	for _, e := range expected {
		carriers, ok := over[e.Case]
		if !ok {
			return fmt.Errorf("conformance: expected failure %q names no case", e.Case)
		}
		if e.Reason == "" {
			return fmt.Errorf("conformance: expected failure %q gives no reason", e.Case)
		}
		for _, carrier := range e.Over {
			if !slices.Contains(carriers, carrier) {
				return fmt.Errorf("conformance: expected failure %q: the case does not run over %s", e.Case, carrier.Name)
			}
		}
		if len(e.Over) > 0 {
			carriers = e.Over
		}
		for _, carrier := range carriers {
			if listed[where{e.Case, carrier}] {
				return fmt.Errorf("conformance: failure of %q is expected twice over %s", e.Case, carrier.Name)
			}
			listed[where{e.Case, carrier}] = true
		}
	}
	return nil
}

func expectation(expected []Expected, name string, carrier Carrier) (reason string, ok bool) {
	for _, e := range expected {
		if e.Case == name && (len(e.Over) == 0 || slices.Contains(e.Over, carrier)) {
			return e.Reason, true
		}
	}
	return "", false
}

func (c *Case) carriers() []Carrier {
	if len(c.Over) == 0 {
		return Carriers()
	}
	return c.Over
}

// play runs a case over one carrier, and then asserts what must hold after every case.
func (c *Case) play(t testing.TB, s *Stage) {
	c.Run(t, s)
	if t.Failed() {
		return
	}
	s.assertQuiet(t, c)
}

// eventually polls until cond holds, and fails the case when it never does.
// cond says what it saw, for the failure's message.
func eventually(t testing.TB, what string, cond func() (ok bool, saw string)) {
	t.Helper()
	patience := patienceOf(t)
	deadline := time.Now().Add(patience)
	pause := 5 * time.Millisecond
	for {
		ok, saw := cond()
		if ok {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: did not come to hold within %v: %s", what, patience, saw)
		}
		time.Sleep(pause)
		// To ask weir costs it more than most cases do.
		pause = min(2*pause, 40*time.Millisecond)
	}
}

// await receives from c, and fails the case when nothing comes.
func await[T any](t testing.TB, what string, c <-chan T) T {
	t.Helper()
	patience := patienceOf(t)
	select {
	case v := <-c:
		return v
	case <-time.After(patience):
		t.Fatalf("%s: nothing within %v", what, patience)
		panic("unreachable")
	}
}

// offer sends on c, and fails the case when nobody takes it.
func offer[T any](t testing.TB, what string, c chan<- T, v T) {
	t.Helper()
	patience := patienceOf(t)
	select {
	case c <- v:
	case <-time.After(patience):
		t.Fatalf("%s: not within %v", what, patience)
	}
}

// forBehind repeats cases for each kind of function. The first kind keeps the
// name and the carriers; the others run over those in the clear, since neither
// knows of the other.
func forBehind(kinds []Behind, cases []Case) []Case {
	var all []Case
	for i, kind := range kinds {
		for _, c := range cases {
			c.Behind = kind
			if i > 0 {
				c.Name += ", from " + kind.String()
				c.Over = slices.DeleteFunc(slices.Clone(c.carriers()), func(c Carrier) bool { return c.TLS })
			}
			all = append(all, c)
		}
	}
	return all
}

func (b Behind) String() string {
	return [...]string{
		"a function over HTTP/1.1", "a function over h2c", "a function over a Unix socket",
		"a function at the unspecified address", "a scripted origin", "nothing",
	}[b]
}
