package phase

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"
	pkgreconciler "knative.dev/pkg/reconciler"
)

func TestRun(t *testing.T) {
	broken := errors.New("broken")
	for _, tt := range []struct {
		name  string
		fails string
		want  []string
		err   error
	}{
		{"all", "", []string{"source", "build", "service"}, nil},
		{"until one fails", "build", []string{"source", "build"}, broken},
	} {
		t.Run(tt.name, func(t *testing.T) {
			var ran []string
			var phases []Phase[*int]
			object := 7
			for _, name := range []string{"source", "build", "service"} {
				phases = append(phases, Phase[*int]{Name: name, Run: func(ctx context.Context, o *int) pkgreconciler.Event {
					if _, ok := ctx.Deadline(); !ok || o != &object {
						t.Errorf("phase %s of %p runs without a deadline or on something else", name, o)
					}
					ran = append(ran, name)
					if name == tt.fails {
						return broken
					}
					return nil
				}})
			}
			if err := Run(context.Background(), &object, phases...); !errors.Is(err, tt.err) {
				t.Errorf("Run() = %v, want %v", err, tt.err)
			}
			if diff := cmp.Diff(tt.want, ran); diff != "" {
				t.Error("(-want, +got):", diff)
			}
		})
	}
}
