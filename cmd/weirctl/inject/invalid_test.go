package inject

import (
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Every mistake says where it is and what to do, and nothing is written.
func TestInvalidManifests(t *testing.T) {
	for _, path := range manifests(t, "testdata/invalid/*.yaml") {
		name := strings.TrimSuffix(filepath.Base(path), ".yaml")
		t.Run(name, func(t *testing.T) {
			out, notes, err := Add([]File{load(t, path)}, request(t))
			if err == nil || out != nil || notes != nil {
				t.Fatalf("%v; got %v, %v", err, out, notes)
			}
			golden(t, "testdata/invalid/"+name+".golden", err.Error()+"\n")
			for line := range strings.Lines(err.Error()) {
				if !regexp.MustCompile(`^` + regexp.QuoteMeta(name) + `\.yaml:[1-9]\d*: .`).MatchString(line) {
					t.Errorf("no place: %s", line)
				}
			}
		})
	}
}

func TestForceGivesUpEdits(t *testing.T) {
	in := load(t, "testdata/plain.yaml")
	out, _, err := Add([]File{in}, request(t))
	if err != nil {
		t.Fatal(err)
	}
	edited := []File{{in.Name, strings.Replace(out[0].Text, "memory: 128Mi", "memory: 256Mi", 1)}}
	if _, err := Strip(edited, false); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("without force: %v", err)
	}
	if _, _, err := Add(edited, request(t)); err == nil || !strings.Contains(err.Error(), "--force") {
		t.Errorf("without force: %v", err)
	}
	back, err := Strip(edited, true)
	if err != nil || back[0].Text != in.Text {
		t.Errorf("with force: %v", err)
	}
}

// What stands outside of weir's marks may be edited, and stays so.
func TestEditsAroundTheMarksStay(t *testing.T) {
	in := load(t, "testdata/plain.yaml")
	out, _, err := Add([]File{in}, request(t))
	if err != nil {
		t.Fatal(err)
	}
	edit := func(text string) string { return strings.Replace(text, "replicas: 3", "replicas: 5 # more", 1) }
	back, err := Strip([]File{{in.Name, edit(out[0].Text)}}, false)
	if err != nil || back[0].Text != edit(in.Text) {
		t.Errorf("%v: %s", err, back[0].Text)
	}
}

func TestWhatIsNotAskedForStays(t *testing.T) {
	pod := func(annotation string) string {
		return "apiVersion: v1\nkind: Pod\nmetadata:\n  name: p\n  annotations: {" + annotation + "}\nspec:\n  containers: [{name: p, image: p, ports: [{name: http, containerPort: 80}]}]\n"
	}
	for _, c := range []struct {
		name, text string
		annotated  bool
		injected   bool
	}{
		{"asked not to", pod(`weir.sidecar/inject: "false"`), false, false},
		{"not asked", pod(``), true, false},
		{"asked", pod(`weir.sidecar/inject: "true"`), true, true},
		{"by default", pod(``), false, true},
		{"of another kind", strings.Replace(pod(``), "kind: Pod", "kind: Peapod", 1), false, false},
		{"nothing", "", false, false},
		{"comments", "# only\n---\n# comments\n", false, false},
		{"weir by hand", strings.Replace(pod(``), "{name: p,", "{name: weir,", 1), false, false},
	} {
		r := request(t)
		r.Annotated = c.annotated
		out, _, err := Add([]File{{"in", c.text}}, r)
		if err != nil || (out[0].Text != c.text) != c.injected {
			t.Errorf("%s: %v\n%s", c.name, err, out[0].Text)
		}
	}
}

// A Service may stand in another file than the pods that it leads to.
func TestServicesOfOtherFiles(t *testing.T) {
	deployment, service := load(t, "testdata/plain.yaml"), File{"service.yaml", "apiVersion: v1\nkind: Service\nmetadata: {name: direct}\nspec:\n  selector: {app: cart}\n  ports: [{port: 3000}]\n"}
	_, _, err := Add([]File{deployment, service}, request(t))
	if err == nil || !strings.Contains(err.Error(), "plain.yaml:") || !strings.Contains(err.Error(), "(service.yaml:6)") {
		t.Errorf("%v", err)
	}
	out, _, err := Add([]File{deployment, service}, request(t, "--ports", "service"))
	if err != nil || !strings.Contains(out[1].Text, `ports: [{"targetPort": 8080, port: 3000}]`) {
		t.Errorf("%v: %v", err, out)
	}
	elsewhere := File{service.Name, strings.Replace(service.Text, "{name: direct}", "{name: direct, namespace: other}", 1)}
	if _, _, err = Add([]File{deployment, elsewhere}, request(t)); err != nil {
		t.Errorf("a Service of another namespace: %v", err)
	}
}

func TestOptionsAreListedOnce(t *testing.T) {
	var names []string
	for _, o := range options {
		if slices.Contains(names, o.name) || weirSettings().Lookup(o.name) != nil {
			t.Errorf("%s: an annotation of two meanings", o.name)
		}
		names = append(names, o.name)
		if o.set(new(Options), o.def) != nil && o.def != "" {
			t.Errorf("%s: its default %q is not taken", o.name, o.def)
		}
	}
	for _, name := range []string{"listen", "metrics-listen", "upstream", "async-dir", "config", "tls-cert", "admin-token-file"} {
		if f := weirSettings().Lookup(name); f == nil || unfit(f) == "" {
			t.Errorf("%s can be injected, or is no setting", name)
		}
	}
}
