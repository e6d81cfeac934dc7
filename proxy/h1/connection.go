package h1

// noteConnection reads the options of one Connection field (RFC 9110, 7.6.1).
func (h *Head) noteConnection(value []byte) Fault {
	for len(value) > 0 {
		var e []byte
		e, value = element(value)
		switch {
		case len(e) == 0:
		case foldEqual(e, "close"):
			h.flags |= hasClose
		case foldEqual(e, "keep-alive"):
			h.flags |= hasKeepAlive
		case foldEqual(e, "upgrade"):
			h.flags |= hasUpgradeOption
		case identify(e) == fieldTE:
		default:
			// Bounded, since each costs a pass over all fields.
			if h.options++; h.options > MaxConnectionOptions {
				return FaultOptions
			}
		}
	}
	return noFault
}

// noteUpgrade counts the protocols of one Upgrade field whose value is at off.
func (h *Head) noteUpgrade(off int, value []byte) {
	for at := 0; at <= len(value); {
		end := at
		for end < len(value) && value[end] != ',' {
			end++
		}
		if e := trimOWS(value[at:end]); len(e) > 0 {
			h.upgrades++
			for value[at] == ' ' || value[at] == '\t' {
				at++
			}
			h.upgrade = [2]int{off + at, off + at + len(e)}
		}
		at = end + 1
	}
}

// markHops marks the fields that Connection names as not to be forwarded. Host
// is not one of them whoever names it: without it the request would be another.
// Framing is not either way: it is written anew.
func (h *Head) markHops() {
	if h.options == 0 {
		return
	}
	for i := range h.list {
		if h.list[i].id != fieldConnection {
			continue
		}
		value := h.Value(i)
		for len(value) > 0 {
			var e []byte
			e, value = element(value)
			h.markHop(e)
		}
	}
}

func (h *Head) markHop(name []byte) {
	if len(name) == 0 {
		return
	}
	for i := range h.list {
		f := &h.list[i]
		if f.id != fieldHost && int(f.nameEnd-f.start) == len(name) && foldEqual(h.buf[f.start:f.nameEnd], name) {
			f.hop = true
		}
	}
}

// KeepAlive reports whether the sender lets the connection live on after this
// message and its body (RFC 9112, 9.3): in HTTP/1.1 unless it said close, in
// HTTP/1.0 only if it said keep-alive. It is false also for a response after
// which the connection's bytes could not be trusted: one whose body ends with the
// connection, and a 204 that claims to have a body.
func (h *Head) KeepAlive() bool {
	if h.flags&(hasClose|unsound) != 0 {
		return false
	}
	return h.minor == 1 || h.flags&hasKeepAlive != 0
}

// Upgrade returns the one protocol that the message asks to switch to: that in
// Upgrade, where Connection has the option upgrade, the version is 1.1, and no
// other protocol is named (RFC 9110, 7.8). Otherwise nil.
func (h *Head) Upgrade() []byte {
	if h.upgrades != 1 || h.minor == 0 || h.flags&hasUpgradeOption == 0 {
		return nil
	}
	return h.buf[h.upgrade[0]:h.upgrade[1]:h.upgrade[1]]
}

// UpgradesToWebSocket reports whether Upgrade returns websocket, letter case
// aside.
func (h *Head) UpgradesToWebSocket() bool { return foldEqual(h.Upgrade(), "websocket") }

// TETrailers reports whether TE says that the sender wants trailers.
func (h *Head) TETrailers() bool { return h.flags&teTrailers != 0 }
