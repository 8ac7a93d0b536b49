{{- define "fleetbeat.labels" -}}
app.kubernetes.io/name: fleetbeat
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: flux
app.kubernetes.io/managed-by: {{ .Release.Service }}
{{- end }}

{{- define "fleetbeat.env" -}}
- name: FLEETBEAT_REDIS_URL
  valueFrom: {secretKeyRef: {name: {{ .Values.redis.existingSecret }}, key: {{ .Values.redis.key }}}}
- name: FLEETBEAT_LOG_LEVEL
  value: {{ .Values.logLevel | quote }}
- name: FLEETBEAT_OWNED_KINDS
  value: {{ join "," .Values.ownedKinds | quote }}
- name: FLEETBEAT_ARTIFACT_URL
  value: http://{{ .Release.Name }}-web.{{ .Release.Namespace }}.svc.cluster.local
- name: FLEETBEAT_NO_CROSS_NAMESPACE_REFS
  value: {{ .Values.noCrossNamespaceRefs | quote }}
- name: FLEETBEAT_DEFAULT_SERVICE_ACCOUNT
  value: {{ .Values.defaultServiceAccount | quote }}
{{- end }}

{{- define "fleetbeat.s3" -}}
- name: FLEETBEAT_S3_ENDPOINT
  value: {{ required "s3.endpoint is required, for example http://minio.minio:9000" .Values.s3.endpoint | quote }}
- name: FLEETBEAT_S3_BUCKET
  value: {{ .Values.s3.bucket | quote }}
- name: FLEETBEAT_S3_REGION
  value: {{ .Values.s3.region | quote }}
- name: FLEETBEAT_S3_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.s3.existingSecret }}, key: accessKey}}
- name: FLEETBEAT_S3_SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ .Values.s3.existingSecret }}, key: secretKey}}
{{- end }}
