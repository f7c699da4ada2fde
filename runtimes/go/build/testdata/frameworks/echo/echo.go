// Package echo is an application of Echo.
package echo

import (
	"net/http"

	"github.com/labstack/echo/v4"
	"github.com/labstack/echo/v4/middleware"
)

// App is the handler.
var App = app()

func app() *echo.Echo {
	e := echo.New()
	e.Use(middleware.Recover())
	e.GET("/hello/:name", func(c echo.Context) error {
		c.Response().Header().Set("X-Framework", "echo")
		return c.String(http.StatusAccepted, "Hello "+c.Param("name"))
	})
	e.GET("/stream", func(c echo.Context) error {
		if _, err := c.Response().Write([]byte("first ")); err != nil {
			return err
		}
		c.Response().Flush()
		<-c.Request().Context().Done()
		return nil
	})
	return e
}
