package config

import (
	"strings"
	"testing"

	corev1 "k8s.io/api/core/v1"
)

func TestEventsRefuses(t *testing.T) {
	for _, tt := range []struct{ name, key, value, want string }{
		{"a key that nothing reads", "sink", "http://a", "unknown key; known are approval-allowed-networks, command-aliases, lifecycle-sink, permission-disable-types, permission-enable-types, response-sink"},
		{"a control that is no type", "permission-disable-types", "a b.", "expected event types such as io.example.rbac.disable"},
		{"a control of both kinds", "permission-enable-types", "io.homelab.rbac.disable", "expected types that permission-disable-types does not have"},
		{"more controls than an agent may have", "permission-enable-types", "a,b,c,d,e,f,g,h,i,j,k,l,m,n,o,p", "expected at most 16 types"},
		{"networks that are none", "approval-allowed-networks", "10.0.0.1/8", "expected networks such as"},
		{"a sink that is no URL", "response-sink", "broker", "response-sink: expected a URL"},
		{"a sink of another scheme", "lifecycle-sink", "amqp://broker", "lifecycle-sink: expected a URL"},
		{"aliases that are no map", "command-aliases", "a", "expected YAML"},
		{"an alias of what is no command", "command-aliases", "a.b: io.knative.lambda.lifecycle.function.ready", `"a.b": expected a command of the platform`},
		{"a prefix for a type", "command-aliases", "a.: io.knative.lambda.command.build.start", "expected a type for a type"},
		{"an alias that hides a type of the platform", "command-aliases", "io.knative.lambda.command.build.start: io.knative.lambda.command.function.delete", "is a type of the platform itself"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := NewEventsFromConfigMap(&corev1.ConfigMap{Data: map[string]string{tt.key: tt.value}})
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("error = %v, want one that says %q", err, tt.want)
			}
		})
	}
}

func TestCommandAliases(t *testing.T) {
	e, err := NewEventsFromConfigMap(&corev1.ConfigMap{Data: map[string]string{"command-aliases": `
network.notifi.lambda.: io.knative.lambda.command.
network.notifi.lambda.release: io.knative.lambda.command.function.deploy
`}})
	if err != nil {
		t.Fatal(err)
	}
	for alias, want := range map[string]string{
		"network.notifi.lambda.build.start":      "io.knative.lambda.command.build.start",
		"network.notifi.lambda.release":          "io.knative.lambda.command.function.deploy",
		"io.knative.lambda.command.build.cancel": "io.knative.lambda.command.build.cancel",
		"com.example.other":                      "com.example.other",
	} {
		if got := e.Command(alias); got != want {
			t.Errorf("Command(%s) = %s, want %s", alias, got, want)
		}
	}
}
