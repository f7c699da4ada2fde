package build

import (
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
)

// Differs says how what a pod runs differs from what a build asks for; empty if it does
// not. Containers that others add, such as a mesh's, do not count: they cannot write the
// executor's termination message.
func Differs(wanted, runs corev1.PodSpec) string {
	for _, w := range slices.Concat(wanted.InitContainers, wanted.Containers) {
		all := slices.Concat(runs.InitContainers, runs.Containers)
		i := slices.IndexFunc(all, func(c corev1.Container) bool { return c.Name == w.Name })
		switch {
		case i < 0:
			return fmt.Sprintf("it has no container %s", w.Name)
		case all[i].Image != w.Image:
			return fmt.Sprintf("its container %s runs image %s, and the build asks for %s", w.Name, all[i].Image, w.Image)
		case !slices.Equal(all[i].Command, w.Command) || !slices.Equal(all[i].Args, w.Args):
			return fmt.Sprintf("its container %s runs %q, and the build asks for %q", w.Name, slices.Concat(all[i].Command, all[i].Args), slices.Concat(w.Command, w.Args))
		}
	}
	return ""
}
