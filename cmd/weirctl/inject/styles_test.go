package inject

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// manifest writes a Deployment in one of the many ways in which people do.
func manifest(t *rapid.T) string {
	pick := func(label string, choices ...string) string { return rapid.SampledFrom(choices).Draw(t, label) }
	step := pick("indent", "  ", "    ")
	dash := pick("dash", "", "  ")
	quote := pick("quote", "", `"`, "'")
	comment := pick("comment", "", " # a note", " #\ttabs\there")
	gap := pick("gap", "", "\n", "# a line of its own\n", "\n\n      # indented\n")
	q := func(s string) string { return quote + s + quote }

	port := pick("port", "block", "number first", "flow", "flow list")
	var ports string
	in := func(n int) string { return strings.Repeat(step, n) }
	item := in(3) + dash + "  " // where a container's keys stand
	switch port {
	case "block":
		ports = item + "ports:" + comment + "\n" + item + dash + "- name: " + q("http") + comment + "\n" + item + dash + "  containerPort: 3000\n"
	case "number first":
		ports = item + "ports:\n" + item + dash + "- containerPort: 3000" + comment + "\n" + gap + item + dash + "  name: " + q("http") + "\n"
	case "flow":
		ports = item + "ports:\n" + item + dash + "- {name: " + q("http") + ", containerPort: 3000}" + comment + "\n"
	case "flow list":
		ports = item + "ports: [{containerPort: 3000, name: " + q("http") + "}," + comment + "\n" + item + "  {containerPort: 53, protocol: UDP}]\n"
	}
	probe := pick("probe", "", item+"readinessProbe:\n"+item+"  httpGet:\n"+item+"    port: "+q("http")+comment+"\n"+item+"    path: /\n", item+"livenessProbe: {tcpSocket: {port: "+q("http")+"}}\n")
	args := pick("args", "", item+"args:\n"+item+dash+"- |\n"+item+dash+"  # weir:begin\n"+item+dash+"  text\n\n", item+"command: [\"sh\", '-c', \"a # b\"]\n", item+"env:\n"+item+dash+"- name: A\n"+item+dash+"  value: >-\n"+item+dash+"    folded\n"+item+dash+"    # no comment\n")
	lifecycle := pick("lifecycle", "", item+"lifecycle:\n"+item+"  postStart: {exec: {command: [a]}}\n", item+"lifecycle: {}\n", item+"lifecycle:\n"+item+"  preStop:\n"+item+"    exec:\n"+item+"      command: [sleep, \"5\"]"+comment+"\n", item+"lifecycle:\n")
	// The parts of a container in any order.
	parts := rapid.Permutation([]string{ports, probe, args, lifecycle, item + "image: " + q("example/cart:1") + "\n"}).Draw(t, "order")
	container := in(3) + dash + "- name: " + q("cart") + comment + "\n" + strings.Join(parts, gap)

	grace := pick("grace", "", in(3)+"terminationGracePeriodSeconds: 12"+comment+"\n")
	inits := pick("inits", "", in(3)+"initContainers: []\n", in(3)+"initContainers:\n"+in(3)+dash+"- name: first\n"+in(3)+dash+"  image: a\n", in(3)+"initContainers: [{name: first, image: a}]"+comment+"\n", in(3)+"initContainers:\n")
	spec := rapid.Permutation([]string{in(3) + "containers:" + comment + "\n" + container, grace, inits, in(3) + "volumes:\n" + in(3) + dash + "- name: v\n" + in(3) + dash + "  emptyDir: {}\n"}).Draw(t, "spec")
	text := pick("head", "", "---\n", "# Source: x\n---\n", "%YAML 1.1\n---\n") +
		"apiVersion: apps/v1\nkind: Deployment\nmetadata:\n" + in(1) + "name: cart\nspec:\n" +
		in(1) + "selector: {matchLabels: {app: cart}}\n" + in(1) + "template:\n" + in(2) + "metadata: {labels: {app: cart}}\n" + in(2) + "spec:\n" +
		strings.Join(spec, gap) + pick("tail", "", "\n\n", "# the end\n", "...\n", "---\nkind: Other\n")
	if rapid.Bool().Draw(t, "crlf") {
		text = strings.ReplaceAll(text, "\n", "\r\n")
	}
	if rapid.Bool().Draw(t, "no newline at the end") {
		text = strings.TrimRight(text, "\r\n")
	}
	return text
}

// However a manifest is written, weir can be put in, and what comes back is the
// manifest.
func TestEveryStyle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		text := manifest(t)
		r := Request{Options: Defaults("weir:1")}
		r.Ports = rapid.SampledFrom([]string{byName, byMoving}).Draw(t, "ports")
		r.Classic = rapid.Bool().Draw(t, "classic")
		out, _, err := Add([]File{{"in", text}}, r)
		if err != nil && strings.Contains(err.Error(), "without a newline") && (strings.HasSuffix(text, "  text") || strings.HasSuffix(text, "# no comment")) {
			return
		}
		if err != nil {
			t.Fatalf("%v\n%s", err, numbered(text))
		}
		if !strings.Contains(out[0].Text, "WEIR_UPSTREAM") {
			t.Fatalf("not injected:\n%s", numbered(out[0].Text))
		}
		back, err := Strip(out, false)
		if err != nil || back[0].Text != text {
			t.Fatalf("%v\n%q\nwant\n%q", err, back, text)
		}
		again, _, err := Add(out, r)
		if err != nil || again[0].Text != out[0].Text {
			t.Fatalf("a second time: %v", err)
		}
	})
}

func numbered(text string) string {
	var b strings.Builder
	for i, l := range splitLines(text) {
		fmt.Fprintf(&b, "%3d %s\n", i+1, l.text)
	}
	return b.String()
}
