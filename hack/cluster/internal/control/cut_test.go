package control

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestCutRules(t *testing.T) {
	got, err := cutRules([]string{"10.241.0.7", "10.241.0.8"})
	if err != nil {
		t.Fatal(err)
	}
	const want = `*filter
:CNI-LAMBDA-CUT - [0:0]
-I INPUT 1 -j CNI-LAMBDA-CUT
-I OUTPUT 1 -j CNI-LAMBDA-CUT
-A CNI-LAMBDA-CUT -p tcp -s 10.241.0.7 --dport 16443 -j DROP
-A CNI-LAMBDA-CUT -p tcp -d 10.241.0.7 --sport 16443 -j DROP
-A CNI-LAMBDA-CUT -p tcp -s 10.241.0.8 --dport 16443 -j DROP
-A CNI-LAMBDA-CUT -p tcp -d 10.241.0.8 --sport 16443 -j DROP
COMMIT
`
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error("(-want, +got):", diff)
	}
	if got, err := cutRules([]string{"10.241.0.7 -j ACCEPT"}); err == nil {
		t.Errorf("what is no address makes the rules %s", got)
	}
}

// TestDownMends: what is cut when the cluster goes down is cut no longer.
func TestDownMends(t *testing.T) {
	saved := "*filter\n:INPUT ACCEPT [0:0]\n:CNI-LAMBDA-CUT - [0:0]\n-A INPUT -j CNI-LAMBDA-CUT\n-A CNI-LAMBDA-CUT -s 10.241.0.7/32 -j DROP\nCOMMIT\n"
	const want = "*filter\n-D INPUT -j CNI-LAMBDA-CUT\n-F CNI-LAMBDA-CUT\n-X CNI-LAMBDA-CUT\nCOMMIT\n"
	if diff := cmp.Diff(want, removal(saved, nil)); diff != "" {
		t.Error("(-want, +got):", diff)
	}
}
