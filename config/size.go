package config

import (
	"math"
	"strconv"
	"strings"
)

// sizeUnits are the units of a size, the binary ones first: they win a tie.
var sizeUnits = []struct {
	name  string
	bytes int64
}{
	{"KiB", 1 << 10},
	{"MiB", 1 << 20},
	{"GiB", 1 << 30},
	{"TiB", 1 << 40},
	{"kB", 1e3},
	{"MB", 1e6},
	{"GB", 1e9},
	{"TB", 1e12},
	{"KB", 1e3}, // a common spelling of kB; never written
	{"B", 1},
}

// parseSize reads a number of bytes: 65536, 64KiB (of 1024), 10MB (of 1000).
// Units are spelled in full, because "64K" means either.
func parseSize(text string) (int64, error) {
	digits := text[:len(text)-len(strings.TrimLeft(text, "0123456789"))]
	if digits == "" {
		if strings.HasPrefix(text, "-") && isNumber(text) {
			return 0, notValue(text, "is negative")
		}
		return 0, notValue(text, "is not a size such as 64KiB, 10MB or 4096")
	}
	if len(digits) > 1 && digits[0] == '0' {
		return 0, notValue(text, "starts with 0, which some read as octal: leave the 0 out")
	}
	factor := int64(1)
	if unit := text[len(digits):]; unit != "" {
		factor = 0
		for _, u := range sizeUnits {
			if u.name == unit {
				factor = u.bytes
			}
		}
		if factor == 0 {
			return 0, unknownSizeUnit(text, digits, unit)
		}
	}
	n, err := strconv.ParseInt(digits, 10, 64)
	if err != nil || n > math.MaxInt64/factor {
		return 0, notValue(text, "is more than %s, the most there is", formatSize(math.MaxInt64))
	}
	return n * factor, nil
}

// unknownSizeUnit says what is wrong with a unit, and what was probably meant.
func unknownSizeUnit(text, digits, unit string) error {
	if strings.HasPrefix(unit, ".") {
		return notValue(text, "is not a whole number: write it in the next smaller unit")
	}
	u := strings.ToUpper(strings.TrimSpace(unit))
	letter, rest, _ := strings.Cut(u, "B")
	letter = strings.TrimSuffix(letter, "I")
	if rest != "" || len(letter) != 1 || !strings.Contains("KMGT", letter) || len(text) > 32 {
		return notValue(text, "has no unit that is known: B, kB, MB, GB, TB (of 1000) or KiB, MiB, GiB, TiB (of 1024)")
	}
	thousands := letter + "B"
	if letter == "K" {
		thousands = "kB"
	}
	return notValue(text, "is not clear: write %s%siB (of 1024) or %s%s (of 1000)", digits, letter, digits, thousands)
}

// formatSize gives the shortest text that parseSize reads as n, with a unit
// where that is no longer than without.
func formatSize(n int64) string {
	plain := strconv.FormatInt(n, 10)
	best := ""
	for _, u := range sizeUnits {
		if u.bytes == 1 || n == 0 || n%u.bytes != 0 {
			continue
		}
		if s := strconv.FormatInt(n/u.bytes, 10) + u.name; best == "" || len(s) < len(best) {
			best = s
		}
	}
	if best == "" || len(plain) < len(best) {
		return plain
	}
	return best
}
