// Package syntax stands in for Loki's LogQL parser, which the dashboard linter
// imports for rules about Loki: weir's dashboards query Prometheus alone. Loki
// itself is not wanted here, for its licence (AGPL) and for the hundreds of modules
// that it brings. go.mod replaces it by this, for the linter's tests only.
package syntax

import (
	"errors"
	"time"
)

// Expr is what ParseExpr would give.
type Expr interface{ logQL() }

type expr struct{}

func (expr) logQL() {}

// The nodes that the linter tells apart. There never is one.
type (
	BinOpExpr struct {
		expr
		SampleExpr, RHS Expr
	}
	RangeAggregationExpr struct {
		expr
		Left Expr
	}
	VectorAggregationExpr struct {
		expr
		Left Expr
	}
	LabelReplaceExpr struct {
		expr
		Left Expr
	}
	LogRange struct {
		expr
		Left     Expr
		Interval time.Duration
	}
	PipelineExpr struct {
		expr
		Left        Expr
		MultiStages []Expr
	}
)

// ParseExpr refuses everything, so that a query in LogQL cannot pass unseen.
func ParseExpr(string) (Expr, error) {
	return nil, errors.New("no LogQL is understood here: weir's dashboards query Prometheus")
}
