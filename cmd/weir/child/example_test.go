package child_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"weir/cmd/weir/child"
)

func ExampleStart() {
	function, err := child.Start([]string{"sh", "-c", "echo serving; exit 3"}, child.Options{})
	if err != nil {
		var start *child.StartError
		if errors.As(err, &start) {
			fmt.Println("weir would exit with", start.ExitCode())
		}
		return
	}
	<-function.Done()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := function.Stop(ctx); err != nil { // ends what it left behind
		fmt.Println(err)
	}
	fmt.Println("weir exits with", function.ExitCode())
	// Output:
	// serving
	// weir exits with 3
}
