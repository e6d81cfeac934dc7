package grafana

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
)

// selection is what the variables of a dashboard choose, as matchers.
//
// namespace comes from the scrape and may not be there at all: "All" is then the
// only choice, and stands for .*, which a series without the label matches too.
// The version of the function is a label of weir_running_instances alone; the
// others are narrowed down to it by [selection.of].
type selection struct{ matchers string }

var (
	// several is for a dashboard that shows many functions.
	several = selection{`job=~"$job", namespace=~"$namespace", function=~"$function", instance=~"$instance"`}
	// one is for a dashboard that shows a single one. Its name is compared as it
	// is: Grafana does not quote what a regular expression would take otherwise.
	one = selection{`job=~"$job", namespace=~"$namespace", function="$function", instance=~"$instance"`}
)

// series selects a metric's series, with further matchers ("" for none).
func (s selection) series(metric, further string) string {
	if further != "" {
		further = ", " + further
	}
	return metric + "{" + s.matchers + further + "}"
}

// version narrows a vector down to instances of the version chosen. Over a window,
// so that what an instance did before it went still counts.
func (s selection) version(vector string) string {
	return fmt.Sprintf("(%s and on (job, instance) last_over_time(%s[$__rate_interval]))",
		vector, s.series("weir_running_instances", `version=~"$version"`))
}

// rate is a counter's, per second.
func (s selection) rate(metric, further string) string {
	return s.version("rate(" + s.series(metric, further) + "[$__rate_interval])")
}

// gauge is a gauge's value.
func (s selection) gauge(metric, further string) string {
	return s.version(s.series(metric, further))
}

// quantile is that of a histogram over what by names beside le ("" for nothing).
// Where nothing was observed there is none, rather than one that is no number.
func (s selection) quantile(q float64, histogram, by string) string {
	if by != "" {
		by = ", " + by
	}
	return fmt.Sprintf("histogram_quantile(%v, sum by (le%s) (%s)) >= 0", q, by, s.rate(histogram+"_bucket", ""))
}

// sum adds up a vector over what by names, all of it for "".
func sum(by, vector string) string { return aggregate("sum", by, vector) }

func aggregate(operator, by, vector string) string {
	if vector[0] != '(' {
		vector = "(" + vector + ")"
	}
	if by == "" {
		return operator + vector
	}
	return operator + " by (" + by + ") " + vector
}

// orZero is 0 where an aggregation over everything has nothing to add up.
func orZero(scalar string) string { return scalar + " or vector(0)" }

// share is a part of a whole, nothing where the whole is 0.
func share(part, whole string) string { return fmt.Sprintf("%s / (%s > 0)", part, whole) }

// offered is the rate of all requests, those refused included.
func (s selection) offered(by string) string {
	return fmt.Sprintf("(%s + %s)", sum(by, s.rate("weir_requests_total", "")), sum(by, s.rate("weir_throttles_total", "")))
}

// refused is the share of requests that weir refused.
func (s selection) refused(by string) string {
	return share(sum(by, s.rate("weir_throttles_total", "")), s.offered(by))
}

// failed is the share of requests that ended in a 5xx, of the function's or of
// weir's, which then could not get an answer from it.
func (s selection) failed(by, further string) string {
	matchers := `code_class="5xx"`
	if further != "" {
		matchers += ", " + further
	}
	return share(sum(by, s.rate("weir_requests_total", matchers)), sum(by, s.rate("weir_requests_total", "")))
}

// variables are those of a dashboard for s, each narrowed down by those before it.
func (s selection) variables() []cog.Builder[dashboard.VariableModel] {
	function := variable("function", "Function", `label_values(weir_build_info{job=~"$job", namespace=~"$namespace"}, function)`)
	if s == several {
		all(function, ".+").Multi(true)
	}
	return []cog.Builder[dashboard.VariableModel]{
		dashboard.NewDatasourceVariableBuilder("datasource").
			Label("Data source").
			Description("The Prometheus that scrapes weir.").
			Type("prometheus"),
		all(variable("job", "Job", `label_values(weir_build_info, job)`), ".+").Multi(true).
			Description("The scrape job."),
		all(variable("namespace", "Namespace", `label_values(weir_build_info{job=~"$job"}, namespace)`), ".*").Multi(true).
			Description("The Kubernetes namespace, where the scrape adds it."),
		function.Description("The name of the function, as weir was told."),
		all(variable("version", "Version", `label_values(`+s.beforeInstance("weir_running_instances")+`, version)`), ".*").Multi(true).
			Description("The version of the function, where weir was told one."),
		all(variable("instance", "Instance", `label_values(`+s.beforeInstance("weir_running_instances", `version=~"$version"`)+`, instance)`), ".+").Multi(true).
			Description("The address that is scraped: one weir."),
	}
}

// beforeInstance selects by all variables that come before instance.
func (s selection) beforeInstance(metric string, further ...string) string {
	operator := "=~"
	if s == one {
		operator = "="
	}
	matchers := `job=~"$job", namespace=~"$namespace", function` + operator + `"$function"`
	for _, f := range further {
		matchers += ", " + f
	}
	return metric + "{" + matchers + "}"
}

func variable(name, label, q string) *dashboard.QueryVariableBuilder {
	return dashboard.NewQueryVariableBuilder(name).
		Label(label).
		Datasource(common.DataSourceRef{Type: new("prometheus"), Uid: new("${datasource}")}).
		Query(dashboard.StringOrMap{String: &q}).
		Definition(q).
		Refresh(dashboard.VariableRefreshOnTimeRangeChanged).
		Sort(dashboard.VariableSortNaturalAsc)
}

// all offers "All", which stands for value and is chosen at first.
func all(v *dashboard.QueryVariableBuilder, value string) *dashboard.QueryVariableBuilder {
	return v.IncludeAll(true).AllValue(value).Current(dashboard.VariableOption{
		Selected: new(true),
		Text:     dashboard.StringOrArrayOfString{ArrayOfString: []string{"All"}},
		Value:    dashboard.StringOrArrayOfString{ArrayOfString: []string{"$__all"}},
	})
}

// annotations mark what changed: the moment is the series' value, so that each is
// one mark, whatever the step.
func (s selection) annotations() []cog.Builder[dashboard.AnnotationQuery] {
	loaded := s.series("weir_config_last_reload_success_timestamp_seconds", "")
	started := s.series("process_start_time_seconds", "")
	return []cog.Builder[dashboard.AnnotationQuery]{
		moment("Reloads", "blue",
			// A process loads its configuration when it starts, which is no reload.
			fmt.Sprintf("1000 * %s and on (job, instance) (%s - on (job, instance) %s > 5)", loaded, loaded, started),
			"Configuration reloaded"),
		moment("Restarts", "orange", fmt.Sprintf("1000 * %s and on (job, instance) %s", started, s.series("weir_build_info", "")), "weir started"),
		dashboard.NewAnnotationQueryBuilder().
			Name("Failed reloads").
			Datasource(datasource()).
			Enable(true).
			IconColor("red").
			Expr(s.series("weir_config_last_reload_successful", "") + " == bool 0").
			TitleFormat("Configuration refused").
			TextFormat("{{function}} {{instance}}").
			TagKeys("function,instance").
			Target(annotationTarget(s.series("weir_config_last_reload_successful", "") + " == bool 0")),
	}
}

func moment(name, color, expr, title string) *dashboard.AnnotationQueryBuilder {
	return dashboard.NewAnnotationQueryBuilder().
		Name(name).
		Datasource(datasource()).
		Enable(true).
		IconColor(color).
		Expr(expr).
		UseValueForTime(true).
		TitleFormat(title).
		TextFormat("{{function}} {{instance}}").
		TagKeys("function,instance").
		Target(annotationTarget(expr))
}

func annotationTarget(expr string) *prometheus.DataqueryBuilder {
	return prometheus.NewDataqueryBuilder().RefId("Anno").Datasource(datasource()).Expr(expr).Range()
}
