// Package grant carries from admission to the controller the proof that the users who
// gave an agent its permissions hold them. The controller holds all of them itself, so
// without a proof it would give them for every user who can write an agent, in a
// namespace that admission skips as well.
package grant

import (
	"cmp"
	"fmt"
	"strconv"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

const (
	proofPurpose  keyring.Purpose = "agent-permissions"
	recordPurpose keyring.Purpose = "agent-withdrawals"
)

// maxSkew bounds the time between the proof of a new agent and its creation.
const maxSkew = 5 * time.Minute

// version of the proof's format.
const version = "v1"

// Proof is the value of lambda.VerifiedAnnotationKey. It holds for one state of one
// agent: of its spec, by the generation, and of what is withdrawn.
type Proof struct {
	// UID of the agent. It is empty for a new agent, which has none during admission:
	// such a proof holds for an agent that was created at its time.
	UID types.UID
	// Generation of the spec.
	Generation int64
	// Time of the proof, in whole seconds.
	Time time.Time
	code string
}

// parse returns the proof of the agent's annotation.
func parse(a *v1alpha1.LambdaAgent) (p Proof, ok bool) {
	parts := strings.Split(a.Annotations[lambda.VerifiedAnnotationKey], ".")
	if len(parts) != 5 || parts[0] != version {
		return p, false
	}
	generation, err := strconv.ParseInt(parts[2], 10, 64)
	if err != nil {
		return p, false
	}
	seconds, err := strconv.ParseInt(parts[3], 10, 64)
	if err != nil {
		return p, false
	}
	return Proof{UID: types.UID(parts[1]), Generation: generation, Time: time.Unix(seconds, 0), code: parts[4]}, true
}

func (p Proof) text() string {
	return strings.Join([]string{version, string(p.UID), strconv.FormatInt(p.Generation, 10), strconv.FormatInt(p.Time.Unix(), 10), p.code}, ".")
}

// parts are what the code holds for.
func (p Proof) parts(a *v1alpha1.LambdaAgent, name string) []string {
	return []string{
		version, a.Namespace, name, string(p.UID), fmt.Sprint(p.Generation), fmt.Sprint(p.Time.Unix()),
		a.Spec.ServiceAccountName, fmt.Sprint(a.Spec.Permissions.Granted()), a.Annotations[lambda.WithdrawnAnnotationKey],
	}
}

// Sign returns the annotation that proves the agent's permissions. uid is empty for an
// agent that is being created, whose name the API server may yet generate.
func Sign(k *keyring.Keyring, a *v1alpha1.LambdaAgent, uid types.UID, generation int64, at time.Time) string {
	p := Proof{UID: uid, Generation: generation, Time: at}
	p.code = k.Sign(proofPurpose, p.parts(a, cmp.Or(a.Name, generated(a)))...)
	return p.text()
}

// generated stands for a name that is not known yet. No name has a blank.
func generated(a *v1alpha1.LambdaAgent) string { return "generated " + a.GenerateName }

// Verify returns the agent's proof if it holds for the agent as it is stored. A proof
// that is older than the last one that the controller saw holds no more: it is a copy.
func Verify(k *keyring.Keyring, a *v1alpha1.LambdaAgent) (Proof, bool) {
	p, ok := parse(a)
	if !ok || p.Generation != a.Generation {
		return p, false
	}
	if s := a.Status.Permissions; s != nil && s.VerifiedTime != nil && p.Time.Unix() < s.VerifiedTime.Unix() {
		return p, false
	}
	if p.UID != "" {
		return p, p.UID == a.UID && k.Verify(p.code, proofPurpose, p.parts(a, a.Name)...)
	}
	if skew := a.CreationTimestamp.Sub(p.Time); skew > maxSkew || skew < -maxSkew {
		return p, false
	}
	ok = k.Verify(p.code, proofPurpose, p.parts(a, a.Name)...)
	return p, ok || a.GenerateName != "" && k.Verify(p.code, proofPurpose, p.parts(a, generated(a))...)
}

// Renew returns the annotation of a proof that Verify accepts, signed with the current
// key, and whether it differs from the agent's own.
func Renew(k *keyring.Keyring, a *v1alpha1.LambdaAgent, p Proof) (text string, differs bool) {
	if name := generated(a); p.UID == "" && a.GenerateName != "" && k.Verify(p.code, proofPurpose, p.parts(a, name)...) {
		p.code = k.Sign(proofPurpose, p.parts(a, name)...)
	} else {
		p.code = k.Sign(proofPurpose, p.parts(a, a.Name)...)
	}
	text = p.text()
	return text, text != a.Annotations[lambda.VerifiedAnnotationKey]
}

// SignRecord returns the record with a signature, by which admission knows one that the
// operator wrote when a backup is restored.
func SignRecord(k *keyring.Keyring, w v1alpha1.Withdrawals) string {
	w.Signature = ""
	if text := w.Text(); text != "" {
		w.Signature = k.Sign(recordPurpose, text)
	}
	return w.Text()
}

// VerifyRecord reports whether the operator wrote the record, for any agent.
func VerifyRecord(k *keyring.Keyring, w v1alpha1.Withdrawals) bool {
	code := w.Signature
	w.Signature = ""
	return k.Verify(code, recordPurpose, w.Text())
}
