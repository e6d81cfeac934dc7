package inject

import (
	"cmp"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v3"
)

// A File is manifests: any number of YAML documents.
type File struct {
	Name string // for messages
	Text string
}

// A Message is about a line of a file: a mistake, or a note.
type Message struct {
	File string
	Line int // from 1
	Text string
}

func (m *Message) Error() string { return fmt.Sprintf("%s:%d: %s", m.File, m.Line, m.Text) }

// A Request says what to do with files.
type Request struct {
	Options
	// Annotated leaves alone pods without weir.sidecar/inject: "true".
	Annotated bool
	// Force gives up what was edited between weir's marks.
	Force bool
}

// Add returns the files with weir beside each function, and notes of what weir
// cannot see to. What weir does not know is left as it is, and so are pods with
// weir.sidecar/inject: "false". With mistakes nothing else is returned: those of reading, or
// else those of planning, joined, each a *Message.
//
// It begins with what Strip gives, so that it can be repeated, with other options
// too.
func Add(files []File, r Request) ([]File, []Message, error) {
	b := &batch{request: r}
	b.open(files)
	if len(b.mistakes) > 0 {
		return nil, nil, errors.Join(b.mistakes...)
	}
	for f := range b.documents {
		for d := range b.documents[f] {
			for o := range b.documents[f][d].objects {
				b.plan(f, d, b.documents[f][d].objects[o])
			}
		}
	}
	out := b.write(files)
	if len(b.mistakes) > 0 {
		return nil, nil, errors.Join(b.mistakes...)
	}
	if b.workloads == 0 {
		b.notes = append(b.notes, Message{files[0].Name, 1, "nothing here runs pods that weir knows: Deployment, StatefulSet, DaemonSet, ReplicaSet, Job, CronJob, Pod, Knative Service"})
	}
	slices.SortStableFunc(b.notes, func(a, c Message) int {
		return cmp.Or(cmp.Compare(a.File, c.File), cmp.Compare(a.Line, c.Line))
	})
	return out, slices.Compact(b.notes), nil
}

// Strip returns the files as they were before Add, byte for byte.
func Strip(files []File, force bool) ([]File, error) {
	b := &batch{request: Request{Force: force}}
	b.open(files)
	if len(b.mistakes) > 0 {
		return nil, errors.Join(b.mistakes...)
	}
	return b.write(files), nil
}

// A batch is the files of one call. A Service in one may lead to a pod in another.
type batch struct {
	request   Request
	names     []string
	documents [][]*document // by file
	ops       map[*document][]op
	services  []served
	notes     []Message
	mistakes  []error
	workloads int
}

// mistake places an error in a document of a file.
func (b *batch) mistake(file, first int, err error) {
	var place *placeError
	if !errors.As(err, &place) {
		place = &placeError{0, err.Error()}
	}
	b.mistakes = append(b.mistakes, &Message{b.names[file], first + place.line + 1, place.text})
}

// open reads the files, without what weir added to them.
func (b *batch) open(files []File) {
	b.ops = make(map[*document][]op)
	for f, file := range files {
		b.names = append(b.names, file.Name)
		b.documents = append(b.documents, nil)
		if !utf8.ValidString(file.Text) || strings.ContainsRune(file.Text, 0) {
			b.mistake(f, 0, placef(0, "not UTF-8 text: save it as UTF-8"))
			continue
		}
		first := 0
		for _, lines := range splitDocuments(splitLines(file.Text)) {
			d, err := b.openDocument(lines)
			if err != nil {
				b.mistake(f, first, err)
			} else {
				d.first = first
				b.documents[f] = append(b.documents[f], d)
				for _, o := range d.objects {
					if o.service != nil {
						b.services = append(b.services, served{f, len(b.documents[f]) - 1, o})
					}
				}
			}
			first += len(lines)
		}
	}
}

func (b *batch) openDocument(lines []line) (*document, error) {
	d, err := parse(lines)
	if err != nil || d.tree == nil || !d.tree.concerns(d.tree.root) {
		return d, err
	}
	stripped, err := d.tree.strip(b.request.Force)
	var broken *markError
	if errors.As(err, &broken) {
		return nil, placef(broken.line, "%s", broken.text)
	}
	if d, err = parse(stripped); err != nil {
		return nil, err
	}
	return d, d.decode()
}

// plan decides on one object of a document.
func (b *batch) plan(f, d int, o object) {
	if o.template == nil {
		return
	}
	b.workloads++
	doc := b.documents[f][d]
	k := kinds[o.kind]
	root := slices.Concat(o.path, k.path)
	tell := func(path pointer, text string) {
		line := doc.first + doc.tree.lineOf(slices.Concat(root, path)) + 1
		b.notes = append(b.notes, Message{b.names[f], line, o.describe() + ": " + text})
	}
	switch inject := o.template.Annotations[prefix+"inject"]; {
	case inject == "false", b.request.Annotated && inject != "true":
		return
	case present(&o.template.Spec):
		tell(at("spec"), "has a container \"weir\" already, which weirctl did not put here: left as it is")
		return
	}
	p, err := newPlan(subject{functionName(cmp.Or(o.meta.Name, strings.TrimSuffix(o.meta.GenerateName, "-"))), o.template, k.job, o.kind == "serving.knative.dev/v1 Service"}, b.request.Options)
	var none errNoPort
	if errors.As(err, &none) && k.job && o.template.Annotations[prefix+"inject"] != "true" {
		tell(none.path, "a job that declares no port: left as it is")
		return
	}
	if err == nil && o.kind != "serving.knative.dev/v1 Service" {
		err = b.lead(o, p, tell)
	}
	var place *pathError
	switch {
	case errors.As(err, &none):
		place = none.pathError
	case errors.As(err, &place):
	case err != nil:
		b.mistake(f, doc.first, err)
		return
	}
	if place != nil {
		b.mistake(f, doc.first, placef(doc.tree.lineOf(slices.Concat(root, place.path)), "%s: %s", o.describe(), place.text))
		return
	}
	if strings.HasPrefix(strings.TrimLeft(joinLines(doc.lines), " \t\r\n\ufeff"), "{") {
		tell(nil, "weir's marks are comments: what was JSON is YAML now")
	}
	for _, op := range p.ops {
		op.Path = slices.Concat(root, op.Path)
		b.ops[doc] = append(b.ops[doc], op)
	}
	for _, n := range p.notes {
		tell(n.path, n.text)
	}
}

// lead sees to the Services in front of a workload: none may go past weir.
func (b *batch) lead(o object, p *plan, tell func(pointer, string)) error {
	effective, _, err := b.request.annotated(o.template.Annotations)
	if err != nil {
		return err // newPlan has had the same
	}
	led := 0
	for _, s := range b.services {
		if !s.selects(o) {
			continue
		}
		doc := b.documents[s.file][s.document]
		place := func(i int) int {
			return doc.first + doc.tree.lineOf(s.object.path.then("spec", "ports", i, "targetPort")) + 1
		}
		if s.headless() && effective.Ports != byMoving {
			tell(p.target.path(), fmt.Sprintf("clients of the headless service/%s connect to the pods' ports themselves: those that use port %d go past weir, unless it takes that port (--ports=move)", s.object.meta.Name, p.target.port))
			continue
		}
		numbers, names := s.byNumber(p.target.port), s.byName(p.target.name)
		switch effective.Ports {
		case byName:
			for _, i := range numbers {
				return wrong(p.target.path("ports", p.target.declared), "service/%s (%s:%d) leads to port %d by number, past weir: let it ask for the port's name as targetPort; or use --ports=service, which leads it to weir, or --ports=move, where weir takes the port", s.object.meta.Name, b.names[s.file], place(i), p.target.port)
			}
		case byService:
			for _, i := range slices.Concat(numbers, names) {
				led++
				b.setTarget(doc, op{"add", s.object.path.then("spec", "ports", i, "targetPort"), p.listen})
			}
		}
	}
	if effective.Ports == byService && led == 0 {
		return wrong(p.target.path(), "no Service in the input leads to port %d: give the file of the Service too, or use --ports=name or --ports=move", p.target.port)
	}
	return nil
}

// setTarget leads a Service's port elsewhere. Several workloads behind one Service
// may ask for the same.
func (b *batch) setTarget(doc *document, o op) {
	if !slices.ContainsFunc(b.ops[doc], func(other op) bool { return reflect.DeepEqual(other, o) }) {
		b.ops[doc] = append(b.ops[doc], o)
	}
}

// write gives the files with what was planned.
func (b *batch) write(files []File) []File {
	out := make([]File, len(files))
	for f := range b.documents {
		var text strings.Builder
		for _, d := range b.documents[f] {
			lines := d.lines
			if ops := b.ops[d]; len(ops) > 0 {
				var err error
				if lines, err = d.rewritten(ops); err != nil {
					b.mistake(f, d.first, err)
					continue
				}
			}
			text.WriteString(joinLines(lines))
		}
		out[f] = File{files[f].Name, text.String()}
	}
	return out
}

// rewritten gives a document's lines with the operations done, once it has read
// them again: they must say just that, and strip to what they were.
func (d *document) rewritten(ops []op) ([]line, error) {
	lines, err := d.tree.rewrite(ops, d.style())
	if err != nil {
		return nil, err
	}
	again, err := parse(lines)
	if err == nil {
		err = again.decode()
	}
	if err != nil {
		return nil, placef(0, "cannot be written with weir in it: %v; write the pod template in block style", err)
	}
	want := d.value
	for _, o := range ops {
		if o.Value, err = plain(o.Value); err == nil {
			want, err = apply(want, o)
		}
		if err != nil {
			return nil, placef(d.tree.lineOf(o.Path), "%v", err)
		}
	}
	if !reflect.DeepEqual(withoutNulls(want), withoutNulls(again.value)) {
		return nil, placef(0, "weir would change more than it should (anchors that are used elsewhere, text of several lines): write the pod template out, in block style")
	}
	if back, err := again.tree.strip(false); err != nil || joinLines(back) != joinLines(d.lines) {
		return nil, placef(0, "what weir adds could not be taken out again: write the pod template in block style")
	}
	return lines, nil
}

// withoutNulls is a value as Kubernetes reads it: what is null is not there.
func withoutNulls(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for key, value := range v {
			if value != nil {
				out[key] = withoutNulls(value)
			}
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, value := range v {
			out[i] = withoutNulls(value)
		}
		return out
	}
	return v
}

// style is how the document's lists are indented.
func (d *document) style() blockStyle {
	for _, n := range d.tree.order {
		if n.Kind != yaml.MappingNode || isFlow(n) {
			continue
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			if key, list := n.Content[i], n.Content[i+1]; key.Value == "containers" && list.Kind == yaml.SequenceNode && !isFlow(list) {
				return blockStyle{dash: max(0, list.Column-key.Column)}
			}
		}
	}
	return blockStyle{dash: 2}
}
