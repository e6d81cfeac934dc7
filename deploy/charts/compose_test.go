package charts

import (
	"slices"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
)

// By compose's own loader, which refuses what it does not know.
func TestCompose(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{"../compose/compose.yaml"}, cli.WithName("weir"))
	if err != nil {
		t.Fatal(err)
	}
	project, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	weir, err := project.GetService("weir")
	if err != nil {
		t.Fatal(err)
	}
	function, err := project.GetService("function")
	if err != nil {
		t.Fatal(err)
	}
	names := project.ServiceNames()
	slices.Sort(names)
	if want := []string{"alertmanager", "dashboards", "function", "grafana", "prometheus", "secrets", "weir"}; !slices.Equal(names, want) {
		t.Errorf("the services are %q", names)
	}
	for name, service := range project.Services {
		if name != "function" && !slices.Contains(service.CapDrop, "ALL") || !slices.Contains(service.SecurityOpt, "no-new-privileges:true") {
			t.Errorf("%s is not confined", name)
		}
	}
	// What depends on others is stopped before them.
	if _, ok := weir.DependsOn["function"]; !ok {
		t.Error("the function could be stopped before weir")
	}
	if weir.StopGracePeriod == nil || time.Duration(*weir.StopGracePeriod) <= 30*time.Second {
		t.Errorf("weir gets %v to drain", weir.StopGracePeriod)
	}
	if len(function.Ports) != 0 {
		t.Error("the function can be reached past weir")
	}
	// Another function, by what the environment says.
	options, err = cli.NewProjectOptions([]string{"../compose/compose.yaml"}, cli.WithEnv([]string{"FUNCTION_IMAGE=checkout:1.4", "FUNCTION_PORT=8000", "FUNCTION_NAME=checkout", "MAX_INFLIGHT=20"}))
	if err != nil {
		t.Fatal(err)
	}
	other, err := options.LoadProject(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if image, command := other.Services["function"].Image, other.Services["weir"].Command; image != "checkout:1.4" ||
		!slices.Contains(command, "--upstream=http://function:8000") || !slices.Contains(command, "--function=checkout") || !slices.Contains(command, "--max-inflight=20") {
		t.Errorf("weir is told %q in front of %s", command, image)
	}
	if !slices.Contains(weir.Command, "--upstream=http://function:3000") || *function.Environment["PORT"] != "3000" {
		t.Errorf("weir looks for the function elsewhere: %q", weir.Command)
	}
	if !weir.ReadOnly {
		t.Error("weir may write")
	}
}
