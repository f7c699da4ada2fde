package ingress

import (
	"context"
	"errors"
	"net/http"
	"testing"

	"github.com/cloudevents/sdk-go/v2/binding"
	cehttp "github.com/cloudevents/sdk-go/v2/protocol/http"
	eventingduckv1 "knative.dev/eventing/pkg/apis/duck/v1"
	"knative.dev/eventing/pkg/apis/feature"
)

// fakeVerifier refuses with a status.
type fakeVerifier struct {
	status int
	seen   *http.Request
	id     string
}

func (v *fakeVerifier) VerifyRequest(ctx context.Context, _ feature.Flags, audience *string, namespace string, policies []eventingduckv1.AppliedEventPolicyRef,
	r *http.Request, w http.ResponseWriter,
) error {
	v.seen = r
	if e, err := binding.ToEvent(ctx, cehttp.NewMessageFromHttpRequest(r)); err == nil {
		v.id = e.ID() + " " + string(e.Data())
	}
	if *audience != "aud" || namespace != "team" || len(policies) != 1 {
		return errors.New("the Broker is another")
	}
	if v.status == 0 {
		return nil
	}
	w.WriteHeader(v.status)
	return errors.New("subjects: secret")
}

func TestEventPolicies(t *testing.T) {
	t.Parallel()
	audience := "aud"
	b := Broker{Namespace: "team", Name: "default", Audience: &audience, Policies: []eventingduckv1.AppliedEventPolicyRef{{Name: "p"}}}
	e := minimalEvent()
	for name, tc := range map[string]struct {
		off    bool
		status int
		want   int
	}{
		"off":           {off: true, status: 401},
		"allowed":       {},
		"no token":      {status: 401, want: 401},
		"not allowed":   {status: 403, want: 403},
		"no provider":   {status: 500, want: 500},
		"misconfigured": {status: 200, want: 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			flags := feature.Flags{feature.OIDCAuthentication: feature.Enabled}
			if tc.off {
				flags = feature.Flags{}
			}
			v := &fakeVerifier{status: tc.status}
			p := &EventPolicies{Verifier: v, Features: func() feature.Flags { return flags }}
			err := p.Authorize(t.Context(), post(t.Context(), "/team/default", "", "Authorization", "Bearer x"), b, e)
			var refused *Refusal
			switch {
			case tc.want == 0 && err != nil, tc.want != 0 && (!errors.As(err, &refused) || refused.Status != tc.want || refused.Reason != "unauthorized"):
				t.Errorf("Authorize() = %v, want status %d", err, tc.want)
			case tc.off && v.seen != nil:
				t.Error("the verifier was asked although the feature is off")
			case !tc.off && (v.seen.Header.Get("Authorization") != "Bearer x" || v.id != `1 {"a":1}`):
				t.Errorf("the verifier saw %q and %v", v.id, v.seen.Header)
			}
		})
	}
}
