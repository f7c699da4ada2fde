// Package chi is an application of chi, as its documentation has it.
package chi

import (
	"net/http"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
)

// Router is the handler.
var Router http.Handler = router()

func router() *chi.Mux {
	r := chi.NewRouter()
	r.Use(middleware.RequestID, middleware.Recoverer, middleware.Compress(5))
	r.Route("/hello", func(r chi.Router) {
		r.Get("/{name}", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("X-Framework", "chi")
			w.WriteHeader(http.StatusAccepted)
			_, _ = w.Write([]byte("Hello " + chi.URLParam(r, "name")))
		})
	})
	r.Get("/stream", func(w http.ResponseWriter, r *http.Request) {
		_, _ = w.Write([]byte("first "))
		if err := http.NewResponseController(w).Flush(); err != nil {
			panic(err)
		}
		<-r.Context().Done()
	})
	return r
}
