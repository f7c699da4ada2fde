package runtime

import (
	"encoding/base64"
	"encoding/json"
	"mime"
	"net"
	"net/http"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/google/uuid"
)

// httpPayload is a request as payload 2.0 of AWS Lambda's function URLs.
type httpPayload struct {
	Version               string            `json:"version"`
	RouteKey              string            `json:"routeKey"`
	RawPath               string            `json:"rawPath"`
	RawQueryString        string            `json:"rawQueryString"`
	Cookies               []string          `json:"cookies,omitempty"`
	Headers               map[string]string `json:"headers"`
	QueryStringParameters map[string]string `json:"queryStringParameters,omitempty"`
	RequestContext        payloadContext    `json:"requestContext"`
	Body                  string            `json:"body,omitempty"`
	IsBase64Encoded       bool              `json:"isBase64Encoded"`
}

type payloadContext struct {
	AccountID    string      `json:"accountId"`
	APIID        string      `json:"apiId"`
	DomainName   string      `json:"domainName"`
	DomainPrefix string      `json:"domainPrefix"`
	HTTP         payloadHTTP `json:"http"`
	RequestID    string      `json:"requestId"`
	RouteKey     string      `json:"routeKey"`
	Stage        string      `json:"stage"`
	Time         string      `json:"time"`
	TimeEpoch    int64       `json:"timeEpoch"`
}

type payloadHTTP struct {
	Method    string `json:"method"`
	Path      string `json:"path"`
	Protocol  string `json:"protocol"`
	SourceIP  string `json:"sourceIp"`
	UserAgent string `json:"userAgent"`
}

// defaultRoute names the one route and stage that function URLs have.
const defaultRoute = "$default"

// toPayload makes the request itself the data of the handler.
func (r *request) toPayload(in *http.Request, function string) {
	r.Payload, r.RequestID = true, uuid.NewString()
	host, _, found := strings.Cut(in.Host, ":")
	if !found {
		host = in.Host
	}
	prefix, _, _ := strings.Cut(host, ".")
	p := httpPayload{Version: "2.0", RouteKey: defaultRoute, RawPath: in.URL.EscapedPath(), RawQueryString: in.URL.RawQuery, Headers: joinedHeaders(in),
		RequestContext: payloadContext{AccountID: "anonymous", APIID: function, DomainName: host, DomainPrefix: prefix, RequestID: r.RequestID,
			RouteKey: defaultRoute, Stage: defaultRoute, Time: r.Arrived.UTC().Format("02/Jan/2006:15:04:05 +0000"), TimeEpoch: r.Arrived.UnixMilli(),
			HTTP: payloadHTTP{Method: in.Method, Path: in.URL.EscapedPath(), Protocol: in.Proto, SourceIP: sourceIP(in), UserAgent: in.UserAgent()}}}
	for _, line := range in.Header["Cookie"] {
		for cookie := range strings.SplitSeq(line, ";") {
			if cookie = strings.TrimSpace(cookie); cookie != "" {
				p.Cookies = append(p.Cookies, cookie)
			}
		}
	}
	if values := in.URL.Query(); len(values) > 0 {
		p.QueryStringParameters = make(map[string]string, len(values))
		for name, all := range values {
			p.QueryStringParameters[name] = strings.Join(all, ",")
		}
	}
	if p.IsBase64Encoded = len(r.Body) > 0 && !isText(r.ContentType, r.Body); p.IsBase64Encoded {
		p.Body = base64.StdEncoding.EncodeToString(r.Body)
	} else {
		p.Body = string(r.Body)
	}
	text, err := json.Marshal(p)
	if err != nil { // of texts
		panic(err)
	}
	r.Body, r.ContentType = text, typeJSON
}

func joinedHeaders(in *http.Request) map[string]string {
	h := make(map[string]string, len(in.Header)+1)
	h["host"] = in.Host
	for name, values := range in.Header {
		if name != "Cookie" {
			h[strings.ToLower(name)] = strings.Join(values, ",")
		}
	}
	return h
}

// sourceIP of the client, as the first proxy says.
func sourceIP(in *http.Request) string {
	first, _, _ := strings.Cut(in.Header.Get("X-Forwarded-For"), ",")
	if first = strings.TrimSpace(first); first != "" {
		return first
	}
	host, _, err := net.SplitHostPort(in.RemoteAddr)
	if err != nil {
		return in.RemoteAddr
	}
	return host
}

// isText reports whether a body is passed as it is, and not in base64.
func isText(contentType string, body []byte) bool {
	media, _, err := mime.ParseMediaType(contentType)
	if err != nil || !utf8.Valid(body) {
		return false
	}
	return strings.HasPrefix(media, "text/") || strings.HasSuffix(media, "+json") || strings.HasSuffix(media, "+xml") ||
		slices.Contains([]string{typeJSON, "application/xml", "application/javascript"}, media)
}
