package queue

import (
	"bytes"
	"reflect"
	"testing"
	"time"
)

func sampleCall() *Call {
	at := time.Date(2026, 3, 1, 10, 0, 0, 123456789, time.UTC)
	return &Call{
		ID: NewID(at), Method: "POST", Target: "/a%2Fb//c?x=\xff&y", Host: "f.example",
		Fields: []Field{{"Content-Type", "text/plain"}, {"X-Raw", "caf\xe9"}, {"X-Empty", ""}},
		Body:   []byte("body\x00"), EnqueuedAt: at, ExpiresAt: at.Add(time.Hour), Callback: "https://example.com/done",
	}
}

func TestACallComesBackAsItWas(t *testing.T) {
	c := sampleCall()
	var got Call
	rest, err := got.DecodeHead(append(c.AppendHead(nil), c.Body...))
	if err != nil {
		t.Fatal(err)
	}
	got.Body = rest
	if !reflect.DeepEqual(&got, c) {
		t.Errorf("got  %+v\nwant %+v", &got, c)
	}
}

func TestAResponseComesBackAsItWas(t *testing.T) {
	for _, r := range []Response{
		{Status: 200, Fields: []Field{{"A", "b"}, {"A", "c"}}, Body: []byte("x")},
		{Status: 503, Dropped: true, Body: []byte{}},
	} {
		b, err := r.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var got Response
		if err := got.UnmarshalBinary(b); err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, r) {
			t.Errorf("got %+v, want %+v", got, r)
		}
	}
}

func TestHashTellsPayloadsApart(t *testing.T) {
	seen := map[[32]byte]string{}
	for name, change := range map[string]func(*Call){
		"itself":   func(*Call) {},
		"method":   func(c *Call) { c.Method = "PUT" },
		"target":   func(c *Call) { c.Target += "z" },
		"body":     func(c *Call) { c.Body = []byte("other") },
		"callback": func(c *Call) { c.Callback += "/else" },
		"none":     func(c *Call) { c.Callback = "" },
		"shifted":  func(c *Call) { c.Method, c.Target = "POST/", "a%2Fb//c?x=\xff&y" },
	} {
		c := sampleCall()
		change(c)
		h := c.Hash()
		if other, taken := seen[h]; taken {
			t.Errorf("%s and %s have the same hash", name, other)
		}
		seen[h] = name
	}
	a, b := sampleCall(), sampleCall()
	b.Fields, b.ID = nil, NewID(time.Now())
	if a.Hash() != b.Hash() {
		t.Error("fields or id are part of the hash")
	}
}

func FuzzDecodeCall(f *testing.F) {
	f.Add(sampleCall().AppendHead(nil))
	f.Add([]byte{callVersion})
	f.Add([]byte{callVersion, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 1})
	f.Fuzz(func(t *testing.T, b []byte) {
		var c Call
		rest, err := c.DecodeHead(b)
		if err != nil {
			return
		}
		again := append(c.AppendHead(nil), rest...)
		var d Call
		tail, err := d.DecodeHead(again)
		if err != nil || !bytes.Equal(tail, rest) || !reflect.DeepEqual(c, d) {
			t.Fatalf("%x reads as %+v, which reads back as %+v with %x (%v)", b, c, d, tail, err)
		}
	})
}

func FuzzDecodeResponse(f *testing.F) {
	r := Response{Status: 204, Fields: []Field{{"A", "b"}}, Body: []byte("x")}
	b, err := r.MarshalBinary()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Fuzz(func(t *testing.T, b []byte) {
		var r Response
		if r.UnmarshalBinary(b) != nil {
			return
		}
		again, err := r.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var s Response
		if err := s.UnmarshalBinary(again); err != nil || !reflect.DeepEqual(r, s) {
			t.Fatalf("%+v reads back as %+v (%v)", r, s, err)
		}
	})
}

func sampleDelivery() *Delivery {
	at := time.Date(2026, 3, 1, 10, 0, 0, 123456789, time.UTC)
	return &Delivery{
		Call: NewID(at), To: OnFailure, Ticket: 3, URL: "https://example.com/x?y", State: Failed, CallAttempts: 3, Error: "the function answered 500",
		Method: "PUT", Target: "/a?\xff", Loop: "weir-f, weir-g", EnqueuedAt: at, StartedAt: at.Add(time.Second), FinishedAt: at.Add(time.Minute), GiveUpAt: at.Add(time.Hour), Attempts: 7,
		Response: &Response{Status: 500, Fields: []Field{{"A", "b"}}, Body: []byte("x\x00")},
	}
}

func TestADeliveryComesBackAsItWas(t *testing.T) {
	bare := sampleDelivery()
	bare.Response = nil
	for _, d := range []*Delivery{sampleDelivery(), bare} {
		b, err := d.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		var got Delivery
		if err := got.UnmarshalBinary(b); err != nil || !reflect.DeepEqual(&got, d) {
			t.Errorf("got  %+v (%v)\nwant %+v", &got, err, d)
		}
	}
	d := sampleDelivery()
	if got := d.Receiver(); got != "https://example.com" {
		t.Errorf("the receiver is %q", got)
	}
}

func FuzzDecodeDelivery(f *testing.F) {
	d := sampleDelivery()
	for range 2 {
		b, err := d.MarshalBinary()
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
		d.Response = nil
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		var d, again Delivery
		if d.UnmarshalBinary(b) != nil {
			return
		}
		written, err := d.MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		if err := again.UnmarshalBinary(written); err != nil || !reflect.DeepEqual(d, again) {
			t.Fatalf("%+v reads back as %+v (%v)", d, again, err)
		}
		_ = d.Receiver()
	})
}

func TestIDs(t *testing.T) {
	at := time.UnixMilli(1_800_000_000_123)
	seen := map[ID]bool{}
	buckets := map[int]int{}
	for range 2000 {
		id := NewID(at)
		if seen[id] {
			t.Fatalf("%s twice", id)
		}
		seen[id] = true
		if got, ok := ParseID(string(id)); !ok || got != id || !got.Time().Equal(at) {
			t.Fatalf("%q parses as %q, %v, of %v", id, got, ok, got.Time())
		}
		buckets[id.Bucket(16)]++
	}
	if len(buckets) != 16 {
		t.Errorf("%d of 16 buckets are used", len(buckets))
	}
	good := string(NewID(at))
	if NewID(at) > NewID(at.Add(time.Millisecond)) {
		t.Error("a later id sorts before an earlier one")
	}
	for _, bad := range []string{"", good[1:], good + "0", good[:25] + "w", good[:25] + "Z", "../" + good[3:], good[:25] + "."} {
		if _, ok := ParseID(bad); ok {
			t.Errorf("%q passes for an id", bad)
		}
	}
}
