package lease

import (
	"encoding/json"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

var mutants = flag.Bool("mutants", false, "run the tests of each mutant: they have to fail")

// mutant is a mistake that could be made: a text of a file, and what stands in its place.
type mutant struct {
	name, file, from, to string
}

// These are the rules on which the limit rests, and those by which it is used, each one
// broken. A mutant that no test finds is a hole in the tests.
var allMutants = []mutant{
	{"no margin of clocks, at the holder", "holder.go", "ownPart    = 0.7\n", "ownPart    = 0.85\n"},
	{"no margin of clocks, at the others", "holder.go", "othersPart = 0.85\n", "othersPart = 0.7\n"},
	{"the lease counts from the answer", "lease.go", "l.holder.succeeded(sent, written)", "l.holder.succeeded(time.Now().Add(0*time.Since(sent)), written)"},
	{"the lease is not extended by renewing", "holder.go", "h.known, h.revision, h.wrote = true, revision, sent\n", "h.known, h.revision, h.wrote = true, revision, sent\n\tif h.bound.Slots > 0 {\n\t\tsent = h.bound.Until.Add(-h.portion(ownPart))\n\t}\n"},
	{"what runs is not counted", "holder.go", "Slots = max(target, running)", "Slots = target + 0*running"},
	{"the record gives back while the bound stays", "holder.go", "running = h.bind(target, h.bound.Until, limit)", "running = d.Inflight"},
	{"the bound is raised before the record", "holder.go", "\th.planned = target\n", "\th.planned = target\n\th.bind(target, at.Add(h.portion(ownPart)), limit)\n"},
	{"a write that failed counts", "lease.go", "case err != nil:\n\t\t\tl.fail(ctx, err)\n", "case err != nil:\n\t\t\tl.mu.Lock()\n\t\t\tl.holder.succeeded(sent, revision)\n\t\t\tl.mu.Unlock()\n"},
	{"a conflict counts", "lease.go", "case errors.Is(err, ErrConflict):\n", "case errors.Is(err, ErrConflict) && false:\n"},
	{"what others hold is not left to them", "holder.go", "max(limit-taken, 0))\n\th.scarce", "max(limit-0*taken, 0))\n\th.scarce"},
	{"nobody dies", "sighting.go", "return at.Before(h.end(m))", "return m.ID != \"\""},
	{"a beat is seen anew at each look", "sighting.go", "case s.beat != m.Beat:", "case s.beat != m.Beat || true:"},
	{"beats do not change", "sighting.go", "return own.Beat + 1\n", "return own.Beat\n"},
	{"nothing is given back", "holder.go", "case h.scarce && max(target, d.Inflight) < held: // gives", "case false: // gives"},
	{"nobody asks", "holder.go", "case (h.scarce || h.needed > held) && changed: // asks", "case changed && false: // asks"},
	{"nothing is renewed", "holder.go", "case at.Sub(h.wrote) >= h.portion(renewPart), h.bound.Until.Before(at.Add(h.portion(ownPart - renewPart))):", "case false:"},
	{"the limit of this member alone", "holder.go", "\t\tlimit = min(limit, m.Limit)\n\t\ttaken", "\t\ttaken"},
	{"an outage ends the lease at once", "holder.go", "if !h.outage && at.Add(again).Before(h.bound.Until) {", "if false {"},
	{"a share is taken before the others' leases have ended", "holder.go", "if at.Sub(h.failedFrom) < portion(othersPart, h.longest(&h.record)) {", "if false {"},
	{"evidence of an outage lasts", "holder.go", "h.bind(slots, at.Add(h.portion(ownPart)), h.limit())", "h.bind(slots, at.Add(100*h.time), h.limit())"},
	{"an outage goes on between attempts far apart", "holder.go", "if !h.failing || at.Sub(h.tried) > h.portion(renewPart) {", "if !h.failing {"},
	{"an outage is forgotten by who has not looked", "sighting.go", "blind := unread > h.blindAfter(r)", "blind := unread > 0 && h.read.IsZero()"},
	{"those not heard of are not left their share", "holder.go", "case silent: //", "case silent && false: //"},
	{"shares are rounded up", "demand.go", "return equalShares(limit, len(r.Members))[i]", "return (limit + len(r.Members) - 1 + 0*i) / len(r.Members)"},
	{"a share by what the sidecar is configured with", "holder.go", "slots = h.share(&h.record, h.limit())", "slots = h.share(&h.record, h.config.Limit)"},
	{"a lost record is not noticed", "sighting.go", "if read != nil && r.Epoch == h.record.Epoch && revision >= h.revision {", "if read != nil {"},
	{"a record that was set back is not noticed", "sighting.go", "r.Epoch == h.record.Epoch && revision >= h.revision {", "r.Epoch == h.record.Epoch {"},
	{"who restores takes more", "holder.go", "target = min(target, h.allowed(at))\n\tcase silent", "target = min(target, limit)\n\tcase silent"},
	{"who was given up takes what it had", "holder.go", "case h.lost, silent && h.unknown():", "case h.lost:"},
	{"others are not restored", "sighting.go", "\t\t\tr.put(m)\n\t\t\thave = r.member(m.ID)\n", "\t\t\tcontinue\n"},
	{"restored ones are taken for heard of", "sighting.go", "s.beat, s.at, s.silent = have.Beat, at, true", "s.beat, s.at, s.silent = have.Beat, at, false"},
	{"a newcomer to a young record takes", "holder.go", "if h.newcomer && next.Young {\n\t\ttarget = 0", "if h.newcomer && next.Young {\n\t\ttarget += 0"},
	{"a record is never young", "sighting.go", "r.Epoch, r.Young = rand.Text(), true", "r.Epoch, r.Young = rand.Text(), false"},
	{"who leaves lets more in", "lease.go", "\tl.holder.bind(0, time.Time{}, l.config.Limit)\n", ""},
	{"who leaves gives nothing back", "lease.go", "next := l.holder.without(read)", "next := l.holder.without(read)\n\t\tif next != nil {\n\t\t\tnext = nil\n\t\t}"},
	{"who leaves takes others with it", "holder.go", "if m.ID != h.id {\n\t\t\tr.Members", "if false {\n\t\t\tr.Members"},
	{"what was sent before an outage and came late is heard", "sighting.go", "&& !h.confirmed, answered", "&& false, answered"},
	{"who failed to begin believes the record", "sighting.go", "silent: blind || h.newcomer}", "silent: (blind || h.newcomer) && h.tried.IsZero()}"},
	{"who comes believes the record", "sighting.go", "silent: blind || h.newcomer}", "silent: blind && !h.tried.IsZero()}"},
	{"who waits believes a record that was restored", "sighting.go", "silent: blind || h.newcomer}", "silent: blind}"},
	{"who comes does not hear of an outage", "holder.go", "entry.Sure = h.known && !h.stale && !h.lost && !h.newcomer && !silent", "entry.Sure = h.known"},
	{"who comes is not told that there is none", "holder.go", "case entry.Sure && h.awaited(&next): // tells who has come", "case false: // tells who has come"},
	{"who comes is told again and again", "holder.go", "s.told = s.told || sure", "s.told = s.told && sure"},
	{"who asks after an outage is not answered", "holder.go", "case h.asked(at, &next): //", "case false: //"},
	{"who asks after an outage is answered again and again", "holder.go", "s.answered = sent", "s.answered = time.Time{}"},
	{"it is forgotten who has been answered", "sighting.go", "answered: s.answered}", "answered: time.Time{}}"},
	{"who has a long lease does not ask after an outage", "holder.go", "case silent && !h.confirmed: //", "case false: //"},
	{"nobody looks as an entry ends", "sighting.go", "end.After(at) && (", "false && ("},
	{"who finds no slot does not see a short lease renewed", "lease.go", "gap := l.poll()", "gap := hungryPoll"},
	{"who comes waits for the dead", "holder.go", "\t\th.believe() // whoever", "\t\t_ = 0 // whoever"},
	{"who came in an outage does not wait for all", "holder.go", "if h.newcomer && h.tried.IsZero() && at.Sub", "if h.newcomer && at.Sub"},
	{"who was stopped takes its share of an outage", "sighting.go", "h.stale = h.stale || at.Sub(h.wrote) > h.portion(ownPart)", "h.stale = h.stale || false"},
	{"who was stopped in an outage takes its share of it", "sighting.go", "h.stale = h.stale || gap > h.portion(ownPart)", "h.stale = h.stale || false"},
	{"who has just come takes its share of an outage", "holder.go", "s.unaware = s.unaware || h.joining", "s.unaware = s.unaware && h.joining"},
	{"who has come back takes its share of an outage", "holder.go", "h.joining = own == nil || h.stale\n", "h.joining = own == nil\n"},
	{"others are left one's own time", "sighting.go", "portion(othersPart, m.Lease)", "portion(othersPart, h.time+0*m.Lease)"},
	{"a lease is longer before the record says so", "holder.go", "t = min(t, own.Lease)", "t = min(t, own.Lease+time.Hour)"},
	{"a lease is longer before the others know", "holder.go", "case h.seen[m.ID].untold:", "case false:"},
	{"who comes holds a long lease at once", "holder.go", "\t\tcase h.joining:\n\t\t\tt = min(t, m.Lease)\n", ""},
	{"a lease is shorter only from the next one on", "holder.go", "if until := at.Add(h.portion(ownPart)); until.Before(h.bound.Until) {", "if until := at.Add(h.portion(ownPart)); false {"},
	{"a lease that can be longer is not renewed", "holder.go", "h.portion(renewPart), h.bound.Until.Before(at.Add(h.portion(ownPart - renewPart))):", "h.portion(renewPart):"},
	{"a lease never is longer", "holder.go", "own.Lease != h.config.Time: //", "false: //"},
	{"a share is taken before the longest lease has ended", "holder.go", "portion(othersPart, h.longest(&h.record))", "portion(othersPart, h.time)"},
	{"an outage is missed by a long lease", "sighting.go", "portion(renewPart, h.shortest(r))", "portion(renewPart, h.time)"},
	{"who cannot write for long takes its share of an outage", "sighting.go", "	case h.failing && gap <= h.portion(renewPart):\n", "	case gap <= h.portion(renewPart):\n"},
	{"a restored record forgets how long others hold their leases", "sighting.go", "have.Lease = max(have.Lease, m.Lease)", "have.Lease = max(have.Lease, 0)"},
	{"nothing is changed in an outage", "lease.go", "	l.holder.config = l.config // in an outage too\n", "	if l.failed.IsZero() {\n		l.holder.config = l.config\n	}\n"},
	{"a record is replaced whoever wrote it", "natskv/natskv.go", "written, err = kv.Update(ctx, s.key, r.Encode(), revision)", "written, err = kv.Put(ctx, s.key, r.Encode())"},
	{"a revision outlives its connection", "natskv/natskv.go", "s.connection != s.client.nc.Stats().Reconnects", "false"},
	{"a record is made whoever made it", "natskv/natskv.go", "written, err = kv.Create(ctx, s.key, r.Encode())", "written, err = kv.Put(ctx, s.key, r.Encode())"},
	{"a lease that has ended lets calls in", "../bound.go", "now < until {", "now < until || true {"},
}

// mutate gives the file with the mistake in it.
func (m mutant) mutate(t *testing.T) string {
	t.Helper()
	b, err := os.ReadFile(m.file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(b), m.from); n != 1 {
		t.Fatalf("%q is in %s %d times, want once", m.from, m.file, n)
	}
	return strings.Replace(string(b), m.from, m.to, 1)
}

func TestMutantsAreFound(t *testing.T) {
	for _, m := range allMutants {
		t.Run(m.name, func(t *testing.T) {
			text := m.mutate(t)
			if !*mutants {
				return
			}
			binary := m.build(t, text)
			test := exec.Command(binary, "-test.timeout=60s", "-test.skip=Mutants|Storm|EverythingAtOnce")
			if test.Dir = filepath.Dir(m.file); test.Dir == "." {
				test.Args = append(test.Args, "-rapid.nofailfile")
			}
			out, err := test.CombinedOutput()
			if err == nil {
				t.Error("no test fails")
				return
			}
			var by []string
			for line := range strings.Lines(string(out)) {
				if name, ok := strings.CutPrefix(line, "--- FAIL: "); ok {
					by = append(by, strings.Fields(name)[0])
				}
			}
			if len(by) == 0 {
				by = append(by, strings.SplitN(string(out), "\n", 2)[0])
			}
			t.Log("found by ", strings.Join(by, ", "))
		})
	}
}

// build makes the tests of the mutant's package, with the text in place of its file.
func (m mutant) build(t *testing.T, text string) (binary string) {
	t.Helper()
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	original, err := filepath.Abs(m.file)
	if err != nil {
		t.Fatal(err)
	}
	overlay, err := json.Marshal(map[string]any{"Replace": map[string]string{original: write("mutant.go", []byte(text))}})
	if err != nil {
		t.Fatal(err)
	}
	binary = filepath.Join(dir, "mutant.test")
	build := exec.Command("go", "test", "-c", "-overlay", write("overlay.json", overlay), "-o", binary, ".")
	build.Dir = filepath.Dir(m.file)
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("the mutant cannot be built: %v\n%s", err, out)
	}
	return binary
}
