package e2e

import (
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// syscallSeen is one system call in a trace of strace's. Where others were traced
// between its begin and its end those are different lines.
type syscallSeen struct {
	name, file string // the file that its first argument stands for
	data       string // what was written
	begin, end int    // line numbers; end is 0 where it is not known to have ended
	result     string
}

var (
	straceBegin  = regexp.MustCompile(`^(\d+) +(\w+)\(\d+<((?:\\x[0-9a-f]{2}|[^>])*)>(.*)$`)
	straceResume = regexp.MustCompile(`^(\d+) +<\.\.\. (\w+) resumed>(.*)$`)
	straceString = regexp.MustCompile(`"((?:\\x[0-9a-f]{2})*)"`)
	straceResult = regexp.MustCompile(`\) += (.*)$`)
)

// parseTrace reads what strace -f -y -xx has written, of system calls whose first
// argument is a file descriptor.
func parseTrace(lines []string) []syscallSeen {
	var all []syscallSeen
	open := map[string]int{} // by thread, the call that has not ended
	for i, line := range lines {
		at := i + 1
		if m := straceResume.FindStringSubmatch(line); m != nil {
			if k, ok := open[m[1]]; ok && all[k].name == m[2] {
				all[k].end, all[k].result = at, resultOf(m[3])
				delete(open, m[1])
			}
			continue
		}
		m := straceBegin.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		c := syscallSeen{name: m[2], file: unhex(m[3]), begin: at}
		for _, s := range straceString.FindAllStringSubmatch(m[4], -1) {
			c.data += unhex(s[1])
		}
		if strings.HasSuffix(line, "<unfinished ...>") {
			open[m[1]] = len(all)
		} else {
			c.end, c.result = at, resultOf(m[4])
		}
		all = append(all, c)
	}
	return all
}

func resultOf(rest string) string {
	if m := straceResult.FindStringSubmatch(rest); m != nil {
		return m[1]
	}
	return ""
}

// unhex decodes strace's \x escapes.
func unhex(s string) string {
	if !strings.Contains(s, `\x`) {
		return s
	}
	b := make([]byte, 0, len(s)/4)
	for part := range strings.SplitSeq(s, `\x`) {
		if part == "" {
			continue
		}
		n, err := strconv.ParseUint(part[:2], 16, 8)
		if err != nil {
			return s
		}
		b = append(append(b, byte(n)), part[2:]...)
	}
	return string(b)
}

// fsyncedFirst checks that a call was on disk before its 202 began to be written: the
// first write of its id to a file of the store's ended, then an fsync of that file
// began and succeeded, then the answer began.
func fsyncedFirst(trace []syscallSeen, store, id string) error {
	answer := slices.IndexFunc(trace, func(c syscallSeen) bool {
		return strings.HasPrefix(c.data, "HTTP/1.1 202 ") && strings.Contains(c.data, "X-Call-Id: "+id)
	})
	if answer < 0 {
		return fmt.Errorf("the trace has no 202 with the id %s", id)
	}
	write := slices.IndexFunc(trace, func(c syscallSeen) bool {
		return strings.HasPrefix(c.file, store) && strings.HasSuffix(c.file, ".blk") && strings.Contains(c.data, id)
	})
	if write < 0 {
		return fmt.Errorf("%s was not written to the store", id)
	}
	w, a := trace[write], trace[answer]
	if w.end == 0 || strings.HasPrefix(w.result, "-1") {
		return fmt.Errorf("the write of %s to %s ended with %q", id, w.file, w.result)
	}
	if !slices.ContainsFunc(trace, func(c syscallSeen) bool {
		return (c.name == "fsync" || c.name == "fdatasync") && c.file == w.file && c.begin > w.end && c.result == "0" && c.end < a.begin
	}) {
		return fmt.Errorf("%s was written to %s in line %d and answered with 202 in line %d, without an fsync between them", id, w.file, w.end, a.begin)
	}
	return nil
}

// hexed writes a string as strace -xx does.
func hexed(s string) string {
	var b strings.Builder
	for _, c := range []byte(s) {
		fmt.Fprintf(&b, `\x%02x`, c)
	}
	return b.String()
}

// The check fails where the order is another. The traces are strace's own but for
// their order and length.
func TestAnAnswerBeforeItsFsyncIsSeen(t *testing.T) {
	t.Parallel()
	const (
		store = "/calls/jetstream/$G/streams/weir-fn/msgs/"
		id    = "06h288tlujsvfj00djpvnvuhl0"
	)
	file := func(name string) string { return "8<" + hexed(name) + ">" }
	text := func(s string) string { return `"` + hexed(s) + `", ` + strconv.Itoa(len(s)) }
	block := file(store + "1.blk")
	write := "30089 pwrite64(" + block + ", " + text("\xa3\x01"+id+" body") + ", 0) = 419"
	writeBegin, writeEnd := "30089 pwrite64("+block+", "+text("\xa3\x01"+id+" body")+", 0 <unfinished ...>", "30089 <... pwrite64 resumed>)          = 419"
	other := "30090 pwrite64(" + block + ", " + text("\xa3\x01other") + ", 0) = 7"
	fsync := "30089 fsync(" + block + ") = 0"
	fsyncBegin, fsyncEnd := "30084 fsync("+block+" <unfinished ...>", "30084 <... fsync resumed>)              = 0"
	answer := "30077 write(11<" + hexed("socket:[74349]") + ">, " + text("HTTP/1.1 202 Accepted\r\nX-Call-Id: "+id+"\r\n\r\n") + ") = 70"
	answerBegin := strings.TrimSuffix(answer, ") = 70") + " <unfinished ...>"
	for name, c := range map[string]struct {
		lines []string
		fault string
	}{
		"in order":                                   {[]string{other, write, fsync, answer}, ""},
		"in order, with others between":              {[]string{writeBegin, other, writeEnd, fsyncBegin, other, fsyncEnd, answerBegin}, ""},
		"the answer before the fsync":                {[]string{write, answer, fsync}, "without an fsync between"},
		"the answer before the fsync ended":          {[]string{write, fsyncBegin, answerBegin, fsyncEnd}, "without an fsync between"},
		"an fsync that never ended":                  {[]string{write, fsyncBegin, answer}, "without an fsync between"},
		"the fsync before the write":                 {[]string{fsync, write, answer}, "without an fsync between"},
		"an fsync that began before the write ended": {[]string{writeBegin, fsyncBegin, writeEnd, fsyncEnd, answer}, "without an fsync between"},
		"no fsync":                 {[]string{write, answer}, "without an fsync between"},
		"an fsync that failed":     {[]string{write, strings.Replace(fsync, "= 0", "= -1 EIO (Input/output error)", 1), answer}, "without an fsync between"},
		"an fsync of another file": {[]string{write, "30089 fsync(" + file(store+"2.blk") + ") = 0", answer}, "without an fsync between"},
		"a write that failed":      {[]string{strings.Replace(write, "= 419", "= -1 ENOSPC (No space left on device)", 1), fsync, answer}, "ended with"},
		"no write":                 {[]string{other, fsync, answer}, "was not written to the store"},
		"a write to another file":  {[]string{strings.Replace(write, block, file("/tmp/1.blk"), 1), fsync, answer}, "was not written to the store"},
		"no answer":                {[]string{write, fsync}, "has no 202"},
		"another's answer":         {[]string{write, fsync, strings.Replace(answer, hexed(id), hexed("06h288tlujsvfj00djpvnvuhl1"), 1)}, "has no 202"},
		"an answer that is no 202": {[]string{write, fsync, strings.Replace(answer, hexed("202"), hexed("503"), 1)}, "has no 202"},
	} {
		err := fsyncedFirst(parseTrace(c.lines), store, id)
		if (c.fault == "") != (err == nil) || err != nil && !strings.Contains(err.Error(), c.fault) {
			t.Errorf("%s: %v, want %q", name, err, c.fault)
		}
	}
}
