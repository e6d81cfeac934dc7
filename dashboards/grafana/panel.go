package grafana

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// Units, as Grafana names them.
const (
	unitSeconds  = "s"
	unitShare    = "percentunit" // 0 to 1
	unitRequests = "reqps"
	unitCount    = "short"
	unitBytes    = "bytes"
	unitEach     = "cps" // counts a second
)

// least is up to where the axis of a unit goes at least: of a line that is 0 all the
// time, Grafana would draw an axis to 100.
var least = map[string]float64{unitSeconds: 0.001, unitShare: 0.01, unitRequests: 1, unitCount: 1, unitBytes: 1 << 20, unitEach: 1}

// graph is a time series panel.
type graph struct{ *timeseries.PanelBuilder }

func (g graph) setID(id uint32) { g.Id(id) }

// newGraph draws queries as lines, a third of the dashboard wide. description says
// what to do about what it shows.
func newGraph(title, description, unit string, targets ...*prometheus.DataqueryBuilder) graph {
	b := timeseries.NewPanelBuilder().
		Title(title).Description(description).Unit(unit).
		Datasource(datasource()).
		Height(9).Span(8).
		AxisSoftMin(0). // a difference may go below
		AxisSoftMax(least[unit]).
		LineWidth(1).FillOpacity(8).ShowPoints(common.VisibilityModeNever).
		// A gap is a gap: no scrape, no line.
		SpanNulls(common.BoolOrFloat64{Bool: new(false)}).
		Legend(common.NewVizLegendOptionsBuilder().
			ShowLegend(true).
			DisplayMode(common.LegendDisplayModeTable).
			Placement(common.LegendPlacementBottom).
			Calcs([]string{"mean", "max", "lastNotNull"}).
			SortBy("Last *").SortDesc(true)). // what is worst now comes first
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending))
	for _, t := range targets {
		b.WithTarget(t)
	}
	return graph{b}
}

func (g graph) wide(columns uint32) graph { g.Span(columns); return g }

// stacked draws the lines on top of each other, for parts of a whole.
func (g graph) stacked() graph {
	g.Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal).Group("A")).FillOpacity(30)
	return g
}

// upTo ends the axis at a value at least.
func (g graph) upTo(v float64) graph { g.AxisSoftMax(v); return g }

// limits draws lines where the colour changes.
func (g graph) limits(t *dashboard.ThresholdsConfigBuilder) graph {
	g.Thresholds(t).ThresholdsStyle(common.NewGraphThresholdsStyleConfigBuilder().Mode(common.GraphThresholdsStyleModeDashed))
	return g
}

// colour gives a line of that name a colour, and draws it dashed where asked for.
func (g graph) colour(name, colour string, dashed bool) graph {
	properties := []dashboard.DynamicConfigValue{{Id: "color", Value: map[string]any{"mode": "fixed", "fixedColor": colour}}}
	if dashed {
		properties = append(properties,
			dashboard.DynamicConfigValue{Id: "custom.lineStyle", Value: map[string]any{"fill": "dash", "dash": []int{10, 10}}},
			dashboard.DynamicConfigValue{Id: "custom.fillOpacity", Value: 0})
	}
	g.OverrideByName(name, properties)
	return g
}

// linked makes each line lead to its function's dashboard.
func (g graph) linked() graph { g.DataLinks(functionLink("${__field.labels.function}")); return g }

// withExemplars asks for the exemplars beside the lines. weir attaches them to the
// durations of requests and of the function.
func withExemplars(all []*prometheus.DataqueryBuilder) []*prometheus.DataqueryBuilder {
	for _, q := range all {
		q.Exemplar(true)
	}
	return all
}

// number is a stat panel: one figure, as of now.
type number struct{ *stat.PanelBuilder }

func (n number) setID(id uint32) { n.Id(id) }

func newNumber(title, description, unit string, target *prometheus.DataqueryBuilder, t *dashboard.ThresholdsConfigBuilder) number {
	return number{
		stat.NewPanelBuilder().
			Title(title).Description(description).Unit(unit).
			Datasource(datasource()).
			Height(4).Span(3).
			WithTarget(target).
			Thresholds(t).
			ColorScheme(dashboard.NewFieldColorBuilder().Mode(dashboard.FieldColorModeIdThresholds)).
			NoValue("none").
			ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{"lastNotNull"}).Values(false)).
			ColorMode(common.BigValueColorModeValue).
			GraphMode(common.BigValueGraphModeNone). // at this size it would run through the figure
			TextMode(common.BigValueTextModeValue),
	}
}

// grid is a table: a row for each combination of labels, a column for each query.
type grid struct{ *table.PanelBuilder }

func (g grid) setID(id uint32) { g.Id(id) }

// narrow makes it as large as a graph.
func (g grid) narrow() grid { g.Height(9).Span(8); return g }

// column is one of a table's: its query, and how its values look.
type column struct {
	title, unit, expr string
	thresholds        *dashboard.ThresholdsConfigBuilder // nil for plain text
	decimals          float64
}

// newGrid has a column for each label and after them one for each query.
func newGrid(title, description string, labels []string, columns ...column) grid {
	b := table.NewPanelBuilder().
		Title(title).Description(description).
		Datasource(datasource()).
		Height(9).Span(24).
		ShowHeader(true).
		NoValue("-")
	hide, names, order := map[string]bool{"Time": true}, map[string]string{}, map[string]int{}
	for i, l := range labels {
		order[l] = i
	}
	for i, c := range columns {
		refID := string(rune('A' + i))
		b.WithTarget(prometheus.NewDataqueryBuilder().
			RefId(refID).
			Datasource(datasource()).
			EditorMode(prometheus.QueryEditorModeCode).
			Expr(c.expr).
			Format(prometheus.PromQueryFormatTable).
			Instant())
		field := "Value #" + refID
		if len(columns) == 1 {
			field = "Value" // what Grafana calls it where there is one query
		}
		names[field], order[field] = c.title, len(labels)+i
		properties := []dashboard.DynamicConfigValue{{Id: "unit", Value: c.unit}, {Id: "decimals", Value: c.decimals}}
		if c.thresholds != nil {
			t, err := c.thresholds.Build()
			if err != nil {
				b.RecordError("thresholds", err)
			}
			properties = append(properties,
				dashboard.DynamicConfigValue{Id: "thresholds", Value: t},
				dashboard.DynamicConfigValue{Id: "custom.cellOptions", Value: map[string]any{"type": "color-text"}})
		}
		b.OverrideByName(c.title, properties)
	}
	if len(columns) > 1 {
		b.WithTransformation(dashboard.DataTransformerConfig{Id: "merge", Options: map[string]any{}})
	}
	b.WithTransformation(dashboard.DataTransformerConfig{Id: "organize", Options: map[string]any{
		"excludeByName": hide, "renameByName": names, "indexByName": order,
	}})
	return grid{b}
}

// functionLink leads to the dashboard of one function, with the same selection and
// time. name is where the function's name is found.
func functionLink(name string) []cog.Builder[dashboard.DashboardLink] {
	return []cog.Builder[dashboard.DashboardLink]{
		dashboard.NewDashboardLinkBuilder("Look at " + name).
			Url("/d/" + FunctionUID + "?var-function=" + name +
				"&${datasource:queryparam}&${job:queryparam}&${namespace:queryparam}&${__url_time_range}"),
	}
}

// Thresholds: from a value on, a colour.

func plain() *dashboard.ThresholdsConfigBuilder { return thresholds("text") }

// warnAt is green below warn, orange from there, red from bad on.
func warnAt(warn, bad float64) *dashboard.ThresholdsConfigBuilder {
	return thresholds("green", step{warn, "orange"}, step{bad, "red"})
}

// zeroIsGood is red from 1 on.
func zeroIsGood() *dashboard.ThresholdsConfigBuilder {
	return thresholds("green", step{1, "red"})
}

type step struct {
	from   float64
	colour string
}

func thresholds(base string, steps ...step) *dashboard.ThresholdsConfigBuilder {
	all := []dashboard.Threshold{{Color: base}}
	for _, s := range steps {
		all = append(all, dashboard.Threshold{Value: &s.from, Color: s.colour})
	}
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).Steps(all)
}
