package sibling

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// running lists the other processes that run this program and serve, and counts
// those that may not be looked at.
func running() (found []process, unseen int, err error) {
	self, err := os.Stat("/proc/self/exe")
	if err != nil {
		return nil, 0, fmt.Errorf("look at this program: %w", err)
	}
	dirs, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return nil, 0, fmt.Errorf("list processes: %w", err)
	}
	for _, dir := range dirs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || pid == os.Getpid() {
			continue
		}
		p, err := look(pid, dir, self)
		switch {
		case errors.Is(err, fs.ErrPermission):
			unseen++
		case errors.Is(err, fs.ErrNotExist), errors.Is(err, syscall.ESRCH), errors.Is(err, os.ErrProcessDone):
			// It has ended since it was listed, or belongs to the kernel.
		case err != nil:
			return nil, 0, fmt.Errorf("look at process %d: %w", pid, err)
		case p != nil:
			found = append(found, *p)
		}
	}
	return found, unseen, nil
}

// look returns the process if it runs the program self and serves, else nil.
func look(pid int, dir string, self fs.FileInfo) (*process, error) {
	handle, err := os.FindProcess(pid)
	if err != nil {
		return nil, err
	}
	program, err := os.Stat(filepath.Join(dir, "exe"))
	if err != nil || !os.SameFile(program, self) {
		return nil, err
	}
	cmdline, err := os.ReadFile(filepath.Join(dir, "cmdline"))
	if err != nil {
		return nil, err
	}
	command := strings.Split(strings.TrimSuffix(string(cmdline), "\x00"), "\x00")
	if !serves(command) {
		return nil, nil
	}
	parent, err := parentOf(dir)
	if err != nil {
		return nil, err
	}
	return &process{pid: pid, parent: parent, handle: handle}, nil
}

func parentOf(dir string) (int, error) {
	stat, err := os.ReadFile(filepath.Join(dir, "stat"))
	if err != nil {
		return 0, err
	}
	// pid (comm) state ppid ...: comm may hold spaces and parentheses.
	fields := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
	if len(fields) < 2 {
		return 0, fmt.Errorf("%s/stat: unexpected %q", dir, stat)
	}
	return strconv.Atoi(string(fields[1]))
}
