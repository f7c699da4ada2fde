package v1alpha1

import (
	"strings"
	"testing"

	"knative.dev/pkg/apis"
)

// python begins the spec of a function that is valid.
const python = "source: {inline: {code: x}}\nruntime: {language: python}\n"

// invalidFunctions, each with all that is said about it.
var invalidFunctions = []struct{ name, spec, want string }{
	{"no source", `runtime: {language: python}`, "expected exactly one, got neither: spec.source.gcs, spec.source.git, spec.source.image, spec.source.inline, spec.source.minio, spec.source.s3"},
	{"two sources", "source: {inline: {code: x}, image: {repository: r.test/own}}\nruntime: {language: python}", "expected exactly one, got both: spec.source.image, spec.source.inline"},
	{"type of another source", "source: {type: git, inline: {code: x}}\nruntime: {language: python}", "invalid value: git: spec.source.type\ninline is set: expected type \"inline\", or no type"},
	{"type that there is not", "source: {type: floppy, inline: {code: x}}\nruntime: {language: python}", "invalid value: floppy: spec.source.type\ninline is set: expected type \"inline\", or no type"},
	{"inline without code", "source: {inline: {dependencies: x}}\nruntime: {language: python}", "expected exactly one, got neither: spec.source.inline.code, spec.source.inline.files"},
	{"inline code and files", "source: {inline: {code: x, files: {main.py: x}}}\nruntime: {language: python}", "expected exactly one, got both: spec.source.inline.code, spec.source.inline.files"},
	{"token of nobody in particular", python + `volumes: [{name: t, projected: {sources: [{configMap: {name: c}}, {serviceAccountToken: {path: token}}]}}]`, "must not set the field(s): spec.volumes[0].projected.sources[1].serviceAccountToken\na pod has a token only of the ServiceAccount that serviceAccountName names"},
	{"limit below the request", python + `resources: {requests: {memory: 1Gi, cpu: 1}, limits: {memory: 512Mi, cpu: 1}}`, "invalid value: 1Gi: spec.resources.requests[memory]\nmust be no more than limits[memory] (512Mi)"},
	{"limit of a first container below the request", python + `initContainers: [{name: a, image: r.test/setup, resources: {requests: {cpu: 2}, limits: {cpu: 1}}}]`, "invalid value: 2: spec.initContainers[0].resources.requests[cpu]\nmust be no more than limits[cpu] (1)"},
	{"privileged", python + `securityContext: {privileged: true}`, "invalid value: true: spec.securityContext.privileged\nexpected false or nothing"},
	{"absolute path", "source: {inline: {files: {/etc/passwd: x}}}\nruntime: {language: python}", "invalid key name \"/etc/passwd\": spec.source.inline.files\nexpected a relative path"},
	{"path that is too deep", "source: {inline: {files: {" + strings.Repeat("d/", 64) + "f: x}}}\nruntime: {language: python}", "invalid key name \"" + strings.Repeat("d/", 64) + "f\": spec.source.inline.files\nexpected a path of at most 64 parts"},
	{"path that leaves the source", "source: {inline: {files: {../evil.py: x}}}\nruntime: {language: python}", "invalid key name \"../evil.py\": spec.source.inline.files\nexpected a path inside the source without '.', '..' and double '/'"},
	{"path that leaves the source on its way", "source: {inline: {files: {lib/../../evil.py: x}}}\nruntime: {language: python}", "invalid key name \"lib/../../evil.py\": spec.source.inline.files\nexpected a path inside the source without '.', '..' and double '/'"},
	{"path of the source itself", "source: {inline: {files: {.: x}}}\nruntime: {language: python}", "invalid key name \".\": spec.source.inline.files\nexpected a path such as main.py"},
	{"path with a double slash", "source: {inline: {files: {lib//a.py: x}}}\nruntime: {language: python}", "invalid key name \"lib//a.py\": spec.source.inline.files\nexpected a path inside the source without '.', '..' and double '/'"},
	{"path of a folder", "source: {inline: {files: {lib/: x}}}\nruntime: {language: python}", "invalid key name \"lib/\": spec.source.inline.files\nexpected a path inside the source without '.', '..' and double '/'"},
	{"path of another system", "source: {inline: {files: {'lib\\\\a.py': x}}}\nruntime: {language: python}", "invalid key name \"lib\\\\\\\\a.py\": spec.source.inline.files\nexpected a path of at most 255 characters with '/' between its parts"},
	{"empty path", "source: {inline: {files: {'': x}}}\nruntime: {language: python}", "invalid key name \"\": spec.source.inline.files\nexpected a path such as main.py"},
	{"several bad paths", "source: {inline: {files: {/a: x, main.py: x, ../b: x}}}\nruntime: {language: python}", "invalid key name \"../b\": spec.source.inline.files\nexpected a path inside the source without '.', '..' and double '/'\ninvalid key name \"/a\": spec.source.inline.files\nexpected a relative path"},
	{"image without a repository", `source: {image: {tag: v1}}`, "missing field(s): spec.source.image.repository"},
	{"image by tag and digest", `source: {image: {repository: r.test/own, tag: v1, digest: 'sha256:0000000000000000000000000000000000000000000000000000000000000000'}}`, "expected exactly one, got both: spec.source.image.digest, spec.source.image.tag"},
	{"image's tag in its repository", `source: {image: {repository: 'r.test/own:v1'}}`, "invalid value: r.test/own:v1: spec.source.image.repository\nexpected an image's repository without tag or digest: they have fields of their own"},
	{"image's repository too short", `source: {image: {repository: 'r.test/a'}}`, "invalid value: r.test/a: spec.source.image.repository\nexpected a path of 2 to 255 characters after the registry, got 1"},
	{"image's repository of a letter", `source: {image: {repository: a}}`, "invalid value: a: spec.source.image.repository\nexpected a path of 2 to 255 characters after the registry, got 1"},
	{"image's repository in capitals", `source: {image: {repository: r.test/Own}}`, "invalid value: r.test/Own: spec.source.image.repository\nexpected an image's repository such as ghcr.io/owner/name, of lower-case letters, digits, '.', '_', '-' and '/'"},
	{"image with a bad tag", `source: {image: {repository: r.test/own, tag: 'v 1'}}`, "invalid value: v 1: spec.source.image.tag\nexpected a tag of letters, digits, '.', '_' and '-'"},
	{"image with a bad digest", `source: {image: {repository: r.test/own, digest: 'sha256:1'}}`, "invalid value: sha256:1: spec.source.image.digest\nexpected sha256:<64 hexadecimal digits>"},
	{"image's port too high", `source: {image: {repository: r.test/own, port: 65536}}`, "expected 1 <= 65536 <= 65535: spec.source.image.port"},
	{"image's port negative", `source: {image: {repository: r.test/own, port: -1}}`, "expected 1 <= -1 <= 65535: spec.source.image.port"},
	{"image's port is Knative's own", `source: {image: {repository: r.test/own, port: 9090}}`, "invalid value: 9090: spec.source.image.port\nKnative Serving listens there itself: choose another port"},
	{"image's language that no label can carry", "source: {image: {repository: r.test/own}}\nruntime: {language: C++}", "invalid value: C++: spec.runtime.language\n" + notALabel},
	{"no language", `source: {inline: {code: x}}`, "missing field(s): spec.runtime.language"},
	{"unknown language", "source: {inline: {code: x}}\nruntime: {language: cobol}", "invalid value: cobol: spec.runtime.language\nexpected one of go, python, shell, snake"},
	{"version that YAML has read as a number", "source: {inline: {code: x}}\nruntime: {language: snake, version: 3.10}", "invalid value: 3.1: spec.runtime.version\nYAML reads 3.10 without quotes as the number 3.1: expected quotes, version: \"3.10\""},
	{"handler that is no name", "source: {inline: {code: x}}\nruntime: {language: python, handler: 'a b'}", "invalid value: a b: spec.runtime.handler\nexpected a name such as main.handler"},
	{"timeout that is no duration", "source: {inline: {code: x}}\nruntime: {language: python, timeout: soon}", "invalid value: soon: spec.runtime.timeout\nexpected a duration such as 90s or 5m"},
	{"timeout without a unit", "source: {inline: {code: x}}\nruntime: {language: python, timeout: '60'}", "invalid value: 60: spec.runtime.timeout\nexpected a duration such as 90s or 5m"},
	{"timeout too short", "source: {inline: {code: x}}\nruntime: {language: python, timeout: 10ms}", "expected 1s <= 10ms <= 5m0s: spec.runtime.timeout"},
	{"timeout too long for the configuration", "source: {inline: {code: x}}\nruntime: {language: python, timeout: 6m}", "expected 1s <= 6m0s <= 5m0s: spec.runtime.timeout"},
	{"timeout of an image too long", "source: {image: {repository: r.test/own}}\nruntime: {timeout: 6m}", "expected 1s <= 6m0s <= 5m0s: spec.runtime.timeout"},
	{"dependencies of a language without a manifest", "source: {inline: {code: x, dependencies: y}}\nruntime: {language: shell}", "shell has no manifest of dependencies in config-runtimes: spec.source.inline.dependencies"},
	{"dependencies twice", "source: {inline: {files: {main.py: x, requirements.txt: y}, dependencies: y}}\nruntime: {language: python}", "expected exactly one, got both: spec.source.inline.dependencies, spec.source.inline.files[requirements.txt]"},
	{"build timeout that is no duration", python + `build: {timeout: 5 minutes}`, "invalid value: 5 minutes: spec.build.timeout\nexpected a duration such as 90s or 5m"},
	{"build timeout too long for the configuration", python + `build: {timeout: 31m}`, "expected 1s <= 31m0s <= 30m0s: spec.build.timeout"},
	{"unknown strategy", python + `build: {strategy: magic}`, "invalid value: magic: spec.build.strategy\nexpected auto or kaniko"},
	{"strategy that cannot be asked for", python + `build: {strategy: layer}`, "invalid value: layer: spec.build.strategy\nexpected auto or kaniko"},
	{"Dockerfile outside of the source", python + `build: {dockerfile: ../Dockerfile}`, "invalid value: ../Dockerfile: spec.build.dockerfile\nexpected a path inside the source without '.', '..' and double '/'"},
	{"absolute Dockerfile", python + `build: {dockerfile: /Dockerfile}`, "invalid value: /Dockerfile: spec.build.dockerfile\nexpected a relative path"},
	{"registry with a path in capitals", python + `build: {registry: r.test/Team}`, "invalid value: r.test/Team: spec.build.registry\n" + aRegistry},
	{"registry with a path that is none", python + `build: {registry: r.test/-a}`, "invalid value: r.test/-a: spec.build.registry\nafter the host: expected a path of lower-case letters, digits, '.', '_', '-' and '/'"},
	{"registry with a login", python + `build: {registry: 'me@r.test'}`, "invalid value: me@r.test: spec.build.registry\n" + aRegistry},
	{"registry of an address without brackets", python + `build: {registry: 'fd00::1'}`, "invalid value: fd00::1: spec.build.registry\n" + aRegistry},
	{"repository of another namespace", python + `build: {repository: other/python}`, "invalid value: other/python: spec.build.repository\n" + notOwn},
	{"repository whose name only begins like the namespace", python + `build: {repository: team-b/python}`, "invalid value: team-b/python: spec.build.repository\n" + notOwn},
	{"path of another namespace", python + `build: {registry: 'r.test:5000/other'}`, "invalid value: other/team/python: spec.build.registry\n" + notOwn},
	{"another spelling of the registry", python + `build: {registry: 'R.TEST:5000', repository: other/python}`, "invalid value: other/python: spec.build.repository\n" + notOwn},
	{"registry with a scheme", python + `build: {registry: 'https://r.test'}`, "invalid value: https://r.test: spec.build.registry\n" + aRegistry},
	{"repository in capitals", python + `build: {repository: Team/Functions}`, "invalid value: Team/Functions: spec.build.repository\nexpected a path of lower-case letters, digits, '.', '_', '-' and '/'"},
	{"repository with a tag", python + `build: {repository: 'team/f:v1'}`, "invalid value: team/f:v1: spec.build.repository\nexpected a path of lower-case letters, digits, '.', '_', '-' and '/'"},
	{"argument that is no name", python + `build: {args: [{name: A, value: '1'}, {name: A-B}]}`, "invalid value: A-B: spec.build.args[1].name\nexpected a name of letters, digits and '_'"},
	{"argument twice", python + `build: {args: [{name: A, value: '1'}, {name: A, value: '2'}]}`, "\"A\" is there twice: spec.build.args[1].name"},
	{"pull secret that is no name", python + `build: {imagePullSecret: No_Name}`, "invalid value: No_Name: spec.build.imagePullSecret\n" + notAName},
	{"push secret that is no name", python + `build: {pushSecretRef: {name: No_Name}}`, "invalid value: No_Name: spec.build.pushSecretRef.name\n" + notAName},
	{"push secret without a name", python + `build: {pushSecretRef: {}}`, "missing field(s): spec.build.pushSecretRef.name"},
	{"negative replicas", python + `scaling: {minReplicas: -1}`, "expected 0 <= -1 <= 10000: spec.scaling.minReplicas"},
	{"too many replicas", python + `scaling: {maxReplicas: 10001}`, "expected 0 <= 10001 <= 10000: spec.scaling.maxReplicas"},
	{"more replicas at least than at most", python + `scaling: {minReplicas: 3, maxReplicas: 2}`, "invalid value: 3: spec.scaling.minReplicas\nmust be no more than maxReplicas (2)"},
	{"negative initial scale", python + `scaling: {initialScale: -1}`, "expected 0 <= -1 <= 10000: spec.scaling.initialScale"},
	{"no target concurrency", python + `scaling: {targetConcurrency: 0}`, "invalid value: 0: spec.scaling.targetConcurrency\nmust be at least 1"},
	{"no target", python + `scaling: {target: 0, metric: rps}`, "invalid value: 0: spec.scaling.target\nmust be at least 1"},
	{"two targets", python + `scaling: {target: 1, targetConcurrency: 1}`, "expected exactly one, got both: spec.scaling.target, spec.scaling.targetConcurrency"},
	{"target concurrency of another metric", python + `scaling: {targetConcurrency: 1, metric: rps}`, "invalid value: rps: spec.scaling.metric\ntargetConcurrency goes with concurrency; use target for other metrics"},
	{"unknown metric", python + `scaling: {metric: mood}`, "invalid value: mood: spec.scaling.metric\nexpected concurrency, rps, cpu or memory"},
	{"concurrency of none", python + `scaling: {concurrency: 0}`, "expected 1 <= 0 <= 1000: spec.scaling.concurrency"},
	{"concurrency too high", python + `scaling: {concurrency: 10000}`, "expected 1 <= 10000 <= 1000: spec.scaling.concurrency"},
	{"concurrency by two names", python + `scaling: {concurrency: 5, containerConcurrency: 5}`, "expected exactly one, got both: spec.scaling.concurrency, spec.scaling.containerConcurrency"},
	{"target above concurrency", python + `scaling: {concurrency: 5, targetConcurrency: 6}`, "invalid value: 6: spec.scaling.targetConcurrency\nmust be no more than a pod takes at once (5): set scaling.concurrency to at least this number"},
	{"target above the default concurrency", python + `scaling: {target: 101}`, "invalid value: 101: spec.scaling.target\nmust be no more than a pod takes at once (100): set scaling.concurrency to at least this number"},
	{"no workers", "source: {inline: {code: x}}\nruntime: {language: python, workers: 0}", "expected 1 <= 0 <= 64: spec.runtime.workers"},
	{"too many workers", "source: {inline: {code: x}}\nruntime: {language: python, workers: 65}", "expected 1 <= 65 <= 64: spec.runtime.workers"},
	{"workers of one process", "source: {inline: {code: x}}\nruntime: {language: go, workers: 2}", "invalid value: 2: spec.runtime.workers\ngo runs all calls in one process: expected 1, or nothing"},
	{"isolation that there is not", "source: {inline: {code: x}}\nruntime: {language: python, isolation: strict}", "invalid value: strict: spec.runtime.isolation\nexpected shared or exclusive"},
	{"shared workers that take one call", "source: {inline: {code: x}}\nruntime: {language: shell, isolation: shared}", "invalid value: shared: spec.runtime.isolation\nworkers of shell take one call at a time: expected exclusive, or nothing"},
	{"other workers than calls", "source: {inline: {code: x}}\nruntime: {language: python, isolation: exclusive, workers: 3}\nscaling: {concurrency: 4}", "invalid value: 3: spec.runtime.workers\neach worker takes one call at a time: expected the number of spec.scaling.concurrency (4), or only one of the two"},
	{"more exclusive calls than workers", "source: {inline: {code: x}}\nruntime: {language: shell}\nscaling: {concurrency: 65}", "invalid value: 65: spec.scaling.concurrency\neach worker takes one call at a time, and a pod has at most 64: expected 64 or less, or runtime.isolation shared where the language allows it"},
	{"exclusive calls of one process", "source: {inline: {code: x}}\nruntime: {language: go, isolation: exclusive}\nscaling: {concurrency: 2}", "invalid value: 2: spec.scaling.concurrency\ngo runs all calls in one process, and with isolation exclusive one at a time: expected 1, or isolation shared"},
	{"interface that there is not", "source: {inline: {code: x}}\nruntime: {language: python, interface: cgi}", "invalid value: cgi: spec.runtime.interface\nexpected auto, handler, asgi, wsgi, listener or fetch"},
	{"event that there is not", "source: {inline: {code: x}}\nruntime: {language: python, httpEvent: raw}", "invalid value: raw: spec.runtime.httpEvent\nexpected decoded or aws-v2"},
	{"runtime of an image", "source: {image: {repository: r.test/own}}\nruntime: {workers: 2, isolation: shared, interface: auto, httpEvent: decoded}\nhttp: {cors: {allowOrigins: ['*']}, maxBodySize: 1Mi}", "must not set the field(s): spec.http.cors, spec.http.maxBodySize, spec.runtime.httpEvent, spec.runtime.interface, spec.runtime.isolation, spec.runtime.workers\na ready-made image answers requests itself"},
	{"body too small", python + `http: {maxBodySize: "1"}`, "invalid value: 1: spec.http.maxBodySize\nexpected a size from 1Ki to 1Gi such as 16Mi"},
	{"body too large", python + `http: {maxBodySize: 2Gi}`, "invalid value: 2Gi: spec.http.maxBodySize\nexpected a size from 1Ki to 1Gi such as 16Mi"},
	{"body of no size", python + `http: {maxBodySize: large}`, "invalid value: large: spec.http.maxBodySize\nexpected a size from 1Ki to 1Gi such as 16Mi"},
	{"no origins", python + `http: {cors: {}}`, "invalid value: : spec.http.cors.allowOrigins\nexpected at least one origin such as https://app.example.com, or \"*\""},
	{"origin with a path", python + `http: {cors: {allowOrigins: ['*', 'https://a.test/']}}`, "invalid value: https://a.test/: spec.http.cors.allowOrigins[1]\nexpected an origin such as https://app.example.com or http://localhost:3000, \"*.example.com\" or \"*\""},
	{"credentials of all origins", python + `http: {cors: {allowOrigins: ['*'], allowCredentials: true}}`, "invalid value: true: spec.http.cors.allowCredentials\nexpected false with the origin \"*\", or the origins that may send credentials"},
	{"preflight for too long", python + `http: {cors: {allowOrigins: ['*'], maxAge: 25h}}`, "expected 0s <= 25h0m0s <= 24h0m0s: spec.http.cors.maxAge"},
	{"container concurrency too high", python + `scaling: {containerConcurrency: 1001}`, "expected 0 <= 1001 <= 1000: spec.scaling.containerConcurrency"},
	{"window too short", python + `scaling: {window: 5s}`, "expected 6s <= 5s <= 1h0m0s: spec.scaling.window"},
	{"window too long", python + `scaling: {window: 61m}`, "expected 6s <= 1h1m0s <= 1h0m0s: spec.scaling.window"},
	{"window of parts of a second", python + `scaling: {window: 6500ms}`, "invalid value: 6500ms: spec.scaling.window\nexpected whole seconds"},
	{"grace period that is no duration", python + `scaling: {scaleToZeroGracePeriod: never}`, "invalid value: never: spec.scaling.scaleToZeroGracePeriod\nexpected a duration such as 90s or 5m"},
	{"delay too long", python + `scaling: {scaleDownDelay: 2h}`, "expected 0s <= 2h0m0s <= 1h0m0s: spec.scaling.scaleDownDelay"},
	{"delay of parts of a second", python + `scaling: {scaleDownDelay: 100ms}`, "invalid value: 100ms: spec.scaling.scaleDownDelay\nexpected whole seconds"},
	{"grace period too long", python + `scaling: {scaleToZeroGracePeriod: 2h}`, "expected 0s <= 2h0m0s <= 1h0m0s: spec.scaling.scaleToZeroGracePeriod"},
	{"environment without a name", python + `env: [{value: x}]`, "missing field(s): spec.env[0].name"},
	{"environment that is no name", python + `env: [{name: 'A=B', value: x}]`, "invalid value: A=B: spec.env[0].name\n" + notAVariable},
	{"environment PORT", python + `env: [{name: A, value: x}, {name: PORT, value: '1'}]`, "invalid value: PORT: spec.env[1].name\nthe platform sets PORT, K_* and LAMBDA_* itself: choose another name"},
	{"environment K_", python + `env: [{name: K_SINK, value: x}]`, "invalid value: K_SINK: spec.env[0].name\nthe platform sets PORT, K_* and LAMBDA_* itself: choose another name"},
	{"environment LAMBDA_", python + `env: [{name: LAMBDA_HANDLER, value: x}]`, "invalid value: LAMBDA_HANDLER: spec.env[0].name\nthe platform sets PORT, K_* and LAMBDA_* itself: choose another name"},
	{"environment from nowhere", python + `envFrom: [{prefix: A_}]`, "expected exactly one of: spec.envFrom[0].configMapRef, spec.envFrom[0].secretRef"},
	{"environment from two", python + `envFrom: [{configMapRef: {name: a}, secretRef: {name: b}}]`, "expected exactly one of: spec.envFrom[0].configMapRef, spec.envFrom[0].secretRef"},
	{"service account that is no name", python + `serviceAccountName: No_Name`, "invalid value: No_Name: spec.serviceAccountName\n" + notAName},
	{"volume twice", python + `volumes: [{name: v, secret: {secretName: s}}, {name: v, configMap: {name: c}}]`, "\"v\" is there twice: spec.volumes[1].name"},
	{"volume of nothing", python + `volumes: [{name: v}]`, "expected exactly one of: spec.volumes[0].configMap, spec.volumes[0].emptyDir, spec.volumes[0].persistentVolumeClaim, spec.volumes[0].projected, spec.volumes[0].secret"},
	{"volume of the node", python + `volumes: [{name: v, hostPath: {path: /}}]`, "expected exactly one of: spec.volumes[0].configMap, spec.volumes[0].emptyDir, spec.volumes[0].persistentVolumeClaim, spec.volumes[0].projected, spec.volumes[0].secret"},
	{"volume of two", python + `volumes: [{name: v, configMap: {name: c}, secret: {secretName: s}}]`, "expected exactly one of: spec.volumes[0].configMap, spec.volumes[0].emptyDir, spec.volumes[0].persistentVolumeClaim, spec.volumes[0].projected, spec.volumes[0].secret"},
	{"volume of one that may be and one that may not", python + `volumes: [{name: v, configMap: {name: c}, hostPath: {path: /}}]`, "expected exactly one of: spec.volumes[0].configMap, spec.volumes[0].emptyDir, spec.volumes[0].persistentVolumeClaim, spec.volumes[0].projected, spec.volumes[0].secret"},
	{"volume in memory of another kind", python + `volumes: [{name: v, emptyDir: {medium: Tape}}]`, "invalid value: Tape: spec.volumes[0].emptyDir.medium\nexpected Memory, or nothing"},
	{"claim without a name", python + `volumes: [{name: v, persistentVolumeClaim: {}}]`, "invalid value: : spec.volumes[0].persistentVolumeClaim.claimName\n" + notAName},
	{"first container that gets out", python + `initContainers: [{name: a, image: r.test/setup, securityContext: {privileged: true}}]`, "invalid value: true: spec.initContainers[0].securityContext.privileged\nexpected false or nothing"},
	{"first containers of one name", python + `initContainers: [{name: a, image: r.test/setup}, {name: a, image: r.test/setup}]`, "\"a\" is there twice: spec.initContainers[1].name"},
	{"first container without a name and an image", python + `initContainers: [{image: 'a b', pullPolicy: Often}]`, "invalid value: : spec.initContainers[0].name\na lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')\ninvalid value: Often: spec.initContainers[0].pullPolicy\nexpected Always, IfNotPresent or Never\ninvalid value: a b: spec.initContainers[0].image\nexpected an image such as registry.example.com/team/setup:v1"},
	{"first container with a mount of no volume", python + `initContainers: [{name: a, image: r.test/setup, volumeMounts: [{name: v, mountPath: /v}]}]`, "invalid value: v: spec.initContainers[0].volumeMounts[0].name\nexpected the name of one of volumes"},
	{"probe of nothing", python + `livenessProbe: {}`, "expected exactly one of: spec.livenessProbe.exec, spec.livenessProbe.grpc, spec.livenessProbe.httpGet, spec.livenessProbe.tcpSocket"},
	{"probe of another host", python + `startupProbe: {httpGet: {host: 169.254.169.254, port: 80}}`, "invalid value: 169.254.169.254: spec.startupProbe.httpGet.host\na probe asks the pod itself: remove it"},
	{"probe of a named port", python + `readinessProbe: {tcpSocket: {port: http}}`, "invalid value: http: spec.readinessProbe.tcpSocket.port\nexpected the number of a port, or nothing for the container's own"},
	{"probe of negative time", python + `livenessProbe: {tcpSocket: {port: 80}, periodSeconds: -1, successThreshold: 2}`, "invalid value: -1: spec.livenessProbe.periodSeconds\nmust not be negative\ninvalid value: 2: spec.livenessProbe.successThreshold\nexpected 1, or nothing"},
	{"probe without a period", python + `readinessProbe: {tcpSocket: {port: 80}, failureThreshold: 3}`, "failureThreshold and timeoutSeconds go with periodSeconds: Knative Serving asks as often as it can without it: spec.readinessProbe.periodSeconds"},
	{"node label that is none", python + `nodeSelector: {'a b': c}`, "invalid key name \"a b\": spec.nodeSelector\nname part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"},
	{"toleration without a key", python + `tolerations: [{value: a}]`, "invalid value: : spec.tolerations[0].operator\nwithout a key, expected Exists"},
	{"toleration of no effect", python + `tolerations: [{key: a, operator: Exists, value: b, effect: Stop}]`, "invalid value: Stop: spec.tolerations[0].effect\nexpected NoSchedule, PreferNoSchedule or NoExecute\ninvalid value: b: spec.tolerations[0].value\noperator Exists takes no value"},
	{"spread over nothing", python + `topologySpreadConstraints: [{}]`, "invalid value: : spec.topologySpreadConstraints[0].whenUnsatisfiable\nexpected DoNotSchedule or ScheduleAnyway\ninvalid value: 0: spec.topologySpreadConstraints[0].maxSkew\nmust be at least 1\nmissing field(s): spec.topologySpreadConstraints[0].topologyKey"},
	{"priority of Kubernetes' own", python + `priorityClassName: system-cluster-critical`, "invalid value: system-cluster-critical: spec.priorityClassName\nclasses that begin with system- are Kubernetes' own: choose another one"},
	{"runtime class that is no name", python + `runtimeClassName: No_Name`, "invalid value: No_Name: spec.runtimeClassName\n" + notAName},
	{"visibility that there is not", python + `visibility: private`, "invalid value: private: spec.visibility\nexpected external or cluster-local"},
	{"domains of what is private", python + "visibility: cluster-local\ndomains: [{name: a.test}]", "domains publish what is cluster-local: remove them, or set visibility: external: spec.domains"},
	{"domain that is none", python + `domains: [{name: localhost}, {name: 'https://a.test'}, {name: a.test., tlsSecretName: No_Name}]`, "invalid value: No_Name: spec.domains[2].tlsSecretName\n" + notAName + "\ninvalid value: a.test.: spec.domains[2].name\nexpected a domain such as orders.example.com\ninvalid value: https://a.test: spec.domains[1].name\nexpected a domain such as orders.example.com\ninvalid value: localhost: spec.domains[0].name\nexpected a domain such as orders.example.com"},
	{"domain of the cluster", python + `domains: [{name: other.team.svc.cluster.local}]`, "invalid value: other.team.svc.cluster.local: spec.domains[0].name\ncluster.local is the cluster's own domain: expected one of yours"},
	{"domain twice", python + `domains: [{name: a.test}, {name: a.test}]`, "\"a.test\" is there twice: spec.domains[1].name"},
	{"file above its volume", python + `volumes: [{name: v, secret: {secretName: s, items: [{key: k, path: a}, {key: k, path: ../../x}]}}]`, "invalid value: ../../x: spec.volumes[0].secret.items[1].path\nexpected a path without '..'"},
	{"file of the node", python + `volumes: [{name: v, configMap: {name: c, items: [{key: k, path: /etc/x}]}}]`, "invalid value: /etc/x: spec.volumes[0].configMap.items[0].path\nexpected a relative path"},
	{"file of the kubelet's", python + `volumes: [{name: v, configMap: {name: c, items: [{key: k, path: ..data}]}}]`, "invalid value: ..data: spec.volumes[0].configMap.items[0].path\nexpected a path that does not begin with '..'"},
	{"file without a path", python + `volumes: [{name: v, configMap: {name: c, items: [{key: k}]}}]`, "missing field(s): spec.volumes[0].configMap.items[0].path"},
	{"projected file above its volume", python + `volumes: [{name: v, projected: {sources: [{secret: {name: s, items: [{key: k, path: a/../../x}]}}]}}]`, "invalid value: a/../../x: spec.volumes[0].projected.sources[0].secret.items[0].path\nexpected a path without '..'"},
	{"token above its volume", python + "serviceAccountName: robot\nvolumes: [{name: v, projected: {sources: [{serviceAccountToken: {path: ../t}}]}}]", "invalid value: ../t: spec.volumes[0].projected.sources[0].serviceAccountToken.path\nexpected a path without '..'"},
	{"downward API above its volume", python + `volumes: [{name: v, projected: {sources: [{downwardAPI: {items: [{path: /n, fieldRef: {fieldPath: metadata.name}}]}}]}}]`, "invalid value: /n: spec.volumes[0].projected.sources[0].downwardAPI.items[0].path\nexpected a relative path"},
	{"part of a volume above it", python + "volumes: [{name: v, secret: {secretName: s}}]\nvolumeMounts: [{name: v, mountPath: /v, subPath: ../x}]", "invalid value: ../x: spec.volumeMounts[0].subPath\nexpected a path without '..'"},
	{"part of a volume by an expression", python + "volumes: [{name: v, secret: {secretName: s}}]\nvolumeMounts: [{name: v, mountPath: /v, subPathExpr: /x}]", "invalid value: /x: spec.volumeMounts[0].subPathExpr\nexpected a relative path"},
	{"mount nowhere", python + "volumes: [{name: v, secret: {secretName: s}}]\nvolumeMounts: [{name: v}]", "missing field(s): spec.volumeMounts[0].mountPath"},
	{"mount at a relative path", python + "volumes: [{name: v, secret: {secretName: s}}]\nvolumeMounts: [{name: v, mountPath: v}]", "invalid value: v: spec.volumeMounts[0].mountPath\nexpected an absolute path without ':'"},
	{"mount over the runtime by a detour", python + "volumes: [{name: v, secret: {secretName: s}}]\nvolumeMounts: [{name: v, mountPath: /v/..//lambda}]", "invalid value: /v/..//lambda: spec.volumeMounts[0].mountPath\n/lambda is the platform's: choose another path"},
	{"seccomp profile of the node", python + `securityContext: {seccompProfile: {type: Localhost, localhostProfile: ../../x}}`, "invalid value: ../../x: spec.securityContext.seccompProfile.localhostProfile\nexpected a path without '..': profiles are below the kubelet's folder for them"},
	{"file that is a folder, too", "source: {inline: {files: {main.py: x, main.py/x: y}}}\nruntime: {language: python}", "invalid key name \"main.py/x\": spec.source.inline.files\n\"main.py\" is a file, not a folder: rename one of them"},
	{"mount of no volume", python + `volumeMounts: [{name: v, mountPath: /v}]`, "invalid value: v: spec.volumeMounts[0].name\nexpected the name of one of volumes"},
	{"mount over the runtime", python + "volumes: [{name: v, secret: {secretName: s}}]\nvolumeMounts: [{name: v, mountPath: /lambda/function}]", "invalid value: /lambda/function: spec.volumeMounts[0].mountPath\n/lambda is the platform's: choose another path"},
	{"sampling rate too high", python + `observability: {tracing: {samplingRate: 1.5}}`, "invalid value: 1.5: spec.observability.tracing.samplingRate\nexpected a number from 0 to 1"},
	{"sampling rate that is no number", python + `observability: {tracing: {samplingRate: often}}`, "invalid value: often: spec.observability.tracing.samplingRate\nexpected a number from 0 to 1"},
	{"tracing endpoint without a port", python + `observability: {tracing: {endpoint: otel.team.svc}}`, "invalid value: otel.team.svc: spec.observability.tracing.endpoint\nexpected host:port for OTLP over gRPC, or a URL that begins with http:// or https:// for OTLP over HTTP"},
	{"tracing endpoint with a port that is none", python + `observability: {tracing: {endpoint: 'otel:65536'}}`, "invalid value: otel:65536: spec.observability.tracing.endpoint\nexpected a port from 1 to 65535"},
	{"tracing endpoint of another scheme", python + `observability: {tracing: {endpoint: 'grpc://otel:4317'}}`, "invalid value: grpc://otel:4317: spec.observability.tracing.endpoint\nexpected host:port for OTLP over gRPC, or a URL that begins with http:// or https:// for OTLP over HTTP"},
	{"tracing endpoint with a user", python + `observability: {tracing: {endpoint: 'a@otel:4317'}}`, "invalid value: a@otel:4317: spec.observability.tracing.endpoint\nexpected host:port for OTLP over gRPC, or a URL that begins with http:// or https:// for OTLP over HTTP"},
	{"tracing endpoint with a path", python + `observability: {tracing: {endpoint: 'otel:4317/v1/traces'}}`, "invalid value: otel:4317/v1/traces: spec.observability.tracing.endpoint\nexpected host:port for OTLP over gRPC, or a URL that begins with http:// or https:// for OTLP over HTTP"},
	{"unknown log level", python + `observability: {logging: {level: loud}}`, "invalid value: loud: spec.observability.logging.level\nexpected debug, info, warning or error"},
	{"unknown log format", python + `observability: {logging: {format: prose}}`, "invalid value: prose: spec.observability.logging.format\nexpected json or text"},
	{"several at once", "source: {inline: {code: x}}\nruntime: {language: cobol, timeout: soon}\nbuild: {strategy: magic}\nscaling: {minReplicas: -1, window: soon}", "expected 0 <= -1 <= 10000: spec.scaling.minReplicas\ninvalid value: cobol: spec.runtime.language\nexpected one of go, python, shell, snake\ninvalid value: magic: spec.build.strategy\nexpected auto or kaniko\ninvalid value: soon: spec.runtime.timeout, spec.scaling.window\nexpected a duration such as 90s or 5m"},
}

const (
	aRegistry = "expected a registry as host[:port][/path], without a scheme, such as ghcr.io/owner"
	notOwn    = `in registry r.test:5000, expected a repository that begins with "team/", or build.pushSecretRef with credentials of your own`
)

func TestInvalidFunctions(t *testing.T) {
	for _, tt := range invalidFunctions {
		t.Run(tt.name, func(t *testing.T) {
			f := defaulted(configured(), functionOf(t, tt.spec))
			refused(t, f, f.Validate(configured()), tt.want)
		})
	}
}

// validFunctions are at the edges of what is right.
var validFunctions = []string{
	python,
	python + "securityContext: {runAsUser: 0}",
	python + "serviceAccountName: robot\nvolumes: [{name: t, projected: {sources: [{serviceAccountToken: {path: token}}]}}]",
	python + "scaling: {minReplicas: 2, maxReplicas: 2, window: 6s, scaleToZeroGracePeriod: 0s}",
	python + "scaling: {minReplicas: 5, maxReplicas: 0, concurrency: 1, targetConcurrency: 1, metric: concurrency, window: 1h, scaleToZeroGracePeriod: 1h}",
	python + "scaling: {metric: cpu, target: 80, maxReplicas: 10000, initialScale: 10000, concurrency: 1000}",
	python + "env: [{name: PORTS, value: x}, {name: KNATIVE, value: x}, {name: LAMBDA, value: x}]\nenvFrom: [{configMapRef: {name: a}}, {secretRef: {name: b}}]",
	"source: {inline: {code: x}}\nruntime: {language: python, workers: 64, isolation: exclusive, interface: wsgi, httpEvent: aws-v2}\nscaling: {concurrency: 64}",
	"source: {inline: {code: x}}\nruntime: {language: shell, workers: 3, isolation: exclusive}\nscaling: {concurrency: 3, targetConcurrency: 3}",
	"source: {inline: {code: x}}\nruntime: {language: go, isolation: exclusive}\nscaling: {concurrency: 1}",
	python + "http: {maxBodySize: 1Gi, fullDuplex: true, cors: {allowOrigins: ['https://app.example.com', '*.example.com'], allowMethods: [GET], allowHeaders: [X-A], exposeHeaders: [X-B], allowCredentials: true, maxAge: 24h}}",
	python + "http: {maxBodySize: 1Ki, cors: {allowOrigins: ['*']}}",
	"source: {image: {repository: r.test/own}}\nhttp: {fullDuplex: true}\nscaling: {concurrency: 5}",
	python + "volumes: [{name: a, emptyDir: {medium: Memory, sizeLimit: 1Gi}}, {name: b, persistentVolumeClaim: {claimName: data, readOnly: true}}]\nvolumeMounts: [{name: a, mountPath: /a}, {name: b, mountPath: /b}]\ninitContainers: [{name: setup, image: r.test/setup, env: [{name: PORT, value: '1'}], volumeMounts: [{name: a, mountPath: /out}]}]",
	python + "nodeSelector: {disk: ssd}\ntolerations: [{operator: Exists}, {key: a, value: b, effect: NoExecute, tolerationSeconds: 5}]\naffinity: {nodeAffinity: {}}\ntopologySpreadConstraints: [{maxSkew: 1, topologyKey: zone, whenUnsatisfiable: ScheduleAnyway}]\npriorityClassName: high\nruntimeClassName: gvisor\nrestartOnChange: false",
	python + "readinessProbe: {httpGet: {path: /ready, port: 8080}, periodSeconds: 5, failureThreshold: 2}\nlivenessProbe: {exec: {command: [check]}}\nstartupProbe: {grpc: {port: 8080}, failureThreshold: 30}",
	python + "visibility: external\ndomains: [{name: a.test}, {name: b.c.example.com, tlsSecretName: cert}]",
	python + "visibility: cluster-local",
	python + "build: {timeout: 30m, strategy: kaniko, registry: 'r.test:5000', repository: team/functions, insecure: true, args: [{name: A_1, value: ''}, {name: _}]}",
	python + "build: {dockerfile: docker/Dockerfile, args: [{name: BASE_IMAGE, value: mine}]}",
	python + "build: {registry: other.test, insecure: false, imagePullSecret: pull.secret, pushSecretRef: {name: push}}",
	python + "build: {registry: ghcr.io/owner}",
	python + "build: {registry: ghcr.io/owner/, repository: functions/hello}",
	python + "build: {registry: '[fd00::1]:5000', repository: functions}",
	python + "build: {registry: 'r.test:5000', repository: other/python, pushSecretRef: {name: push}}",
	python + "build: {repository: team}",
	"source: {image: {repository: 'localhost/ab'}}",
	python + "volumes: [{name: a, configMap: {name: c}}, {name: b, secret: {secretName: s}}, {name: c, projected: {}}]\nvolumeMounts: [{name: a, mountPath: /lambdas}, {name: b, mountPath: /b}]\nserviceAccountName: robot",
	python + "observability: {tracing: {enabled: true, endpoint: 'otel.team.svc:4317'}}",
	python + "observability: {tracing: {enabled: true, endpoint: '[fd00::1]:4317'}}",
	python + "observability: {tracing: {enabled: true, samplingRate: '1', endpoint: 'https://otel'}, metrics: {enabled: false}, logging: {level: debug, format: text}}",
	"source: {inline: {files: {main.py: x, lib/..hidden.py: x, .env: ''}, dependencies: requests}}\nruntime: {language: python, version: '3.9', handler: lib/main.handler, timeout: 1s}",
	"source: {inline: {files: {requirements.txt: x, main.py: x}}}\nruntime: {language: python, timeout: 5m}",
	"source: {image: {repository: 'localhost:5001/team/own', digest: 'sha256:0000000000000000000000000000000000000000000000000000000000000000'}}",
	"source: {inline: {code: x}}\nruntime: {language: python, version: 3.11}",
	"source: {inline: {code: x}}\nruntime: {language: go, version: '1.22'}",
	"source: {image: {repository: own, port: 65535}}\nruntime: {language: python, timeout: 5m}",
}

func TestValidFunctions(t *testing.T) {
	for _, spec := range validFunctions {
		if err := defaulted(configured(), functionOf(t, spec)).Validate(configured()); err != nil {
			t.Errorf("%s\nis refused: %v", spec, err)
		}
	}
}

// TestVersionThatIsNotOffered: the manifest is right, so it is admitted. The warning
// says what the cluster offers.
func TestVersionThatIsNotOffered(t *testing.T) {
	for spec, want := range map[string]string{
		"{language: python, version: '2.7'}": "invalid value: 2.7: spec.runtime.version\nthe cluster does not offer this version of python, and the function is not built until it does; offered: 3.9, 3.11, 3.13",
		"{language: python, version: 20}":    "invalid value: 20: spec.runtime.version\nthe cluster does not offer this version of python, and the function is not built until it does; offered: 3.9, 3.11, 3.13",
		"{language: go, version: '1.27'}":    "invalid value: 1.27: spec.runtime.version\nthe cluster does not offer this version of go, and the function is not built until it does; offered: 1.25, 1.26",
	} {
		f := functionOf(t, "source: {inline: {code: x}}\nruntime: "+spec)
		errs := f.Validate(configured())
		if err := errs.Filter(apis.ErrorLevel); err != nil {
			t.Errorf("%s is refused: %v", spec, err)
		}
		refused(t, f, errs.Filter(apis.WarningLevel), want)
	}
}
