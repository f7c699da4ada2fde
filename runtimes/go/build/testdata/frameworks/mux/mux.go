// Package mux is an application of net/http.
package mux

import (
	"io"
	"net/http"

	"github.com/brunovlucena/knative-lambda-operator/pkg/lambda"
)

var routes http.ServeMux

func init() {
	routes.HandleFunc("GET /hello/{name}", func(w http.ResponseWriter, r *http.Request) {
		lambda.FromContext(r.Context()).Logger().Info("greeting")
		w.Header().Set("X-Framework", "mux")
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, "Hello "+r.PathValue("name"))
	})
	routes.HandleFunc("GET /stream", func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "first ")
		w.(http.Flusher).Flush()
		<-r.Context().Done()
	})
}

// Serve is the handler.
func Serve(w http.ResponseWriter, r *http.Request) { routes.ServeHTTP(w, r) }
