package h1

// Byte classes: one table look-up says what a byte may be part of.
const (
	isToken  = 1 << iota // tchar (RFC 9110, 5.6.2): methods and field names
	isValue              // HTAB, SP, VCHAR, obs-text (RFC 9110, 5.5): field values
	isTarget             // what a request target may hold besides its structure
	isHost               // reg-name (RFC 3986, 3.2.2) without percent-encoding
	isDigit
	isHex
)

var class = func() (t [256]uint8) {
	for i := range t {
		c := byte(i)
		alpha := 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
		digit := '0' <= c && c <= '9'
		if digit {
			t[i] |= isDigit | isHex
		}
		if 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F' {
			t[i] |= isHex
		}
		if alpha || digit || among(c, "!#$%&'*+-.^_`|~") {
			t[i] |= isToken
		}
		if c == '\t' || c >= ' ' && c != 0x7f {
			t[i] |= isValue
		}
		// A fragment is no part of a target: some servers cut the target there,
		// others do not. All else that is visible passes as it is, since functions
		// are called with it.
		if c > ' ' && c != 0x7f && c != '#' {
			t[i] |= isTarget
		}
		if alpha || digit || among(c, "-._~!$&'()*+;=") {
			t[i] |= isHost
		}
	}
	return t
}()

func among(c byte, set string) bool {
	for i := range len(set) {
		if set[i] == c {
			return true
		}
	}
	return false
}

// lower maps ASCII letters to lower case.
var lower = func() (t [256]byte) {
	for i := range t {
		t[i] = byte(i)
		if 'A' <= i && i <= 'Z' {
			t[i] += 'a' - 'A'
		}
	}
	return t
}()

// foldEqual reports whether b is s, letter case aside. The table makes it exact
// for every byte, unlike setting bit 0x20.
func foldEqual[T ~string | ~[]byte](b []byte, s T) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if lower[c] != lower[s[i]] {
			return false
		}
	}
	return true
}

// likeEqual is foldEqual that takes '-', '_' and '.' for the same, as servers
// do that turn fields into environment variables.
func likeEqual(b []byte, s string) bool {
	if len(b) != len(s) {
		return false
	}
	for i, c := range b {
		if joint(lower[c]) != joint(lower[s[i]]) {
			return false
		}
	}
	return true
}

func joint(c byte) byte {
	if c == '_' || c == '.' {
		return '-'
	}
	return c
}

func trimOWS(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}

// element splits the first element off a comma-separated list (RFC 9110, 5.6.1).
// Elements may be empty. Quoted strings are not looked into: no list that is read
// here has them.
func element(list []byte) (first, rest []byte) {
	for i, c := range list {
		if c == ',' {
			return trimOWS(list[:i]), list[i+1:]
		}
	}
	return trimOWS(list), nil
}
