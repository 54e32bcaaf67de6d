{{/*
Certificates. In /etc/graft-tls are POD.pem and POD.key of a member, or NAME.pem and NAME.key of a client (the test, workers), whoever has made
them; and ca.pem, but where the chart's own authority has a volume of its own.
*/}}

{{/* The Secret with the authority of selfSigned. */}}
{{- define "graft.authority" -}}
{{- default (printf "%s-authority" (include "graft.fullname" .)) .Values.tls.selfSigned.existingAuthority -}}
{{- end -}}

{{- define "graft.caFile" -}}
{{- ternary "/etc/graft-ca/ca.pem" "/etc/graft-tls/ca.pem" (eq .Values.tls.mode "selfSigned") -}}
{{- end -}}

{{- define "graft.tlsMounts" -}}
- {name: tls, mountPath: /etc/graft-tls, readOnly: true}
{{- if eq .Values.tls.mode "selfSigned" }}
- {name: ca, mountPath: /etc/graft-ca, readOnly: true}
{{- end }}
{{- end -}}

{{/* Most members that certManager makes certificates for: the volumes of a pod name them all, so that a larger number of replicas rolls no pod. */}}
{{- define "graft.membersMax" -}}9{{- end -}}

{{/* Names under which clients reach the member of a pod: (list root pod). */}}
{{- define "graft.hosts" -}}
{{- $root := index . 0 -}}
{{- $namespace := $root.Release.Namespace -}}
{{- $full := include "graft.fullname" $root -}}
{{- $pod := printf "%s.%s.%s.svc" (index . 1) (include "graft.headless" $root) $namespace -}}
{{- $service := printf "%s.%s.svc" $full $namespace -}}
{{- $domain := $root.Values.cluster.domain -}}
{{- $hosts := list $pod (printf "%s.%s" $pod $domain) $full (printf "%s.%s" $full $namespace) $service (printf "%s.%s" $service $domain) -}}
{{- concat $hosts (list "localhost") $root.Values.tls.extraHosts | uniq | toJson -}}
{{- end -}}

{{/* The environment that tells graftd where its certificate is. */}}
{{- define "graft.memberTlsEnv" -}}
- name: GRAFT__CLUSTER__PEER_CA
  value: {{ include "graft.caFile" . }}
- name: GRAFT__CLUSTER__PEER_CERT
  value: /etc/graft-tls/$(POD_NAME).pem
- name: GRAFT__CLUSTER__PEER_KEY
  value: /etc/graft-tls/$(POD_NAME).key
{{- if include "graft.clientsTls" . }}
- name: GRAFT__CLIENT__CERT
  value: /etc/graft-tls/$(POD_NAME).pem
- name: GRAFT__CLIENT__KEY
  value: /etc/graft-tls/$(POD_NAME).key
- name: GRAFT__CLIENT__CALLERS_CA
  value: {{ include "graft.caFile" . }}
{{- end }}
{{- end -}}

{{/* The volumes of a member. */}}
{{- define "graft.memberTlsVolumes" -}}
{{- $full := include "graft.fullname" . -}}
{{- if eq .Values.tls.mode "selfSigned" }}
{{- include "graft.issuedVolumes" . }}
{{- else if eq .Values.tls.mode "existingSecret" }}
- name: tls
  secret:
    secretName: {{ .Values.tls.existingSecret }}
    defaultMode: 0440
{{- else }}
- name: tls
  projected:
    defaultMode: 0440
    sources:
      {{- range $i := until (int (include "graft.membersMax" .)) }}
      - secret:
          name: {{ $full }}-member-{{ $i }}
          optional: true
          items:
            {{- if eq $i 0 }}
            - {key: ca.crt, path: ca.pem}
            {{- end }}
            - {key: tls.crt, path: {{ $full }}-{{ $i }}.pem}
            - {key: tls.key, path: {{ $full }}-{{ $i }}.key}
      {{- end }}
{{- end }}
{{- end -}}

{{/* The authority's key is seen by the init container alone; what it makes stays in memory. */}}
{{- define "graft.issuedVolumes" -}}
- name: ca
  secret:
    secretName: {{ include "graft.authority" . }}
    defaultMode: 0440
    items: [{key: ca.pem, path: ca.pem}]
- name: tls
  emptyDir:
    medium: Memory
    sizeLimit: 1Mi
- name: authority
  secret:
    secretName: {{ include "graft.authority" . }}
    defaultMode: 0440
{{- end -}}

{{/* An init container that makes a certificate: (list root words), the words those of `graft tls`. */}}
{{- define "graft.issue" -}}
{{- $root := index . 0 -}}
- name: certificate
  image: {{ include "graft.image" $root }}
  imagePullPolicy: {{ $root.Values.image.pullPolicy }}
  command: [/usr/local/bin/graft]
  args:
    - tls
    {{- range index . 1 }}
    - {{ . | quote }}
    {{- end }}
    - --cluster={{ include "graft.clusterName" $root }}
    - --authority=/etc/graft-authority
    - --dir=/etc/graft-tls
    - --days={{ $root.Values.tls.selfSigned.days }}
    - --replace
  env:
    - name: POD_NAME
      valueFrom: {fieldRef: {fieldPath: metadata.name}}
  securityContext:
    {{- toYaml $root.Values.securityContext | nindent 4 }}
  resources:
    {{- include "graft.smallResources" $root | nindent 4 }}
  volumeMounts:
    - {name: tls, mountPath: /etc/graft-tls}
    - {name: authority, mountPath: /etc/graft-authority, readOnly: true}
{{- end -}}

{{/* The certificate of a client: (list root name secret); the secret counts for existingSecret alone. */}}
{{- define "graft.clientTlsVolumes" -}}
{{- $root := index . 0 -}}
{{- if eq $root.Values.tls.mode "selfSigned" }}
{{- include "graft.issuedVolumes" $root }}
{{- else if eq $root.Values.tls.mode "existingSecret" }}
- name: tls
  projected:
    defaultMode: 0440
    sources:
      - secret: {name: {{ $root.Values.tls.existingSecret }}, items: [{key: ca.pem, path: ca.pem}]}
      - secret: {name: {{ index . 2 }}, items: [{key: tls.crt, path: {{ index . 1 }}.pem}, {key: tls.key, path: {{ index . 1 }}.key}]}
{{- else }}
- name: tls
  secret:
    secretName: {{ include "graft.fullname" $root }}-client-{{ index . 1 }}
    defaultMode: 0440
    items:
      - {key: ca.crt, path: ca.pem}
      - {key: tls.crt, path: {{ index . 1 }}.pem}
      - {key: tls.key, path: {{ index . 1 }}.key}
{{- end }}
{{- end -}}

{{/* Where and how a client reaches the cluster: (list root name). */}}
{{- define "graft.clientEnv" -}}
{{- $root := index . 0 -}}
- name: GRAFT_ADDR
  value: {{ include "graft.address" $root }}
{{- if include "graft.clientsTls" $root }}
- name: GRAFT_TLS_CA
  value: {{ include "graft.caFile" $root }}
- name: GRAFT_TLS_CERT
  value: /etc/graft-tls/{{ index . 1 }}.pem
- name: GRAFT_TLS_KEY
  value: /etc/graft-tls/{{ index . 1 }}.key
{{- end }}
{{- end -}}
