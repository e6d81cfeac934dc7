package grafana

import (
	"encoding/json"
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// UIDs of the dashboards. Links and bookmarks rely on them: they do not change.
const (
	FleetUID    = "weir-fleet"
	FunctionUID = "weir-function"
	AsyncUID    = "weir-async"
	RunbookUID  = "weir-runbook"
)

// tag is what all of the dashboards carry, and what the menu of links goes by.
const tag = "weir"

// Dashboard is one that is ready to be written.
type Dashboard struct {
	UID  string
	JSON []byte // indented, with a newline at the end
}

// All builds every dashboard. runbook is the runbook in Markdown, which a dashboard
// of its own shows, so that it is at hand where Grafana is.
func All(runbook string) ([]Dashboard, error) {
	var all []Dashboard
	for _, s := range []sheet{fleet(), function(), async(), runbookSheet(runbook)} {
		d, err := s.build()
		if err != nil {
			return nil, fmt.Errorf("dashboards/grafana: %s: %w", s.uid, err)
		}
		text, err := json.MarshalIndent(d, "", "  ")
		if err != nil {
			return nil, fmt.Errorf("dashboards/grafana: %s: %w", s.uid, err)
		}
		all = append(all, Dashboard{s.uid, append(text, '\n')})
	}
	return all, nil
}

// sheet is a dashboard before it is laid out.
type sheet struct {
	uid, title, description string
	variables               []cog.Builder[dashboard.VariableModel]
	annotations             []cog.Builder[dashboard.AnnotationQuery]
	rows                    []row
}

// row is a line of its own with a title, and the panels below it, left to right,
// 24 columns to a line.
type row struct {
	title  string
	panels []panel
}

// panel is a builder of one of Grafana's kinds of panels. Its id is given by its
// place: 100 for each row, and one for each panel, so that a link to a panel
// outlives changes elsewhere.
type panel interface {
	cog.Builder[dashboard.Panel]
	setID(id uint32)
}

//lint:ignore SA1019 version 2 of the format is read by Grafana 12 and later only
func (s sheet) build() (dashboard.Dashboard, error) {
	//lint:ignore SA1019 as above
	b := dashboard.NewDashboardBuilder(s.title).
		Uid(s.uid).
		Description(s.description).
		Tags([]string{tag}).
		Readonly(). // they are generated: a change in the browser would be lost
		Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Time("now-1h", "now").
		Refresh("30s").
		Link(dashboard.NewDashboardLinkBuilder("weir").
			Type(dashboard.DashboardLinkTypeDashboards).
			Tags([]string{tag}).
			Tooltip("weir's other dashboards and the runbook, with the same selection and time").
			IncludeVars(true).
			KeepTime(true)).
		Link(dashboard.NewDashboardLinkBuilder("Runbook").
			Type(dashboard.DashboardLinkTypeLink).
			Icon("doc").
			Url("/d/" + RunbookUID).
			Tooltip("What each alert means, how to confirm it, what to do").
			TargetBlank(true))
	for _, v := range s.variables {
		b.WithVariable(v)
	}
	for _, a := range s.annotations {
		b.Annotation(a)
	}
	for i, r := range s.rows {
		first := uint32(i+1) * 100
		b.WithRow(dashboard.NewRowBuilder(r.title).Id(first))
		for j, p := range r.panels {
			p.setID(first + uint32(j) + 1)
			b.WithPanel(p)
		}
	}
	return b.Build()
}

// datasource is the variable's: every query goes to what the reader has chosen.
func datasource() common.DataSourceRef {
	return common.DataSourceRef{Type: new("prometheus"), Uid: new("${datasource}")}
}

// query makes an expression a target of a panel. Where a legend names a label,
// the expression keeps that label.
func query(refID, expr, legend string) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().
		RefId(refID).
		Datasource(datasource()).
		EditorMode(prometheus.QueryEditorModeCode).
		Expr(expr).
		LegendFormat(legend).
		Range()
}

// queries gives refIds A, B, C, … to pairs of expression and legend.
func queries(pairs ...[2]string) []*prometheus.DataqueryBuilder {
	var all []*prometheus.DataqueryBuilder
	for i, p := range pairs {
		all = append(all, query(string(rune('A'+i)), p[0], p[1]))
	}
	return all
}
