package runtime

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/brunovlucena/knative-lambda-operator/runtime/config"
)

// crossOrigin sets the headers of CORS for a request of a page, which so are on errors,
// too. It answers preflights, and reports whether it has.
func (s *Server) crossOrigin(w http.ResponseWriter, r *http.Request) (answered bool) {
	cors, h := s.cfg.CORS, w.Header()
	anyone := slices.Contains(cors.AllowOrigins, "*") && !cors.AllowCredentials
	if !anyone {
		h.Add("Vary", "Origin")
	}
	origin, method := r.Header.Get("Origin"), r.Header.Get("Access-Control-Request-Method")
	preflight := r.Method == http.MethodOptions && origin != "" && method != ""
	switch {
	case origin == "":
		return false
	case !cors.AllowsOrigin(origin):
		if preflight {
			refusePreflight(w, fmt.Sprintf("the origin %.200q is not one of spec.http.cors.allowOrigins", origin))
		}
		return preflight
	case anyone:
		h.Set("Access-Control-Allow-Origin", "*")
	default:
		h.Set("Access-Control-Allow-Origin", origin)
	}
	if cors.AllowCredentials {
		h.Set("Access-Control-Allow-Credentials", "true")
	}
	switch {
	case !preflight:
		if len(cors.ExposeHeaders) > 0 {
			h.Set("Access-Control-Expose-Headers", strings.Join(cors.ExposeHeaders, ", "))
		}
		return false
	case !cors.AllowsMethod(method):
		refusePreflight(w, fmt.Sprintf("the method %.100q is not one of spec.http.cors.allowMethods", method))
	default:
		allow(h, r, cors)
		w.WriteHeader(http.StatusNoContent)
	}
	return true
}

// allow says what a page may send.
func allow(h http.Header, r *http.Request, cors *config.CORS) {
	h.Add("Vary", "Access-Control-Request-Method")
	h.Add("Vary", "Access-Control-Request-Headers")
	methods, headers := strings.Join(cors.Methods(), ", "), strings.Join(cors.Headers(), ", ")
	if slices.Contains(cors.Methods(), "*") { // which is a name where credentials are sent
		methods = r.Header.Get("Access-Control-Request-Method")
	}
	if slices.Contains(cors.Headers(), "*") { // likewise, and Authorization is never meant by it
		headers = strings.Join(r.Header["Access-Control-Request-Headers"], ", ")
	}
	h.Set("Access-Control-Allow-Methods", methods)
	if headers != "" {
		h.Set("Access-Control-Allow-Headers", headers)
	}
	if cors.MaxAge > 0 {
		h.Set("Access-Control-Max-Age", strconv.Itoa(int(cors.MaxAge)))
	}
}

// refusePreflight answers without what lets the page send its request.
func refusePreflight(w http.ResponseWriter, why string) {
	p := badRequest(http.StatusForbidden, why)
	writeBody(w, p.status, typeJSON, p.json())
}

// isCORS reports whether a header belongs to CORS.
func isCORS(name string) bool {
	return strings.HasPrefix(name, "Access-Control-Allow-") || name == "Access-Control-Expose-Headers" || name == "Access-Control-Max-Age"
}

// validateWebhook answers the handshake of CloudEvents' web hooks: the function takes
// events of every sender, at any rate.
func validateWebhook(w http.ResponseWriter, r *http.Request) (answered bool) {
	origin := r.Header.Get("Webhook-Request-Origin")
	if r.Method != http.MethodOptions || origin == "" {
		return false
	}
	h := w.Header()
	h.Set("Allow", "POST, OPTIONS")
	h.Set("Webhook-Allowed-Origin", origin)
	h.Set("Webhook-Allowed-Rate", "*")
	w.WriteHeader(http.StatusOK)
	return true
}
