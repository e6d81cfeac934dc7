package inject

import (
	"errors"
	"io"
	"path/filepath"
	"strings"
	"testing"
)

func TestWebhookCommandRefusesMistakes(t *testing.T) {
	dir := t.TempDir()
	cert, key := filepath.Join(dir, "tls.crt"), filepath.Join(dir, "tls.key")
	issue(t, cert, key, 1)
	for _, c := range []struct {
		args []string
		want string
	}{
		{[]string{}, "--tls-cert and --tls-key are needed"},
		{[]string{"--tls-cert", cert}, "--tls-cert and --tls-key are needed"},
		{[]string{"--tls-cert", cert, "--tls-key", key, "--ports", "service"}, "use name or move"},
		{[]string{"--listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", filepath.Join(dir, "none.key")}, "none.key"},
		{[]string{"--listen", "127.0.0.1:0", "--tls-cert", cert, "--tls-key", cert}, "PEM"},
	} {
		command := WebhookCommand("weir:1")
		command.SilenceErrors, command.SilenceUsage = true, true
		command.SetArgs(c.args)
		command.SetOut(io.Discard)
		command.SetErr(io.Discard)
		err := command.Execute()
		var coded interface{ ExitCode() int }
		if !errors.As(err, &coded) || coded.ExitCode() != 2 || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%v: %v, want %s and exit code 2", c.args, err, c.want)
		}
	}
}
