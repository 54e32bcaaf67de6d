{{/* Names, labels, images: what several objects share. */}}

{{/* The name of everything. With `-0`, `-headless` and the like behind it, it still is one. */}}
{{- define "graft.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if contains $name .Release.Name -}}
{{- .Release.Name | trunc 40 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 40 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{- define "graft.headless" -}}{{ include "graft.fullname" . }}-headless{{- end -}}

{{- define "graft.clusterName" -}}{{ default (printf "%s-%s" .Release.Namespace (include "graft.fullname" .) | trunc 63) .Values.cluster.name }}{{- end -}}

{{- define "graft.serviceAccountName" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "graft.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* What a selector holds: it can never change. */}}
{{- define "graft.selector" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "graft.labels" -}}
{{ include "graft.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Of pods: nothing that another version of the chart would change, or each would restart them all. */}}
{{- define "graft.podLabels" -}}
{{ include "graft.selector" . }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* Metadata of an object: (list root suffix [labels] [annotations]). */}}
{{- define "graft.metadata" -}}
{{- $root := index . 0 -}}
{{- $labels := dict -}}{{- $annotations := dict -}}
{{- if gt (len .) 2 -}}{{- $labels = index . 2 -}}{{- end -}}
{{- if gt (len .) 3 -}}{{- $annotations = index . 3 -}}{{- end -}}
name: {{ include "graft.fullname" $root }}{{ index . 1 }}
namespace: {{ $root.Release.Namespace }}
labels:
  {{- include "graft.labels" $root | nindent 2 }}
  {{- with $labels }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- with mergeOverwrite (deepCopy $root.Values.commonAnnotations) $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- define "graft.image" -}}
{{- $image := .Values.image -}}
{{- $registry := default $image.registry .Values.global.imageRegistry -}}
{{- $repository := ternary (printf "%s/%s" $registry $image.repository) $image.repository (ne $registry "") -}}
{{- if $image.digest -}}
{{- printf "%s@%s" $repository $image.digest -}}
{{- else -}}
{{- printf "%s:%s" $repository (default .Chart.AppVersion $image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "graft.pullSecrets" -}}
{{- with concat .Values.global.imagePullSecrets .Values.image.pullSecrets | uniq }}
imagePullSecrets:
  {{- range . }}
  - name: {{ . }}
  {{- end }}
{{- end }}
{{- end -}}

{{/* Requests and a bound of memory. The caches and the overlay of the defaults take about 600 MiB at most. */}}
{{- define "graft.resources" -}}
{{- $presets := dict
  "none" (dict)
  "small" (dict "requests" (dict "cpu" "250m" "memory" "1Gi") "limits" (dict "memory" "1Gi"))
  "medium" (dict "requests" (dict "cpu" "1" "memory" "2Gi") "limits" (dict "memory" "2Gi"))
  "large" (dict "requests" (dict "cpu" "4" "memory" "8Gi") "limits" (dict "memory" "8Gi"))
-}}
{{- toYaml (default (index $presets .Values.resourcesPreset) .Values.resources) -}}
{{- end -}}

{{/* What the containers beside the members take: they make a certificate, or try a workflow. */}}
{{- define "graft.smallResources" -}}
requests: {cpu: 50m, memory: 64Mi}
limits: {memory: 128Mi}
{{- end -}}

{{/* Whether clients are served over TLS. */}}
{{- define "graft.clientsTls" -}}
{{- if and (ne .Values.tls.mode "off") .Values.tls.clients -}}true{{- end -}}
{{- end -}}

{{/* Whether the member asks the API server of Kubernetes for anything. */}}
{{- define "graft.asksKubernetes" -}}
{{- if and (ne .Values.tls.mode "off") (or (eq .Values.discovery "kubernetes") .Values.cluster.leaveOnScaleDown .Values.cluster.sentinel) -}}true{{- end -}}
{{- end -}}

{{/* Where clients reach the cluster. */}}
{{- define "graft.address" -}}
{{- printf "%s://%s.%s.svc:%v" (ternary "https" "http" (eq (include "graft.clientsTls" .) "true")) (include "graft.fullname" .) .Release.Namespace .Values.service.port -}}
{{- end -}}
