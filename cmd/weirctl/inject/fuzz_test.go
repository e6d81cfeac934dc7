package inject

import (
	"strings"
	"testing"
)

// Whatever weir is put into comes back as it was, and putting it in twice is
// putting it in once.
func FuzzAddThenStrip(f *testing.F) {
	for _, path := range append(manifests(f, "testdata/*.yaml"), manifests(f, "testdata/invalid/*.yaml")...) {
		f.Add(load(f, path).Text, "name")
	}
	f.Add(load(f, "testdata/list.yaml").Text, "service")
	f.Add(load(f, "testdata/openfaas.yaml").Text, "move")
	f.Fuzz(func(t *testing.T, text, ports string) {
		r := Request{Options: Defaults("weir:1")}
		r.Ports = byName
		if ports == byService || ports == byMoving {
			r.Ports = ports
		}
		in := []File{{"in", text}}
		out, _, err := Add(in, r)
		if err != nil {
			for line := range strings.Lines(err.Error()) {
				if !strings.HasPrefix(line, "in:") {
					t.Errorf("an error without a place: %q", err)
				}
			}
			return
		}
		want, err := Strip(in, false)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(text, "# weir:") && want[0].Text != text {
			t.Fatalf("stripped of what was not added: %q", want[0].Text)
		}
		back, err := Strip(out, false)
		if err != nil || back[0].Text != want[0].Text {
			t.Fatalf("%v: back came\n%q\nwant\n%q", err, back, want)
		}
		again, _, err := Add(out, r)
		if err != nil || again[0].Text != out[0].Text {
			t.Fatalf("%v: a second time\n%q\nwant\n%q", err, again, out)
		}
	})
}
