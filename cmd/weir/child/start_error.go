package child

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
)

// Exit codes of a command that could not be run, as shells and env(1) have them.
const (
	exitNotExecutable = 126
	exitNotFound      = 127
)

var errNoCommand = errors.New("no command")

// StartError says why a command could not be started, and what to do about it.
type StartError struct {
	Command string // as it was typed
	Err     error
	code    int
	reason  string
	advice  string
}

// Error names the command, the reason and the remedy.
func (e *StartError) Error() string {
	return fmt.Sprintf("child: cannot start %s: %s; %s", e.Command, e.reason, e.advice)
}

// Unwrap returns the system's error.
func (e *StartError) Unwrap() error { return e.Err }

// ExitCode is what a shell would exit with: 127 for a command that is not
// there, 126 for one that is there but cannot be run.
func (e *StartError) ExitCode() int { return e.code }

func newStartError(argv []string, err error) *StartError {
	e := &StartError{Command: commandLine(argv), Err: err, code: exitNotExecutable}
	if errors.Is(err, errNoCommand) {
		e.Command = "the function"
		e.code = exitNotFound
		e.reason = "no command is given"
		e.advice = "put it after --, for example: weir run -- node server.js"
		return e
	}
	name := argv[0]
	path, hasPath := name, strings.ContainsRune(name, filepath.Separator)
	if !hasPath {
		path = "" // where PATH leads, known only if something is there
		if found := searchPath(name); found != "" {
			path = found
		}
	}
	info, statErr := os.Stat(path)

	switch {
	case errors.Is(err, exec.ErrDot):
		e.code = exitNotFound
		e.reason = "it is in the current directory, which PATH may not lead to"
		e.advice = "write ./" + name
	case statErr != nil && !hasPath:
		e.code = exitNotFound
		e.reason = fmt.Sprintf("no %s in any directory of PATH (%s)", name, os.Getenv("PATH"))
		e.advice = "check the name after --, or give its path"
	case errors.Is(statErr, fs.ErrNotExist), errors.Is(statErr, syscall.ENOTDIR):
		e.code = exitNotFound
		e.reason = "no such file"
		e.advice = "check the path after --"
		if dir, err := os.Getwd(); err == nil && !filepath.IsAbs(name) {
			e.reason = "no such file under " + dir
		}
	case statErr != nil:
		e.reason = fmt.Sprintf("it cannot be looked at: %v", statErr)
		e.advice = "check the rights on its directories"
	case info.IsDir():
		e.reason = path + " is a directory"
		e.advice = "name the program in it"
	case errors.Is(err, syscall.ENOEXEC):
		e.reason = path + " is neither a program for this machine nor a script with a #! line"
		e.advice = "name a script's interpreter (weir run -- sh " + name + "), or build the program for this architecture"
	case errors.Is(err, fs.ErrNotExist) && !errors.Is(err, exec.ErrNotFound):
		// The file is there, so what is missing is what the kernel needs to run it.
		e.reason = path + " is there, but the interpreter of its #! line, or its dynamic loader, is not"
		e.advice = "install that, or link the program statically"
	case info.Mode()&0o111 == 0:
		e.reason = path + " is not executable"
		e.advice = "chmod +x " + path
	case errors.Is(err, fs.ErrPermission):
		e.reason = "permission denied for " + path
		e.advice = "check its owner and mode, and that its file system is not mounted noexec"
	default:
		e.reason = err.Error()
		e.advice = "the system refused to start it; look at its limits on processes and memory"
	}
	return e
}

// searchPath finds a file of that name on PATH, executable or not. exec.LookPath
// calls both "not found", which sends people to look in the wrong place.
func searchPath(name string) string {
	for _, dir := range filepath.SplitList(os.Getenv("PATH")) {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && !info.IsDir() {
			return path
		}
	}
	return ""
}
