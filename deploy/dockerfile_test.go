package deploy

import (
	"encoding/json"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// instruction is one of a Dockerfile, its continued lines joined.
type instruction struct {
	name  string // in capitals
	flags []string
	args  string
}

// exec is the arguments of an instruction in the exec form, nil in another.
func (i instruction) exec() []string {
	var argv []string
	if json.Unmarshal([]byte(i.args), &argv) != nil {
		return nil
	}
	return argv
}

// stage is a FROM and what follows it.
type stage struct {
	from         instruction
	instructions []instruction
}

func (s stage) all(name string) []instruction {
	return slices.DeleteFunc(slices.Clone(s.instructions), func(i instruction) bool { return i.name != name })
}

func (s stage) only(t *testing.T, name string) instruction {
	t.Helper()
	found := s.all(name)
	if len(found) != 1 {
		t.Fatalf("%d %s in the stage, want 1", len(found), name)
	}
	return found[0]
}

var flag = regexp.MustCompile(`^--\S+\s+`)

func parseDockerfile(text string) ([]stage, error) {
	var stages []stage
	var joined string
	for line := range strings.Lines(text) {
		line = strings.TrimSpace(line)
		if strings.HasPrefix(line, "#") || line == "" {
			continue
		}
		if rest, continued := strings.CutSuffix(line, `\`); continued {
			joined += rest
			continue
		}
		name, args, _ := strings.Cut(joined+line, " ")
		joined = ""
		i := instruction{name: strings.ToUpper(name)}
		for args = strings.TrimSpace(args); ; {
			match := flag.FindString(args)
			if match == "" {
				break
			}
			i.flags = append(i.flags, strings.TrimSpace(match))
			args = args[len(match):]
		}
		i.args = args
		switch {
		case i.name == "FROM":
			stages = append(stages, stage{from: i})
		case len(stages) == 0:
			return nil, fmt.Errorf("%s before the first FROM", i.name)
		default:
			last := &stages[len(stages)-1]
			last.instructions = append(last.instructions, i)
		}
	}
	if joined != "" {
		return nil, fmt.Errorf("nothing follows %q", joined)
	}
	return stages, nil
}

// dockerfile is the stage that builds and the one that is the image.
func dockerfile(t *testing.T) (build, image stage) {
	t.Helper()
	text, err := os.ReadFile("../Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages, err := parseDockerfile(string(text))
	if err != nil {
		t.Fatal(err)
	}
	if len(stages) != 2 {
		t.Fatalf("%d stages, want 2", len(stages))
	}
	return stages[0], stages[1]
}

func TestImageRunsWithoutRoot(t *testing.T) {
	_, image := dockerfile(t)
	if base := image.from.args; !strings.HasPrefix(base, "gcr.io/distroless/static-debian12:nonroot") {
		t.Errorf("the image is based on %s", base)
	}
	// By number: Kubernetes cannot tell that a name is not root.
	user := image.only(t, "USER").args
	if !regexp.MustCompile(`^[1-9]\d*:[1-9]\d*$`).MatchString(user) {
		t.Errorf("USER %s, want a user and a group by number, neither 0", user)
	}
	if last := image.instructions[len(image.instructions)-1]; last.name == "USER" {
		t.Error("USER comes last; what it protects should follow it")
	}
	for _, i := range image.instructions {
		if i.name == "RUN" {
			t.Error("RUN in an image without a shell")
		}
	}
}

func TestImageStartsWeir(t *testing.T) {
	_, image := dockerfile(t)
	copied := image.only(t, "COPY")
	if !slices.Equal(copied.flags, []string{"--from=build"}) || copied.args != "/out/weir /weir" {
		t.Errorf("COPY %v %s, want the binary alone", copied.flags, copied.args)
	}
	// In the exec form: there is no shell, and SIGTERM has to reach weir itself.
	if got := image.only(t, "ENTRYPOINT").exec(); !slices.Equal(got, []string{"/weir"}) {
		t.Errorf("ENTRYPOINT %q", got)
	}
	if got := image.only(t, "CMD").exec(); !slices.Equal(got, []string{"run"}) {
		t.Errorf("CMD %q", got)
	}
	health, found := strings.CutPrefix(image.only(t, "HEALTHCHECK").args, "CMD ")
	if argv := (instruction{args: health}).exec(); !found || !slices.Equal(argv, []string{"/weir", "health"}) {
		t.Errorf("HEALTHCHECK %s, want the binary itself in the exec form", health)
	}
	c, err := load([]string{"run"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := ":"+strings.ReplaceAll(image.only(t, "EXPOSE").args, " ", ":"), c.Listen+c.Metrics.Listen; got != want {
		t.Errorf("EXPOSE %s, weir listens on %s by default", got, want)
	}
}

func TestNothingIsFetchedUnverified(t *testing.T) {
	build, image := dockerfile(t)
	for _, s := range []stage{build, image} {
		for _, i := range s.instructions {
			if i.name == "ADD" || strings.Contains(i.args, "://") {
				t.Errorf("%s %s", i.name, i.args)
			}
		}
		base, _, _ := strings.Cut(s.from.args, " ")
		if _, tag, _ := strings.Cut(base, ":"); tag == "" || tag == "latest" {
			t.Errorf("FROM %s: no tag", base)
		}
	}
	// The compiler is the one that go.mod asks for.
	mod, err := os.ReadFile("../go.mod")
	if err != nil {
		t.Fatal(err)
	}
	version := regexp.MustCompile(`(?m)^go (\d+\.\d+)`).FindSubmatch(mod)
	if version == nil || !strings.HasPrefix(build.from.args, "golang:"+string(version[1])+" ") {
		t.Errorf("FROM %s, go.mod asks for %s", build.from.args, version)
	}
}

// buildCommand is the shell command of the RUN that builds the binary.
func buildCommand(t *testing.T) string {
	t.Helper()
	build, _ := dockerfile(t)
	return build.only(t, "RUN").args
}

func TestMakeAndDockerfileBuildTheSame(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	flags := regexp.MustCompile(`(?m)^BUILDFLAGS := (.*)$`).FindSubmatch(makefile)
	if flags == nil {
		t.Fatal("the Makefile has no BUILDFLAGS")
	}
	want := strings.NewReplacer("$(VERSION)", "$VERSION", "$(TAGS)", "$TAGS").Replace(string(flags[1]))
	if command := buildCommand(t); !strings.Contains(command, "go build "+want+" -o ") {
		t.Errorf("the Dockerfile builds with\n%s\nthe Makefile with\n%s", command, want)
	}
}

// ignored reports whether .dockerignore keeps a file out of the build. It knows
// the two forms that are used: a path from the root, and **/ before a name.
func ignored(patterns []string, file string) bool {
	for _, pattern := range patterns {
		if name, anywhere := strings.CutPrefix(pattern, "**/"); anywhere {
			for part := range strings.SplitSeq(file, "/") {
				if match, _ := path.Match(name, part); match {
					return true
				}
			}
			continue
		}
		for prefix := file; prefix != "."; prefix = path.Dir(prefix) {
			if match, _ := path.Match(pattern, prefix); match {
				return true
			}
		}
	}
	return false
}

func dockerignore(t *testing.T) []string {
	t.Helper()
	text, err := os.ReadFile("../.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	var patterns []string
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if _, err := path.Match(line, ""); err != nil || strings.ContainsAny(line, "! ") || strings.Contains(strings.TrimPrefix(line, "**/"), "/") {
			t.Fatalf(".dockerignore: the tests do not understand %q", line)
		}
		patterns = append(patterns, line)
	}
	return patterns
}

func TestDockerignore(t *testing.T) {
	patterns := dockerignore(t)
	for file, want := range map[string]bool{
		".git/config":               true,
		"bin/weir":                  true,
		"README.md":                 true,
		"proxy/proxy_test.go":       true,
		"config/testdata/x.yaml":    true,
		"deploy/doc.go":             true,
		"go.mod":                    false,
		"go.sum":                    false,
		"proxy/proxy.go":            false,
		"cmd/weir/main.go":          false,
		"cmd/weir/demo/page/bin.go": false,
	} {
		if got := ignored(patterns, file); got != want {
			t.Errorf("%s: ignored %t, want %t", file, got, want)
		}
	}
}

// weirctl's image is made as weir's is.
func TestWeirctlImage(t *testing.T) {
	text, err := os.ReadFile("weirctl.Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	stages, err := parseDockerfile(string(text))
	if err != nil || len(stages) != 2 {
		t.Fatalf("%v: %d stages", err, len(stages))
	}
	build, image := dockerfile(t)
	want := strings.NewReplacer("/out/weir ", "/out/weirctl ", "./cmd/weir", "./cmd/weirctl", "-tags=$TAGS ", "").Replace(build.only(t, "RUN").args)
	if got := stages[0].only(t, "RUN").args; got != want {
		t.Errorf("built by\n%s\nwant\n%s", got, want)
	}
	if stages[0].from.args != build.from.args || stages[1].from.args != image.from.args || stages[1].only(t, "USER").args != image.only(t, "USER").args {
		t.Errorf("from %s and %s, as %s", stages[0].from.args, stages[1].from.args, stages[1].only(t, "USER").args)
	}
	if got := stages[1].only(t, "ENTRYPOINT").exec(); !slices.Equal(got, []string{"/weirctl"}) {
		t.Errorf("ENTRYPOINT %q", got)
	}
}
