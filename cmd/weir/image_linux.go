package main

import (
	"bufio"
	"bytes"
	"fmt"
	"os"
	"reflect"
	"strconv"
	"syscall"
)

// releaseImage gives back the pages of weir's own program: they stay in the kernel's
// page cache, and those that are used come back without being read again. What the
// start touched once is most of what is resident otherwise.
func releaseImage() error {
	smaps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return err
	}
	mappings, err := imageMappings(smaps, reflect.ValueOf(releaseImage).Pointer())
	if err != nil {
		return err
	}
	for _, m := range mappings {
		if _, _, errno := syscall.Syscall(syscall.SYS_MADVISE, m.from, m.to-m.from, syscall.MADV_DONTNEED); errno != 0 {
			return fmt.Errorf("madvise: %w", errno)
		}
	}
	return nil
}

// mapping is a part of the address space.
type mapping struct {
	from, to uintptr
	file     string // device and inode
	writable bool
	own      bool // some of its pages are not the file's any more
}

// imageMappings finds in /proc/self/smaps, see proc_pid_smaps(5), what is mapped of
// the file that code at pc is of, and is still as in the file: pages that were
// relocated, or have a debugger's breakpoint, would come back without it.
func imageMappings(smaps []byte, pc uintptr) ([]mapping, error) {
	var all []mapping
	image := ""
	lines := bufio.NewScanner(bytes.NewReader(smaps))
	for lines.Scan() {
		fields := bytes.Fields(lines.Bytes())
		if len(fields) < 2 {
			continue
		}
		if name, isField := bytes.CutSuffix(fields[0], []byte(":")); isField {
			if string(name) == "Anonymous" && string(fields[1]) != "0" && len(all) > 0 {
				all[len(all)-1].own = true
			}
			continue
		}
		// from-to permissions offset device inode path
		from, to, ok := bytes.Cut(fields[0], []byte("-"))
		if !ok || len(fields) < 5 {
			return nil, fmt.Errorf("smaps: %q is no mapping", lines.Text())
		}
		begin, err := strconv.ParseUint(string(from), 16, 64)
		if err != nil {
			return nil, fmt.Errorf("smaps: %w", err)
		}
		end, err := strconv.ParseUint(string(to), 16, 64)
		if err != nil {
			return nil, fmt.Errorf("smaps: %w", err)
		}
		m := mapping{from: uintptr(begin), to: uintptr(end), writable: bytes.Contains(fields[1], []byte("w")), file: string(fields[3]) + " " + string(fields[4])}
		if m.from <= pc && pc < m.to {
			image = m.file
		}
		all = append(all, m)
	}
	if err := lines.Err(); err != nil {
		return nil, err
	}
	var found []mapping
	for _, m := range all {
		if m.file == image && !m.writable && !m.own {
			found = append(found, m)
		}
	}
	return found, nil
}
