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

{{/* Labels that the chart gives every object. checks.yaml sees to it that nobody else's have their keys: a selector would find nothing, or other Pods. */}}
{{- define "cvstate-operator.ownLabels" -}}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-" }}
{{ include "cvstate-operator.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: cvstate
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end -}}

{{/* Labels of every object. */}}
{{- define "cvstate-operator.labels" -}}
{{- include "cvstate-operator.labelsAnd" (dict "root" . "more" (dict)) -}}
{{- end -}}

{{/* Labels of an object that has more of them; of two values for one key its own counts, not that of commonLabels. Takes a dict: `root`, `more`. */}}
{{- define "cvstate-operator.labelsAnd" -}}
{{- include "cvstate-operator.ownLabels" .root }}
{{- with merge (dict) .more .root.Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{/* The operator's account. */}}
{{- define "cvstate-operator.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "cvstate-operator.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- .Values.serviceAccount.name -}}
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

{{/* TCP ports of Git servers. Where http:// sources are allowed, its port has to be open too. */}}
{{- define "cvstate-operator.gitPorts" -}}
{{- $ports := .Values.networkPolicy.git.ports -}}
{{- if and .Values.config.allowInsecureSources .Values.networkPolicy.configured.enabled (not (has "80" (toStrings $ports))) -}}
{{- $ports = append $ports 80 -}}
{{- end -}}
{{- include "cvstate-operator.ports" $ports -}}
{{- end -}}

{{/*
Rules of a NetworkPolicy for what `config` has the operator connect to: the collector of traces, the receivers of notices, and the hosts that are named
for Git and Prometheus, which may be Pods of this cluster. A receiver whose URL is in a file is taken to listen on port 443.
*/}}
{{- define "cvstate-operator.configuredEgress" -}}
{{- $root := . -}}
{{- $rules := list -}}
{{- with .Values.config.otlpEndpoint -}}
{{- $rules = append $rules (include "cvstate-operator.egressTo" (dict "root" $root "url" . "where" "config.otlpEndpoint")) -}}
{{- end -}}
{{- range .Values.extraEnv -}}
{{- if and (eq (toString .name) "OTEL_EXPORTER_OTLP_ENDPOINT") .value -}}
{{- $rules = append $rules (include "cvstate-operator.egressTo" (dict "root" $root "url" .value "where" "extraEnv, OTEL_EXPORTER_OTLP_ENDPOINT")) -}}
{{- end -}}
{{- end -}}
{{- range .Values.config.notices -}}
{{- $rules = append $rules (include "cvstate-operator.egressTo" (dict "root" $root "url" (default "https://" .url) "where" (printf "config.notices, %v" .name))) -}}
{{- end -}}
{{- $ports := dict "allowGitHosts" (include "cvstate-operator.gitPorts" .) -}}
{{- range $key := list "allowPrometheusHosts" "prometheusHosts" -}}
{{- $_ := set $ports $key (include "cvstate-operator.ports" $root.Values.networkPolicy.prometheus.ports) -}}
{{- end -}}
{{- range $key, $text := $ports -}}
{{- range get $root.Values.config $key -}}
{{- $host := trimPrefix "[" . | trimSuffix "]" -}}
{{- $rules = append $rules (include "cvstate-operator.egressToHost" (dict "root" $root "host" $host "ports" $text "where" (printf "config.%s" $key))) -}}
{{- end -}}
{{- end -}}
{{- without $rules "" | join "\n" -}}
{{- end -}}

{{/*
Fails for what looks like an address and is none, such as a host with its port: of what a NetworkPolicy makes of it only the API server would say so. Makes no
text. Takes a dict: `host`, `where` (the value's name).
*/}}
{{- define "cvstate-operator.checkHost" -}}
{{- $host := .host | trimPrefix "[" | trimSuffix "]" | trimSuffix "." -}}
{{- $byte := "(25[0-5]|2[0-4][0-9]|1[0-9][0-9]|[1-9]?[0-9])" -}}
{{- $groups := "[0-9a-fA-F]{1,4}(:[0-9a-fA-F]{1,4})*" -}}
{{- $count := splitList ":" $host | compact | len -}}
{{- $isWhole := and (regexMatch (printf "^%s$" $groups) $host) (eq $count 8) -}}
{{- $isShort := and (regexMatch (printf "^(%s)?::(%s)?$" $groups $groups) $host) (lt $count 8) -}}
{{- $isAddress := or (regexMatch (printf "^%s([.]%s){3}$" $byte $byte) $host) $isWhole $isShort -}}
{{- if and (or (contains ":" $host) (regexMatch "^[0-9.]+$" $host)) (not $isAddress) -}}
{{- fail (printf "%s: %s is no host; write its name or address alone, without scheme and port" .where .host) -}}
{{- end -}}
{{- end -}}

{{/* The rule for one URL: its host and its port. Takes a dict: `root`, `url`, `where` (the value's name). */}}
{{- define "cvstate-operator.egressTo" -}}
{{- $url := urlParse .url -}}
{{- include "cvstate-operator.checkHost" (dict "host" $url.hostname "where" .where) -}}
{{- $port := default (ternary 80 443 (eq $url.scheme "http")) (regexFind ":[0-9]+$" $url.host | trimPrefix ":" | int) -}}
{{- $ports := include "cvstate-operator.ports" (list $port) -}}
{{- include "cvstate-operator.egressToHost" (dict "root" .root "host" $url.hostname "ports" $ports "where" .where) -}}
{{- end -}}

{{/*
The rule for one host. `NAME.NAMESPACE.svc` and a name alone are Pods of that namespace; an address is that address; a name of
two parts may be a Service or a host of the world, and is both; anything else is a host of the world, of which only the ranges of
networkPolicy.configured.cidrs are known. The Pod itself needs no rule. Takes a dict: `root`, `host`, `ports` (text), `where` (the value's name).
*/}}
{{- define "cvstate-operator.egressToHost" -}}
{{- $host := lower .host | trimSuffix "." -}}
{{- $isAddress := or (contains ":" $host) (regexMatch "^[0-9.]+$" $host) -}}
{{- $parts := splitList "." $host -}}
{{- $namespace := "" -}}
{{- $cidrs := .root.Values.networkPolicy.configured.cidrs -}}
{{- if $isAddress -}}
{{- $cidrs = list (printf "%s/%d" $host (ternary 128 32 (contains ":" $host))) -}}
{{- else if regexMatch "^.+\\.svc(\\..+)?$" $host -}}
{{- $namespace = regexReplaceAll "^(?:.+\\.)?([^.]+)\\.svc(?:\\..+)?$" $host "${1}" -}}
{{- $cidrs = list -}}
{{- else if and $host (eq (len $parts) 1) -}}
{{- $namespace = .root.Release.Namespace -}}
{{- $cidrs = list -}}
{{- else if eq (len $parts) 2 -}}
{{- $namespace = last $parts -}}
{{- end -}}
{{- if and (or $namespace $cidrs) (not (or (eq $host "localhost" "::1") (hasPrefix "127." $host))) -}}
# {{ .where }}
- to:
    {{- with $namespace }}
    - namespaceSelector: {matchLabels: {kubernetes.io/metadata.name: {{ . | quote }}}}
    {{- end }}
    {{- with $cidrs }}
    {{- include "cvstate-operator.addresses" (dict "cidrs" . "where" $.where) | trim | nindent 4 }}
    {{- end }}
  ports: {{- .ports | trim | nindent 4 }}
{{- end -}}
{{- end -}}

{{/*
How Prometheus asks for metrics. A certificate has the Service's name as a rule, whatever address is asked. Takes a dict: `root`, `tlsConfig`, of which
each field counts before ours.
*/}}
{{- define "cvstate-operator.scheme" -}}
{{- if .root.Values.http.tls.secretName -}}
scheme: https
tlsConfig: {{- merge (dict) .tlsConfig (dict "serverName" (printf "%s.%s.svc" (include "cvstate-operator.fullname" .root) .root.Release.Namespace)) | toYaml | nindent 2 }}
{{- else -}}
scheme: http
{{- end -}}
{{- end -}}

{{/* Bytes of a quantity such as 4Gi, 500M or 1.5Gi, as a whole number. */}}
{{- define "cvstate-operator.bytes" -}}
{{- $units := dict "" 1.0 "m" 0.001 "k" 1e3 "M" 1e6 "G" 1e9 "T" 1e12 "P" 1e15 "E" 1e18 -}}
{{- $units = merge $units (dict "Ki" 1024.0 "Mi" 1048576.0 "Gi" 1073741824.0 "Ti" 1099511627776.0 "Pi" 1125899906842624.0 "Ei" 1152921504606846976.0) -}}
{{- $number := regexFind "^[0-9.]+" (toString .) -}}
{{- mulf (float64 $number) (get $units (trimPrefix $number (toString .))) | floor | int64 -}}
{{- end -}}

{{/*
Resources of the container, without what was left empty. What the volumes may hold counts as ephemeral storage unless it is in memory, so that follows from their sizes; logs and what the
container writes elsewhere, which is nothing, have 512 MiB more.
*/}}
{{- define "cvstate-operator.resources" -}}
{{- $disk := include "cvstate-operator.bytes" .Values.tmp.sizeLimit | int64 -}}
{{- if ne .Values.cache.medium "Memory" -}}
{{- $disk = include "cvstate-operator.bytes" .Values.cache.sizeLimit | int64 | add $disk -}}
{{- end -}}
{{- $resources := default (dict) .Values.resources | deepCopy -}}
{{- range $kind, $logs := dict "requests" 0 "limits" 512 -}}
{{- $list := dict -}}
{{- range $name, $quantity := default (dict) (get $resources $kind) -}}
{{- if ne (toString $quantity) "" -}}
{{- $_ := set $list $name $quantity -}}
{{- end -}}
{{- end -}}
{{- if not (hasKey $list "ephemeral-storage") -}}
{{- $_ := set $list "ephemeral-storage" (printf "%dMi" (add $logs (div (add $disk 1048575) 1048576))) -}}
{{- end -}}
{{- $_ := set $resources $kind $list -}}
{{- end -}}
{{- toYaml $resources -}}
{{- end -}}
