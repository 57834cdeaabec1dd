{{/* Name of the application. */}}
{{- define "cvstate-operator.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{/*
Name of the objects, and of the group of replicas: the release's name, with the chart's unless it is in there. At most 40 characters, since the
members' Leases and some objects put something behind it, and a Service's name has 63.
*/}}
{{- define "cvstate-operator.fullname" -}}
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

{{/* What selects the Pods; never changes, since a Deployment's selector cannot. */}}
{{- define "cvstate-operator.selector" -}}
app.kubernetes.io/name: {{ include "cvstate-operator.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: operator
{{- end -}}

{{/* Labels of every object. */}}
{{- define "cvstate-operator.labels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "cvstate-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: cvstate
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The operator's account. */}}
{{- define "cvstate-operator.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "cvstate-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* The operator's account, as subject of a binding. */}}
{{- define "cvstate-operator.subjects" -}}
subjects:
  - kind: ServiceAccount
    name: {{ include "cvstate-operator.account" . }}
    namespace: {{ .Release.Namespace }}
{{- end -}}

{{/* The image; a digest wins over a tag. */}}
{{- define "cvstate-operator.image" -}}
{{- if .Values.image.digest -}}
{{- printf "%s@%s" .Values.image.repository .Values.image.digest -}}
{{- else -}}
{{- printf "%s:%s" .Values.image.repository (default .Chart.AppVersion .Values.image.tag) -}}
{{- end -}}
{{- end -}}

{{/* The settings file: what stands under `config`, without what was left empty. */}}
{{- define "cvstate-operator.settings" -}}
{{- $settings := dict -}}
{{- range $key, $value := .Values.config -}}
{{- if ne (toString $value) "" -}}
{{- $_ := set $settings $key $value -}}
{{- end -}}
{{- end -}}
{{- toYaml $settings -}}
{{- end -}}

{{/*
Bindings of a ClusterRole with rights in namespaces: one for all of them, or one in each of config.namespaces, where the operator's work ends then.
Takes a dict: `root`, and `role`, the ClusterRole's name.
*/}}
{{- define "cvstate-operator.bindings" -}}
{{- $root := .root -}}
{{- $role := .role -}}
{{- range $namespace := default (list "") $root.Values.config.namespaces }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ ternary "RoleBinding" "ClusterRoleBinding" (ne $namespace "") }}
metadata:
  name: {{ $role }}
  {{- if $namespace }}
  namespace: {{ $namespace }}
  {{- end }}
  labels: {{- include "cvstate-operator.labels" $root | nindent 4 }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {{ $role }}
{{ include "cvstate-operator.subjects" $root }}
{{- end }}
{{- end -}}

{{/*
Peers by address, for a NetworkPolicy, without 169.254.0.0/16, where the metadata services of clouds are. An exception has to lie within its range,
so a range that would need one and is not everything is refused. Takes a dict: `cidrs`, `where` (the value's name).
*/}}
{{- define "cvstate-operator.addresses" -}}
{{- $where := .where -}}
{{- range $cidr := .cidrs }}
{{- $parts := splitList "/" $cidr }}
{{- $bits := int (last $parts) }}
{{- $isLinkLocal := or (regexMatch "^(.*:)?169\\.254\\." $cidr) (regexMatch "(?i)^(fe[89ab]|fd00:ec2)" $cidr) }}
{{- $isWide := lt $bits (ternary 12 (ternary 16 8 (hasPrefix "169." $cidr)) (contains ":" $cidr)) }}
{{- if eq $cidr "0.0.0.0/0" }}
- ipBlock: {cidr: 0.0.0.0/0, except: [169.254.0.0/16]}
{{- else if eq $cidr "::/0" }}
- ipBlock: {cidr: "::/0", except: ["fe80::/10", "fd00:ec2::254/128"]}
{{- else if or $isLinkLocal $isWide (and (regexMatch "(?i)^fd00:" $cidr) (lt $bits 32)) }}
{{- fail (printf "%s: %s may hold link-local addresses, which stay closed; write narrower ranges, or 0.0.0.0/0 and ::/0" $where $cidr) }}
{{- else }}
- ipBlock: {cidr: {{ $cidr | quote }}}
{{- end }}
{{- end }}
{{- end -}}

{{/* TCP ports of a NetworkPolicy. */}}
{{- define "cvstate-operator.ports" -}}
{{- range . }}
- {protocol: TCP, port: {{ . }}}
{{- end }}
{{- end -}}
