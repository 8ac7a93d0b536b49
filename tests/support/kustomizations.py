"""One small tree for every field of a kustomization file: `TREE` and what each of `FEATURES` lays over it."""

from __future__ import annotations

import json

DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: web, labels: {app: web}}
spec:
  replicas: 1
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers:
        - {name: web, image: "nginx:1.25", envFrom: [{configMapRef: {name: settings}}]}
        - {name: side, image: busybox}
"""
SERVICE = """\
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 80}]}
"""
CM = "apiVersion: v1\nkind: ConfigMap\nmetadata: {name: %s}\ndata: {a: b}\n"
SET = """\
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db, annotations: {keep: me}}
spec:
  replicas: 1
  serviceName: web
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec:
      serviceAccountName: runner
      containers:
        - name: db
          image: registry.example.com:5000/db:1.0@sha256:11111111111111111111111111111111
          env: [{name: HOST, value: $(HOST)}, {name: KEY, valueFrom: {secretKeyRef: {name: keys, key: k}}}]
          volumeMounts: [{name: data, mountPath: /data}]
      volumes: [{name: cfg, configMap: {name: settings}}]
  volumeClaimTemplates: [{metadata: {name: data}, spec: {accessModes: [ReadWriteOnce]}}]
"""
ACCOUNT = "apiVersion: v1\nkind: ServiceAccount\nmetadata: {name: runner}\n"
BINDING = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata: {name: bind}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: reader}
subjects: [{kind: ServiceAccount, name: runner, namespace: default}]
"""
ROLE = "apiVersion: rbac.authorization.k8s.io/v1\nkind: Role\nmetadata: {name: reader}\nrules: []\n"
CLUSTER_ROLE = "apiVersion: rbac.authorization.k8s.io/v1\nkind: ClusterRole\nmetadata: {name: all}\nrules: []\n"
THING = """\
apiVersion: example.com/v1
kind: Thing
metadata: {name: thing}
spec: {ref: web, image: 'nginx:1', parts: [{n: 1}]}
"""
TREE = {
    "web.yaml": DEPLOYMENT,
    "service.yaml": SERVICE,
    "db.yaml": SET,
    "account.yaml": ACCOUNT,
    "rbac.yaml": f"{ROLE}---\n{BINDING}---\n{CLUSTER_ROLE}",
    "thing.yaml": THING,
    "app.conf": "x = 1\ny = 2\n",
    "app.env": "A=1\n# comment\nB=two words\nC=a=b\n",
    "binary.bin": "plain\ttext",
    "base/kustomization.yaml": "resources: [cm.yaml]\nnamePrefix: base-\n"
    "configMapGenerator: [{name: g, literals: [a=1, b=2]}]\n",
    "base/cm.yaml": CM % "cm",
}
ALL = "resources: [web.yaml, service.yaml, db.yaml, account.yaml, rbac.yaml, thing.yaml]\n"
FEATURES: dict[str, tuple[str, dict[str, str]]] = {
    "namespace": ("namespace: other\n" + ALL, {}),
    "name-affixes": ("namePrefix: p-\nnameSuffix: -s\n" + ALL, {}),
    "common-labels": ("commonLabels: {team: a}\ncommonAnnotations: {note: x}\n" + ALL, {}),
    "labels": ("labels: [{pairs: {a: b}}, {pairs: {c: d}, includeTemplates: true}]\n" + ALL, {}),
    "label-fields": (
        "labels: [{pairs: {a: b}, fields: [{path: spec/labels, create: true, kind: Thing}]}]\n" + ALL,
        {},
    ),
    "images": (
        "images: [{name: nginx, newName: mirror/nginx, newTag: v2}, {name: busybox, digest: 'sha256:22'},"
        " {name: 'registry.example.com:5000/db', newTag: '2.0'}]\n" + ALL,
        {},
    ),
    "replicas": ("replicas: [{name: web, count: 5}, {name: db, count: 0}]\n" + ALL, {}),
    "config-maps": (
        "configMapGenerator:\n"
        "- {name: a, files: [app.conf, other=app.conf], envs: [app.env], literals: ['q=\"v\"', e=]}\n"
        "- {name: b, envs: [app.env], options: {disableNameSuffixHash: true, labels: {l: v}, annotations: {note: v}}}\n"
        "- {name: c, literals: [x=y], options: {immutable: true}}\n"
        "generatorOptions: {labels: {all: \"yes\"}, immutable: false}\nresources: [web.yaml]\n",
        {},
    ),
    "secrets": (
        "secretGenerator:\n- {name: keys, literals: [k=v], files: [binary.bin]}\n"
        "- {name: tls, type: kubernetes.io/tls, literals: ['tls.crt=c', 'tls.key=k']}\n"
        "generatorOptions: {disableNameSuffixHash: true}\nresources: [db.yaml]\n",
        {},
    ),
    "generator-behaviour": (
        "resources: [base]\nconfigMapGenerator: [{name: g, behavior: merge, literals: [b=3, c=4]}]\n",
        {},
    ),
    "generator-replace": (
        "resources: [base]\nconfigMapGenerator: [{name: g, behavior: replace, literals: [z=9]}]\n",
        {},
    ),
    "generator-reference": (
        "resources: [db.yaml]\nconfigMapGenerator: [{name: settings, literals: [a=b]}]\n"
        "secretGenerator: [{name: keys, literals: [k=v]}]\nnamePrefix: x-\n",
        {},
    ),
    "strategic-patch": (
        "patches:\n- patch: |-\n    apiVersion: apps/v1\n    kind: Deployment\n    metadata: {name: web}\n    spec:\n"
        "      template: {spec: {containers: [{name: side, $patch: delete},"
        " {name: web, env: [{name: X, value: '1'}]}]}}\n"
        + ALL,
        {},
    ),
    "strategic-directives": (
        "patches:\n- {path: replace.yaml}\n- {path: delete.yaml}\n- {path: null.yaml}\n" + ALL,
        {
            "replace.yaml": "apiVersion: v1\nkind: Service\nmetadata: {name: web}\n"
            "spec: {$patch: replace, externalName: x, type: ExternalName}\n",
            "delete.yaml": "$patch: delete\napiVersion: v1\nkind: ServiceAccount\nmetadata: {name: runner}\n",
            "null.yaml": "apiVersion: apps/v1\nkind: StatefulSet\nmetadata: {name: db, annotations: {keep: null}}\n",
        },
    ),
    "json-patch": (
        "patches:\n- path: p.yaml\n  target: {kind: Deployment, name: 'w.*'}\n"
        "- path: p.json\n  target: {group: apps, version: v1, kind: StatefulSet}\n" + ALL,
        {
            "p.yaml": "- {op: replace, path: /spec/replicas, value: 9}\n- {op: test, path: /kind, value: Deployment}\n"
            "- {op: move, from: /metadata/labels/app, path: /metadata/labels/new~1app}\n",
            "p.json": json.dumps([{"op": "remove", "path": "/spec/template/spec/volumes"}]),
        },
    ),
    "patch-options": (
        "patches:\n- target: {kind: ServiceAccount}\n  options: {allowNameChange: true, allowKindChange: true}\n"
        "  patch: |-\n    - {op: replace, path: /metadata/name, value: new}\n"
        "- target: {labelSelector: app=web}\n  patch: |-\n    - {op: add, path: /metadata/annotations, value: {s: t}}\n"
        "- target: {annotationSelector: keep=me}\n  patch: |-\n"
        "    - {op: add, path: /metadata/annotations/s, value: u}\n" + ALL,
        {},
    ),
    "old-patches": (
        "patchesStrategicMerge: [sm.yaml, '{apiVersion: v1, kind: Service, metadata: {name: web, labels: {a: b}}}']\n"
        "patchesJson6902: [{target: {version: v1, kind: Service, name: web}, path: j.yaml}]\n" + ALL,
        {
            "sm.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: web}\nspec: {replicas: 4}\n",
            "j.yaml": "- {op: add, path: /spec/type, value: NodePort}\n",
        },
    ),
    "old-bases": ("bases: [base]\nresources: [web.yaml]\n", {}),
    "vars": (
        "vars: [{name: HOST, objref: {apiVersion: v1, kind: Service, name: web},"
        " fieldref: {fieldpath: metadata.name}}]\n"
        "namePrefix: x-\nresources: [db.yaml, service.yaml]\n",
        {},
    ),
    "vars-config": (
        "vars: [{name: W, objref: {apiVersion: v1, kind: Service, name: web}}]\nconfigurations: [c.yaml]\n"
        "resources: [t.yaml, service.yaml]\n",
        {
            "c.yaml": "varReference: [{path: spec/ref, kind: Thing}]\n",
            "t.yaml": THING.replace("ref: web", "ref: $(W)"),
        },
    ),
    "replacements": (
        "replacements:\n- path: r.yaml\n- source: {kind: Service, name: web, fieldPath: 'spec.ports.0.port'}\n"
        "  targets:\n  - select: {kind: Thing}\n    fieldPaths: ['spec.parts.[n=1].port', spec.new]\n"
        "    options: {create: true}\n    reject: [{name: none}]\n" + ALL,
        {
            "r.yaml": "source: {kind: ServiceAccount, fieldPath: metadata.name}\n"
            "targets: [{select: {kind: Deployment}, fieldPaths: [spec.template.spec.containers.*.image],"
            " options: {delimiter: ':', index: 0}}]\n",
        },
    ),
    "configurations": (
        "configurations: [c.yaml]\nnamePrefix: p-\nimages: [{name: nginx, newTag: '2'}]\n"
        "commonLabels: {team: a}\n" + ALL,
        {
            "c.yaml": "nameReference: [{kind: Service, version: v1, fieldSpecs: [{path: spec/ref, kind: Thing}]}]\n"
            "images: [{path: spec/image, kind: Thing}]\n"
            "commonLabels: [{path: spec/selector, create: true, kind: Thing}]\n",
        },
    ),
    "crds": (
        "crds: [crd.json]\nnamePrefix: p-\nresources: [service.yaml, t.yaml]\n",
        {
            "t.yaml": THING.replace("ref: web", "ref: {name: web}"),
            "crd.json": json.dumps(
                {
                    "com.example.v1.Thing": {
                        "Schema": {
                            "description": "a thing",
                            "properties": {
                                "apiVersion": {"type": "string"},
                                "kind": {"type": "string"},
                                "metadata": {"$ref": "k8s.io/apimachinery/pkg/apis/meta/v1.ObjectMeta"},
                                "spec": {"$ref": "com.example.v1.ThingSpec"},
                            },
                        }
                    },
                    "com.example.v1.ThingSpec": {
                        "Schema": {
                            "properties": {
                                "ref": {
                                    "type": "object",
                                    "x-kubernetes-object-ref-api-version": "v1",
                                    "x-kubernetes-object-ref-kind": "Service",
                                }
                            }
                        }
                    },
                }
            )
        },
    ),
    "transformers": (
        "transformers: [t.yaml, '{apiVersion: builtin, kind: NamespaceTransformer, metadata: {name: n, namespace: q},"
        " setRoleBindingSubjects: allServiceAccounts}']\n" + ALL,
        {
            "t.yaml": "apiVersion: builtin\nkind: PrefixTransformer\nmetadata: {name: x}\nprefix: zz-\n"
            "fieldSpecs: [{path: metadata/name, kind: Deployment}]\n---\n"
            "apiVersion: builtin\nkind: LabelTransformer\nmetadata: {name: l}\nlabels: {tt: uu}\n"
            "fieldSpecs: [{path: metadata/labels, create: true}]\n",
        },
    ),
    "transformer-directory": (
        "transformers: [tr]\n" + ALL,
        {
            "tr/kustomization.yaml": "resources: [a.yaml]\n",
            "tr/a.yaml": "apiVersion: builtin\nkind: AnnotationsTransformer\nmetadata: {name: x}\nannotations: {a: b}\n"
            "fieldSpecs: [{path: metadata/annotations, create: true}]\n",
        },
    ),
    "generators": (
        "generators: [g.yaml]\nresources: [web.yaml]\n",
        {
            "g.yaml": "apiVersion: builtin\nkind: ConfigMapGenerator\nmetadata: {name: settings}\n"
            "literals: [a=b]\n---\n"
            "apiVersion: builtin\nkind: SecretGenerator\nmetadata: {name: s}\nliterals: [a=b]\n",
        },
    ),
    "validators": (
        "validators: [v.yaml]\n" + ALL,
        {
            "v.yaml": "apiVersion: builtin\nkind: LabelTransformer\nmetadata: {name: l}\nlabels: {}\n"
            "fieldSpecs: [{path: metadata/labels}]\n",
        },
    ),
    "build-metadata": ("buildMetadata: [originAnnotations, transformerAnnotations]\nnamePrefix: p-\n" + ALL, {}),
    "sort-legacy": ("sortOptions: {order: legacy}\n" + ALL, {}),
    "components": (
        "resources: [web.yaml]\ncomponents: [comp]\n",
        {
            "comp/kustomization.yaml": "apiVersion: kustomize.config.k8s.io/v1alpha1\nkind: Component\n"
            "resources: [extra.yaml]\nreplicas: [{name: web, count: 8}]\n",
            "comp/extra.yaml": CM % "extra",
        },
    ),
    "empty-documents": (
        "resources: [many.yaml, list.yaml]\n",
        {
            "many.yaml": "---\n---\n# nothing\n---\n" + CM % "one" + "---\n\n---\n" + CM % "two" + "---\n",
            "list.yaml": "apiVersion: v1\nkind: ConfigMapList\nitems:\n- metadata: {name: three}\n"
            "  apiVersion: v1\n  kind: ConfigMap\n---\napiVersion: v1\nkind: List\nitems:\n"
            "- {apiVersion: v1, kind: ConfigMap, metadata: {name: four}}\n",
        },
    ),
    "line-ends-and-json": (
        "\ufeffresources: [crlf.yaml, j.json]\r\nnamePrefix: p-\r\n",
        {
            "crlf.yaml": (CM % "crlf" + "---\n" + CM % "more").replace("\n", "\r\n"),
            "j.json": json.dumps({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "json"}}),
        },
    ),
    "anchors": (
        "resources: [a.yaml]\n",
        {
            "a.yaml": "apiVersion: v1\nkind: ConfigMap\nmetadata: &m {name: anchored, labels: &l {a: b}}\n"
            "data: {<<: *l, c: d}\n",
        },
    ),
    "odd-names": (
        "resources: ['dir with space/ü.yaml', ./base/../base]\n",
        {"dir with space/ü.yaml": CM % "odd"},
    ),
    "other-file-names": ("resources: [one, two]\n", {"one/kustomization.yml": "resources: [a.yaml]\nnamePrefix: o-\n",
        "one/a.yaml": CM % "a", "two/Kustomization": "resources: [b.yaml]\n", "two/b.yaml": CM % "b"}),
}  # fmt: skip
