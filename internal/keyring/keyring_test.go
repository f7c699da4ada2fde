package keyring

import (
	"bytes"
	"context"
	"regexp"
	"sync/atomic"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

func ring(t *testing.T, current, previous byte) *Keyring {
	t.Helper()
	data := map[string][]byte{CurrentKey: bytes.Repeat([]byte{current}, KeySize)}
	if previous != 0 {
		data[PreviousKey] = bytes.Repeat([]byte{previous}, KeySize)
	}
	k, err := New(data)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func TestVerify(t *testing.T) {
	old, rotated, finished := ring(t, 1, 0), ring(t, 2, 1), ring(t, 2, 0)
	code := old.Sign("sink", "function", "ns", "name")
	if !regexp.MustCompile(`^[a-v0-9]{26}$`).MatchString(code) {
		t.Errorf("Sign = %q, want 26 lowercase letters and digits", code)
	}
	for name, tc := range map[string]struct {
		ring    *Keyring
		code    string
		purpose Purpose
		parts   []string
		want    bool
	}{
		"the same key":          {old, code, "sink", []string{"function", "ns", "name"}, true},
		"during a rotation":     {rotated, code, "sink", []string{"function", "ns", "name"}, true},
		"after a rotation":      {finished, code, "sink", []string{"function", "ns", "name"}, false},
		"new code, rotation":    {rotated, finished.Sign("sink", "x"), "sink", []string{"x"}, true},
		"another purpose":       {old, code, "other", []string{"function", "ns", "name"}, false},
		"parts joined":          {old, code, "sink", []string{"function", "ns", "name", ""}, false},
		"parts shifted":         {old, code, "sink", []string{"function", "nsname", ""}, false},
		"empty code":            {old, "", "sink", []string{"function", "ns", "name"}, false},
		"empty code, rotation":  {rotated, "", "sink", []string{"function", "ns", "name"}, false},
		"prefix of a code":      {old, code[:25], "sink", []string{"function", "ns", "name"}, false},
		"derived key as a code": {old, old.Derive("sink", "function", "ns", "name"), "sink", []string{"function", "ns", "name"}, false},
	} {
		t.Run(name, func(t *testing.T) {
			if got := tc.ring.Verify(tc.code, tc.purpose, tc.parts...); got != tc.want {
				t.Errorf("Verify = %v, want %v", got, tc.want)
			}
		})
	}
}

func TestNew_RefusesKeysOfOtherSizes(t *testing.T) {
	for _, data := range []map[string][]byte{
		nil, {CurrentKey: make([]byte, 16)},
		{CurrentKey: make([]byte, KeySize), PreviousKey: make([]byte, 1)},
	} {
		if _, err := New(data); err == nil {
			t.Errorf("New(%v) returned no error", data)
		}
	}
}

// TestOpen: whichever process starts first fills the Secret, the others use what it
// has, and a rotation reaches those that run.
func TestOpen(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	kube := fake.NewClientset(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "ns", Name: SecretName}})
	var changes atomic.Int32
	first, err := Open(ctx, kube, "ns", func() { changes.Add(1) })
	if err != nil {
		t.Fatal(err)
	}
	second, err := Open(ctx, kube, "ns", nil)
	if err != nil {
		t.Fatal(err)
	}
	code := first.Newest().Sign("p", "x")
	if !second.Newest().Verify(code, "p", "x") {
		t.Error("two processes have different keys")
	}

	secret, err := kube.CoreV1().Secrets("ns").Get(ctx, SecretName, metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	secret = secret.DeepCopy()
	secret.Data[PreviousKey], secret.Data[CurrentKey] = secret.Data[CurrentKey], bytes.Repeat([]byte{7}, KeySize)
	if _, err := kube.CoreV1().Secrets("ns").Update(ctx, secret, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); changes.Load() == 0; {
		if time.Now().After(deadline) {
			t.Fatal("the rotation was not reported")
		}
		time.Sleep(time.Millisecond)
	}
	if k := first.Newest(); k.Sign("p", "x") == code || !k.Verify(code, "p", "x") {
		t.Error("after the rotation the old key still signs, or does not verify any more")
	}
	if n := changes.Load(); n != 1 {
		t.Errorf("%d changes were reported, want 1", n)
	}
}
