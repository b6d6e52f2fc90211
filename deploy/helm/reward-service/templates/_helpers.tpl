{{- define "rs.name" -}}{{ .Release.Name | trunc 50 | trimSuffix "-" }}{{- end -}}

{{- define "rs.selector" -}}
app.kubernetes.io/name: reward-service
app.kubernetes.io/instance: {{ .root.Release.Name }}
app.kubernetes.io/component: {{ .part }}
{{- end -}}

{{- define "rs.labels" -}}
{{ include "rs.selector" . }}
app.kubernetes.io/version: {{ .root.Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .root.Release.Service }}
{{- end -}}

{{- define "rs.image" -}}
{{- if .image.digest -}}{{ .image.repository }}@{{ .image.digest }}
{{- else -}}{{ .image.repository }}:{{ .image.tag | default .root.Chart.AppVersion }}{{- end -}}
{{- end -}}

{{/* Of every container that runs the service: nothing that it doesn't need. */}}
{{- define "rs.locked" -}}
runAsNonRoot: true
runAsUser: 10001
runAsGroup: 10001
readOnlyRootFilesystem: true
allowPrivilegeEscalation: false
capabilities: {drop: [ALL]}
{{- end -}}

{{- define "rs.pod" -}}
serviceAccountName: {{ include "rs.name" .root }}
automountServiceAccountToken: false
enableServiceLinks: false
securityContext:
  fsGroup: 10001
  fsGroupChangePolicy: OnRootMismatch
  seccompProfile: {type: RuntimeDefault}
{{- with .root.Values.imagePullSecrets }}
imagePullSecrets: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.nodeSelector }}
nodeSelector: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.tolerations }}
tolerations: {{ toYaml . | nindent 2 }}
{{- end }}
{{- with .root.Values.affinity }}
affinity: {{ toYaml . | nindent 2 }}
{{- end }}
topologySpreadConstraints:
  - maxSkew: 1
    topologyKey: kubernetes.io/hostname
    whenUnsatisfiable: ScheduleAnyway
    labelSelector:
      matchLabels: {{ include "rs.selector" . | nindent 8 }}
{{- end -}}

{{- define "rs.redis" -}}
{{- if .Values.redis.enabled -}}redis://{{ include "rs.name" . }}-redis:6379
{{- else -}}{{ required "redis.url, or redis.enabled" .Values.redis.url }}{{- end -}}
{{- end -}}

{{/* The environment: own (this part's), then settings of both, then settings of the part. The last wins. */}}
{{- define "rs.environment" -}}
{{- $all := dict "redis_url" (include "rs.redis" .root) "redis_username" .root.Values.redis.username -}}
{{- range $name, $value := mergeOverwrite $all .own .root.Values.settings .settings }}
- name: REWARD_SERVICE_{{ upper $name }}
  value: {{ $value | toString | quote }}
{{- end -}}
{{- end -}}

{{- define "rs.secrets" -}}
- name: secrets
  secret:
    secretName: {{ .root.Values.secret }}
    defaultMode: 0440
    items:
      {{- range .keys }}
      - {key: {{ . }}, path: {{ . }}}
      {{- end }}
{{- end -}}

{{- define "rs.http" -}}
httpGet: {path: {{ .path }}, port: http}
periodSeconds: {{ .every }}
timeoutSeconds: 5
failureThreshold: {{ .times }}
{{- end -}}
