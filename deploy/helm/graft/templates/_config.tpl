{{/* The configuration of graftd: what `config` says, and above it what the chart decides. What differs from pod to pod is in the environment. */}}

{{- define "graft.config" -}}
{{- $owned := dict
  "node" (dict "data_dir" "/var/lib/graft/data")
  "client" (dict "listen" "0.0.0.0:7420" "health_listen" "0.0.0.0:7422")
  "cluster" (dict "name" (include "graft.clusterName" .))
  "security" (dict "insecure" .Values.insecure)
  "shutdown" (dict "grace" (printf "%ds" (min 40 (sub (int .Values.terminationGracePeriodSeconds) 15))))
  "discovery" (dict)
-}}
{{- $usual := dict "cluster" (dict "join" "restricted") "log" (dict "format" "json") -}}
{{- if ne .Values.tls.mode "off" -}}
{{- $_ := set $owned.cluster "peer_listen" "0.0.0.0:7421" -}}
{{- $_ := set $usual.cluster "expected_members" (list (printf "%s-*" (include "graft.fullname" .))) -}}
{{- if eq .Values.discovery "kubernetes" -}}
{{- $_ := set $owned.discovery "kubernetes_service" (include "graft.headless" .) -}}
{{- $_ := set $owned.discovery "kubernetes_port" "peer" -}}
{{- else -}}
{{- $_ := set $owned.discovery "dns" (list (printf "%s.%s.svc.%s:7421" (include "graft.headless" .) .Release.Namespace .Values.cluster.domain)) -}}
{{- end -}}
{{- if .Values.cluster.leaveOnScaleDown -}}
{{- $_ := set $owned.discovery "kubernetes_stateful_set" (include "graft.fullname" .) -}}
{{- end -}}
{{- if .Values.cluster.sentinel -}}
{{- $_ := set $owned.discovery "kubernetes_sentinel" (printf "%s-cluster" (include "graft.fullname" .)) -}}
{{- end -}}
{{- if include "graft.clientsTls" . -}}
{{- $_ := set $owned.client "callers" .Values.tls.callers -}}
{{- end -}}
{{- end -}}
{{- with include "graft.auth" . | fromJson -}}
{{- $_ := set $owned "auth" . -}}
{{- end -}}
{{- include "graft.toml" (mergeOverwrite $usual (deepCopy .Values.config) $owned) | trim  -}}
{{- end -}}

{{/* How many members form the cluster. Apart from the rest, since it means nothing to a member of a cluster: no pod is rolled for it. */}}
{{- define "graft.formation" -}}
{{- if and (ne .Values.tls.mode "off") (ne (dig "cluster" "bootstrap" "expect" .Values.config) "manual") -}}
{{- include "graft.toml" (dict "cluster" (dict "expect" (int (default .Values.replicas .Values.cluster.expect)))) -}}
{{- end -}}
{{- end -}}

{{/* Sections of keys as TOML. (Helm's own toToml writes numbers as fractions.) */}}
{{- define "graft.toml" -}}
{{- range $section, $keys := . }}
{{- if $keys }}
[{{ $section }}]
{{- range $key, $value := $keys }}
{{- if not (kindIs "map" $value) }}
{{ $key }} = {{ include "graft.tomlValue" $value }}
{{- end }}
{{- end }}
{{- range $key, $table := $keys }}
{{- if kindIs "map" $table }}
[{{ $section }}.{{ $key }}]
{{- range $name, $value := $table }}
{{ $name | toJson }} = {{ include "graft.tomlValue" $value }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "graft.tomlValue" -}}
{{- if kindIs "float64" . -}}{{ int64 . }}{{- else -}}{{ toJson . }}{{- end -}}
{{- end -}}
