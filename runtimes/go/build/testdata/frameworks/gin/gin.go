// Package gin is an application of Gin.
package gin

import (
	"io"
	"net/http"

	"github.com/gin-gonic/gin"
)

// Engine is the handler.
var Engine = engine()

func engine() *gin.Engine {
	gin.SetMode(gin.ReleaseMode)
	r := gin.New()
	r.Use(gin.Recovery())
	r.GET("/hello/:name", func(c *gin.Context) {
		c.Header("X-Framework", "gin")
		c.String(http.StatusAccepted, "Hello %s", c.Param("name"))
	})
	r.GET("/stream", func(c *gin.Context) {
		step := 0
		c.Stream(func(w io.Writer) bool {
			if step++; step > 1 {
				<-c.Request.Context().Done()
				return false
			}
			_, _ = io.WriteString(w, "first ")
			return true
		})
	})
	return r
}
