package config

import (
	"strings"
	"testing"
)

func TestParseToken(t *testing.T) {
	const good = "0123456789abcdef+/=_~"
	for _, content := range []string{good, good + "\n", "  " + good + "\r\n"} {
		if got, err := ParseToken([]byte(content)); got != good || err != nil {
			t.Errorf("%q gives %q, %v", content, got, err)
		}
	}
	for content, want := range map[string]string{
		"":                              "it holds no token",
		"\n \n":                         "it holds no token",
		"hunter2":                       "its token has 7 characters: at least 16",
		strings.Repeat("hunter2", 1000): "its token has 7000 characters: at most 4096",
		good + "\n" + good:              "more than one line",
		good + " " + good:               "other characters than visible ASCII ones",
		good + "\u00e9":                 "other characters than visible ASCII ones",
	} {
		if got, err := ParseToken([]byte(content)); err == nil || !strings.Contains(err.Error(), want) || got != "" || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), good) {
			t.Errorf("%q gives %q, %v, want %s", content, got, err, want)
		}
	}
}
