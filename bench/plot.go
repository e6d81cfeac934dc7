//go:build linux

package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
)

const plotFile = "cpu.svg"

// bars of one cell in the plot; a value below 0 is none.
type bars struct {
	title  string
	names  []string
	values []float64
}

// plot draws CPU µs a request of the cells with small bodies; false if there is
// nothing to draw.
func (rp *report) plot() ([]byte, bool) {
	var all []bars
	for _, c := range cells {
		if c.bytesPer() > 0 || rp.samples[c.name] == nil {
			continue
		}
		one := bars{title: c.title}
		for _, name := range c.peers {
			value := -1.0
			if v, err := rp.of(c.name, name, cpuMicros); err == nil {
				value = median(v)
			}
			one.names, one.values = append(one.names, name), append(one.values, value)
		}
		all = append(all, one)
	}
	if len(all) == 0 {
		return nil, false
	}
	return drawBars("CPU µs a request (less is better)", all), true
}

// drawBars writes horizontal bars, a group for each cell, on one scale.
func drawBars(title string, groups []bars) []byte {
	const (
		width, left, right = 860, 130, 70
		barHeight, gap     = 16, 4
		groupHead, top     = 26, 40
	)
	colours := map[string]string{weir: "#0b6e4f", haproxy: "#4059ad", nginx: "#6b9ac4", reverseProxy: "#c8553d", weirNetHTTP: "#8fb8a8"}
	most := 0.0
	height := top + 16
	for _, g := range groups {
		height += groupHead + len(g.values)*(barHeight+gap)
		for _, v := range g.values {
			most = max(most, v)
		}
	}
	most = max(most, 1e-9)
	var b bytes.Buffer
	text := func(x, y int, style, s string) {
		fmt.Fprintf(&b, `<text x="%d" y="%d" %s>`, x, y, style)
		if err := xml.EscapeText(&b, []byte(s)); err != nil {
			panic(err) // a bytes.Buffer takes everything
		}
		b.WriteString("</text>\n")
	}
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12" fill="#222">`+"\n", width, height, width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	text(12, 24, `font-size="16" font-weight="bold"`, title)
	y := top
	for _, g := range groups {
		text(12, y+18, `font-weight="bold"`, g.title)
		y += groupHead
		for i, v := range g.values {
			text(left-8, y+12, `text-anchor="end"`, g.names[i])
			if v < 0 {
				text(left+4, y+12, `fill="#a00"`, "invalid")
			} else {
				w := v / most * (width - left - right)
				fmt.Fprintf(&b, `<rect x="%d" y="%d" width="%.1f" height="%d" fill="%s"/>`+"\n", left, y, w, barHeight, colours[g.names[i]])
				text(left+int(w)+6, y+12, "", fmt.Sprintf("%.1f", v))
			}
			y += barHeight + gap
		}
	}
	b.WriteString("</svg>\n")
	return b.Bytes()
}
