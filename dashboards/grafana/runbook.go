package grafana

import (
	"github.com/grafana/grafana-foundation-sdk/go/text"
)

// words is a text panel.
type words struct{ *text.PanelBuilder }

func (w words) setID(id uint32) { w.Id(id) }

// runbookSheet shows the runbook, so that it can be read where the alert is looked
// at, without another site being up.
func runbookSheet(runbook string) sheet {
	return sheet{
		uid:         RunbookUID,
		title:       "weir / runbook",
		description: "What each of weir's alerts means, how to confirm it, what to do.",
		rows: []row{{"Runbook", []panel{words{
			text.NewPanelBuilder().
				Title("Runbook").
				Description("docs/runbook.md as it was when the dashboards were exported.").
				Mode(text.TextModeMarkdown).
				Content(runbook).
				Height(40).Span(24),
		}}}},
	}
}
