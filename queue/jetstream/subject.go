package jetstream

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"strconv"
	"strings"

	"weir/queue"
)

// buckets is how many subjects the waiting entries are spread over, for looking one
// up. It must not change: entries are found by it.
const buckets = 64

// names are the stream's, its consumers' and its subjects'.
type names struct{ stream, objects, prefix string }

// namesOf makes the names for a function; a dot would part subjects and is not
// allowed in a stream's name, "=" is not allowed in a function's.
func namesOf(function string) names {
	token := strings.ReplaceAll(function, ".", "=")
	return names{
		stream: "weir-" + token,
		// An object store's name may hold nothing but these; what distinguishes
		// "a.b" from "a_b" is the hash.
		objects: "weir-" + strings.ReplaceAll(function, ".", "_") + "-" + shortHash(function),
		prefix:  "weir." + token + ".",
	}
}

func shortHash(s string) string {
	h := sha256.Sum256([]byte(s))
	return hex.EncodeToString(h[:4])
}

func (n names) todo(id queue.ID) string {
	return n.prefix + "todo." + strconv.Itoa(id.Bucket(buckets))
}
func (n names) due(id queue.ID) string   { return n.prefix + "due." + string(id) }
func (n names) call(id queue.ID) string  { return n.prefix + "call." + string(id) }
func (n names) dead(id queue.ID) string  { return n.prefix + "dead." + string(id) }
func (n names) grave(id queue.ID) string { return n.prefix + "grave." + string(id) }
func (n names) probe() string            { return n.prefix + "probe" }

// Deliveries that are due, those that are not, and their records.
func (n names) post(id queue.ID) string {
	return n.prefix + "post." + strconv.Itoa(id.Bucket(buckets))
}

func (n names) later(id queue.ID, to queue.Audience) string {
	return n.prefix + "later." + string(id) + "-" + string(to)
}

func (n names) note(id queue.ID, to queue.Audience) string {
	return n.prefix + "note." + string(id) + "-" + string(to)
}

// object is the subject under which an object store keeps what it knows of an object
// (NATS ADR-20).
func (n names) object(name string) string {
	return "$O." + n.objects + ".M." + base64.URLEncoding.EncodeToString([]byte(name))
}

// key names a caller's key, which may hold anything.
func (n names) key(key string) string {
	h := sha256.Sum256([]byte(key))
	return n.prefix + "key." + hex.EncodeToString(h[:])
}

// bundle names a bundle of so many calls; bundles matches all of them, waiting all that
// the dispatcher takes.
func (n names) bundle(calls int) string { return n.prefix + "todo." + strconv.Itoa(calls) + ".calls" }
func (n names) bundles() string         { return n.prefix + "todo.*.calls" }
func (n names) waiting() string         { return n.prefix + "todo.>" }

// bundleSize reads what bundle wrote, 1 for what is none.
func (n names) bundleSize(subject string) int {
	text, _, _ := strings.Cut(strings.TrimPrefix(subject, n.prefix+"todo."), ".")
	size, err := strconv.Atoi(text)
	if err != nil {
		return 1
	}
	return size
}

// ended names what is known of a bundle's calls.
func (n names) ended(place uint64) string { return n.prefix + "ended." + strconv.FormatUint(place, 10) }

func (n names) every(kind string) string { return n.prefix + kind + ".*" }

// The consumers. Those that nobody fetches from count what there is of their
// subjects, which the server keeps up to date by itself.
const (
	dispatchConsumer  = "dispatch"
	scheduledConsumer = "count-scheduled"
	deadConsumer      = "count-dead"
	deliverConsumer   = "deliver"
	laterConsumer     = "count-later"
)
