package api

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/cloudevents/sdk-go/v2/event"
	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes/fake"
	clientgotesting "k8s.io/client-go/testing"

	receiverv1 "github.com/brunovlucena/knative-lambda-operator/pkg/apis/receiver/v1"
	"github.com/brunovlucena/knative-lambda-operator/pkg/events"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/access"
	"github.com/brunovlucena/knative-lambda-operator/pkg/receiver/deadletter"
	rtesting "github.com/brunovlucena/knative-lambda-operator/pkg/receiver/testing"
)

var queue = events.DeadLetterQueue("team", "greeter")

// authority signs client certificates.
type authority struct {
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t *testing.T) *authority {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "ca"}, NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &authority{cert, key, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
}

func (a *authority) issue(t *testing.T, user string, usage x509.ExtKeyUsage, groups ...string) *tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: user, Organization: groups}, NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{usage}}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, &key.PublicKey, a.key)
	if err != nil {
		t.Fatal(err)
	}
	return &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
}

// cluster knows the token "anns", and lets ann do everything and group readers get.
func cluster(ca *authority) *fake.Clientset {
	kube := fake.NewClientset(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "kube-system", Name: "extension-apiserver-authentication"}, Data: map[string]string{"client-ca-file": string(ca.pem)}})
	kube.PrependReactor("create", "tokenreviews", func(a clientgotesting.Action) (bool, runtime.Object, error) {
		review := a.(clientgotesting.CreateAction).GetObject().(*authenticationv1.TokenReview).DeepCopy()
		if review.Spec.Token == "anns" {
			review.Status = authenticationv1.TokenReviewStatus{Authenticated: true, User: authenticationv1.UserInfo{Username: "ann"}}
		}
		return true, review, nil
	})
	kube.PrependReactor("create", "subjectaccessreviews", func(a clientgotesting.Action) (bool, runtime.Object, error) {
		review := a.(clientgotesting.CreateAction).GetObject().(*authorizationv1.SubjectAccessReview).DeepCopy()
		r := review.Spec.ResourceAttributes
		about := r.Group == "lambda.knative.io" && r.Resource == "lambdafunctions" && r.Subresource == "deadletters" && r.Namespace == "team" && r.Name == "greeter"
		reads := r.Verb == "get" && strings.Contains(strings.Join(review.Spec.Groups, " "), "readers")
		review.Status.Allowed = about && (review.Spec.User == "ann" || reads)
		return true, review, nil
	})
	return kube
}

type served struct {
	*httptest.Server
	store  *rtesting.Store
	audits []string
}

func serve(t *testing.T, ca *authority) *served {
	t.Helper()
	s := &served{store: rtesting.NewStore(queue)}
	e := event.New()
	e.SetID("a/1")
	e.SetType("t")
	e.SetSource("/s")
	if err := e.SetData("application/json", map[string]int{"n": 1}); err != nil {
		t.Fatal(err)
	}
	if err := s.store.Publish(t.Context(), queue, &e); err != nil {
		t.Fatal(err)
	}
	letters := &deadletter.Service{Serving: rtesting.Serving{}, Store: s.store, Functions: rtesting.Functions{}, Agents: rtesting.Agents{}}
	s.Server = httptest.NewUnstartedServer(New(letters, access.NewReviewer(cluster(ca)), func(_ context.Context, user, action string, _ deadletter.Owner) {
		s.audits = append(s.audits, user+" "+action)
	}))
	s.TLS = &tls.Config{ClientAuth: tls.RequestClientCert, MinVersion: tls.VersionTLS12}
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

// call makes a request with a token, a client certificate or neither.
func (s *served) call(t *testing.T, method, path, token string, cert *tls.Certificate) (int, string) {
	t.Helper()
	transport := s.Client().Transport.(*http.Transport).Clone()
	if cert != nil {
		transport.TLSClientConfig.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return cert, nil }
	}
	defer transport.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), method, s.URL+path, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		r.Header.Set("Authorization", "Bearer "+token)
	}
	response, err := (&http.Client{Transport: transport}).Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(bytes.TrimSpace(body))
}

func function(namespace string) deadletter.Owner {
	return deadletter.Function(types.NamespacedName{Namespace: namespace, Name: "greeter"})
}

func pathOf(o deadletter.Owner) string {
	return receiverv1.DeadLettersPath(o.Kind, o.Namespace, o.Name)
}

func TestWhoMay(t *testing.T) {
	ca := newAuthority(t)
	path := pathOf(function("team"))
	for _, tt := range []struct {
		name, method, path, token string
		cert                      *tls.Certificate
		status                    int
		want                      string
	}{
		{"a token", http.MethodGet, path, "anns", nil, 200, `"id":"a/1"`},
		{"a client certificate", http.MethodGet, path, "", ca.issue(t, "ann", x509.ExtKeyUsageClientAuth), 200, `"id":"a/1"`},
		{"a group of a client certificate", http.MethodGet, path, "", ca.issue(t, "bob", x509.ExtKeyUsageClientAuth, "readers"), 200, `"id":"a/1"`},
		{"an agent by a function's path", http.MethodGet, "/v1/namespaces/team/functions/agents.greeter/deadletters", "anns", nil, 400, "name: expected a DNS label"},
		{"its replay", http.MethodPost, "/v1/namespaces/team/functions/agents.greeter/deadletters/replay?all=true", "anns", nil, 400, "name: expected a DNS label"},
		{"its purge", http.MethodDelete, "/v1/namespaces/team/functions/agents.greeter/deadletters?all=true", "anns", nil, 400, "name: expected a DNS label"},
		{"a path in a name", http.MethodGet, "/v1/namespaces/team/functions/..%2Fgreeter/deadletters", "anns", nil, 400, "name: expected a DNS label"},
		{"a namespace that is none", http.MethodGet, "/v1/namespaces/team.agents/agents/greeter/deadletters", "anns", nil, 400, "namespace: expected a DNS label"},
		{"nobody", http.MethodGet, path, "", nil, 401, "bearer token or a client certificate"},
		{"a token that is none", http.MethodGet, path, "forged", nil, 401, "does not take the token"},
		{"a certificate of another CA", http.MethodGet, path, "", newAuthority(t).issue(t, "ann", x509.ExtKeyUsageClientAuth), 401, "not authenticated"},
		{"a server's certificate", http.MethodGet, path, "", ca.issue(t, "ann", x509.ExtKeyUsageServerAuth), 401, "not authenticated"},
		{"a certificate of nobody", http.MethodGet, path, "", ca.issue(t, "", x509.ExtKeyUsageClientAuth), 401, "no common name"},
		{"a reader who purges", http.MethodDelete, path, "", ca.issue(t, "bob", x509.ExtKeyUsageClientAuth, "readers"), 403, `user \"bob\" may not delete lambdafunctions/deadletters of team/greeter`},
		{"a reader who replays", http.MethodPost, path + "/replay", "", ca.issue(t, "bob", x509.ExtKeyUsageClientAuth, "readers"), 403, "may not update"},
		{"who may see the function's and not the agent's", http.MethodGet, pathOf(deadletter.Agent(function("team").NamespacedName)), "anns", nil, 403, `user \"ann\" may not get lambdaagents/deadletters of team/greeter`},
		{"another namespace", http.MethodGet, pathOf(function("other")), "anns", nil, 403, "other/greeter"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, ca)
			status, body := s.call(t, tt.method, tt.path, tt.token, tt.cert)
			if status != tt.status || !strings.Contains(body, tt.want) {
				t.Errorf("answer = %d %s, want %d that says %q", status, body, tt.status, tt.want)
			}
			if ids := s.store.IDs(queue); len(ids) != 1 {
				t.Errorf("letters = %v", ids)
			}
			if (len(s.audits) > 0) != (tt.status == 200) {
				t.Errorf("audits = %v", s.audits)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	s := serve(t, newAuthority(t))
	path := pathOf(function("team"))
	for _, tt := range []struct {
		name, method, path string
		status             int
		want               string
	}{
		{"an event, whole", http.MethodGet, path + "?id=a%2F1", 200, `"event":{"specversion":"1.0","id":"a/1"`},
		{"an id that is not there", http.MethodGet, path + "?id=2", 404, "no dead letter of that id"},
		{"a wrong limit", http.MethodGet, path + "?limit=many", 400, "from 1 to 1000"},
		{"a replay to a function that does not exist", http.MethodPost, path + "/replay?all=true", 404, "not found"},
		{"a replay of nothing", http.MethodPost, path + "/replay", 400, "expected the id of a dead letter, or all"},
		{"a replay of an empty id", http.MethodPost, path + "/replay?id=", 400, "id: expected one value that is not empty"},
		{"a purge of nothing", http.MethodDelete, path, 400, "expected the id of a dead letter, or all"},
		{"a purge of an empty id", http.MethodDelete, path + "?id=", 400, "id: expected one value that is not empty"},
		{"a purge of an id and all", http.MethodDelete, path + "?id=a%2F1&all=true", 400, "expected the id of a dead letter, or all"},
		{"a purge of all, perhaps", http.MethodDelete, path + "?all=false", 400, "all: expected true"},
		{"a purge of another source", http.MethodDelete, path + "?id=a%2F1&source=%2Fother", 404, "no dead letter of that id and source"},
		{"an event of an empty id", http.MethodGet, path + "?id=", 400, "id: expected one value that is not empty"},
		{"a purge of an id that is not there", http.MethodDelete, path + "?id=2", 404, "no dead letter of that id"},
		{"a purge", http.MethodDelete, path + "?id=a%2F1", 200, `{"purged":1}`},
		{"an empty list", http.MethodGet, path, 200, `{"items":[]}`},
		{"a path that is not there", http.MethodGet, "/v1", 404, "not found"},
	} {
		status, body := s.call(t, tt.method, tt.path, "anns", nil)
		if status != tt.status || !strings.Contains(body, tt.want) {
			t.Errorf("%s: answer = %d %s, want %d that says %q", tt.name, status, body, tt.status, tt.want)
		}
	}
	for _, source := range []string{"/a", "/b"} {
		e := event.New()
		e.SetID("1")
		e.SetType("t")
		e.SetSource(source)
		if err := s.store.Publish(t.Context(), queue, &e); err != nil {
			t.Fatal(err)
		}
	}
	if status, body := s.call(t, http.MethodDelete, path+"?id=1", "anns", nil); status != 422 || !strings.Contains(body, `the sources are \"/a\", \"/b\"`) {
		t.Errorf("an id of two sources: answer = %d %s, want 422 that names both", status, body)
	}
	if status, body := s.call(t, http.MethodDelete, path+"?id=1&source=%2Fb", "anns", nil); status != 200 || !strings.Contains(body, `{"purged":1}`) {
		t.Errorf("an id and source: answer = %d %s, want 200 and one purged", status, body)
	}
	s.store.Err = deadletter.ErrUnavailable
	if status, body := s.call(t, http.MethodGet, path, "anns", nil); status != 503 {
		t.Errorf("without RabbitMQ: answer = %d %s, want 503", status, body)
	}
	s.store.Err = deadletter.ErrBusy
	if status, body := s.call(t, http.MethodGet, path, "anns", nil); status != 409 {
		t.Errorf("while somebody else has the queue: answer = %d %s, want 409", status, body)
	}
}
