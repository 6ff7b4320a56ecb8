{{- /* What is the same in every pod of the chart: a pod-level value that is read elsewhere reaches only some of them. */ -}}
{{- define "penstock.podSpec" -}}
automountServiceAccountToken: false
enableServiceLinks: false
{{- with include "penstock.pullSecrets" . | fromJsonArray }}
imagePullSecrets:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with include "penstock.given" .Values.podSecurityContext | fromJson }}
securityContext:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* Metadata of a pod but its name: (dict "root" . "labels" TEXT "fixed" (dict …) "own" …). */ -}}
{{- define "penstock.podMetadata" -}}
labels:
  {{- .labels | nindent 2 }}
  {{- with .root.Values.podLabels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- $own := merge (dict) (default dict .own) (default dict .root.Values.podAnnotations) }}
{{- with include "penstock.annotations" (dict "root" .root "own" $own "fixed" .fixed) }}
annotations:
  {{- . | nindent 2 }}
{{- end }}
{{- end }}

{{- /* A value without its nulls, as JSON; a null field is one that was removed. */ -}}
{{- define "penstock.given" -}}
{{- $found := dict }}
{{- range $key, $value := . }}
{{- if kindIs "map" $value }}
{{- $_ := set $found $key (include "penstock.given" $value | fromJson) }}
{{- else if not (kindIs "invalid" $value) }}
{{- $_ := set $found $key $value }}
{{- end }}
{{- end }}
{{- toJson $found }}
{{- end }}

{{- define "penstock.pullSecrets" -}}
{{- $found := list }}
{{- range concat (default list (default dict .Values.global).imagePullSecrets) (default list .Values.imagePullSecrets) }}
{{- $found = append $found (kindIs "string" . | ternary (dict "name" .) .) }}
{{- end }}
{{- $found | uniq | toJson }}
{{- end }}

{{- define "penstock.caBundle" -}}
{{- with .Values.caBundle }}
{{- if and .configMapName .secretName }}{{ fail "caBundle must have one of configMapName and secretName, not both" }}{{ end }}
{{- if or .configMapName .secretName }}true{{ end }}
{{- end }}
{{- end }}

{{- /* Variables of the values: (dict "root" . "own" (list NAMES)), `own` being those that the chart sets. */ -}}
{{- define "penstock.extraEnv" -}}
{{- $own := .own }}
{{- if include "penstock.caBundle" .root }}
{{- $own = append $own "SSL_CERT_FILE" }}
- name: SSL_CERT_FILE
  value: /etc/penstock/ca/{{ .root.Values.caBundle.key }}
{{- end }}
{{- range .root.Values.extraEnv }}
{{- if has .name $own }}{{ fail (printf "extraEnv must not have %s: the chart sets it" .name) }}{{ end }}
{{- end }}
{{- with .root.Values.extraEnv }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "penstock.extraMounts" -}}
{{- if include "penstock.caBundle" . }}
- {name: ca-bundle, mountPath: /etc/penstock/ca, readOnly: true}
{{- end }}
{{- range .Values.extraVolumeMounts }}
{{- if has (trimSuffix "/" .mountPath) (list "/tmp" "/etc/penstock/ca" "/var/run/secrets/kubernetes.io/serviceaccount") }}
{{- fail (printf "extraVolumeMounts must not have %s: the chart mounts it" .mountPath) }}
{{- end }}
{{- end }}
{{- with .Values.extraVolumeMounts }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{- define "penstock.extraVolumes" -}}
{{- if include "penstock.caBundle" . }}
- name: ca-bundle
  {{- $items := list (dict "key" .Values.caBundle.key "path" .Values.caBundle.key) | toJson }}
  {{- with .Values.caBundle.configMapName }}
  configMap: {name: {{ . }}, items: {{ $items }}}
  {{- end }}
  {{- with .Values.caBundle.secretName }}
  secret: {secretName: {{ . }}, items: {{ $items }}}
  {{- end }}
{{- end }}
{{- range .Values.extraVolumes }}
{{- if has .name (list "kube-api-access" "tmp" "ca-bundle") }}
{{- fail (printf "extraVolumes must not have %s: the chart has a volume of that name" .name) }}
{{- end }}
{{- end }}
{{- with .Values.extraVolumes }}
{{ toYaml . }}
{{- end }}
{{- end }}
