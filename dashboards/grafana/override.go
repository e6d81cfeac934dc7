package grafana

import (
	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// properties are what an override sets.
func properties(all ...dashboard.DynamicConfigValue) []dashboard.DynamicConfigValue { return all }

func property(id string, value any) dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{Id: id, Value: value}
}

// links is functionLink as the value of a property.
func links(name string) []dashboard.DashboardLink {
	var all []dashboard.DashboardLink
	for _, b := range functionLink(name) {
		l, err := b.Build()
		if err != nil {
			panic("dashboards/grafana: a link: " + err.Error()) // it is written out above
		}
		all = append(all, l)
	}
	return all
}

// sortBy sorts a table by a column, the greatest first.
func sortBy(column string) []cog.Builder[common.TableSortByFieldState] {
	return []cog.Builder[common.TableSortByFieldState]{common.NewTableSortByFieldStateBuilder().DisplayName(column).Desc(true)}
}
