// Command webhook defaults and validates both kinds, verifies who gives agents their
// permissions, and validates the operator's configuration.
package main

import (
	"context"
	"sync"
	"time"
	_ "time/tzdata" // schedules name time zones

	"k8s.io/apimachinery/pkg/runtime/schema"
	kubeclient "knative.dev/pkg/client/injection/kube/client"
	"knative.dev/pkg/configmap"
	"knative.dev/pkg/controller"
	"knative.dev/pkg/injection/sharedmain"
	"knative.dev/pkg/leaderelection"
	"knative.dev/pkg/logging"
	o11yconfigmap "knative.dev/pkg/observability/configmap"
	"knative.dev/pkg/signals"
	"knative.dev/pkg/system"
	"knative.dev/pkg/webhook"
	"knative.dev/pkg/webhook/certificates"
	"knative.dev/pkg/webhook/configmaps"
	"knative.dev/pkg/webhook/resourcesemantics"
	"knative.dev/pkg/webhook/resourcesemantics/defaulting"
	"knative.dev/pkg/webhook/resourcesemantics/validation"

	"github.com/brunovlucena/knative-lambda-operator/internal/keyring"
	"github.com/brunovlucena/knative-lambda-operator/pkg/admission"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/config"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
)

var types = map[schema.GroupVersionKind]resourcesemantics.GenericCRD{
	v1alpha1.SchemeGroupVersion.WithKind("LambdaFunction"): &v1alpha1.LambdaFunction{},
	v1alpha1.SchemeGroupVersion.WithKind("LambdaAgent"):    &v1alpha1.LambdaAgent{},
}

// withConfig decorates admission's contexts with the newest configuration.
func withConfig(ctx context.Context, cmw configmap.Watcher) func(context.Context) context.Context {
	store := config.NewStore(logging.FromContext(ctx).Named("config-store"))
	store.WatchConfigs(cmw)
	return store.ToContext
}

// newMutation defaults both kinds and signs the permissions of agents.
func newMutation(ctx context.Context, cmw configmap.Watcher) *controller.Impl {
	// Unknown fields are the schema's business.
	impl := defaulting.NewAdmissionController(ctx, "webhook.lambda.knative.io", "/defaulting", types, withConfig(ctx, cmw), false)
	knative, ok := impl.Reconciler.(admission.Defaulting)
	if !ok {
		logging.FromContext(ctx).Fatalf("Knative's defaulting is a %T, which admits nothing", impl.Reconciler)
	}
	user := "system:serviceaccount:" + system.Namespace() + ":knative-lambda-"
	impl.Reconciler = &admission.Mutation{
		Defaulting: knative, Kube: kubeclient.Get(ctx), Keys: keysOf(ctx), Controller: user + "controller", Receiver: user + "receiver", Now: time.Now,
	}
	return admission.BoundQuantities(impl)
}

func newValidation(ctx context.Context, cmw configmap.Watcher) *controller.Impl {
	callbacks := map[schema.GroupVersionKind]validation.Callback{
		v1alpha1.SchemeGroupVersion.WithKind("LambdaAgent"): validation.NewCallback(admission.Check(keysOf(ctx)), webhook.Create, webhook.Update),
	}
	return admission.BoundQuantities(validation.NewAdmissionController(ctx, "validation.webhook.lambda.knative.io", "/resource-validation", types, withConfig(ctx, cmw), false, callbacks))
}

// keys of the process. They are opened once.
var keys struct {
	sync.Once
	store *keyring.Store[keyring.Keyring]
}

// keysOf returns the operator's keys. Without them the process ends, and is started again:
// it can sign nothing.
func keysOf(ctx context.Context) *keyring.Store[keyring.Keyring] {
	keys.Do(func() {
		var err error
		if keys.store, err = keyring.Open(ctx, kubeclient.Get(ctx), system.Namespace(), nil); err != nil {
			logging.FromContext(ctx).Fatalw("Failed to open the keyring", "error", err)
		}
	})
	return keys.store
}

func newConfigValidation(ctx context.Context, _ configmap.Watcher) *controller.Impl {
	constructors := configmap.Constructors{
		logging.ConfigMapName():        logging.NewConfigFromConfigMap,
		o11yconfigmap.Name():           o11yconfigmap.Parse,
		leaderelection.ConfigMapName(): leaderelection.NewConfigFromConfigMap,
	}
	for name, constructor := range config.Constructors {
		constructors[name] = constructor
	}
	return configmaps.NewAdmissionController(ctx, "config.webhook.lambda.knative.io", "/config-validation", constructors)
}

func main() {
	ctx := webhook.WithOptions(signals.NewContext(), webhook.Options{
		ServiceName: webhook.NameFromEnv(),
		Port:        webhook.PortFromEnv(8443),
		SecretName:  "webhook-certs",
	})
	// The webhook's own port is its probe.
	sharedmain.MainWithContext(sharedmain.WithHealthProbesDisabled(ctx), "webhook",
		certificates.NewController,
		newMutation,
		newValidation,
		newConfigValidation,
	)
}
