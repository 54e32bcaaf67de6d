{{/*
Who may do what. In /etc/graft-auth are the root token, and what is known of an identity provider; in /etc/graft-token the token of a worker.
*/}}

{{/* The Secret with the root token. */}}
{{- define "graft.rootToken" -}}
{{- default (printf "%s-root-token" (include "graft.fullname" .)) .Values.auth.rootToken.existingSecret -}}
{{- end -}}

{{/* The section of the configuration, as JSON. */}}
{{- define "graft.auth" -}}
{{- $section := dict -}}
{{- if .Values.auth.required -}}
{{- $section = dict "required" true "root_token_file" "/etc/graft-auth/root-token" -}}
{{- with include "graft.rules" . | fromJsonArray -}}
{{- $_ := set $section "rules" . -}}
{{- end -}}
{{- with .Values.auth.oidc -}}
{{- if .issuer -}}
{{- $_ := set $section "oidc_issuer" .issuer -}}
{{- $_ := set $section "oidc_audience" .audience -}}
{{- $_ := set $section "oidc_name_claim" .nameClaim -}}
{{- if .caSecret -}}{{- $_ := set $section "oidc_ca" "/etc/graft-auth/oidc-ca.pem" -}}{{- end -}}
{{- if .jwksSecret -}}{{- $_ := set $section "oidc_jwks_file" "/etc/graft-auth/oidc-jwks.json" -}}{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- with .Values.auth.redactedFields -}}{{- $_ := set $section "redacted_fields" . -}}{{- end -}}
{{- toJson $section -}}
{{- end -}}

{{/* What is granted: what is said, and what the release's own certificates need; as JSON. */}}
{{- define "graft.rules" -}}
{{- $rules := .Values.auth.rules -}}
{{- if include "graft.clientsTls" . -}}
{{- if .Values.test.enabled -}}
{{- /* A node of a name that nobody else has, and a workflow of it. */ -}}
{{- $rules = concat $rules (list "certificate helm-test operator@default" "certificate helm-test worker@default=try-*") -}}
{{- end -}}
{{- range $worker := .Values.workers -}}
{{- range $worker.grants -}}{{- $rules = append $rules (printf "certificate %s %s" $worker.name .) -}}{{- end -}}
{{- if and (dig "autoscaling" "nodes" list $worker) (eq $.Values.keda.mode "tls") -}}
{{- $rules = append $rules (printf "certificate keda viewer@%s" (dig "autoscaling" "namespace" "default" $worker)) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- uniq $rules | toJson -}}
{{- end -}}

{{- define "graft.authMounts" -}}
{{- if .Values.auth.required -}}
- {name: auth, mountPath: /etc/graft-auth, readOnly: true}
{{- end -}}
{{- end -}}

{{- define "graft.authVolumes" -}}
{{- if .Values.auth.required -}}
- name: auth
  projected:
    defaultMode: 0440
    sources:
      - secret: {name: {{ include "graft.rootToken" . }}, items: [{key: {{ .Values.auth.rootToken.key }}, path: root-token}]}
      {{- with .Values.auth.oidc.caSecret }}
      - secret: {name: {{ . }}, items: [{key: ca.pem, path: oidc-ca.pem}]}
      {{- end }}
      {{- with .Values.auth.oidc.jwksSecret }}
      - secret: {name: {{ . }}, items: [{key: jwks.json, path: oidc-jwks.json}]}
      {{- end }}
{{- end -}}
{{- end -}}
