package v1alpha1

import corev1 "k8s.io/api/core/v1"

// SourceType names where a function's code comes from.
//
// +kubebuilder:validation:Enum=inline;minio;s3;gcs;git;image
type SourceType string

// The types of source, each the name of the member of FunctionSource that it
// goes with.
const (
	SourceInline SourceType = "inline"
	SourceMinIO  SourceType = "minio"
	SourceS3     SourceType = "s3"
	SourceGCS    SourceType = "gcs"
	SourceGit    SourceType = "git"
	SourceImage  SourceType = "image"
)

// FunctionSource is where a function's code comes from: exactly one member.
//
// +kubebuilder:validation:XValidation:rule="(has(self.inline) ? 1 : 0) + (has(self.minio) ? 1 : 0) + (has(self.s3) ? 1 : 0) + (has(self.gcs) ? 1 : 0) + (has(self.git) ? 1 : 0) + (has(self.image) ? 1 : 0) == 1",message="spec.source: expected exactly one of inline, minio, s3, gcs, git, image"
// +kubebuilder:validation:XValidation:rule="!has(self.type) || size(self.type) == 0 || (self.type == 'inline' && has(self.inline)) || (self.type == 'minio' && has(self.minio)) || (self.type == 's3' && has(self.s3)) || (self.type == 'gcs' && has(self.gcs)) || (self.type == 'git' && has(self.git)) || (self.type == 'image' && has(self.image))",message="spec.source.type: expected the name of the member that is set, or nothing"
type FunctionSource struct {
	// Type names the member that is set. It may be left out; status.source.type
	// shows it.
	// +optional
	Type SourceType `json:"type,omitempty"`

	// Inline is code in the object itself.
	// +optional
	Inline *InlineSource `json:"inline,omitempty"`

	// MinIO is an object of a MinIO server.
	// +optional
	MinIO *ObjectSource `json:"minio,omitempty"`

	// S3 is an object of Amazon S3 or a server that speaks its protocol.
	// +optional
	S3 *ObjectSource `json:"s3,omitempty"`

	// GCS is an object of Google Cloud Storage.
	// +optional
	GCS *ObjectSource `json:"gcs,omitempty"`

	// Git is a commit of a git repository.
	// +optional
	Git *GitSource `json:"git,omitempty"`

	// Image is a ready-made image: nothing is built.
	// +optional
	Image *ImageSource `json:"image,omitempty"`
}

// InlineSource is code in the object itself, 512 KiB together.
//
// +kubebuilder:validation:XValidation:rule="has(self.code) != has(self.files)",message="spec.source.inline: expected exactly one of code, files"
type InlineSource struct {
	// Code is the one file of the function.
	// +optional
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=524288
	Code string `json:"code,omitempty"`

	// Files are the function's files: relative path to text.
	// +optional
	// +kubebuilder:validation:MinProperties=1
	// +kubebuilder:validation:MaxProperties=256
	// +kubebuilder:validation:XValidation:rule="self.all(p, !p.startsWith('/'))",message="expected relative paths",messageExpression="'expected a relative path, not ' + self.filter(p, p.startsWith('/'))[0]"
	// +kubebuilder:validation:XValidation:rule="self.all(p, p != '..' && !p.startsWith('../'))",message="expected paths inside the source",messageExpression="'expected a path inside the source, not ' + self.filter(p, p == '..' || p.startsWith('../'))[0]"
	Files map[string]string `json:"files,omitempty"`

	// Dependencies is the text of the language's manifest: requirements.txt,
	// package.json, go.mod.
	// +optional
	// +kubebuilder:validation:MaxLength=524288
	Dependencies string `json:"dependencies,omitempty"`
}

// ObjectSource is an object of an object store, or all below a prefix.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.versionId) && size(self.versionId) > 0 && self.key.endsWith('/'))",message="versionId: a prefix has no version: leave versionId out, or name one object as key"
type ObjectSource struct {
	// Bucket that holds the object.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="self.matches('^[a-z0-9][a-z0-9._-]{1,220}[a-z0-9]$') && !self.contains('..')",message="expected the name of a bucket: 3 to 222 lower-case letters, digits, '.', '_' and '-'",messageExpression="'expected the name of a bucket: 3 to 222 lower-case letters, digits, \\'.\\', \\'_\\' and \\'-\\', not ' + self"
	Bucket string `json:"bucket"`

	// Key of an archive (.zip, .tar, .tar.gz, .tgz), of a single source file,
	// or a prefix that ends in "/".
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!('/' + self + '/').matches('/[.]{1,2}/') && !self.startsWith('/') && !self.contains('//')",message="expected the key of an object such as team/function.zip, or a prefix such as team/function/, without '.', '..' and double '/'"
	Key string `json:"key"`

	// Endpoint is a URL or host:port. A port alone is http:// for minio and
	// https:// for the others. Default: for minio that of config-build, for the
	// others the public one.
	// +optional
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^(https?://)?([A-Za-z0-9]([A-Za-z0-9.-]*[A-Za-z0-9])?|[[][0-9A-Fa-f:.]+[]])(:[0-9]{1,5})?/?$')",message="expected a URL that begins with http:// or https://, or host:port, without a path"
	Endpoint string `json:"endpoint,omitempty"`

	// Region of the bucket; default what the store tells.
	// +optional
	// +kubebuilder:validation:MaxLength=63
	// +kubebuilder:validation:XValidation:rule="self.matches('^[A-Za-z0-9][A-Za-z0-9-]*$')",message="expected a region such as eu-central-1"
	Region string `json:"region,omitempty"`

	// VersionID pins a version of the object; default the newest.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	VersionID string `json:"versionId,omitempty"`

	// SecretRef names a Secret of the function's namespace with accessKey and
	// secretKey, or AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and perhaps
	// AWS_SESSION_TOKEN; ca.crt where the store's certificate is of an authority
	// of one's own. Without it the object must be public.
	// +optional
	SecretRef *corev1.LocalObjectReference `json:"secretRef,omitempty"`

	// CredentialsSecret is another way to write secretRef.name; only one of the
	// two.
	// +optional
	// +kubebuilder:validation:MaxLength=253
	CredentialsSecret string `json:"credentialsSecret,omitempty"`
}

// GitSource is a commit of a git repository.
//
// +kubebuilder:validation:XValidation:rule="has(self.secretRef) || self.url.startsWith('https://') || (self.url.contains('://') && !self.url.startsWith('ssh://'))",message="secretRef: git over ssh takes a Secret with ssh-privatekey and known_hosts"
type GitSource struct {
	// URL of the repository: https://host/path, ssh://user@host/path or
	// user@host:path.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=2048
	// +kubebuilder:validation:XValidation:rule="self.matches('^https://[A-Za-z0-9[][^@/]*/[^/]') || self.matches('^ssh://([A-Za-z0-9._-]+@)?[A-Za-z0-9[][^@/]*/[^/]') || self.matches('^[A-Za-z0-9._-]+@[A-Za-z0-9][A-Za-z0-9.-]*:[^:]')",message="expected https://host/path, ssh://user@host/path or user@host:path, without a password"
	URL string `json:"url"`

	// Ref is a branch, tag or commit; default the remote's HEAD.
	// +optional
	// +kubebuilder:validation:MaxLength=255
	// +kubebuilder:validation:XValidation:rule="!self.matches('[[:space:]~^:?*\\\\[\\\\\\\\]') && !self.contains('..') && !self.contains('//') && !self.contains('@{') && !self.matches('^[-/.@]') && !self.matches('([/.]|[.]lock)$')",message="expected a branch, a tag or a commit such as main, v1.2.0 or refs/heads/main"
	Ref string `json:"ref,omitempty"`

	// Path of the function inside the repository; default all of it.
	// +optional
	// +kubebuilder:validation:MaxLength=1024
	// +kubebuilder:validation:XValidation:rule="!self.startsWith('/') && !('/' + self + '/').contains('/../')",message="expected a relative path inside the source"
	Path string `json:"path,omitempty"`

	// SecretRef names a Secret of the function's namespace with username and
	// password, or ssh-privatekey and known_hosts; ca.crt where the server's
	// certificate is of an authority of one's own.
	// +optional
	SecretRef *corev1.LocalObjectReference `json:"secretRef,omitempty"`
}

// SecretRef names the Secret that may read the source; nil where there is none.
func (s *FunctionSource) SecretRef() *corev1.LocalObjectReference {
	switch {
	case s.MinIO != nil:
		return s.MinIO.secretRef()
	case s.S3 != nil:
		return s.S3.secretRef()
	case s.GCS != nil:
		return s.GCS.secretRef()
	case s.Git != nil:
		return s.Git.SecretRef
	}
	return nil
}

// ImageReference names a container image.
//
// +kubebuilder:validation:XValidation:rule="!(has(self.tag) && has(self.digest))",message="expected at most one of tag, digest"
type ImageReference struct {
	// Repository of the image, without tag or digest.
	// +kubebuilder:validation:MinLength=1
	// +kubebuilder:validation:MaxLength=1024
	Repository string `json:"repository"`

	// Tag of the image; default latest.
	// +optional
	// +kubebuilder:validation:MaxLength=128
	Tag string `json:"tag,omitempty"`

	// Digest of the image: sha256:<64 hexadecimal digits>.
	// +optional
	// +kubebuilder:validation:Pattern=`^sha256:[0-9a-f]{64}$`
	Digest string `json:"digest,omitempty"`

	// PullPolicy of the image, as in a container.
	// +optional
	// +kubebuilder:validation:Enum=Always;IfNotPresent;Never
	PullPolicy corev1.PullPolicy `json:"pullPolicy,omitempty"`

	// ImagePullSecrets are Secrets with which the node pulls the image.
	// +optional
	// +kubebuilder:validation:MaxItems=16
	ImagePullSecrets []corev1.LocalObjectReference `json:"imagePullSecrets,omitempty"`

	// Port on which the program listens; default 8080.
	// +optional
	// +kubebuilder:validation:Minimum=0
	// +kubebuilder:validation:Maximum=65535
	Port int32 `json:"port,omitempty"`

	// Command replaces the image's entrypoint.
	// +optional
	// +kubebuilder:validation:MaxItems=64
	Command []string `json:"command,omitempty"`

	// Args replace the image's arguments.
	// +optional
	// +kubebuilder:validation:MaxItems=256
	Args []string `json:"args,omitempty"`
}

// ImageSource is a ready-made image.
type ImageSource struct {
	ImageReference `json:",inline"`
}

// Reference is the image as a container names it: repository@digest, or
// repository:tag.
func (i *ImageReference) Reference() string {
	switch {
	case i.Digest != "":
		return i.Repository + "@" + i.Digest
	case i.Tag != "":
		return i.Repository + ":" + i.Tag
	}
	return i.Repository + ":latest"
}
