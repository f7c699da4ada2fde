// Package config holds this project's configuration: ConfigMaps parsed strictly
// and once, carried on the context.
package config

import (
	"context"
	"errors"

	corev1 "k8s.io/api/core/v1"
	"knative.dev/pkg/configmap"
)

type key struct{}

// Config is all configuration that defaults, validation and reconcilers read.
type Config struct {
	Build    *Build
	Runtimes *Runtimes
	Defaults *Defaults
	Eventing *Eventing
	Events   *Events
}

// FromContext returns the configuration of the context, nil where there is
// none.
func FromContext(ctx context.Context) *Config {
	cfg, _ := ctx.Value(key{}).(*Config)
	return cfg
}

// FromContextOrDefaults returns the configuration of the context, and built-in
// values where there is none. Runtimes has no built-in value: it is nil where
// config-runtimes is not known.
func FromContextOrDefaults(ctx context.Context) *Config {
	if cfg := FromContext(ctx); cfg != nil {
		return cfg
	}
	return &Config{Build: defaultBuild(), Defaults: defaultDefaults(), Eventing: defaultEventing(), Events: defaultEvents()}
}

// ToContext puts the configuration on the context.
func ToContext(ctx context.Context, cfg *Config) context.Context {
	return context.WithValue(ctx, key{}, cfg)
}

// Constructors of all ConfigMaps of this project, for their validation at
// admission.
var Constructors = constructors(nil)

// constructors are strict without warn, and tolerant with it.
func constructors(warn func(error)) configmap.Constructors {
	return configmap.Constructors{
		BuildConfigName:    Tolerant(warn, NewBuildFromConfigMap),
		RuntimesConfigName: Tolerant(warn, NewRuntimesFromConfigMap),
		DefaultsConfigName: Tolerant(warn, NewDefaultsFromConfigMap),
		EventingConfigName: Tolerant(warn, NewEventingFromConfigMap),
		EventsConfigName:   Tolerant(warn, NewEventsFromConfigMap),
	}
}

// Tolerant parses like parse, and only warns of keys that nothing reads: admission
// refuses them, but after a rollback the cluster has those of the newer version,
// with which the older one must start. Without warn such a key is an error.
func Tolerant[T any](warn func(error), parse func(*corev1.ConfigMap) (T, error)) func(*corev1.ConfigMap) (T, error) {
	return func(cm *corev1.ConfigMap) (T, error) {
		parsed, err := parse(cm)
		var unknown UnknownKeysError
		if warn != nil && errors.As(err, &unknown) {
			warn(unknown)
			return parsed, nil
		}
		return parsed, err
	}
}

// Store keeps the newest configuration that could be parsed.
type Store struct {
	*configmap.UntypedStore
}

// NewStore returns a store. onAfterStore is called with the name and the parsed
// value of each ConfigMap whenever it changed.
func NewStore(logger configmap.Logger, onAfterStore ...func(name string, value interface{})) *Store {
	warn := func(err error) { logger.Errorf("Ignoring what this version does not know: %v", err) }
	return &Store{UntypedStore: configmap.NewUntypedStore("lambda", logger, constructors(warn), onAfterStore...)}
}

// ToContext implements knative.dev/pkg/reconciler.ConfigStore.
func (s *Store) ToContext(ctx context.Context) context.Context {
	return ToContext(ctx, s.Load())
}

// Load returns the newest configuration.
func (s *Store) Load() *Config {
	cfg := &Config{Build: defaultBuild(), Defaults: defaultDefaults(), Eventing: defaultEventing(), Events: defaultEvents()}
	if b, ok := s.UntypedLoad(BuildConfigName).(*Build); ok && b != nil {
		cfg.Build = b
	}
	if r, ok := s.UntypedLoad(RuntimesConfigName).(*Runtimes); ok && r != nil {
		cfg.Runtimes = r
	}
	if d, ok := s.UntypedLoad(DefaultsConfigName).(*Defaults); ok && d != nil {
		cfg.Defaults = d
	}
	if e, ok := s.UntypedLoad(EventingConfigName).(*Eventing); ok && e != nil {
		cfg.Eventing = e
	}
	if e, ok := s.UntypedLoad(EventsConfigName).(*Events); ok && e != nil {
		cfg.Events = e
	}
	return cfg
}
