package tracecontext

import (
	"encoding/hex"
	"regexp"
	"strings"
	"testing"
)

const (
	traceID  = "4bf92f3577b34da6a3ce929d0e0e4736"
	recorded = "00-" + traceID + "-00f067aa0ba902b7-01"
)

func TestParse(t *testing.T) {
	for _, c := range []struct {
		field   string
		ok      bool
		sampled bool
	}{
		{recorded, true, true},
		{"00-" + traceID + "-00f067aa0ba902b7-03", true, true},
		{"00-" + traceID + "-00f067aa0ba902b7-00", true, false},
		{"01-" + traceID + "-00f067aa0ba902b7-01-what-comes-later", true, true},
		{"01-" + traceID + "-00f067aa0ba902b7-01", true, true},
		{"", false, false},
		{"00-" + traceID + "-00f067aa0ba902b7-01-what-comes-later", false, false},
		{"01-" + traceID + "-00f067aa0ba902b7-01.", false, false},
		{"ff-" + traceID + "-00f067aa0ba902b7-01", false, false},
		{"00-" + strings.ToUpper(traceID) + "-00f067aa0ba902b7-01", false, false},
		{"00-" + strings.Repeat("0", 32) + "-00f067aa0ba902b7-01", false, false},
		{"00-" + traceID + "-0000000000000000-01", false, false},
		{"00_" + traceID + "-00f067aa0ba902b7-01", false, false},
		{"00-" + traceID + "-00f067aa0ba902b7-0g", false, false},
		{recorded[:54], false, false},
	} {
		got, ok := Parse(c.field)
		if ok != c.ok || got.IsSampled() != c.sampled {
			t.Errorf("%q: %v, %v", c.field, got, ok)
		}
		if ok && hex.EncodeToString(got.TraceID[:]) != traceID {
			t.Errorf("%q: trace %x", c.field, got.TraceID)
		}
	}
}

func TestWhatIsWrittenIsRead(t *testing.T) {
	c, ok := Parse("cc-" + traceID + "-00f067aa0ba902b7-ff-more")
	if !ok {
		t.Fatal("not read")
	}
	if got := string(c.AppendTo(nil)); got != "00-"+traceID+"-00f067aa0ba902b7-03" || len(got) != Length {
		t.Errorf("written as %q", got)
	}
}

func TestNothingIsAllocated(t *testing.T) {
	b := make([]byte, 0, Length)
	if n := testing.AllocsPerRun(100, func() {
		c, _ := Parse(recorded)
		b = c.AppendTo(b[:0])
	}); n > 0 {
		t.Errorf("%g allocations", n)
	}
}

func FuzzTraceparent(f *testing.F) {
	f.Add(recorded)
	f.Add("01-" + traceID + "-00f067aa0ba902b7-01-x")
	valid := regexp.MustCompile(`^[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}(-.*)?$`)
	f.Fuzz(func(t *testing.T, field string) {
		c, ok := Parse(field)
		if !ok {
			if c != (Context{}) {
				t.Errorf("%q says something: %v", field, c)
			}
			return
		}
		m := valid.FindStringSubmatch(strings.ReplaceAll(field, "\n", " "))
		if m == nil || m[1] != hex.EncodeToString(c.TraceID[:]) || m[2] != hex.EncodeToString(c.SpanID[:]) {
			t.Errorf("%q: %v", field, c)
		}
		if again, ok := Parse(string(c.AppendTo(nil))); !ok || again != c {
			t.Errorf("%q comes back as %v, %v", field, again, ok)
		}
	})
}
