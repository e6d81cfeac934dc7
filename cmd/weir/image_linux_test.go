package main

import (
	"os"
	"reflect"
	"strings"
	"testing"
)

// What a program is made of comes back after it was given back: everything below is
// code and constants of this one.
func TestTheImageComesBack(t *testing.T) {
	for range 3 {
		if err := releaseImage(); err != nil {
			t.Fatal(err)
		}
		if got := strings.Repeat("weir ", 2); got != "weir weir " {
			t.Fatalf("got %q", got)
		}
	}
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		t.Fatal(err)
	}
	found, err := imageMappings(smaps, reflect.ValueOf(releaseImage).Pointer())
	if err != nil {
		t.Fatal(err)
	}
	if len(found) == 0 {
		t.Error("nothing of the program itself was found")
	}
}

func TestImageMappings(t *testing.T) {
	const smaps = `00400000-00e96000 r-xp 00000000 fe:00 123    /usr/bin/weir
Size:              10840 kB
Rss:                6168 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
00e96000-01971000 r--p 00a96000 fe:00 123    /usr/bin/weir (deleted)
Rss:                7324 kB
Anonymous:             0 kB
01971000-01980000 r--p 01571000 fe:00 123    /usr/bin/weir
Rss:                  60 kB
Anonymous:            60 kB
01980000-019e9000 rw-p 01580000 fe:00 123    /usr/bin/weir
Anonymous:             0 kB
7f0000000000-7f0000001000 r-xp 00000000 fe:00 7      /lib/other.so
Anonymous:             0 kB
7f0000002000-7f0000003000 r--p 00000000 00:00 0
Anonymous:             0 kB
`
	found, err := imageMappings([]byte(smaps), 0x401000)
	if err != nil {
		t.Fatal(err)
	}
	// Not what is written to, what was relocated, or another file's.
	want := []mapping{
		{from: 0x400000, to: 0xe96000, file: "fe:00 123"},
		{from: 0xe96000, to: 0x1971000, file: "fe:00 123"},
	}
	if !reflect.DeepEqual(found, want) {
		t.Errorf("got %+v, want %+v", found, want)
	}
	if found, err := imageMappings([]byte(smaps), 0x10); err != nil || found != nil {
		t.Errorf("code that is in no mapping: %+v, %v", found, err)
	}
	for _, bad := range []string{"nonsense here", "zz-01 r--p 0 fe:00 1", "00-zz r--p 0 fe:00 1", "00-01 r--p"} {
		if _, err := imageMappings([]byte(bad), 0); err == nil {
			t.Errorf("%q: no error", bad)
		}
	}
}
