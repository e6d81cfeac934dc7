//go:build linux

package main

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// wrkScript makes wrk say what it saw, in one line of JSON.
const wrkScript = `
local upload = @UPLOAD
if upload > 0 then
    wrk.method = "POST"
    wrk.body = string.rep("x", upload)
end
function done(summary, latency, requests)
    local e = summary.errors
    io.write(string.format(
        '\nsaw {"requests":%d,"us":%d,"bytes":%.0f,"connect":%d,"read":%d,"write":%d,"timeout":%d,"status":%d,"p50_us":%d,"p99_us":%d}\n',
        summary.requests, summary.duration, summary.bytes,
        e.connect, e.read, e.write, e.timeout, e.status,
        latency:percentile(50), latency:percentile(99)))
end
`

// wrkSaw is that line.
type wrkSaw struct {
	Requests                      int
	US                            int64
	Bytes                         int64
	Connect, Read, Write, Timeout int
	Status                        int   // responses of 400 and above
	P50                           int64 `json:"p50_us"`
	P99                           int64 `json:"p99_us"`
}

// headAtMost bounds the head of a response: what is read beyond the bodies.
const headAtMost = 1 * kib

func (c *cell) runWrk(ctx context.Context, address, dir string, seconds int) (*loaded, error) {
	script := filepath.Join(dir, "wrk-"+c.name+".lua")
	text := strings.Replace(wrkScript, "@UPLOAD", strconv.Itoa(c.upload), 1)
	if err := os.WriteFile(script, []byte(text), 0o644); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Duration(seconds)*time.Second+20*time.Second)
	defer cancel()
	// One thread: it is never the one that is short of CPU, and takes less of it.
	out, err := command(ctx, "wrk", "-t", "1", "-c", strconv.Itoa(c.connections), "-d", strconv.Itoa(seconds)+"s",
		"--timeout", "10s", "-s", script, "http://"+address+c.path)
	if err != nil {
		return nil, err
	}
	saw, err := parseWrk(out)
	if err != nil {
		return nil, err
	}
	return c.judgeWrk(saw), nil
}

func parseWrk(out string) (*wrkSaw, error) {
	_, line, ok := strings.Cut(out, "\nsaw ")
	if !ok {
		return nil, fmt.Errorf("wrk did not say what it saw: %s", out)
	}
	line, _, _ = strings.Cut(line, "\n")
	saw := &wrkSaw{}
	if err := json.Unmarshal([]byte(line), saw); err != nil {
		return nil, fmt.Errorf("wrk: %q: %w", line, err)
	}
	return saw, nil
}

// judgeWrk holds what wrk saw against what the cell should have shown.
func (c *cell) judgeWrk(saw *wrkSaw) *loaded {
	l := &loaded{
		requests: saw.Requests, took: time.Duration(saw.US) * time.Microsecond, bytes: saw.Bytes,
		p50: time.Duration(saw.P50) * time.Microsecond, p99: time.Duration(saw.P99) * time.Microsecond,
	}
	wantRefused := 0
	if c.refused {
		wantRefused = saw.Requests
	}
	least := int64(saw.Requests) * int64(c.response)
	most := int64(saw.Requests+c.connections) * int64(c.response+headAtMost)
	switch {
	case saw.Connect+saw.Read+saw.Write+saw.Timeout > 0:
		l.invalid = fmt.Sprintf("socket errors: connect %d, read %d, write %d, timeout %d", saw.Connect, saw.Read, saw.Write, saw.Timeout)
	case saw.Status != wantRefused:
		l.invalid = fmt.Sprintf("%d of %d responses had a status of 400 or above, %d should have", saw.Status, saw.Requests, wantRefused)
	case saw.Bytes < least || saw.Bytes > most:
		l.invalid = fmt.Sprintf("%d responses came with %d bytes, which is not within %d and %d", saw.Requests, saw.Bytes, least, most)
	}
	return l
}
