// Command gpx_weir is the backend of the Grafana data source weir-weir-datasource.
// Grafana starts it and talks to it over gRPC; by hand it does nothing.
package main

import (
	"os"

	"github.com/grafana/grafana-plugin-sdk-go/backend"
	sdk "github.com/grafana/grafana-plugin-sdk-go/backend/datasource"

	"weir/dashboards/plugin/datasource"
)

func main() {
	if err := sdk.Manage(datasource.ID, datasource.New, sdk.ManageOpts{}); err != nil {
		backend.Logger.Error("the plugin cannot be served", "error", err)
		os.Exit(1)
	}
}
