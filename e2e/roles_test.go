package e2e

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"
)

// play is what this test binary does where weir, or a test, has started it in a
// role. It returns the exit code.
func play(role string, args []string) int {
	switch role {
	case "function":
		latch := ""
		if len(args) > 1 {
			latch = args[1]
		}
		return playFunction(args[0], latch)
	case "exit":
		return playExit(args)
	case "touch":
		return playTouch(args[0])
	}
	fmt.Fprintf(os.Stderr, "e2e: no such role: %s\n", role)
	return 99
}

// playExit says its arguments, each to both outputs, and exits with the code
// that is the first.
func playExit(args []string) int {
	for _, arg := range args[1:] {
		fmt.Fprintf(os.Stdout, "out %s\n", arg)
		fmt.Fprintf(os.Stderr, "err %s\n", arg)
	}
	code, err := strconv.Atoi(args[0])
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	return code
}

// playTouch leaves a file as a sign of having been started.
func playTouch(path string) int {
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	return 0
}

// playFunction serves on addr once the file latch is there ("" for at once),
// until SIGTERM. Each of these it says on its standard output, a line each:
//
//	starting, accepting
//	begin TARGET, end TARGET    of each request but to /release
//	SIGTERM
//
// A request to /slow takes 30 ms, one to /hold is held until /release is asked for, one to /exit?code=N
// ends the process with that code, one to /die by SIGKILL.
func playFunction(addr, latch string) int {
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	fmt.Println("starting")
	for latch != "" {
		if _, err := os.Stat(latch); err == nil {
			break
		}
		select {
		case <-stop:
			fmt.Println("SIGTERM")
			return 0
		case <-time.After(10 * time.Millisecond):
		}
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	fmt.Println("accepting")
	release := make(chan struct{})
	var once sync.Once
	mux := http.NewServeMux()
	mux.HandleFunc("/release", func(http.ResponseWriter, *http.Request) { once.Do(func() { close(release) }) })
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		fmt.Println("begin", r.RequestURI)
		switch r.URL.Path {
		case "/slow":
			pause(r.Context(), 30*time.Millisecond)
		case "/hold":
			select {
			case <-release:
			case <-r.Context().Done():
			}
		case "/exit":
			os.Exit(playExit([]string{r.URL.Query().Get("code")}))
		case "/die":
			if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
				fmt.Fprintln(os.Stderr, err)
			}
		}
		fmt.Println("end", r.RequestURI)
		_, _ = io.WriteString(w, "ok") // the client may have left
	})
	server := &http.Server{Handler: mux}
	served := make(chan error, 1)
	go func() { served <- server.Serve(ln) }()
	select {
	case <-stop:
		fmt.Println("SIGTERM")
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		err = server.Shutdown(ctx)
	case err = <-served:
	}
	if err != nil && !errors.Is(err, http.ErrServerClosed) {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	return 0
}

// inRole gives the variable that makes command be that, and the command.
func inRole(t testing.TB, role string, args ...string) (env []string, command []string) {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	if self, err = filepath.Abs(self); err != nil {
		t.Fatal(err)
	}
	return []string{roleVariable + "=" + role}, append([]string{self}, args...)
}
