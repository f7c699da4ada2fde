package connection

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes/fake"
)

// with the keys of a complete Secret, changed; an empty value removes a key.
func with(changes ...string) map[string][]byte {
	data := map[string][]byte{"host": []byte("rabbit.team.svc"), "username": []byte("u"), "password": []byte("p\n")}
	for i := 0; i < len(changes); i += 2 {
		if data[changes[i]] = []byte(changes[i+1]); changes[i+1] == "" {
			delete(data, changes[i])
		}
	}
	return data
}

func TestParse(t *testing.T) {
	t.Parallel()
	plain := Settings{Host: "rabbit.team.svc", Port: "5672", Username: "u", Password: "p", VirtualHost: "/"}
	change := func(f func(*Settings)) Settings { s := plain; f(&s); return s }
	for name, tt := range map[string]struct {
		data map[string][]byte
		want Settings
	}{
		"least":        {with(), plain},
		"virtual host": {with("vhost", "orders"), change(func(s *Settings) { s.VirtualHost = "orders" })},
		"TLS":          {with("tls", "true"), change(func(s *Settings) { s.TLS, s.Port = true, "5671" })},
		"TLS by port":  {with("port", "5671"), change(func(s *Settings) { s.TLS, s.Port = true, "5671" })},
		"management":   {with("management", "http://rabbit.team.svc:15672"), change(func(s *Settings) { s.Management = "http://rabbit.team.svc:15672" })},
		"an address":   {with("host", "fd00::1"), change(func(s *Settings) { s.Host = "fd00::1" })},
		"a connection string": {with("host", "", "username", "", "password", "", "connection_string", "amqps://a:b@rabbit.test/v?cacertfile=/etc/x"),
			Settings{Host: "rabbit.test", Port: "5671", Username: "a", Password: "b", VirtualHost: "v", TLS: true}},
		"of eventing-rabbitmq": {with("host", "", "uri", "https://rabbit.team.svc:15671", "port", "5673"),
			change(func(s *Settings) { s.TLS, s.Port, s.Management = true, "5673", "https://rabbit.team.svc:15671" })},
		"of eventing-rabbitmq, no scheme": {with("host", "", "uri", "rabbit.team.svc:15672"),
			change(func(s *Settings) { s.Management = "http://rabbit.team.svc:15672" })},
		"of eventing-rabbitmq, no scheme, TLS": {with("host", "", "uri", "rabbit.team.svc:15671", "tls", "true"),
			change(func(s *Settings) { s.TLS, s.Port, s.Management = true, "5671", "https://rabbit.team.svc:15671" })},
		"TLS, management in the clear on request": {with("host", "", "uri", "http://rabbit.team.svc", "tls", "true", "management", "http://rabbit.team.svc:15672"),
			change(func(s *Settings) { s.TLS, s.Port, s.Management = true, "5671", "http://rabbit.team.svc:15672" })},
		"a connection string in the clear, management with TLS": {with("host", "", "connection_string", "amqp://u:p@rabbit.team.svc", "uri", "https://rabbit.team.svc:15671"),
			change(func(s *Settings) { s.Management = "https://rabbit.team.svc:15671" })},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := Parse(tt.data)
			if diff := cmp.Diff(tt.want, got); diff != "" || err != nil {
				t.Errorf("error %v (-want, +got): %s", err, diff)
			}
			again, err := got.Credentials().URI()
			if err != nil || again.Host != got.Host || fmt.Sprint(again.Port) != got.Port || again.Vhost != got.VirtualHost || (again.Scheme == "amqps") != got.TLS {
				t.Errorf("the credentials lead to %+v, %v", again, err)
			}
		})
	}
}

func TestParse_NamesTheKey(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		data map[string][]byte
		want string
	}{
		"no host":                  {with("host", ""), "key host: missing"},
		"no user":                  {with("username", ""), "key username: missing"},
		"no password":              {with("password", ""), "key password: missing"},
		"a host of the operator's": {with("host", "rabbit"), "key host: expected an IP address or a name with dots"},
		"no port":                  {with("port", "http"), "keys host and port: expected"},
		"a port out of range":      {with("port", "70000"), "key port: expected a number from 1 to 65535"},
		"neither TLS nor none":     {with("tls", "yes"), "key tls: expected true or false"},
		"no certificate":           {with("ca.crt", "x"), "key ca.crt: expected certificates in PEM"},
		"a long password":          {with("password", strings.Repeat("s", 2000)), "key password: expected at most 1024 bytes"},
		"a long virtual host":      {with("vhost", strings.Repeat("v", 256)), "key vhost: expected at most 255 bytes"},
		"management of a file":     {with("management", "file:///etc/passwd"), "key management: expected http[s]"},
		"management with a user":   {with("management", "http://u:s3cret@h.test"), "key management: expected http[s]"},
		"another scheme":           {with("connection_string", "http://u:s3cret@h.test/"), "connection_string: expected amqp[s]://"},
		"no URI":                   {with("host", "", "uri", "http://"), "key uri: expected the URL"},
		"a URI of AMQP":            {with("host", "", "uri", "amqps://h.test", "management", "http://h.test:15672"), "key uri: expected the URL of the management API"},
		"a URI with a user":        {with("host", "", "uri", "http://u:s3cret@h.test"), "key uri: expected the URL of the management API"},
		"a URI without TLS, tls":   {with("host", "", "uri", "http://h.test", "tls", "true"), "key uri: expected https://, because tls is true"},
		"a URI without TLS, CA":    {with("host", "", "uri", "http://h.test", "ca.crt", "x"), "key uri: expected https://, because tls is true or ca.crt is set"},
		"a string without TLS":     {with("connection_string", "amqp://u:s3cret@h.test/", "tls", "true"), "key connection_string: expected amqps://, because tls is true"},
		"a string with a CA only":  {with("connection_string", "amqp://u:s3cret@h.test/", "ca.crt", "x"), "key connection_string: expected amqps://, because ca.crt is set"},
		"a string without a user":  {with("connection_string", "amqps://h.test/"), "key connection_string: expected a user and a password"},
		"a string, no password":    {with("connection_string", "amqps://u@h.test/"), "key connection_string: expected a user and a password"},
		"a string, empty user":     {with("connection_string", "amqps://:s3cret@h.test/"), "key connection_string: expected a user and a password"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := Parse(tt.data)
			if err == nil || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cret") {
				t.Errorf("Parse() = %v, want %q", err, tt.want)
			}
		})
	}
}

func TestName(t *testing.T) {
	t.Parallel()
	base := Settings{From: "team", Source: "Secret team/rabbit", Host: "h.test", Port: "5672", VirtualHost: "v", Username: "u", Password: "p"}
	name := base.Name("team")
	if NamespaceOf(name) != "team" || len(name) != len("team.")+16 {
		t.Errorf("name %q", name)
	}
	for what, tt := range map[string]struct {
		change func(*Settings)
		same   bool
	}{
		"user and password": {func(s *Settings) { s.Username, s.Password, s.CA = "u2", "p2", "ca" }, true},
		"virtual host":      {func(s *Settings) { s.VirtualHost = "w" }, false},
		"host":              {func(s *Settings) { s.Host = "i.test" }, false},
		"port":              {func(s *Settings) { s.Port = "5673" }, false},
		"another Secret":    {func(s *Settings) { s.Source = "Secret team/other" }, false},
	} {
		s := base
		if tt.change(&s); (s.Name("team") == name) != tt.same {
			t.Errorf("%s: name %q, was %q", what, s.Name("team"), name)
		}
	}
	if base.Name("other") == name {
		t.Error("two namespaces share a connection")
	}
}

func TestAdmit(t *testing.T) {
	t.Parallel()
	all := func(names ...string) map[string][]byte {
		m := map[string][]byte{}
		for _, n := range names {
			m[n] = nil
		}
		return m
	}
	for name, tt := range map[string]struct {
		all   map[string][]byte
		name  string
		limit int
		ok    bool
	}{
		"none allowed":                    {nil, "a.1", 0, false},
		"the first":                       {nil, "a.1", 1, true},
		"open already":                    {all("a.1", "b.1"), "a.1", 2, true},
		"full":                            {all("a.1", "b.1"), "c.1", 2, false},
		"the namespace has half":          {all("a.1", "a.2"), "a.3", 4, false},
		"another namespace gets the rest": {all("a.1", "a.2"), "b.1", 4, true},
	} {
		if err := Admit(tt.all, tt.name, tt.limit); (err == nil) != tt.ok {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestFollow: connections are opened, changed in place, and closed as the Secret says.
func TestFollow(t *testing.T) {
	t.Parallel()
	settings := func(password string) Settings { return Settings{From: "team", Host: "h.test", Password: password} }
	secretOf := func(all map[string]Settings, more map[string][]byte) *corev1.Secret {
		o := &corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "knative-lambda", Name: SecretName}, Data: more}
		for name, s := range all {
			text, err := s.Encode()
			if err != nil {
				t.Fatal(err)
			}
			if o.Data == nil {
				o.Data = map[string][]byte{}
			}
			o.Data[name] = text
		}
		return o
	}
	kube := fake.NewClientset(secretOf(map[string]Settings{"team.a": settings("1")}, map[string][]byte{"team.broken": []byte("{")}))
	type opened struct {
		name    string
		current func() *Settings
	}
	var closed []string
	set := &Set[opened]{
		Open:  func(name string, current func() *Settings) opened { return opened{name, current} },
		Close: func(name string, _ opened) { closed = append(closed, name) },
	}
	applied := make(chan struct{}, 1)
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(Follow(t.Context(), t.Context(), NewInformer(kube, "knative-lambda"), func(all map[string]Settings) {
		set.Apply(all)
		applied <- struct{}{}
	}))
	<-applied
	a, ok := set.Get("team.a")
	if _, broken := set.Get("team.broken"); !ok || broken || a.current().Password != "1" || len(set.Opened()) != 1 {
		t.Fatalf("open: %v", set.Opened())
	}
	update := func(o *corev1.Secret) {
		t.Helper()
		_, err := kube.CoreV1().Secrets(o.Namespace).Update(context.Background(), o, metav1.UpdateOptions{})
		must(err)
		<-applied
	}
	update(secretOf(map[string]Settings{"team.a": settings("2"), "team.b": settings("3")}, nil))
	if same, _ := set.Get("team.a"); same.current().Password != "2" || a.current().Password != "2" || len(closed) != 0 {
		t.Errorf("after a new password: %v, closed %v", same.current(), closed)
	}
	if b, ok := set.Get("team.b"); !ok || b.current().Password != "3" {
		t.Errorf("the second is open: %t", ok)
	}
	update(secretOf(map[string]Settings{"team.b": settings("3")}, nil))
	if _, ok := set.Get("team.a"); ok || !slices.Equal(closed, []string{"team.a"}) {
		t.Errorf("after the removal: closed %v", closed)
	}
	must(kube.CoreV1().Secrets("knative-lambda").Delete(context.Background(), SecretName, metav1.DeleteOptions{}))
	<-applied
	if len(set.Opened()) != 0 {
		t.Errorf("without the Secret %v are open", set.Opened())
	}
}
