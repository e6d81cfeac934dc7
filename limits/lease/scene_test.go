package lease

import (
	"testing"
	"time"
)

// scene is a world in which only what a test says happens, without drift of clocks.
func scene(limit int, o OnOutage, members int) *world {
	w := &world{limit: limit, outage: o, choose: func(least, _ int, _ string) int { return max(least, 0) }}
	for range members {
		w.join()
	}
	return w
}

// play lets members look at the ledger several times a second for so long, those that can.
func (w *world) play(t *testing.T, d time.Duration, members ...*member) {
	t.Helper()
	for end := w.now + d; w.now < end; w.now += 100 * time.Millisecond {
		for _, m := range members {
			w.look(t, m)
		}
	}
}

// look lets a member end what it runs, begin what it can, and look at the ledger.
func (w *world) look(t *testing.T, m *member) {
	t.Helper()
	p := m.part
	p.lapse(m.holder.outage)
	p.inflight, p.stray = min(m.wants, p.allowed()), 0
	p.peak = p.inflight
	if p.inflight < m.wants {
		p.starved++
	}
	w.check(t)
	for w.step(m); m.phase != idle; w.step(m) {
		w.check(t)
	}
	w.check(t)
}

// fresh lets members look until one of them has just written.
func (w *world) fresh(t *testing.T, who *member, members ...*member) {
	t.Helper()
	for range 100 {
		w.play(t, 100*time.Millisecond, members...)
		if who.part.now().Sub(who.wrote) <= 100*time.Millisecond {
			return
		}
	}
	t.Fatal("it does not write")
}

func wantHeld(t *testing.T, m *member, want int) {
	t.Helper()
	if n := m.part.allowed(); n != want {
		t.Errorf("%s may run %d, want %d", m.id, n, want)
	}
}

// A member that is stopped in an outage goes by its share no longer than it was shown that
// there is one.
func TestAShareEndsWithTheEvidence(t *testing.T) {
	w := scene(10, OutageShare, 2)
	a, b := w.members[0], w.members[1]
	a.wants, b.wants = 10, 10
	w.play(t, 10*time.Second, a, b)
	w.down = true
	w.play(t, 10*time.Second, a, b)
	wantHeld(t, b, 5)
	w.down = false
	w.play(t, 10*time.Second, a) // b is stopped
	wantHeld(t, a, 10)
	wantHeld(t, b, 0)
}

// Between two attempts far apart, others may have had the ledger, and leases.
func TestAnOutageBeginsAnewAfterAPause(t *testing.T) {
	w := scene(10, OutageShare, 2)
	a, b := w.members[0], w.members[1]
	a.wants = 10
	w.play(t, 10*time.Second, a, b)
	wantHeld(t, a, 10)
	w.fresh(t, b, a, b)
	w.down = true
	w.look(t, b)
	w.down = false
	w.play(t, 1500*time.Millisecond, a)
	w.fresh(t, a, a)
	w.down = true
	w.play(t, 10*time.Second, a, b)
	wantHeld(t, b, 5)
}

// The lowest limit that is known holds in an outage too.
func TestSharesAreOfTheLowestLimit(t *testing.T) {
	w := scene(10, OutageShare, 2)
	a, b := w.members[0], w.members[1]
	b.config.Limit = 20
	a.wants, b.wants = 20, 20
	w.play(t, 10*time.Second, a, b)
	w.down = true
	w.play(t, 10*time.Second, a, b)
	wantHeld(t, a, 5)
	wantHeld(t, b, 5)
}

// sceneOfALostRecord has two members of a limit of 10, and b has more of it than a has
// seen when the record is lost.
func sceneOfALostRecord(t *testing.T) (w *world, a, b *member) {
	t.Helper()
	w = scene(10, OutageClosed, 2)
	a, b = w.members[0], w.members[1]
	w.play(t, 10*time.Second, a, b)
	b.wants = 8
	w.play(t, 200*time.Millisecond, b)
	if n := b.part.allowed(); n < 6 {
		t.Fatalf("it has %d", n)
	}
	w.ledger = ledger{}
	return w, a, b
}

// Others may have had more, when a record was lost, than who restores it knows of.
func TestWhoRestoresWaitsForTheOthers(t *testing.T) {
	w, a, b := sceneOfALostRecord(t)
	a.wants = 10
	w.play(t, 300*time.Millisecond, a)
	w.play(t, 5*time.Second, a, b)
	wantHeld(t, a, 5)
	wantHeld(t, b, 5)
}

// Who was given up while it was stopped is not counted on by the others in an outage.
func TestWhoWasGivenUpHasNoShare(t *testing.T) {
	for _, during := range []string{"a lease", "an outage"} {
		t.Run(during, func(t *testing.T) {
			w := scene(10, OutageShare, 2)
			a, b := w.members[0], w.members[1]
			a.wants, b.wants = 10, 10
			w.play(t, 10*time.Second, a, b)
			if during == "an outage" {
				w.down = true
				w.play(t, 10*time.Second, a, b)
				w.down = false
			}
			w.play(t, 10*time.Second, a) // b is stopped
			wantHeld(t, a, 10)
			w.down = true
			w.play(t, 10*time.Second, a, b)
			wantHeld(t, a, 10)
			wantHeld(t, b, 1)
			w.down = false
			w.play(t, 10*time.Second, a, b)
			wantHeld(t, b, 5)
		})
	}
}

// Who has come when nobody has looked since is not counted on either.
func TestWhoHasJustComeHasNoShare(t *testing.T) {
	w := scene(10, OutageShare, 1)
	a := w.members[0]
	a.wants = 10
	w.play(t, 10*time.Second, a)
	w.join()
	b := w.members[1]
	b.wants = 10
	w.look(t, b)
	w.down = true
	w.play(t, 10*time.Second, a, b)
	wantHeld(t, a, 10)
	wantHeld(t, b, 1)
}

// Nor is who has come back, and finds itself in the record still.
func TestWhoHasJustComeBackHasNoShare(t *testing.T) {
	w := scene(10, OutageShare, 2)
	a, b := w.members[0], w.members[1]
	w.play(t, 10*time.Second, a, b)
	w.fresh(t, b, a, b)
	w.play(t, 500*time.Millisecond, a) // so that its renewals do not fall together with b's end
	for range 1000 {
		w.now += 5 * time.Millisecond
		w.look(t, a)
		if a.record.member(b.id) == nil {
			break
		}
	}
	if w.ledger.record.member(b.id) == nil {
		t.Fatal("it has been taken out of the record")
	}
	w.look(t, b)
	w.down = true
	w.play(t, 10*time.Second, a, b)
	wantHeld(t, a, 10)
	wantHeld(t, b, 1)
}

// Who leaves takes nobody else out.
func TestLeavingLeavesTheOthers(t *testing.T) {
	h := newHolder("b", &part{now: time.Now}, Config{Limit: 10, Time: modelLease})
	r := h.without(&Record{Epoch: "e", Members: []Member{{ID: "a", Limit: 10, Lease: modelLease}, {ID: "b", Limit: 10}, {ID: "c", Limit: 10}}})
	if r == nil || len(r.Members) != 2 || r.member("a") == nil || r.member("c") == nil || r.Epoch != "e" {
		t.Errorf("what is left is %+v", r)
	}
	if r := h.without(r); r != nil {
		t.Errorf("who is not there leaves %+v", r)
	}
}

// The clock of one who holds a lease may be slow, and that of one who waits for its end
// fast, by a fifth together.
func TestALeaseEndsBeforeOthersTakeIt(t *testing.T) {
	w := scene(10, OutageClosed, 2)
	a, b := w.members[0], w.members[1]
	a.drift, b.drift = maxDrift, -maxDrift
	a.wants, b.wants = 10, 10
	w.play(t, 10*time.Second, a, b)
	wantHeld(t, b, 5)
	w.fresh(t, b, a, b)
	for end := w.now + 8*time.Second; w.now < end; w.now += 10 * time.Millisecond {
		w.look(t, a) // b is stopped
	}
	wantHeld(t, a, 10)
}

// Who was given up while it was stopped, and finds itself in the record still, does not
// take what stands there for it: another may go by a share that leaves nothing for it.
func TestWhoWasGivenUpDoesNotTakeWhatItHad(t *testing.T) {
	w := scene(10, OutageShare, 2)
	a, b := w.members[0], w.members[1]
	a.wants, b.wants = 1, 9
	w.play(t, 10*time.Second, a, b)
	w.fresh(t, b, a, b)
	w.play(t, 500*time.Millisecond, a)
	for range 1000 {
		w.now += 5 * time.Millisecond
		w.look(t, a)
		if a.record.member(b.id) == nil {
			break
		}
	}
	if m := w.ledger.record.member(b.id); m == nil || m.Slots < 5 {
		t.Fatalf("what stands in the record for it is %+v", m)
	}
	w.down = true
	w.play(t, 10*time.Second, a)
	wantHeld(t, a, 10)
	w.down = false
	w.look(t, b)
	wantHeld(t, b, 0)
	w.play(t, 10*time.Second, a, b)
	wantHeld(t, b, 9)
}

// Who comes while a lost record is restored waits until all have had the time to come.
func TestWhoComesToARestoredRecordWaits(t *testing.T) {
	w, a, b := sceneOfALostRecord(t)
	w.look(t, a)
	w.join()
	c := w.members[2]
	c.wants = 10
	w.play(t, 400*time.Millisecond, c)
	wantHeld(t, c, 0)
	w.play(t, 10*time.Second, a, b, c)
	if n := c.part.allowed(); n < 4 {
		t.Errorf("it has %d in the end", n)
	}
}

// Who comes in the moment in which the ledger is back finds what was held before it was
// gone, while the others go by their shares still.
func TestWhoComesAsTheLedgerComesBackWaits(t *testing.T) {
	w := scene(10, OutageShare, 2)
	a, b := w.members[0], w.members[1]
	w.play(t, 10*time.Second, a, b)
	w.down = true
	w.play(t, 10*time.Second, a, b)
	a.wants, b.wants = 10, 10
	w.play(t, time.Second, a, b)
	wantHeld(t, a, 5)
	wantHeld(t, b, 5)
	w.down = false
	w.join()
	c := w.members[2]
	c.wants = 10
	w.play(t, 400*time.Millisecond, c)
	wantHeld(t, c, 0)
	w.look(t, a) // it has not heard of b, and says so
	w.play(t, 400*time.Millisecond, c, a)
	wantHeld(t, c, 0)
	w.play(t, 5*time.Second, a, b, c)
	for _, m := range w.members {
		if n := m.part.allowed(); n < 3 {
			t.Errorf("%s has %d in the end", m.id, n)
		}
	}
}

// Who comes when nothing is wrong is told so by the first who looks, once.
func TestWhoComesIsToldThatAllIsWell(t *testing.T) {
	w := scene(10, OutageShare, 2)
	a, b := w.members[0], w.members[1]
	w.play(t, 10*time.Second, a, b)
	w.fresh(t, a, a, b)
	w.join()
	c := w.members[2]
	w.look(t, c)
	wantHeld(t, c, 0)
	before := w.ledger.writes
	for range 3 {
		w.look(t, a)
	}
	if n := w.ledger.writes - before; n != 1 {
		t.Errorf("it has been told %d times", n)
	}
	w.look(t, c)
	if n := c.part.allowed(); n < 1 {
		t.Errorf("it has %d", n)
	}
}

// Who finds nobody but the dead waits no longer than those who live would need to come,
// unless it was there in an outage.
func TestWhoComesDoesNotWaitForTheDead(t *testing.T) {
	w := scene(10, OutageShare, 1)
	w.play(t, 10*time.Second, w.members[0])
	w.members = nil
	w.join()
	b := w.members[0]
	w.play(t, youngFor, b)
	wantHeld(t, b, 0)
	w.play(t, 200*time.Millisecond, b)
	if n := b.part.allowed(); n < 1 {
		t.Errorf("it has %d", n)
	}
}

// Who began in an outage waits until it has heard of all: who is stopped as the ledger
// comes back has a share still.
func TestWhoCameInAnOutageWaitsForAll(t *testing.T) {
	w := scene(10, OutageShare, 2)
	a, b := w.members[0], w.members[1]
	w.play(t, 10*time.Second, a, b)
	w.down = true
	w.play(t, 10*time.Second, a, b)
	a.wants, b.wants = 10, 10
	w.join()
	c := w.members[2]
	c.wants = 10
	w.play(t, time.Second, a, b, c)
	w.down = false
	w.play(t, 3*time.Second, a, c) // b is stopped
	wantHeld(t, b, 5)
	wantHeld(t, c, 1)
}

// Who comes as a record is lost, and was about to make one when another restored it, waits
// for those who are in it: they may have more than he knew.
func TestWhoComesAsARecordIsLostWaits(t *testing.T) {
	w, a, b := sceneOfALostRecord(t)
	w.join()
	c := w.members[2]
	c.wants = 10
	w.step(c)
	w.step(c)
	w.look(t, a)
	if w.step(c); c.phase != idle {
		t.Fatal("it has made a record beside the one that is there")
	}
	w.play(t, 400*time.Millisecond, c)
	wantHeld(t, c, 0)
	w.play(t, 10*time.Second, a, b, c)
}

// timed is a scene in which each member has a lease of its own time.
func timed(limit int, o OnOutage, times ...time.Duration) *world {
	w := scene(limit, o, 0)
	for _, d := range times {
		w.joinFor(d)
	}
	return w
}

func (w *world) joinFor(d time.Duration) *member {
	w.join()
	m := w.members[len(w.members)-1]
	m.config.Time, m.holder.time = d, d
	return m
}

// A lease is longer only once all others have read so: who loses the ledger before that
// counts on the time that he knows.
func TestALeaseIsLongerOnceAllKnow(t *testing.T) {
	w := timed(10, OutageShare, 2*time.Second, 2*time.Second)
	a, b := w.members[0], w.members[1]
	a.wants = 9
	w.play(t, 10*time.Second, a, b)
	wantHeld(t, b, 0)
	b.wants = 10
	a.config.Time = 20 * time.Second
	for range 3 {
		w.look(t, a)
		w.now += 10 * time.Millisecond
	}
	if m := w.ledger.record.member(a.id); m.Lease != 20*time.Second {
		t.Fatalf("what stands in the record is %v", m.Lease)
	}
	w.down = true
	w.play(t, 10*time.Second, a, b)
	wantHeld(t, b, 5)
	w.down = false
	w.play(t, 10*time.Second, a, b)
	if a.holder.time != 20*time.Second {
		t.Errorf("when all know it is held for %v", a.holder.time)
	}
	// From then on others wait for it.
	a.wants, b.wants = 9, 1
	w.play(t, 10*time.Second, a, b)
	w.fresh(t, a, a, b)
	b.wants = 10
	w.down = true
	w.play(t, 13*time.Second, b)
	if n := a.part.allowed(); n < 5 {
		t.Errorf("the lease has ended: %d", n)
	}
}

// So is that of one who comes.
func TestWhoComesHoldsALongLeaseOnceAllKnow(t *testing.T) {
	w := timed(10, OutageShare, 2*time.Second, 2*time.Second)
	a, b := w.members[0], w.members[1]
	w.play(t, 10*time.Second, a, b)
	w.fresh(t, a, a, b)
	c := w.joinFor(20 * time.Second)
	c.wants = 9
	w.look(t, c)
	w.look(t, a) // tells it that all is well
	w.look(t, c)
	w.look(t, c)
	if n := c.part.allowed(); n < 5 {
		t.Fatalf("it has %d", n)
	}
	a.wants, b.wants = 10, 10
	w.down = true
	w.play(t, 10*time.Second, a, b, c)
}

// A lease is shorter before the record says so, whether the write succeeds or not.
func TestALeaseIsShorterAtOnce(t *testing.T) {
	w := timed(10, OutageClosed, 20*time.Second, 20*time.Second)
	a, b := w.members[0], w.members[1]
	a.wants, b.wants = 10, 10
	w.play(t, 10*time.Second, a, b)
	w.fresh(t, b, a, b)
	wantHeld(t, b, 5)
	b.config.Time = 2 * time.Second
	w.step(b)
	w.step(b)
	w.step(b) // it is written, and the answer is lost
	if m := w.ledger.record.member(b.id); m.Lease != 2*time.Second {
		t.Fatalf("what stands in the record is %v", m.Lease)
	}
	w.play(t, 3*time.Second, a)
	wantHeld(t, a, 10)
	wantHeld(t, b, 0)
}

// Others are left as long as they say, be it longer or shorter than one's own lease.
func TestEachIsLeftItsOwnTime(t *testing.T) {
	for _, c := range []struct{ dead, alive, after time.Duration }{
		{2 * time.Second, 20 * time.Second, 2500 * time.Millisecond},
		{20 * time.Second, 2 * time.Second, 18 * time.Second},
	} {
		w := timed(10, OutageClosed, c.dead, c.alive)
		a, b := w.members[0], w.members[1]
		a.wants, b.wants = 10, 10
		w.play(t, 30*time.Second, a, b)
		w.fresh(t, a, a, b)
		w.play(t, c.after-1500*time.Millisecond, b)
		wantHeld(t, b, 5)
		w.play(t, 1500*time.Millisecond, b)
		wantHeld(t, b, 10)
	}
}

// Who has a long lease does not take another with a short one for dead whose lease has ended
// in an outage that the long one has hardly noticed.
func TestAnOutageIsNotMissedByALongLease(t *testing.T) {
	w := timed(10, OutageShare, 20*time.Second, 2*time.Second)
	a, b := w.members[0], w.members[1]
	a.wants, b.wants = 10, 10
	w.play(t, 30*time.Second, a, b)
	w.down = true
	w.play(t, 3*time.Second, a, b)
	wantHeld(t, b, 5)
	w.down = false
	w.play(t, 300*time.Millisecond, a)
	wantHeld(t, a, 5)
	wantHeld(t, b, 5)
}

// Who reads the record and cannot write it for long may have been given up.
func TestWhoCannotWriteHasNoShare(t *testing.T) {
	w := scene(10, OutageShare, 2)
	a, b := w.members[0], w.members[1]
	a.wants, b.wants = 10, 10
	w.play(t, 10*time.Second, a, b)
	for range 60 {
		w.look(t, a)
		w.step(b)
		w.step(b)
		b.phase = idle // another was faster
		w.now += 100 * time.Millisecond
	}
	wantHeld(t, a, 10)
	w.down = true
	w.play(t, 10*time.Second, a, b)
	wantHeld(t, b, 1)
}

// A record that was set back to when somebody had a shorter lease is restored with the one
// that he has.
func TestALongLeaseIsRestored(t *testing.T) {
	w := timed(10, OutageClosed, 2*time.Second, 2*time.Second)
	a, b := w.members[0], w.members[1]
	a.wants, b.wants = 10, 10
	w.play(t, 10*time.Second, a, b)
	older := ledger{record: clone(w.ledger.record), revision: w.ledger.revision}
	a.config.Time = 20 * time.Second
	w.play(t, 10*time.Second, a, b)
	w.fresh(t, a, a, b)
	w.goBack(older)
	w.play(t, 10*time.Second, b)
	wantHeld(t, a, 5)
	wantHeld(t, b, 5)
}

// Who finds no record waits for those who knew one.
func TestWhoFindsNoRecordWaits(t *testing.T) {
	w, a, b := sceneOfALostRecord(t)
	w.join()
	c := w.members[2]
	c.wants = 10
	w.play(t, 400*time.Millisecond, c)
	wantHeld(t, c, 0)
	w.play(t, 10*time.Second, a, b, c)
}

// Who begins to want what another has says so at once, and not when it renews.
func TestWhoWantsMoreAsks(t *testing.T) {
	w := scene(10, OutageClosed, 2)
	a, b := w.members[0], w.members[1]
	a.wants = 10
	w.play(t, 10*time.Second, a, b)
	w.fresh(t, b, a, b)
	wantHeld(t, a, 10)
	b.wants = 10
	w.look(t, b)
	if m := w.ledger.record.member(b.id); m.Wanted < 5 {
		t.Errorf("what stands in the record is %+v", m)
	}
	w.look(t, a)
	w.look(t, a) // what it ran above its share has ended
	w.look(t, b)
	wantHeld(t, a, 5)
	wantHeld(t, b, 5)
}

// Who gives back lets no more in from before it has written so: others take it at once,
// while the answer is on its way.
func TestWhoGivesBackLetsNoMoreIn(t *testing.T) {
	w := scene(10, OutageClosed, 2)
	a, b := w.members[0], w.members[1]
	a.wants = 10
	w.play(t, 10*time.Second, a, b)
	wantHeld(t, a, 10)
	b.wants = 10
	w.look(t, b)
	a.part.inflight = 0 // its calls have ended
	w.step(a)
	w.step(a)
	if w.step(a); a.phase != answered {
		t.Fatalf("it has written nothing: %+v", w.ledger.record)
	}
	w.look(t, b)
	w.look(t, b)
	wantHeld(t, b, 5)
	wantHeld(t, a, 5)
}

// After an outage in which long leases have ended, nobody waits until others renew theirs to
// hear of them. While one is not there, the others do not write again and again for it.
func TestWhoAsksAfterAnOutageIsAnswered(t *testing.T) {
	w := timed(12, OutageShare, time.Minute, time.Minute, time.Minute)
	a, b, c := w.members[0], w.members[1], w.members[2]
	w.play(t, 20*time.Second, a, b, c)
	w.down = true
	w.play(t, 2*time.Minute, a, b, c)
	a.wants = 12
	w.down = false
	before := w.ledger.writes
	w.play(t, 10*time.Second, a, b) // c is stopped
	if n := w.ledger.writes - before; n > 8 {
		t.Errorf("two members write %d times within 10 s", n)
	}
	wantHeld(t, a, 4)
	w.play(t, 500*time.Millisecond, a, b, c)
	wantHeld(t, a, 12)
}

// Who has a long lease asks as well, if it alone could not look for as long as others' last.
func TestWhoHasALongLeaseAsksAfterAnOutage(t *testing.T) {
	w := timed(10, OutageShare, time.Minute, 2*time.Second)
	a, b := w.members[0], w.members[1]
	a.wants, b.wants = 10, 10
	w.play(t, 20*time.Second, a, b) // it has renewed its own a few seconds ago
	wantHeld(t, a, 5)
	a.cut = true
	w.play(t, time.Second, a, b)
	b.wants = 1
	w.play(t, time.Second, b) // until it is hungry no more
	a.cut = false
	w.play(t, time.Second, a, b)
	if n := a.part.allowed(); n < 8 {
		t.Errorf("it may run %d", n)
	}
}
