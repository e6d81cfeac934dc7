{{/*
weir as a container, for charts of your own that have this one as a dependency:

  spec:
    terminationGracePeriodSeconds: {{ include "weir.gracePeriod" $weir }}
    initContainers:
      - {{- include "weir.sidecar" $weir | nindent 8 }}
    containers:
      - name: function
        lifecycle: {{- include "weir.functionLifecycle" $weir | nindent 10 }}

where $weir is

  {{- $weir := dict "function" "cart" "upstream" 3000 "port" 8080 }}

  function      the function's name in metrics; needed
  upstream      port that it listens on; needed
  port          weir's port for requests, 8080
  portName      its name, http
  metricsPort   weir's port for metrics and probes, 9464
  image         weir:<this chart's appVersion>
  timeout       seconds for a request, which a drain waits for, 60
  drainDelay    seconds that are still admitted after the pod is told to end, 10
  functionEnd   seconds that the function gets from its SIGTERM, 30
  settings      weir's settings by flag, as in (dict "max-inflight" 10)
  resources     of the container
*/}}
{{- define "weir.sidecar" -}}
{{- $function := required "weir.sidecar: function, the name in metrics, is needed" (get . "function") -}}
{{- $upstream := required "weir.sidecar: upstream, the port that the function listens on, is needed" (get . "upstream") -}}
name: weir
image: {{ get . "image" | default "weir:0.1.0" | quote }}
args: ["run"]
restartPolicy: Always
env:
  - name: WEIR_FUNCTION
    value: {{ $function | quote }}
  - name: WEIR_UPSTREAM
    value: "http://127.0.0.1:{{ int $upstream }}"
  - name: WEIR_LISTEN
    value: ":{{ int (get . "port" | default 8080) }}"
  - name: WEIR_METRICS_LISTEN
    value: ":{{ int (get . "metricsPort" | default 9464) }}"
  - name: WEIR_TIMEOUT
    value: "{{ int (get . "timeout" | default 60) }}s"
  - name: WEIR_DRAIN_DELAY
    value: "{{ int (get . "drainDelay" | default 10) }}s"
  - name: WEIR_DRAIN_TIMEOUT
    value: "{{ int (get . "timeout" | default 60) }}s"
  - name: WEIR_LOG_FORMAT
    value: json
  - name: GOMEMLIMIT
    value: 115MiB
{{- range $name, $value := (get . "settings") }}
  - name: WEIR_{{ $name | upper | replace "-" "_" }}
    value: {{ $value | toString | quote }}
{{- end }}
ports:
  - name: {{ get . "portName" | default "http" }}
    containerPort: {{ int (get . "port" | default 8080) }}
  - name: weir-metrics
    containerPort: {{ int (get . "metricsPort" | default 9464) }}
startupProbe:
  httpGet: {path: /healthz, port: weir-metrics}
  periodSeconds: 1
  failureThreshold: 60
readinessProbe:
  httpGet: {path: /readyz, port: weir-metrics}
  periodSeconds: 2
  timeoutSeconds: 2
  failureThreshold: 2
livenessProbe:
  httpGet: {path: /healthz, port: weir-metrics}
  periodSeconds: 10
  timeoutSeconds: 3
  failureThreshold: 3
lifecycle:
  preStop:
    exec:
      command: ["/weir", "drain"]
resources:
{{- if get . "resources" }}
  {{- toYaml (get . "resources") | nindent 2 }}
{{- else }}
  requests: {cpu: 50m, memory: 32Mi}
  limits: {memory: 128Mi}
{{- end }}
securityContext:
  allowPrivilegeEscalation: false
  capabilities: {drop: ["ALL"]}
  readOnlyRootFilesystem: true
  runAsNonRoot: true
  runAsUser: 65532
  runAsGroup: 65532
  seccompProfile: {type: RuntimeDefault}
{{- end }}

{{/* The function's lifecycle: it ends once weir has drained. */}}
{{- define "weir.functionLifecycle" -}}
preStop:
  httpGet:
    path: /wait-for-drain
    port: {{ int (get . "metricsPort" | default 9464) }}
{{- end }}

{{/* The pod's terminationGracePeriodSeconds. */}}
{{- define "weir.gracePeriod" -}}
{{ add (get . "drainDelay" | default 10) (get . "timeout" | default 60) 5 (get . "functionEnd" | default 30) }}
{{- end }}
