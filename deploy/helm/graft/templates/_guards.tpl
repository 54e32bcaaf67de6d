{{/* What a schema cannot say: values that contradict each other. Each refusal says what to do instead. */}}
{{- define "graft.guards" -}}
{{- $replicas := int .Values.replicas -}}
{{- $expect := int (default $replicas .Values.cluster.expect) -}}
{{- $tls := .Values.tls -}}
{{- if and (eq (mod $replicas 2) 0) (not .Values.cluster.allowEven) -}}
{{- fail (printf "replicas is %d: an even number survives no more losses than one less; use an odd one, or say cluster.allowEven" $replicas) -}}
{{- end -}}
{{- if ne (dig "cluster" "bootstrap" "expect" .Values.config) "manual" -}}
{{- if gt $expect $replicas -}}
{{- fail (printf "cluster.expect is %d and replicas %d: so many members would never be there to form the cluster" $expect $replicas) -}}
{{- end -}}
{{- if eq (mod $expect 2) 0 -}}
{{- fail (printf "cluster.expect is %d: an odd number of members forms a cluster; say cluster.expect" $expect) -}}
{{- end -}}
{{- else if .Values.cluster.expect -}}
{{- fail "cluster.expect is said, and config.cluster.bootstrap is manual: only one of the two can form the cluster" -}}
{{- end -}}
{{- if and (eq $tls.mode "off") (gt $replicas 1) -}}
{{- fail (printf "tls.mode is off and replicas %d: beyond loopback members always speak TLS to each other; say tls.clients=false for clients" $replicas) -}}
{{- end -}}
{{- if and (not (include "graft.clientsTls" .)) (not .Values.insecure) -}}
{{- fail "clients would be served in the clear, to whoever asks; say `insecure` as well if that is meant" -}}
{{- end -}}
{{- if and (include "graft.clientsTls" .) (eq $tls.callers "optional") (not .Values.insecure) (not (dig "auth" "required" false .Values.config)) -}}
{{- fail "tls.callers is optional: whoever reaches the members could do anything; say config.auth.required, or `insecure` if that is meant" -}}
{{- end -}}
{{- if and (eq $tls.mode "existingSecret") (not $tls.existingSecret) -}}
{{- fail "tls.mode is existingSecret: name the Secret in tls.existingSecret" -}}
{{- end -}}
{{- if and (eq $tls.mode "certManager") (not $tls.certManager.issuerRef.name) -}}
{{- fail "tls.mode is certManager: name an Issuer or ClusterIssuer in tls.certManager.issuerRef" -}}
{{- end -}}
{{- if and .Values.networkPolicy.enabled (eq .Values.tls.mode "off") -}}
{{- fail "networkPolicy is for members, and with tls.mode off there is one alone: leave it out" -}}
{{- end -}}
{{- range .Values.workers -}}
{{- if and (eq $tls.mode "existingSecret") $tls.clients (not .tlsSecret) -}}
{{- fail (printf "worker %s has no certificate: name a Secret with tls.crt and tls.key in its tlsSecret" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
