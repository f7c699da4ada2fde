package v1_test

import (
	"encoding/json"
	"testing"

	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
)

// TestWire: clients of released versions read these paths and fields.
func TestWire(t *testing.T) {
	t.Parallel()
	for got, want := range map[string]string{
		receiverv1.DeadLettersPath(receiverv1.KindFunction, "team", "f"): "/v1/namespaces/team/functions/f/deadletters",
		receiverv1.ReplayPath(receiverv1.KindAgent, "team", "a"):         "/v1/namespaces/team/agents/a/deadletters/replay",
		receiverv1.ApprovalsPath("team", "a"):                            "/v1/namespaces/team/agents/a/approvals",
	} {
		if got != want {
			t.Errorf("path = %s, want %s", got, want)
		}
	}
	d := receiverv1.DeadLetter{
		ID: "1", Source: "/s", Type: "t", ErrorCode: -1, ErrorReason: "r", Attempts: 6, Origin: "o", DeadTime: "d", Size: 3,
	}
	replayed := &receiverv1.ReplayResult{DeadLetter: receiverv1.DeadLetter{ID: "1"}, Status: 204}
	for want, what := range map[string]any{
		`{"id":"1","source":"/s","type":"t","errorCode":-1,"errorReason":"r","attempts":6,"origin":"o","deadTime":"d","size":3}`: d,
		`{"id":"1","source":"","type":"","size":0,"status":204}`:                                                                 receiverv1.ReplayLine{ReplayResult: replayed},
		`{"problem":"p"}`:                        receiverv1.ReplayLine{Problem: "p"},
		`{"decision":"granted","reason":"seen"}`: receiverv1.ApprovalDecision{Decision: "granted", Reason: "seen"},
		`{"error":"e"}`:                          receiverv1.Problem{Error: "e"},
	} {
		if got, err := json.Marshal(what); string(got) != want || err != nil {
			t.Errorf("JSON = %s, %v; want %s", got, err, want)
		}
	}
}
