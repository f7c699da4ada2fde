package approval

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/cloudevents/sdk-go/v2/binding"
	"github.com/cloudevents/sdk-go/v2/event"
	corev1 "k8s.io/api/core/v1"

	"github.com/brunovlucena/knative-lambda-operator/internal/ceio"
	"github.com/brunovlucena/knative-lambda-operator/internal/egress"
	"github.com/brunovlucena/knative-lambda-operator/pkg/apis/lambda/v1alpha1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/approval"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
)

const (
	// askTimeout of a provider, which may answer with a decision.
	askTimeout = 30 * time.Second
	// maxAnswer is read of an answer.
	maxAnswer = 64 << 10
	// maxShown of a request's data in a message for people.
	maxShown = 2000
)

// asker asks providers.
type asker struct {
	secret func(ctx context.Context, namespace, name string) (*corev1.Secret, error)
	client *http.Client
}

// ask a provider. It may decide at once; nil is later.
func (a *asker) ask(ctx context.Context, p v1alpha1.ApprovalProvider, r *v1alpha1.ApprovalRequest, agent *v1alpha1.LambdaAgent) (*approval.Vote, error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	spec := agent.Spec.Approval
	switch {
	case p == v1alpha1.ApprovalBySlack && spec != nil && spec.Slack != nil:
		return nil, a.askSlack(ctx, spec.Slack, r)
	case p == v1alpha1.ApprovalByCustom && spec != nil && spec.Custom != nil:
		return a.askCustom(ctx, spec.Custom, r, agent)
	}
	return nil, fmt.Errorf("spec.approval.%s: missing by now", p)
}

// key of a Secret of the agent's namespace.
func (a *asker) key(ctx context.Context, namespace string, from *corev1.SecretKeySelector) (string, error) {
	secret, err := a.secret(ctx, namespace, from.Name)
	if err != nil {
		return "", err
	}
	value := strings.TrimSpace(string(secret.Data[from.Key]))
	if value == "" {
		return "", fmt.Errorf("the Secret %s/%s has no key %q", namespace, from.Name, from.Key)
	}
	return value, nil
}

// send a request and return the body of a 2xx answer.
func (a *asker) send(r *http.Request) (int, []byte, error) {
	response, err := a.client.Do(r)
	if err != nil {
		return 0, nil, withoutURL(err)
	}
	defer response.Body.Close()
	body, err := egress.ReadBody(response.Body, maxAnswer)
	if response.StatusCode/100 != 2 {
		return response.StatusCode, nil, fmt.Errorf("the answer was %s", response.Status)
	}
	return response.StatusCode, body, err
}

// withoutURL takes the URL out of an error: Slack's is a secret.
func withoutURL(err error) error {
	var of *url.Error
	if errors.As(err, &of) {
		return of.Err
	}
	return err
}

// answer of a custom endpoint that decides at once.
type answer struct {
	Decision v1alpha1.ApprovalDecision `json:"decision"`
	Reason   string                    `json:"reason"`
}

// askCustom posts the request as an event. 200 with a decision is one; any other 2xx
// says that the decision comes later.
func (a *asker) askCustom(ctx context.Context, c *v1alpha1.CustomApproval, r *v1alpha1.ApprovalRequest, agent *v1alpha1.LambdaAgent) (*approval.Vote, error) {
	e := event.New()
	e.SetID(r.Spec.ID)
	e.SetType(events.ApprovalRequested)
	e.SetSource(agent.EventSource())
	e.SetSubject(r.Namespace + "/" + r.Spec.Agent)
	e.SetTime(r.CreationTimestamp.UTC())
	if err := e.SetData(event.ApplicationJSON, json.RawMessage(r.Spec.Data)); err != nil {
		return nil, err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.Endpoint, http.NoBody)
	if err != nil {
		return nil, err
	}
	if err := ceio.WriteRequest(binding.WithForceBinary(ctx), binding.ToMessage(&e), request); err != nil {
		return nil, err
	}
	if c.SecretRef != nil {
		token, err := a.key(ctx, r.Namespace, c.SecretRef)
		if err != nil {
			return nil, err
		}
		request.Header.Set("Authorization", "Bearer "+token)
	}
	status, body, err := a.send(request)
	if err != nil || status != http.StatusOK || len(bytes.TrimSpace(body)) == 0 {
		return nil, err
	}
	var said answer
	if err := json.Unmarshal(body, &said); err != nil {
		return nil, fmt.Errorf(`expected {"decision": "granted" or "denied"}, or 202 where the decision comes later: %w`, err)
	}
	if said.Decision != v1alpha1.ApprovalGranted && said.Decision != v1alpha1.ApprovalDenied {
		return nil, fmt.Errorf(`decision: expected granted or denied, or 202 where the decision comes later, got %q`, said.Decision)
	}
	return &approval.Vote{Decision: said.Decision, Provider: v1alpha1.ApprovalByCustom, By: approval.ByCustom, Reason: said.Reason}, nil
}

// askSlack posts a message to an incoming webhook.
func (a *asker) askSlack(ctx context.Context, s *v1alpha1.SlackApproval, r *v1alpha1.ApprovalRequest) error {
	hook, err := a.key(ctx, r.Namespace, &s.WebhookSecretRef)
	if err != nil {
		return err
	}
	body, err := json.Marshal(slackMessage{Channel: s.Channel, Text: slackText(r)})
	if err != nil {
		return err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, hook, bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("key %q of Secret %s/%s is no URL", s.WebhookSecretRef.Key, r.Namespace, s.WebhookSecretRef.Name)
	}
	request.Header.Set("Content-Type", "application/json")
	_, _, err = a.send(request)
	return err
}

type slackMessage struct {
	Channel string `json:"channel,omitempty"`
	Text    string `json:"text"`
}

// slackText says who asks for what until when, and how to decide. What the agent says
// can end neither its place in the message nor the words of the command.
func slackText(r *v1alpha1.ApprovalRequest) string {
	var asked events.ApprovalRequest
	_ = json.Unmarshal([]byte(r.Spec.Data), &asked) // checked when it came
	shown := r.Spec.Data
	if runes := []rune(shown); len(runes) > maxShown {
		shown = string(runes[:maxShown-1]) + "…"
	}
	command := func(verb string) string {
		return "`kubectl lambda approvals " + verb + " " + r.Spec.Agent + " " + handle(r) + " -n " + r.Namespace + "`"
	}
	lines := []string{
		fmt.Sprintf("Agent *%s/%s* asks for approval of *%s*", r.Namespace, r.Spec.Agent, slackPlain(r.Spec.Action)),
	}
	if asked.Description != "" {
		lines = append(lines, slackPlain(asked.Description))
	}
	at := map[string]string{v1alpha1.ApprovalTimeoutApprove: "granted"}[r.Spec.TimeoutAction]
	if at == "" {
		at = "denied"
	}
	return strings.Join(append(lines,
		"```"+slackPlain(shown)+"```",
		fmt.Sprintf("Without a decision it is %s at %s.", at, r.Spec.Deadline.UTC().Format(time.RFC3339)),
		"To decide: "+command("grant")+" or "+command("deny"),
	), "\n")
}

// slackPlain is text without what Slack reads as anything but text.
func slackPlain(text string) string {
	return strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "'", "*", "∗", "\n", " ", "\r", " ").Replace(text)
}

// handle is what a command names the request by: its id, where a shell takes that for
// a word and nothing else.
func handle(r *v1alpha1.ApprovalRequest) string {
	plain := strings.Trim(r.Spec.ID, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._:/-") == ""
	if plain && !strings.HasPrefix(r.Spec.ID, "-") {
		return r.Spec.ID
	}
	return r.Name
}
