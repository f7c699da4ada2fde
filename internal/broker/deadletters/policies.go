package deadletters

import (
	"context"

	"github.com/brunovlucena/knative-lambda-operator/internal/broker/management"
)

// FromSecret returns the Policies of the RabbitMQ that a mounted Secret names. The Secret
// is read for each request: its user changes.
func FromSecret(dir string) Policies { return secret(dir) }

type secret string

// Set implements Policies.
func (s secret) Set(ctx context.Context, name string, p management.Policy) error {
	client, virtualHost, err := management.Read(string(s))
	if err != nil {
		return err
	}
	return client.Put(ctx, p, "policies", virtualHost, name)
}

// Delete implements Policies.
func (s secret) Delete(ctx context.Context, name string) error {
	client, virtualHost, err := management.Read(string(s))
	if err != nil {
		return err
	}
	return client.Delete(ctx, "policies", virtualHost, name)
}

// Queues implements Policies.
func (s secret) Queues(ctx context.Context) ([]string, error) {
	client, virtualHost, err := management.Read(string(s))
	if err != nil {
		return nil, err
	}
	return client.Queues(ctx, virtualHost)
}
