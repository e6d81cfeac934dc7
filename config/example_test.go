package config_test

import (
	"fmt"

	"github.com/spf13/pflag"

	"weir/config"
)

func ExampleLoad() {
	flags := pflag.NewFlagSet("weir run", pflag.ContinueOnError)
	config.Flags(flags)
	if err := flags.Parse([]string{"--config", "testdata/example.yaml", "--max-inflight", "8"}); err != nil {
		fmt.Println(err)
		return
	}
	loaded, err := config.Load(config.Source{
		Flags:   flags,
		Environ: []string{"WEIR_OVERFLOW=wait"}, // os.Environ() in a program
	})
	if err != nil {
		fmt.Println(err)
		return
	}
	for _, key := range []string{"limits.max_inflight", "limits.overflow", "limits.queue_depth", "function.name", "listen"} {
		fmt.Println(key, "comes from", loaded.Origins[key])
	}
	fmt.Println(loaded.Config.Limits.MaxInflight, "running,", loaded.Config.Limits.QueueDepth, "waiting")
	// Output:
	// limits.max_inflight comes from flag --max-inflight
	// limits.overflow comes from WEIR_OVERFLOW
	// limits.queue_depth comes from testdata/example.yaml:13
	// function.name comes from testdata/example.yaml:7
	// listen comes from default
	// 8 running, 32 waiting
}

func ExampleCheckFile() {
	fmt.Println(config.CheckFile("testdata/example.yaml"))
	fmt.Println(config.CheckFile("testdata/invalid-many.yaml"))
	// Output:
	// <nil>
	// config: listn: unknown key, did you mean listen? (testdata/invalid-many.yaml:1)
	// config: upstream.url: "http://127.0.0.1:3000/path" has a path: requests keep their own, leave it out (testdata/invalid-many.yaml:3)
	// config: limits.max_inflight: "ten" is not a number, "auto" or 0 (testdata/invalid-many.yaml:5)
	// config: limits.overflow: "queue" is not reject, wait or async (testdata/invalid-many.yaml:6)
	// config: timeouts.request: "60" has no unit: write 60s for seconds, or 60ms (testdata/invalid-many.yaml:8)
}
