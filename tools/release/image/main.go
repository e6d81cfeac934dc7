// Command image makes a container image of one static program, without Docker and
// without a base to fetch, as a tar file that docker load, podman load and crane
// push take. The same program gives the same bytes.
//
//	image -program PATH -entrypoint /weir -cmd run -tag weir:1.2.3 -out weir.tar [-ca FILE] [-arch amd64]
//
// In it are the program, a passwd file with nonroot, and the certificates of public
// authorities; it runs as 65532.
package main

import (
	"archive/tar"
	"bytes"
	"debug/elf"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

type options struct {
	program, entrypoint, command, tag, out, authorities, arch string
}

func main() {
	var o options
	flag.StringVar(&o.program, "program", "", "static program for Linux")
	flag.StringVar(&o.entrypoint, "entrypoint", "/weir", "where it is in the image")
	flag.StringVar(&o.command, "cmd", "", "its arguments by default, separated by spaces")
	flag.StringVar(&o.tag, "tag", "weir:dev", "name of the image")
	flag.StringVar(&o.out, "out", "", "tar file to write")
	flag.StringVar(&o.authorities, "ca", "/etc/ssl/certs/ca-certificates.crt", "PEM file of public authorities")
	flag.StringVar(&o.arch, "arch", "amd64", "architecture of the program")
	flag.Parse()
	if err := write(o); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

const user = 65532

func write(o options) error {
	image, err := assemble(o)
	if err != nil {
		return err
	}
	tag, err := name.NewTag(o.tag)
	if err != nil {
		return err
	}
	if err := tarball.WriteToFile(o.out, tag, image); err != nil {
		return err
	}
	digest, err := image.Digest()
	if err == nil {
		fmt.Println(digest)
	}
	return err
}

func assemble(o options) (v1.Image, error) {
	program, err := os.ReadFile(o.program)
	if err != nil {
		return nil, err
	}
	if err := static(program); err != nil {
		return nil, fmt.Errorf("%s: %w", o.program, err)
	}
	authorities, err := os.ReadFile(o.authorities)
	if err != nil {
		return nil, fmt.Errorf("-ca: %w", err)
	}
	var layer bytes.Buffer
	w := tar.NewWriter(&layer)
	for _, f := range []struct {
		name    string
		mode    int64
		content []byte // nil is a directory
		owner   int
	}{
		{"etc/", 0o755, nil, 0},
		{"etc/group", 0o644, []byte("root:x:0:\nnonroot:x:65532:\n"), 0},
		{"etc/passwd", 0o644, []byte("root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n"), 0},
		{"etc/ssl/", 0o755, nil, 0},
		{"etc/ssl/certs/", 0o755, nil, 0},
		{"etc/ssl/certs/ca-certificates.crt", 0o644, authorities, 0},
		{"home/", 0o755, nil, 0},
		{"home/nonroot/", 0o700, nil, user},
		{"tmp/", 0o1777, nil, 0},
		{strings.TrimPrefix(o.entrypoint, "/"), 0o555, program, 0},
	} {
		h := &tar.Header{Name: f.name, Mode: f.mode, Uid: f.owner, Gid: f.owner, Size: int64(len(f.content)), Typeflag: tar.TypeReg, ModTime: time.Unix(0, 0), Format: tar.FormatPAX}
		if f.content == nil {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.content); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	content, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(layer.Bytes())), nil })
	if err != nil {
		return nil, err
	}
	image, err := mutate.AppendLayers(empty.Image, content)
	if err != nil {
		return nil, err
	}
	config, err := image.ConfigFile()
	if err != nil {
		return nil, err
	}
	config = config.DeepCopy()
	config.OS, config.Architecture, config.Created = "linux", o.arch, v1.Time{Time: time.Unix(0, 0).UTC()}
	config.Config = v1.Config{
		User: fmt.Sprintf("%d:%d", user, user), Entrypoint: []string{o.entrypoint}, Cmd: strings.Fields(o.command),
		Env: []string{"PATH=/", "SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt"}, WorkingDir: "/",
		ExposedPorts: map[string]struct{}{},
	}
	return mutate.ConfigFile(image, config)
}

// static reports whether a program needs nothing that the image does not have.
func static(program []byte) error {
	f, err := elf.NewFile(bytes.NewReader(program))
	if err != nil {
		return err
	}
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP {
			return errors.New("not static: it asks for a dynamic loader")
		}
	}
	return nil
}
