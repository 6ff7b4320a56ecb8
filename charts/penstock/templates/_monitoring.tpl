{{- /* Whether an object of a kind of the Prometheus operator is to be made: dict "root" $ "render" VALUE "kind" KIND. */ -}}
{{- define "penstock.monitored" -}}
{{- $known := .root.Capabilities.APIVersions.Has (printf "monitoring.coreos.com/v1/%s" .kind) -}}
{{- if or (eq .render "always") (and (eq .render "skipIfMissing") $known) }}true{{ end }}
{{- end }}
