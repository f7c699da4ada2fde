// Command modelserver serves the model server of tests on PORT, 8080 by default.
package main

import (
	"log"
	"net/http"
	"os"
	"time"

	"github.com/brunovlucena/knative-lambda-operator/test/modelserver"
)

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "8080"
	}
	server := &http.Server{Addr: ":" + port, Handler: &modelserver.Server{}, ReadHeaderTimeout: 10 * time.Second}
	log.Fatal(server.ListenAndServe())
}
