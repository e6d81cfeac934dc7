package charts

import (
	"slices"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/cli"
)

// By compose's own loader, which refuses what it does not know.
func TestCompose(t *testing.T) {
	options, err := cli.NewProjectOptions([]string{"../compose.yaml"}, cli.WithName("weir"))
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
	if !slices.Contains(weir.Command, "http://function:3000") || *function.Environment["PORT"] != "3000" {
		t.Errorf("weir looks for the function elsewhere: %q", weir.Command)
	}
	if !weir.ReadOnly || !slices.Contains(weir.CapDrop, "ALL") {
		t.Error("weir is not confined")
	}
}
