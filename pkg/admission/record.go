package admission

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/brunovlucena/knative-lambda-operator/internal/grant"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

const recordField = "metadata.annotations[" + lambda.WithdrawnAnnotationKey + "]"

// errReceiver is returned for a change that the receiver has no reason to make: it
// carries out events, whose senders must not change what an agent is.
var errReceiver = fmt.Errorf("the receiver may only change the annotations %s and %s of an agent", lambda.WithdrawnAnnotationKey, lambda.RestoreAnnotationKey)

// record decides what the agent's record of withdrawn permissions is after the change:
// what the operator writes, or the old record, without what the user restores by
// lambda.RestoreAnnotationKey. restored are the permissions that the user gives back.
func (m *Mutation) record(c *change, old, now *v1alpha1.LambdaAgent) (restored []v1alpha1.Permission, err error) {
	switch user := c.request.UserInfo.Username; {
	case user == m.Receiver:
		if old == nil || !onlyRecord(c) {
			return nil, errReceiver
		}
		m.sign(c, now)
		return nil, nil
	case user == m.Controller:
		m.sign(c, now)
		return nil, nil
	case old == nil:
		return nil, m.restoredBackup(now)
	}
	before := old.Annotations[lambda.WithdrawnAnnotationKey]
	after, restored, err := m.restore(old, now)
	if err != nil {
		return nil, err
	}
	switch is := now.Annotations[lambda.WithdrawnAnnotationKey]; {
	case is == before, is == after:
	case is != "":
		return nil, errors.New(recordField + ": is written by the operator only: leave it as it is; to restore permissions, set the annotation " + lambda.RestoreAnnotationKey)
	case before == after:
		c.warnings = append(c.warnings, recordField+": is kept: only the operator writes this annotation; to restore permissions, set the annotation "+lambda.RestoreAnnotationKey)
	}
	c.write(lambda.WithdrawnAnnotationKey, after)
	return restored, nil
}

// restoredBackup admits the record of a new agent if the operator wrote it: a backup
// must not give withdrawn permissions back.
func (m *Mutation) restoredBackup(now *v1alpha1.LambdaAgent) error {
	w, err := now.Withdrawals()
	if err != nil {
		return fmt.Errorf("%s: %w", recordField, err)
	}
	if w.Text() != "" && !grant.VerifyRecord(m.Keys.Newest(), *w) {
		return errors.New(recordField + ": is written by the operator only: remove it, and set spec.permissions.disable… for what the agent must not do")
	}
	return nil
}

// restore returns the record without what the user restores. A value of the annotation
// that the agent had before restores nothing again.
func (m *Mutation) restore(old, now *v1alpha1.LambdaAgent) (after string, restored []v1alpha1.Permission, err error) {
	before := old.Annotations[lambda.WithdrawnAnnotationKey]
	asked := now.Annotations[lambda.RestoreAnnotationKey]
	if asked == "" || asked == old.Annotations[lambda.RestoreAnnotationKey] {
		return before, nil, nil
	}
	permissions, err := permissionsOf(asked)
	if err != nil {
		return "", nil, err
	}
	_, withdrawn := old.PermissionsAt(m.Now())
	w, err := old.Withdrawals()
	switch {
	case err == nil:
	case len(permissions) == len(v1alpha1.Permissions): // it cannot be read, so all were withdrawn
		w = &v1alpha1.Withdrawals{}
	default:
		return "", nil, fmt.Errorf("metadata.annotations[%s]: expected *: the record in %s cannot be read: %w", lambda.RestoreAnnotationKey, lambda.WithdrawnAnnotationKey, err)
	}
	for _, p := range permissions {
		w.Restore(p)
		if slices.ContainsFunc(withdrawn, func(is v1alpha1.WithdrawnPermission) bool { return is.Permission == string(p) }) {
			restored = append(restored, p)
		}
	}
	return grant.SignRecord(m.Keys.Newest(), *w), restored, nil
}

func permissionsOf(text string) (all []v1alpha1.Permission, err error) {
	for name := range strings.SplitSeq(text, ",") {
		switch p := v1alpha1.Permission(strings.TrimSpace(name)); {
		case p == v1alpha1.PermissionAll:
			return v1alpha1.Permissions, nil
		case slices.Contains(v1alpha1.Permissions, p):
			all = append(all, p)
		default:
			return nil, fmt.Errorf("metadata.annotations[%s]: expected brokers, triggers and functions, separated by commas, or *, got %q", lambda.RestoreAnnotationKey, text)
		}
	}
	slices.Sort(all)
	return slices.Compact(all), nil
}

// sign signs the record that the operator wrote. Validation refuses a new record that
// cannot be read; an old one stays as it is.
func (m *Mutation) sign(c *change, now *v1alpha1.LambdaAgent) {
	if w, err := now.Withdrawals(); err == nil {
		c.write(lambda.WithdrawnAnnotationKey, grant.SignRecord(m.Keys.Newest(), *w))
	}
}

// ofRecord are the annotations that the receiver and admission itself may change.
var ofRecord = []string{lambda.WithdrawnAnnotationKey, lambda.RestoreAnnotationKey, lambda.VerifiedAnnotationKey}

// onlyRecord reports whether nothing but the record changes, as far as users see it.
func onlyRecord(c *change) bool {
	meta := func(o map[string]any) map[string]any {
		all, _ := o["metadata"].(map[string]any)
		all = maps.Clone(all)
		for _, of := range []string{"managedFields", "resourceVersion", "generation"} { // the API server's
			delete(all, of)
		}
		annotations := maps.Clone(annotationsOf(o))
		for _, key := range ofRecord {
			delete(annotations, key)
		}
		delete(all, "annotations")
		if len(annotations) > 0 {
			all["annotations"] = annotations
		}
		return all
	}
	return equality.Semantic.DeepEqual(content(c.old), content(c.now)) && equality.Semantic.DeepEqual(meta(c.old), meta(c.now))
}
