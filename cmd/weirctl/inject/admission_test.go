package inject

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	jsonpatch "gopkg.in/evanphx/json-patch.v4"
	admissionv1 "k8s.io/api/admission/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// issue writes a certificate for 127.0.0.1, signed by itself.
func issue(t *testing.T, cert, key string, serial int64) *x509.Certificate {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), Subject: pkix.Name{CommonName: "weir"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	for name, block := range map[string]*pem.Block{cert: {Type: "CERTIFICATE", Bytes: der}, key: {Type: "PRIVATE KEY", Bytes: secret}} {
		if err := os.WriteFile(name, pem.EncodeToMemory(block), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return parsed
}

// apiServer asks a webhook as an API server does.
type apiServer struct {
	t      *testing.T
	url    string
	client *http.Client
}

func startWebhook(t *testing.T, args ...string) (*apiServer, *certificate) {
	t.Helper()
	dir := t.TempDir()
	files := &certificate{cert: filepath.Join(dir, "tls.crt"), key: filepath.Join(dir, "tls.key")}
	authority := issue(t, files.cert, files.key, 1)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() {
		ended <- serve(ctx, ln, files, request(t, args...).Options, slog.New(slog.NewTextHandler(t.Output(), nil)))
	}()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the webhook ended: %v", err)
		}
	})
	return &apiServer{t, "https://" + ln.Addr().String(), trusting(authority)}, files
}

func trusting(authority *x509.Certificate) *http.Client {
	pool := x509.NewCertPool()
	pool.AddCert(authority)
	return &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, ForceAttemptHTTP2: true, DisableKeepAlives: true}, Timeout: time.Minute}
}

func (a *apiServer) post(kind string, body []byte) (int, []byte) {
	a.t.Helper()
	res, err := a.client.Post(a.url+"/mutate", kind, bytes.NewReader(body))
	if err != nil {
		a.t.Fatal(err)
	}
	defer func() { _ = res.Body.Close() }()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		a.t.Fatal(err)
	}
	return res.StatusCode, text
}

// admit sends a pod's creation, applies the patch as API servers do, and returns
// the pod.
func (a *apiServer) admit(raw []byte, change func(*admissionv1.AdmissionRequest)) (corev1.Pod, *admissionv1.AdmissionResponse) {
	t := a.t
	t.Helper()
	review := admissionv1.AdmissionReview{
		TypeMeta: metav1.TypeMeta{APIVersion: "admission.k8s.io/v1", Kind: "AdmissionReview"},
		Request: &admissionv1.AdmissionRequest{
			UID: "705ab4f5-6393-11e8-b7cc-42010a800002", Operation: admissionv1.Create, Namespace: "functions",
			Kind:     metav1.GroupVersionKind{Version: "v1", Kind: "Pod"},
			Resource: metav1.GroupVersionResource{Version: "v1", Resource: "pods"},
			Object:   runtime.RawExtension{Raw: raw},
		},
	}
	if change != nil {
		change(review.Request)
	}
	body, err := json.Marshal(review)
	if err != nil {
		t.Fatal(err)
	}
	status, text := a.post("application/json", body)
	if status != http.StatusOK {
		t.Fatalf("%d: %s", status, text)
	}
	var answer admissionv1.AdmissionReview
	if err := strictly(text, &answer); err != nil {
		t.Fatalf("%v: %s", err, text)
	}
	r := answer.Response
	if answer.TypeMeta != review.TypeMeta || r == nil || r.UID != review.Request.UID || !r.Allowed {
		t.Fatalf("%s", text)
	}
	patched := raw
	if len(r.Patch) > 0 {
		if r.PatchType == nil || *r.PatchType != admissionv1.PatchTypeJSONPatch {
			t.Errorf("patch type %v", r.PatchType)
		}
		patch, err := jsonpatch.DecodePatch(r.Patch)
		if err != nil {
			t.Fatal(err)
		}
		if patched, err = patch.Apply(raw); err != nil {
			t.Fatalf("%v: %s", err, r.Patch)
		}
	}
	var pod corev1.Pod
	if err := strictly(patched, &pod); err != nil {
		t.Fatalf("%v: %s", err, patched)
	}
	return pod, r
}

// replica is a pod as the API server hands it over: of a ReplicaSet, with defaults.
func replica(change func(*corev1.Pod)) []byte {
	pod := corev1.Pod{
		TypeMeta: metav1.TypeMeta{APIVersion: "v1", Kind: "Pod"},
		ObjectMeta: metav1.ObjectMeta{
			GenerateName: "cart-7d4b9c6f5-", Labels: map[string]string{"app": "cart", "pod-template-hash": "7d4b9c6f5"},
			Annotations:     map[string]string{"weir.sidecar/inject": "true", "weir.sidecar/max-inflight": "8"},
			OwnerReferences: []metav1.OwnerReference{{APIVersion: "apps/v1", Kind: "ReplicaSet", Name: "cart-7d4b9c6f5", UID: "1", Controller: new(true)}},
		},
		Spec: corev1.PodSpec{
			TerminationGracePeriodSeconds: new(int64(30)),
			Containers: []corev1.Container{{
				Name: "cart", Image: "cart:1",
				Ports:          []corev1.ContainerPort{{Name: "http", ContainerPort: 3000, Protocol: corev1.ProtocolTCP}},
				ReadinessProbe: &corev1.Probe{ProbeHandler: corev1.ProbeHandler{HTTPGet: &corev1.HTTPGetAction{Path: "/", Port: intstr.FromString("http")}}},
			}},
		},
	}
	if change != nil {
		change(&pod)
	}
	raw, err := json.Marshal(pod)
	if err != nil {
		panic(err)
	}
	return raw
}

func TestPodsGetWeir(t *testing.T) {
	webhook, _ := startWebhook(t, "--timeout", "20s", "--image", "weir:9")
	pod, answer := webhook.admit(replica(nil), nil)
	if len(pod.Spec.InitContainers) != 1 || len(pod.Spec.Containers) != 1 {
		t.Fatalf("%s", answer.Patch)
	}
	weir, function := pod.Spec.InitContainers[0], pod.Spec.Containers[0]
	env := map[string]string{}
	for _, v := range weir.Env {
		env[v.Name] = v.Value
	}
	for name, want := range map[string]string{"WEIR_FUNCTION": "cart", "WEIR_UPSTREAM": "http://127.0.0.1:3000", "WEIR_MAX_INFLIGHT": "8", "WEIR_TIMEOUT": "20s"} {
		if env[name] != want {
			t.Errorf("%s=%s, want %s", name, env[name], want)
		}
	}
	if weir.Image != "weir:9" || weir.RestartPolicy == nil || *weir.RestartPolicy != corev1.ContainerRestartPolicyAlways || weir.Ports[0].Name != "http" {
		t.Errorf("%+v", weir)
	}
	if function.Ports[0].Name != "http-fn" || function.ReadinessProbe.HTTPGet.Port.StrVal != "http-fn" || function.Lifecycle.PreStop.HTTPGet.Path != "/wait-for-drain" {
		t.Errorf("%+v", function)
	}
	if got := *pod.Spec.TerminationGracePeriodSeconds; got != 10+20+5+30 {
		t.Errorf("grace period %d", got)
	}

	// Called again, as with reinvocationPolicy, it leaves the pod alone.
	raw, err := json.Marshal(pod)
	if err != nil {
		t.Fatal(err)
	}
	if again, answer := webhook.admit(raw, nil); len(answer.Patch) != 0 || !reflect.DeepEqual(again, pod) {
		t.Errorf("a second time: %s", answer.Patch)
	}
}

func TestPodsThatGetNone(t *testing.T) {
	webhook, _ := startWebhook(t)
	for _, c := range []struct {
		name    string
		pod     func(*corev1.Pod)
		request func(*admissionv1.AdmissionRequest)
	}{
		{"not asked", func(p *corev1.Pod) { p.Annotations = nil }, nil},
		{"asked not to", func(p *corev1.Pod) { p.Annotations["weir.sidecar/inject"] = "false" }, nil},
		{"no pod", nil, func(r *admissionv1.AdmissionRequest) { r.Resource.Resource = "deployments" }},
		{"ephemeral container", nil, func(r *admissionv1.AdmissionRequest) { r.SubResource = "ephemeralcontainers" }},
		{"an update", nil, func(r *admissionv1.AdmissionRequest) { r.Operation = admissionv1.Update }},
	} {
		if _, answer := webhook.admit(replica(c.pod), c.request); len(answer.Patch) != 0 {
			t.Errorf("%s: %s", c.name, answer.Patch)
		}
	}
	if _, answer := webhook.admit(replica(func(p *corev1.Pod) {
		p.Annotations = nil
		p.Labels["weir.sidecar/inject"] = "true"
	}), nil); len(answer.Patch) == 0 {
		t.Error("a label does not ask for weir")
	}
}

// A pod that cannot have weir starts all the same, and says why.
func TestPodsAreNeverRefused(t *testing.T) {
	webhook, _ := startWebhook(t)
	for _, c := range []struct {
		name, want string
		pod        func(*corev1.Pod)
	}{
		{"a typing error", "max-inflihgt", func(p *corev1.Pod) { p.Annotations["weir.sidecar/max-inflihgt"] = "8" }},
		{"no port", "declares no TCP port", func(p *corev1.Pod) { p.Spec.Containers[0].Ports = nil; p.Spec.Containers[0].ReadinessProbe = nil }},
		{"by Service", "ports=service", func(p *corev1.Pod) { p.Annotations["weir.sidecar/ports"] = "service" }},
		{"by label", "declares no TCP port", func(p *corev1.Pod) {
			p.Annotations, p.Labels["weir.sidecar/inject"] = nil, "true"
			p.Spec.Containers[0].Ports, p.Spec.Containers[0].ReadinessProbe = nil, nil
		}},
	} {
		pod, answer := webhook.admit(replica(c.pod), nil)
		if present(&pod.Spec) || !strings.Contains(pod.Annotations[notInjected], c.want) || len(answer.Warnings) != 1 || !strings.Contains(answer.Warnings[0], c.want) {
			t.Errorf("%s: %v, %v", c.name, pod.Annotations, answer.Warnings)
		}
	}
}

func TestNamesOfFunctions(t *testing.T) {
	webhook, _ := startWebhook(t)
	for want, change := range map[string]func(*corev1.Pod){
		"api": func(p *corev1.Pod) {
			p.Name, p.OwnerReferences[0] = "api-0", metav1.OwnerReference{Kind: "StatefulSet", Name: "api", Controller: new(true)}
		},
		"alone": func(p *corev1.Pod) { p.GenerateName, p.Name, p.OwnerReferences = "", "alone", nil },
		"mine":  func(p *corev1.Pod) { p.Annotations["weir.sidecar/function"] = "mine" },
	} {
		pod, answer := webhook.admit(replica(change), nil)
		if len(pod.Spec.InitContainers) != 1 || pod.Spec.InitContainers[0].Env[0] != (corev1.EnvVar{Name: "WEIR_FUNCTION", Value: want}) {
			t.Errorf("want %s: %s", want, answer.Patch)
		}
	}
}

// Fields that these types do not know, of a newer cluster, stay.
func TestUnknownFieldsStay(t *testing.T) {
	raw := bytes.Replace(replica(nil), []byte(`"spec":{`), []byte(`"spec":{"fromTheFuture":{"a":1},`), 1)
	body, err := json.Marshal(map[string]any{
		"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview",
		"request": map[string]any{"uid": "1", "operation": "CREATE", "resource": map[string]string{"group": "", "version": "v1", "resource": "pods"}, "object": json.RawMessage(raw), "new": true},
	})
	if err != nil {
		t.Fatal(err)
	}
	review, err := Review(body, request(t).Options)
	if err != nil {
		t.Fatal(err)
	}
	patch, err := jsonpatch.DecodePatch(review.Response.Patch)
	if err != nil {
		t.Fatal(err)
	}
	patched, err := patch.Apply(raw)
	if err != nil || !bytes.Contains(patched, []byte(`"fromTheFuture":{"a":1}`)) || !bytes.Contains(patched, []byte(`"name":"weir"`)) {
		t.Errorf("%v: %s", err, patched)
	}
}

func TestRequestsThatAreNone(t *testing.T) {
	webhook, _ := startWebhook(t)
	for _, c := range []struct {
		kind, body string
		status     int
	}{
		{"text/plain", "{}", http.StatusUnsupportedMediaType},
		{"application/json", "", http.StatusBadRequest},
		{"application/json", "{}", http.StatusBadRequest},
		{"application/json", `{"apiVersion":"admission.k8s.io/v1beta1","kind":"AdmissionReview","request":{"uid":"1"}}`, http.StatusBadRequest},
		{"application/json", `{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview"}`, http.StatusBadRequest},
		{"application/json; charset=utf-8", strings.Repeat(" ", reviewLimit+1), http.StatusRequestEntityTooLarge},
	} {
		if status, text := webhook.post(c.kind, []byte(c.body)); status != c.status {
			t.Errorf("%s %.80s: %d %s, want %d", c.kind, c.body, status, text, c.status)
		}
	}
	res, err := webhook.client.Get(webhook.url + "/healthz")
	if err != nil || res.StatusCode != http.StatusOK {
		t.Errorf("healthz: %v %v", res, err)
	}
	_ = res.Body.Close()
}

// A renewed certificate is used without a restart; one that is half written is not.
func TestCertificatesAreRenewed(t *testing.T) {
	webhook, files := startWebhook(t)
	webhook.admit(replica(nil), nil)
	if err := os.WriteFile(files.key, []byte("half of a ke"), 0o600); err != nil {
		t.Fatal(err)
	}
	webhook.admit(replica(nil), nil)
	webhook.client = trusting(issue(t, files.cert, files.key, 2))
	webhook.admit(replica(nil), nil)
}

func FuzzReview(f *testing.F) {
	o := request(f).Options
	for _, change := range []func(*corev1.Pod){nil, func(p *corev1.Pod) { p.Spec.Containers = nil }} {
		f.Add([]byte(`{"apiVersion":"admission.k8s.io/v1","kind":"AdmissionReview","request":{"uid":"1","operation":"CREATE","resource":{"group":"","version":"v1","resource":"pods"},"object":` + string(replica(change)) + `}}`))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var in admissionv1.AdmissionReview
		review, err := Review(body, o)
		if err != nil || len(review.Response.Patch) == 0 {
			return
		}
		if err := json.Unmarshal(body, &in); err != nil {
			t.Fatal(err)
		}
		patch, err := jsonpatch.DecodePatch(review.Response.Patch)
		if err != nil {
			t.Fatal(err)
		}
		// A pod that is itself well-formed JSON with the keys that the patch names.
		var pod corev1.Pod
		if json.Unmarshal(in.Request.Object.Raw, &pod) != nil {
			t.Fatal("a patch for no pod")
		}
		raw, err := json.Marshal(pod)
		if err != nil {
			return
		}
		patched, err := patch.Apply(raw)
		if err != nil {
			t.Fatalf("%v: %s", err, review.Response.Patch)
		}
		if err := strictly(patched, &pod); err != nil {
			t.Fatalf("%v: %s", err, patched)
		}
	})
}
