package h1

// validAuthority reports whether b is a host with an optional port (RFC 9110,
// 7.2; RFC 3986, 3.2.2), or with a required one. Stricter than the grammar in
// three points: the host is not empty, it holds no comma (a list is more likely
// two Host fields joined than a name), and percent-encoding in it is for bytes
// beyond ASCII only.
func validAuthority(b []byte, needPort bool) bool {
	var rest []byte
	if len(b) > 0 && b[0] == '[' {
		i := 1
		for i < len(b) && b[i] != ']' {
			i++
		}
		if i == len(b) || !validIPv6(b[1:i]) {
			return false
		}
		rest = b[i+1:]
	} else {
		i := 0
		for i < len(b) && b[i] != ':' {
			switch {
			case class[b[i]]&isHost != 0:
				i++
			case b[i] == '%' && i+2 < len(b) && class[b[i+1]]&isHex != 0 && b[i+1] >= '8' && class[b[i+2]]&isHex != 0:
				i += 3
			default:
				return false
			}
		}
		if i == 0 {
			return false
		}
		rest = b[i:]
	}
	if len(rest) == 0 {
		return !needPort
	}
	return rest[0] == ':' && validPort(rest[1:], needPort)
}

// validPort reports whether b is a port number; an empty one is valid unless one
// is needed (RFC 3986, 3.2.3).
func validPort(b []byte, needed bool) bool {
	if len(b) == 0 {
		return !needed
	}
	n := 0
	for _, c := range b {
		if class[c]&isDigit == 0 {
			return false
		}
		if n = n*10 + int(c-'0'); n > 65535 {
			return false
		}
	}
	return true
}

// validIPv6 reports whether b is an IPv6 address without a zone (RFC 3986,
// 3.2.2): eight groups of hexadecimal digits, one run of zero groups left out,
// the last two groups possibly written as an IPv4 address.
func validIPv6(b []byte) bool {
	groups, left := 0, false // left: a run was left out
	i := 0
	if len(b) >= 2 && b[0] == ':' && b[1] == ':' {
		left, i = true, 2
		if i == len(b) {
			return true
		}
	}
	for {
		start := i
		for i < len(b) && i-start < 5 && class[b[i]]&isHex != 0 {
			i++
		}
		if i < len(b) && b[i] == '.' {
			return validIPv4(b[start:]) && (groups == 6 && !left || groups < 6 && left)
		}
		if i == start || i-start > 4 {
			return false
		}
		groups++
		if i == len(b) {
			return groups == 8 && !left || groups < 8 && left
		}
		if groups == 8 || b[i] != ':' {
			return false
		}
		i++
		if i < len(b) && b[i] == ':' {
			if left {
				return false
			}
			left = true
			i++
			if i == len(b) {
				return groups < 8
			}
		}
	}
}

// validIPv4 reports whether b is four decimal numbers up to 255, without leading
// zeros, joined by dots.
func validIPv4(b []byte) bool {
	for part := range 4 {
		n, i := 0, 0
		for i < len(b) && i < 4 && class[b[i]]&isDigit != 0 {
			n = n*10 + int(b[i]-'0')
			i++
		}
		if i == 0 || i > 3 || n > 255 || i > 1 && b[0] == '0' {
			return false
		}
		b = b[i:]
		if part == 3 {
			break
		}
		if len(b) == 0 || b[0] != '.' {
			return false
		}
		b = b[1:]
	}
	return len(b) == 0
}
