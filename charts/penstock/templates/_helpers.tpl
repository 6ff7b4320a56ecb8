{{- define "penstock.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- /* At most 53 characters: with a suffix (`-metrics`, `-migrate`) it is still a valid name. */ -}}
{{- define "penstock.fullname" -}}
{{- if .Values.fullnameOverride }}
{{- .Values.fullnameOverride | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- $name := include "penstock.name" . }}
{{- if contains $name .Release.Name }}
{{- .Release.Name | trunc 53 | trimSuffix "-" }}
{{- else }}
{{- printf "%s-%s" .Release.Name $name | trunc 53 | trimSuffix "-" }}
{{- end }}
{{- end }}
{{- end }}

{{- define "penstock.selectorLabels" -}}
app.kubernetes.io/name: {{ include "penstock.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end }}

{{- define "penstock.ownLabels" -}}
{{ include "penstock.selectorLabels" . }}
app.kubernetes.io/part-of: penstock
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{- end }}

{{- define "penstock.labels" -}}
{{- include "penstock.ownLabels" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- /* One clear error for a label that would be there twice (the later would win, and selectors would miss their pods), and
       for an annotation that would make an object a hook or keep it. */ -}}
{{- define "penstock.checkMetadata" -}}
{{- $own := include "penstock.ownLabels" . | fromYaml }}
{{- $common := default dict .Values.commonLabels }}
{{- $given := dict "podLabels" .Values.podLabels }}
{{- range $value := list "serviceMonitor" "prometheusRule" "dashboards" "serviceAccount" }}
{{- $_ := set $given (printf "%s.labels" $value) (get $.Values $value).labels }}
{{- end }}
{{- range $key, $_ := $common }}
{{- if hasKey $own $key }}{{ fail (printf "commonLabels must not have %s: the chart sets it" $key) }}{{ end }}
{{- end }}
{{- range $value, $labels := $given }}
{{- range $key, $_ := $labels }}
{{- if hasKey $own $key }}{{ fail (printf "%s must not have %s: the chart sets it" $value $key) }}{{ end }}
{{- if hasKey $common $key }}{{ fail (printf "%s must not have %s: commonLabels has it" $value $key) }}{{ end }}
{{- end }}
{{- end }}
{{- $annotations := pick .Values "commonAnnotations" "deploymentAnnotations" "podAnnotations" }}
{{- range $name, $value := .Values }}
{{- if kindIs "map" $value }}{{ $_ := set $annotations (printf "%s.annotations" $name) $value.annotations }}{{ end }}
{{- end }}
{{- range $value, $each := $annotations }}
{{- range $key, $_ := $each }}
{{- if hasPrefix "helm.sh/" $key }}{{ fail (printf "%s must not have %s: the chart sets Helm's annotations" $value $key) }}{{ end }}
{{- end }}
{{- end }}
{{- end }}

{{- /* All databases of one namespace at their bound fit into the memory limit, where that is written in Mi or Gi: the kernel
       may end every process of a container that exceeds it. */ -}}
{{- define "penstock.checkDatabases" -}}
{{- $limit := toString (default "" (default dict (default dict .Values.resources).limits).memory) }}
{{- if regexMatch "^[0-9]+[MG]i$" $limit }}
{{- $mib := mul (int (regexFind "^[0-9]+" $limit)) (ternary 1024 1 (hasSuffix "Gi" $limit)) }}
{{- $needed := add 200 (mul (int .Values.databases.perNamespace) (int .Values.databases.memoryMiB)) }}
{{- if gt $needed $mib }}
{{- fail (printf "resources.limits.memory is %s, but the databases of one namespace may need %dMi (200 + databases.perNamespace x databases.memoryMiB): raise it or lower those" $limit $needed) }}
{{- end }}
{{- end }}
{{- end }}

{{- /* Annotations of an object: (dict "root" . "own" .Values.….annotations "fixed" (dict …)). What the chart itself needs
       wins over the object's own, that over the common ones. */ -}}
{{- define "penstock.annotations" -}}
{{- with merge (dict) (default dict .fixed) (default dict .own) (default dict .root.Values.commonAnnotations) }}
{{- toYaml . }}
{{- end }}
{{- end }}

{{- define "penstock.serviceAccountName" -}}
{{- if .Values.serviceAccount.create }}
{{- default (include "penstock.fullname" .) .Values.serviceAccount.name }}
{{- else }}
{{- required "serviceAccount.name is required when serviceAccount.create is false" .Values.serviceAccount.name }}
{{- end }}
{{- end }}

{{- /* An image of the values: (dict "image" .Values.image "root" .). */ -}}
{{- define "penstock.image" -}}
{{- $repository := .image.repository }}
{{- with (default dict .root.Values.global).imageRegistry }}
{{- $parts := splitList "/" $repository }}
{{- if and (gt (len $parts) 1) (or (regexMatch "[.:]" (first $parts)) (eq (first $parts) "localhost")) }}
{{- $repository = rest $parts | join "/" }}
{{- end }}
{{- $repository = printf "%s/%s" . $repository }}
{{- end }}
{{- if .image.digest }}
{{- printf "%s@%s" $repository .image.digest }}
{{- else }}
{{- printf "%s:%s" $repository (default .root.Chart.AppVersion .image.tag) }}
{{- end }}
{{- end }}

{{- /* Labels of what runs the command line once: (dict "component" "migrate" "root" .). No service selects it. */ -}}
{{- define "penstock.onceLabels" -}}
{{ include "penstock.labels" .root | replace "app.kubernetes.io/component: operator" (printf "app.kubernetes.io/component: %s" .component) }}
{{- end }}

{{- /* A pod that runs the command line once: (dict "args" (list …) "name" "migrate" "secretRef" … "resources" … "root" .). */ -}}
{{- define "penstock.oncePod" -}}
restartPolicy: Never
{{ include "penstock.podSpec" .root }}
containers:
  - name: {{ .name }}
    image: {{ include "penstock.image" (dict "image" .root.Values.workerImage "root" .root) | quote }}
    imagePullPolicy: {{ .root.Values.workerImage.pullPolicy }}
    command: [penstock]
    args: {{ toJson .args }}
    env:
      - name: PENSTOCK_DATABASE_URL
        valueFrom:
          secretKeyRef: {name: {{ .secretRef.name }}, key: {{ .secretRef.key }}}
      {{- include "penstock.extraEnv" (dict "root" .root "own" (list "PENSTOCK_DATABASE_URL")) | nindent 6 }}
    {{- with .resources }}
    resources:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with include "penstock.given" .root.Values.securityContext | fromJson }}
    securityContext:
      {{- toYaml . | nindent 6 }}
    {{- end }}
    {{- with include "penstock.extraMounts" .root }}
    volumeMounts:
      {{- . | nindent 6 }}
    {{- end }}
{{- with include "penstock.extraVolumes" .root }}
volumes:
  {{- . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.topologySpreadConstraints }}
topologySpreadConstraints:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* What a pod needs that speaks to the database alone. */ -}}
{{- define "penstock.databaseEgress" -}}
- ports:
    {{- include "penstock.dnsPorts" . | nindent 4 }}
    {{- range .Values.networkPolicy.databasePorts }}
    - {protocol: TCP, port: {{ . }}}
    {{- end }}
{{- with .Values.networkPolicy.extraEgress }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "penstock.dnsPorts" -}}
{{- range .Values.networkPolicy.dnsPorts }}
- {protocol: UDP, port: {{ . }}}
- {protocol: TCP, port: {{ . }}}
{{- end }}
{{- end }}

{{- /* The namespaces watched, comma-separated: the release's own unless others are named. */ -}}
{{- define "penstock.watchNamespaces" -}}
{{- default (list .Release.Namespace) .Values.watchNamespaces | join "," }}
{{- end }}

{{- /* What the operator may do where JobQueues are: each verb is one that it uses. */ -}}
{{- define "penstock.rules" -}}
- apiGroups: [penstock.dev]
  resources: [jobqueues]
  verbs: [list, watch]
- apiGroups: [penstock.dev]
  resources: [jobqueues/status]
  verbs: [patch]
- apiGroups: [apps]
  resources: [deployments]
  verbs: [get, list, watch, create, patch]
- apiGroups: [apps]
  resources: [deployments/scale]
  verbs: [patch]
- apiGroups: [""]
  resources: [pods]
  verbs: [list, watch, patch]
# The database's URL, of the one Secret that a JobQueue names. Never list or watch.
- apiGroups: [""]
  resources: [secrets]
  verbs: [get]
- apiGroups: [events.k8s.io]
  resources: [events]
  verbs: [create]
- apiGroups: [policy]
  resources: [poddisruptionbudgets]
  verbs: [list, create, patch]
{{- if ne .Values.podMonitor.render "never" }}
# Only where the cluster knows what they are.
- apiGroups: [monitoring.coreos.com]
  resources: [podmonitors]
  verbs: [list, create, patch]
{{- end }}
{{- end }}
