{{- define "fleetbeat.labels" -}}
app.kubernetes.io/name: fleetbeat
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/part-of: flux
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end }}

{{/* What every role reads. */}}
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
- name: FLEETBEAT_STRICT_SUBSTITUTION
  value: {{ .Values.strictSubstitution | quote }}
- name: FLEETBEAT_DEFAULT_SERVICE_ACCOUNT
  value: {{ .Values.defaultServiceAccount | quote }}
- name: FLEETBEAT_DEFAULT_KUBECONFIG_SERVICE_ACCOUNT
  value: {{ .Values.defaultKubeconfigServiceAccount | quote }}
- name: FLEETBEAT_DEFAULT_DECRYPTION_SERVICE_ACCOUNT
  value: {{ .Values.defaultDecryptionServiceAccount | quote }}
- name: FLEETBEAT_PRUNE_BRAKE
  value: {{ .Values.pruneBrake | quote }}
- name: FLEETBEAT_CUSTOM_APPLY_STAGE_KINDS
  value: {{ join "," .Values.customApplyStageKinds | quote }}
- name: FLEETBEAT_OVERRIDE_MANAGERS
  value: {{ join "," .Values.overrideManagers | quote }}
{{- with .Values.sopsAgeSecret }}
- name: FLEETBEAT_SOPS_AGE_SECRET
  value: {{ printf "%s/%s" $.Release.Namespace . | quote }}
{{- end }}
{{- with .Values.sopsVaultConfigMap }}
- name: FLEETBEAT_SOPS_VAULT_CONFIGMAP
  value: {{ printf "%s/%s" $.Release.Namespace . | quote }}
{{- end }}
{{- end }}

{{/* Where artifacts are. */}}
{{- define "fleetbeat.store" -}}
- name: FLEETBEAT_S3_ENDPOINT
  value: {{ .Values.s3.endpoint | quote }}
- name: FLEETBEAT_S3_BUCKET
  value: {{ .Values.s3.bucket | quote }}
- name: FLEETBEAT_S3_REGION
  value: {{ .Values.s3.region | quote }}
- name: FLEETBEAT_S3_PREFIX
  value: {{ .Values.s3.prefix | quote }}
{{- end }}

{{/* The right to read and write them. */}}
{{- define "fleetbeat.storeKeys" -}}
{{- with .Values.s3.existingSecret -}}
- name: FLEETBEAT_S3_ACCESS_KEY
  valueFrom: {secretKeyRef: {name: {{ . }}, key: accessKey}}
- name: FLEETBEAT_S3_SECRET_KEY
  valueFrom: {secretKeyRef: {name: {{ . }}, key: secretKey}}
{{- end }}
{{- end }}

{{/* Binds the account of .role to the cluster role .to */}}
{{- define "fleetbeat.binding" }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: {{ .root.Release.Name }}-{{ .role }}
  labels: {{- include "fleetbeat.labels" .root | nindent 4 }}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: {{ .to }}}
subjects:
  - {kind: ServiceAccount, name: {{ .root.Release.Name }}-{{ .role }}, namespace: {{ .root.Release.Namespace }}}
{{- end }}
