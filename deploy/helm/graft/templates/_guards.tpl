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
{{- if and (include "graft.clientsTls" .) (eq $tls.callers "optional") (not .Values.insecure) (not .Values.auth.required) -}}
{{- fail "tls.callers is optional: whoever reaches the members could do anything; say auth.required, or `insecure` if that is meant" -}}
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
{{- range $grpc := .Values.gateway.grpcHostnames -}}
{{- range $http := default (list "*") $.Values.gateway.hostnames -}}
{{- if or (eq $grpc $http) (and (hasPrefix "*" $http) (hasSuffix (trimPrefix "*" $http) $grpc)) (and (hasPrefix "*" $grpc) (hasSuffix (trimPrefix "*" $grpc) $http)) -}}
{{- fail (printf "gateway.grpcHostnames has %s, and gateway.hostnames has %s: of two routes that have a name in common a Gateway takes one alone" $grpc $http) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- if and (not .Values.auth.required) (or .Values.auth.rules .Values.auth.oidc.issuer) -}}
{{- fail "auth.rules and auth.oidc mean nothing while whoever is let in may do everything; say auth.required" -}}
{{- end -}}
{{- if and .Values.auth.oidc.issuer (not .Values.auth.oidc.audience) -}}
{{- fail "auth.oidc.issuer is said: say in auth.oidc.audience for whom its tokens have to be made" -}}
{{- end -}}
{{- if include "graft.kedaAsks" . -}}
{{- if and (include "graft.kedaMode" .) (not .Values.keda.existingSecret) (or (eq .Values.keda.mode "bearer") (ne $tls.mode "certManager")) -}}
{{- fail "autoscaling.nodes has KEDA ask the members: name the Secret with which it shows who it is in keda.existingSecret" -}}
{{- end -}}
{{- if and (include "graft.clientsTls" .) (eq .Values.keda.mode "bearer") (eq $tls.callers "required") -}}
{{- fail "keda.mode is bearer and tls.callers required: KEDA shows a token or a certificate, not both; say keda.mode=tls, or tls.callers=optional" -}}
{{- end -}}
{{- end -}}
{{- range .Values.workers -}}
{{- if and $.Values.auth.required (not .tokenSecret) (not (and .grants (include "graft.clientsTls" $))) -}}
{{- fail (printf "worker %s is granted nothing, and auth.required is said: name a Secret with a token in its tokenSecret, or what its certificate is granted in its grants" .name) -}}
{{- end -}}
{{- if gt (mul (default 1 (dig "autoscaling" "maxReplicas" 0 .)) (dig "autoscaling" "tasksPerReplica" 10 .) (ternary 1 0 (not (empty (dig "autoscaling" "nodes" list .))))) 1000 -}}
{{- fail (printf "worker %s: members tell of 1000 tasks at most, so maxReplicas times tasksPerReplica cannot be more" .name) -}}
{{- end -}}
{{- if and (eq $tls.mode "existingSecret") $tls.clients (not .tlsSecret) -}}
{{- fail (printf "worker %s has no certificate: name a Secret with tls.crt and tls.key in its tlsSecret" .name) -}}
{{- end -}}
{{- end -}}
{{- end -}}
