package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// The demo through the whole of weir: its figures come from a real sidecar over
// real sockets, and must agree with each other.
func TestDemo(t *testing.T) {
	t.Setenv("TERM", "xterm") // a buffer is no terminal whatever TERM says
	var stdout, stderr bytes.Buffer
	if code := run([]string{"demo", "--for", "3s", "--max-inflight", "5"}, nil, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d\nstderr:\n%s\nstdout:\n%s", code, &stderr, &stdout)
	}
	if stderr.Len() > 0 {
		t.Errorf("stderr:\n%s", &stderr)
	}
	text := stdout.String()
	if i := strings.IndexFunc(text, func(r rune) bool { return r != '\n' && (r < ' ' || r > '~') }); i >= 0 {
		t.Errorf("not plain text at %q", text[i:min(i+20, len(text))])
	}
	if lines := regexp.MustCompile(`(?m)^ +[0-9]+s  (steady|burst|overload|all three|quiet|ending) `).FindAllString(text, -1); len(lines) == 0 {
		t.Errorf("no line while it ran:\n%s", text)
	}

	row := regexp.MustCompile(`(?m)^(steady|burst|overload|all) +(\d+) +(\d+) +(\d+) .*$`)
	type row3 struct{ sent, served, refused int }
	rows := map[string]row3{}
	for _, m := range row.FindAllStringSubmatch(text, -1) {
		rows[m[1]] = row3{atoi(t, m[2]), atoi(t, m[3]), atoi(t, m[4])}
	}
	var sum row3
	for _, kind := range []string{"steady", "burst", "overload"} {
		r, ok := rows[kind]
		if !ok || r.sent == 0 || r.sent != r.served+r.refused {
			t.Errorf("%s: %+v", kind, r)
		}
		sum = row3{sum.sent + r.sent, sum.served + r.served, sum.refused + r.refused}
	}
	if rows["all"] != sum || sum.served == 0 || sum.refused == 0 {
		t.Errorf("all %+v, the sum is %+v", rows["all"], sum)
	}
	byReason := 0
	refused := find(t, text, `(?m)^Refused +(.*)$`)[1]
	for _, m := range regexp.MustCompile(`[a-z_]+ (\d+)`).FindAllStringSubmatch(refused, -1) {
		byReason += atoi(t, m[1])
	}
	if byReason != sum.refused || !strings.Contains(refused, "max_inflight ") {
		t.Errorf("refused %q, in all %d", refused, sum.refused)
	}
	if n := atoi(t, find(t, text, `(?m)^Waited +(\d+) calls`)[1]); n == 0 {
		t.Error("nobody waited")
	}
	most := find(t, text, `never ran more than (\d+) calls; the limit is (\d+)`)
	if n := atoi(t, most[1]); n < 1 || n > 5 || most[2] != "5" {
		t.Errorf("%s", most[0])
	}
	find(t, text, `in flight at the end: 0\n`)

	function := atof(t, find(t, text, `(\d+\.\d+)  by the function itself`)[1])
	exact := atof(t, find(t, text, `(\d+\.\d+)  by weir's exact integral`)[1])
	callers := atof(t, find(t, text, `(\d+\.\d+)  by the callers`)[1])
	estimate := atof(t, find(t, text, `(\d+\.\d+)  rate x duration`)[1])
	// The function sees less of a call than weir, on however slow a machine; weir
	// less than the caller, but for what it does after the last byte.
	if function <= 0 || function > exact || exact > 1.05*callers || callers > 2*5 {
		t.Errorf("function %v, weir %v, callers %v: want them in this order", function, exact, callers)
	}
	// Over a time at whose end nothing runs, Little's law is exact but for what
	// lies between slot and function.
	if estimate < function || estimate > 1.05*callers {
		t.Errorf("rate x duration %v is not between %v and %v", estimate, function, callers)
	}
	for _, want := range []string{"Status page while this runs: http://127.0.0.1:", "Metrics while this runs: http://127.0.0.1:", "weir run --max-inflight 5 --upstream"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
}

// A spike through the whole of weir: what was accepted has run, each call once.
func TestDemoOfASpike(t *testing.T) {
	var stdout, stderr bytes.Buffer
	if code := run([]string{"demo", "--async", "--for", "2s", "--max-inflight", "4"}, nil, &stdout, &stderr); code != exitOK {
		t.Fatalf("exit code %d\nstderr:\n%s\nstdout:\n%s", code, &stderr, &stdout)
	}
	if stderr.Len() > 0 {
		t.Errorf("stderr:\n%s", &stderr)
	}
	text := stdout.String()
	calls := atoi(t, find(t, text, `--async: (\d+) calls within`)[1])
	accepted, ran := atoi(t, find(t, text, `(?m)^Accepted +(\d+) calls`)[1]), find(t, text, `(?m)^Ran +(\d+) calls once, (\d+) more`)
	if calls != accepted || calls != atoi(t, ran[1]) || ran[2] != "0" {
		t.Errorf("%d calls, %d accepted, %s", calls, accepted, ran[0])
	}
	if n := atoi(t, find(t, text, `(?m)^Waited +at most (\d+) calls`)[1]); n == 0 {
		t.Error("no call waited")
	}
	last := find(t, text, `(?m)^ +\d+s +(\d+) +0 +0 +(\d+) +-$`)
	if atoi(t, last[1]) != calls || atoi(t, last[2]) != calls {
		t.Errorf("the table ends with %q", last[0])
	}
	find(t, text, `(?m)^Lost +0$`)
}

func find(t *testing.T, text, pattern string) []string {
	t.Helper()
	m := regexp.MustCompile(pattern).FindStringSubmatch(text)
	if m == nil {
		t.Fatalf("no %s in\n%s", pattern, text)
	}
	return m
}

func atoi(t *testing.T, s string) int {
	t.Helper()
	n, err := strconv.Atoi(s)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

func atof(t *testing.T, s string) float64 {
	t.Helper()
	f, err := strconv.ParseFloat(s, 64)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestDemoRefusesWrongFlags(t *testing.T) {
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{"--max-inflight", "0"}, "max-inflight 0: give a number from 1 to 64"},
		{[]string{"--max-inflight", "ten"}, `invalid argument "ten" for "--max-inflight"`},
		{[]string{"--for", "10ms"}, "too short"},
		{[]string{"--async", "--for", "10ms"}, "too short"},
		{[]string{"--for", "30"}, `invalid argument "30" for "--for"`},
		{[]string{"now"}, `unknown command "now" for "weir demo"`},
	} {
		var stdout, stderr bytes.Buffer
		if code := run(append([]string{"demo"}, c.args...), nil, &stdout, &stderr); code != exitUsage {
			t.Errorf("%v: exit code %d, want %d", c.args, code, exitUsage)
		}
		if !strings.Contains(stderr.String(), c.want) || stdout.Len() > 0 {
			t.Errorf("%v: stderr %q, want %q; stdout %q", c.args, &stderr, c.want, &stdout)
		}
	}
}

func TestHeldLogIsBounded(t *testing.T) {
	h := &heldLog{}
	const line = "level=WARN msg=again\n"
	for range heldLogSize {
		if n, err := fmt.Fprint(h, line); n != len(line) || err != nil {
			t.Fatal(n, err)
		}
	}
	var out bytes.Buffer
	if err := h.release(&out); err != nil {
		t.Fatal(err)
	}
	kept := heldLogSize / len(line)
	if want := fmt.Sprintf("(and %d more lines of the log)\n", heldLogSize-kept); strings.Count(out.String(), line) != kept || !strings.HasSuffix(out.String(), want) {
		t.Errorf("%d lines kept, want %d and %q at the end", strings.Count(out.String(), line), kept, want)
	}
}
