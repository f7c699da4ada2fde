package main

import (
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		args                []string
		ingress, dispatcher bool
		maxBody             int64
		err                 string
	}{
		"default":    {ingress: true, dispatcher: true, maxBody: 10 << 20},
		"ingress":    {args: []string{"--dispatcher=false", "--max-body-bytes=1000"}, ingress: true, maxBody: 1000},
		"dispatcher": {args: []string{"--ingress=false"}, dispatcher: true, maxBody: 10 << 20},
		"neither":    {args: []string{"--ingress=false", "--dispatcher=false"}, err: "leave nothing to do"},
		"no body":    {args: []string{"--max-body-bytes=0"}, err: "1 or more"},
		"argument":   {args: []string{"x"}, err: `unexpected argument "x"`},
		"unknown":    {args: []string{"--x"}, err: "-x"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o, err := parse(tc.args, "knative-lambda")
			if tc.err != "" {
				if err == nil || !strings.Contains(err.Error(), tc.err) {
					t.Errorf("parse() = %v, want %s", err, tc.err)
				}
				return
			}
			if err != nil || o.Ingress != tc.ingress || (o.NewDispatcher != nil) != tc.dispatcher || o.MaxBody != tc.maxBody || o.Namespace != "knative-lambda" {
				t.Errorf("parse() = %+v, %v", o, err)
			}
		})
	}
}
