package inject

import (
	stdjson "encoding/json"
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v3"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/json"
	sigsyaml "sigs.k8s.io/yaml"
)

// A kind is a type of the API that has pods, or leads to them.
type kind struct {
	path pointer // of the pod template
	job  bool
	// open decodes JSON strictly and gives what weir needs of it.
	open func(text []byte) (meta metav1.ObjectMeta, template *corev1.PodTemplateSpec, err error)
}

func opens[T any](of func(*T) (metav1.ObjectMeta, *corev1.PodTemplateSpec)) func([]byte) (metav1.ObjectMeta, *corev1.PodTemplateSpec, error) {
	return func(text []byte) (metav1.ObjectMeta, *corev1.PodTemplateSpec, error) {
		object := new(T)
		if err := strictly(text, object); err != nil {
			return metav1.ObjectMeta{}, nil, err
		}
		meta, template := of(object)
		return meta, template, nil
	}
}

// strictly decodes as the API server does where it is asked to be strict: names of
// fields count in upper and lower case, and unknown ones are errors.
func strictly(text []byte, into any) error {
	mistakes, err := json.UnmarshalStrict(text, into)
	return errors.Join(append([]error{err}, mistakes...)...)
}

var kinds = map[string]kind{
	"apps/v1 Deployment": {at("spec", "template"), false, opens(func(o *appsv1.Deployment) (metav1.ObjectMeta, *corev1.PodTemplateSpec) {
		return o.ObjectMeta, &o.Spec.Template
	})},
	"apps/v1 StatefulSet": {at("spec", "template"), false, opens(func(o *appsv1.StatefulSet) (metav1.ObjectMeta, *corev1.PodTemplateSpec) {
		return o.ObjectMeta, &o.Spec.Template
	})},
	"apps/v1 DaemonSet": {at("spec", "template"), false, opens(func(o *appsv1.DaemonSet) (metav1.ObjectMeta, *corev1.PodTemplateSpec) {
		return o.ObjectMeta, &o.Spec.Template
	})},
	"apps/v1 ReplicaSet": {at("spec", "template"), false, opens(func(o *appsv1.ReplicaSet) (metav1.ObjectMeta, *corev1.PodTemplateSpec) {
		return o.ObjectMeta, &o.Spec.Template
	})},
	"batch/v1 Job": {at("spec", "template"), true, opens(func(o *batchv1.Job) (metav1.ObjectMeta, *corev1.PodTemplateSpec) {
		return o.ObjectMeta, &o.Spec.Template
	})},
	"batch/v1 CronJob": {at("spec", "jobTemplate", "spec", "template"), true, opens(func(o *batchv1.CronJob) (metav1.ObjectMeta, *corev1.PodTemplateSpec) {
		return o.ObjectMeta, &o.Spec.JobTemplate.Spec.Template
	})},
	"v1 Pod": {at(), false, opens(func(o *corev1.Pod) (metav1.ObjectMeta, *corev1.PodTemplateSpec) {
		return o.ObjectMeta, &corev1.PodTemplateSpec{ObjectMeta: o.ObjectMeta, Spec: o.Spec}
	})},
	"serving.knative.dev/v1 Service": {at("spec", "template"), false, opens(func(o *knativeService) (metav1.ObjectMeta, *corev1.PodTemplateSpec) {
		return o.ObjectMeta, &corev1.PodTemplateSpec{ObjectMeta: o.Spec.Template.ObjectMeta, Spec: o.Spec.Template.Spec.PodSpec}
	})},
}

const serviceKind = "v1 Service"

// gone are versions that clusters do not know any more.
var gone = regexp.MustCompile(`^(extensions/v1beta1|apps/v1beta[12]|batch/v1beta1|batch/v2alpha1|serving\.knative\.dev/v1(alpha1|beta1)) (Deployment|StatefulSet|DaemonSet|ReplicaSet|CronJob|Service)$`)

// An object is one of a document: the document itself, or an item of a list.
type object struct {
	path     pointer // in the document
	kind     string  // "apps/v1 Deployment"
	meta     metav1.ObjectMeta
	template *corev1.PodTemplateSpec // nil for a Service
	service  *corev1.Service
}

// A document is one of a file.
type document struct {
	first   int // its first line in the file, from 0
	lines   []line
	tree    *tree // nil if there is nothing in it
	value   any   // decoded JSON
	objects []object
}

// splitDocuments cuts before each line that begins a document; its directives (%YAML)
// belong to it.
func splitDocuments(lines []line) [][]line {
	var out [][]line
	start, directives := 0, false
	for i, l := range lines {
		switch {
		case l.text == "---", strings.HasPrefix(l.text, "--- "), strings.HasPrefix(l.text, "---\t"):
			if i > start && !directives {
				out = append(out, lines[start:i])
				start = i
			}
			directives = false
		case strings.HasPrefix(l.text, "%") && !slices.ContainsFunc(lines[start:i], func(l line) bool { return !isBlank(l.text) && !isComment(l.text) && !strings.HasPrefix(l.text, "%") }):
			directives = true
		}
	}
	return append(out, lines[start:])
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

// syntaxError places what a YAML parser says.
func syntaxError(err error, lines []line) error {
	text := strings.TrimPrefix(err.Error(), "yaml: ")
	at := 0
	if m := yamlLine.FindStringSubmatchIndex(text); m != nil {
		if n, convErr := strconv.Atoi(text[m[2]:m[3]]); convErr == nil {
			at = n - 1
		}
		text = text[:m[0]] + text[m[1]:]
	}
	for i, l := range lines {
		if strings.Contains(l.text, "{{") {
			return placef(i, "not YAML but a template: render it first, as in helm template … | weirctl inject")
		}
	}
	return placef(at, "not YAML: %s", oneLine(text))
}

// oneLine folds an error of several lines.
func oneLine(text string) string {
	return strings.TrimPrefix(strings.Join(strings.FieldsFunc(text, func(r rune) bool { return r == '\n' || r == '\r' }), ";"), "unmarshal errors:;  ")
}

// parse reads a document. Its errors are *placeError.
func parse(lines []line) (*document, error) {
	d := &document{lines: lines}
	source := joinLines(lines)
	decoder := yaml.NewDecoder(strings.NewReader(source))
	var root, second yaml.Node
	switch err := decoder.Decode(&root); {
	case errors.Is(err, io.EOF):
		return d, nil
	case err != nil:
		return nil, syntaxError(err, lines)
	}
	if err := decoder.Decode(&second); !errors.Is(err, io.EOF) {
		if err != nil {
			return nil, syntaxError(err, lines)
		}
		return nil, placef(max(second.Line-1, 0), "a second document without --- before it")
	}
	if root.Kind != yaml.DocumentNode || len(root.Content) != 1 || root.Content[0].Tag == "!!null" {
		return d, nil
	}
	d.tree = newTree(lines, &root)
	return d, nil
}

// decode reads the objects of a document strictly, where weir knows their kinds.
func (d *document) decode() error {
	if d.tree == nil || !d.tree.concerns(d.tree.root) {
		return nil
	}
	source := joinLines(d.lines)
	text, err := sigsyaml.YAMLToJSONStrict([]byte(source))
	if err != nil {
		return syntaxError(err, d.lines)
	}
	if err := unmarshal(text, &d.value); err != nil {
		return placef(0, "%v", err)
	}
	return d.decodeObject(d.value, nil)
}

func unmarshal(text []byte, into *any) error {
	decoder := stdjson.NewDecoder(strings.NewReader(string(text)))
	decoder.UseNumber()
	return decoder.Decode(into)
}

// concerns reports whether an object, or one in a list, is of a kind that weir
// knows, so that mistakes in others are not its business.
func (t *tree) concerns(n *yaml.Node) bool {
	field := func(name string) *yaml.Node {
		_, value, err := t.step(n, name)
		if err != nil {
			return nil
		}
		return value
	}
	version, name := field("apiVersion"), field("kind")
	if version == nil || name == nil {
		return false
	}
	if isList(name.Value) {
		items := field("items")
		return items != nil && slices.ContainsFunc(items.Content, t.concerns)
	}
	full := version.Value + " " + name.Value
	_, ok := kinds[full]
	return ok || full == serviceKind || gone.MatchString(full)
}

func isList(kind string) bool { return strings.HasSuffix(kind, "List") }

func (d *document) decodeObject(value any, path pointer) error {
	m, ok := value.(map[string]any)
	if !ok {
		return nil
	}
	version, _ := m["apiVersion"].(string)
	name, _ := m["kind"].(string)
	if items, ok := m["items"].([]any); ok && isList(name) {
		for i, item := range items {
			if err := d.decodeObject(item, path.then("items", i)); err != nil {
				return err
			}
		}
		return nil
	}
	o := object{path: path, kind: version + " " + name}
	if gone.MatchString(o.kind) {
		return placef(d.tree.lineOf(path.then("apiVersion")), "%s is not served by any supported Kubernetes any more: use apps/v1, batch/v1 or serving.knative.dev/v1", o.kind)
	}
	text, err := stdjson.Marshal(value)
	if err != nil {
		return err
	}
	if k, ok := kinds[o.kind]; ok {
		o.meta, o.template, err = k.open(text)
	} else if o.kind == serviceKind {
		o.service = new(corev1.Service)
		err = strictly(text, o.service)
		o.meta = o.service.ObjectMeta
	} else {
		return nil
	}
	if err != nil {
		return d.fieldError(o, err)
	}
	d.objects = append(d.objects, o)
	return nil
}

var (
	fieldPath  = regexp.MustCompile(`unknown field "([^"]+)"`)
	structPath = regexp.MustCompile(`Go struct field \w+\.([\w.]+) of type`)
)

// fieldError places what the strict decoder says.
func (d *document) fieldError(o object, err error) error {
	text := strings.TrimPrefix(err.Error(), "json: ")
	path := o.path
	for _, pattern := range []*regexp.Regexp{fieldPath, structPath} {
		if m := pattern.FindStringSubmatch(text); m != nil {
			for element := range strings.FieldsFuncSeq(m[1], func(r rune) bool { return strings.ContainsRune(".[]", r) }) {
				path = path.then(element)
			}
			break
		}
	}
	_, name, _ := strings.Cut(o.kind, " ")
	return placef(d.tree.lineOf(path), "not a valid %s: %s", name, oneLine(text))
}

// describe names an object for messages.
func (o object) describe() string {
	_, name, _ := strings.Cut(o.kind, " ")
	return fmt.Sprintf("%s/%s", strings.ToLower(name), o.meta.Name)
}
