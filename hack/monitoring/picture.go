package monitoring

import (
	"cmp"
	"fmt"
	"html"
	"io"
	"math"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Point of a line.
type Point struct {
	Time  time.Time
	Value float64
}

// Line of a panel.
type Line struct {
	Legend string
	Points []Point
}

// Sizes of a picture, in pixels.
const (
	panelWidth, panelHeight = 560, 250
	marginLeft, marginTop   = 64, 34
	plotWidth, plotHeight   = panelWidth - marginLeft - 16, 130
	legendLine, legendMost  = 14, 4
	titleHeight             = 44
)

var colors = []string{"#1f77b4", "#ff7f0e", "#2ca02c", "#d62728", "#9467bd", "#8c564b", "#e377c2", "#7f7f7f", "#bcbd22", "#17becf"}

// Draw the dashboard as SVG; lines has those of each panel.
func (d *Dashboard) Draw(w io.Writer, lines [][]Line) error {
	rows := (len(d.Panels) + perRow - 1) / perRow
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" font-family="sans-serif" font-size="11">`+"\n", perRow*panelWidth, titleHeight+rows*panelHeight)
	fmt.Fprintf(&b, `<rect width="100%%" height="100%%" fill="#ffffff"/>`+"\n"+`<text x="16" y="28" font-size="18">%s</text>`+"\n", html.EscapeString(d.Title))
	for i, p := range d.Panels {
		fmt.Fprintf(&b, `<g transform="translate(%d,%d)">`+"\n", i%perRow*panelWidth, titleHeight+i/perRow*panelHeight)
		p.draw(&b, lines[i])
		b.WriteString("</g>\n")
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}

func (p *Panel) draw(b *strings.Builder, lines []Line) {
	fmt.Fprintf(b, `<rect x="4" y="4" width="%d" height="%d" fill="none" stroke="#dddddd"/>`+"\n"+`<text x="14" y="22" font-size="13">%s</text>`+"\n", panelWidth-8, panelHeight-8, html.EscapeString(p.Title))
	from, to, most := extent(lines)
	steps := scale(most)
	top := steps[len(steps)-1]
	y := func(v float64) float64 { return marginTop + plotHeight*(1-v/top) }
	for _, s := range steps {
		fmt.Fprintf(b, `<path d="M%d %.1fh%d" stroke="#eeeeee"/><text x="%d" y="%.1f" text-anchor="end" fill="#666666">%s</text>`+"\n", marginLeft, y(s), plotWidth, marginLeft-6, y(s)+4, format(p.Unit, s))
	}
	for _, at := range []time.Time{from, to} {
		x, anchor := marginLeft, "start"
		if at.Equal(to) {
			x, anchor = marginLeft+plotWidth, "end"
		}
		fmt.Fprintf(b, `<text x="%d" y="%d" text-anchor="%s" fill="#666666">%s</text>`+"\n", x, marginTop+plotHeight+14, anchor, at.UTC().Format(time.TimeOnly))
	}
	span := max(to.Sub(from).Seconds(), 1)
	for i, l := range lines {
		color := colors[i%len(colors)]
		points := make([]string, len(l.Points))
		for j, point := range l.Points {
			points[j] = fmt.Sprintf("%.1f,%.1f", marginLeft+plotWidth*point.Time.Sub(from).Seconds()/span, y(min(point.Value, top)))
		}
		fmt.Fprintf(b, `<polyline fill="none" stroke="%s" stroke-width="1.5" points="%s"/>`+"\n", color, strings.Join(points, " "))
		if i < legendMost {
			fmt.Fprintf(b, `<rect x="14" y="%d" width="10" height="3" fill="%s"/><text x="30" y="%d">%s</text>`+"\n",
				marginTop+plotHeight+24+i*legendLine, color, marginTop+plotHeight+29+i*legendLine, html.EscapeString(p.legend(i, l, lines)))
		}
	}
}

// legend of a line; the last one that has room tells how many have none.
func (p *Panel) legend(i int, l Line, all []Line) string {
	text := l.Legend
	if len(l.Points) > 0 {
		text += ": " + format(p.Unit, l.Points[len(l.Points)-1].Value)
	}
	if more := len(all) - legendMost; i == legendMost-1 && more > 0 {
		text += fmt.Sprintf(" (and %d more)", more)
	}
	return text
}

func extent(lines []Line) (from, to time.Time, most float64) {
	for _, l := range lines {
		for _, p := range l.Points {
			if from.IsZero() || p.Time.Before(from) {
				from = p.Time
			}
			if p.Time.After(to) {
				to = p.Time
			}
			most = max(most, p.Value)
		}
	}
	return from, to, most
}

// scale of an axis from 0: steps of 1, 2 or 5 times a power of ten up to what the
// most is below.
func scale(most float64) (steps []float64) {
	if most <= 0 {
		most = 1
	}
	step := math.Pow(10, math.Floor(math.Log10(most/4)))
	for _, factor := range []float64{1, 2, 5, 10} {
		if most <= 4*factor*step {
			step *= factor
			break
		}
	}
	for i := 0.0; ; i++ {
		steps = append(steps, i*step)
		if i*step >= most {
			return steps
		}
	}
}

// format a value in a unit of Grafana.
func format(unit string, v float64) string {
	short := func(v float64) string { return strconv.FormatFloat(v, 'g', 3, 64) }
	switch unit {
	case ratio:
		return short(100*v) + " %"
	case bytes:
		return short(v/(1<<20)) + " MiB"
	case perSecond:
		return short(v) + "/s"
	case seconds:
		if v < 1 && v > 0 {
			return short(1000*v) + " ms"
		}
		return short(v) + " s"
	}
	return short(v)
}

var placeholder = regexp.MustCompile(`\{\{(\w+)\}\}`)

// Name of a line by its labels.
func (q *Query) Name(labels map[string]string) string {
	return placeholder.ReplaceAllStringFunc(q.Legend, func(found string) string { return labels[placeholder.FindStringSubmatch(found)[1]] })
}

// In is the query as Grafana would ask it of namespaces, by a regular expression.
func (q *Query) In(namespaces, rateInterval string) string {
	return strings.NewReplacer("$namespace", namespaces, "$__rate_interval", rateInterval).Replace(q.Expr)
}

// Sort lines by their legends.
func Sort(lines []Line) {
	slices.SortFunc(lines, func(a, b Line) int { return cmp.Compare(a.Legend, b.Legend) })
}
