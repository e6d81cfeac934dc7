package main

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"reflect"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"weir/admin/api"
)

func (t *tool) limitsCommand() *cobra.Command {
	return noun(&cobra.Command{
		Use:   "limits",
		Short: "Show and change limits while weir runs",
		Long: `The settings of the configuration's section limits, by their names there, and those
of its section callers, the shares of asynchronous calls and the rates of routes by their
keys, such as callers.rate, async.max_share and routes./slow.rate. What is changed holds until the configuration file changes anything, or weir ends.`,
	}, t.limitsGetCommand(), t.limitsSetCommand(), t.limitsResetCommand())
}

func (t *tool) limitsGetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "get [NAME]",
		Short: "Show the limits in force; of one NAME, its value alone",
		Args:  cobra.MaximumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			client, err := t.connection.client(c)
			if err != nil {
				return err
			}
			defer client.Close()
			l, err := client.Limits(c.Context())
			if err != nil {
				return asked(err)
			}
			if len(args) == 0 {
				return t.printLimits(c, l)
			}
			name := settingName(args[0])
			value, ok := l.InForce[name]
			if !ok {
				return usageError("there is no limit %q; there are %s", args[0], strings.Join(slices.Sorted(maps.Keys(l.InForce)), ", "))
			}
			return t.output.print(c.OutOrStdout(), value, func(w io.Writer) error {
				_, err := fmt.Fprintln(w, shown(value))
				return err
			})
		},
	}
}

func (t *tool) limitsSetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "set NAME=VALUE...",
		Short: "Change limits at once, all that are named or none",
		Example: `  weirctl limits set max_inflight=50
  weirctl limits set overflow=wait queue_depth=200 queue_timeout=2s
  weirctl limits set callers.key=header:X-Tenant callers.rate=10/s
  weirctl limits set routes./slow.rate=5/s routes.PUT,POST/files.rate=100/m`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			change := api.LimitsChange{}
			for _, arg := range args {
				name, value, ok := cutSetting(arg)
				if !ok || name == "" {
					return usageError("%q is not NAME=VALUE, such as max_inflight=50", arg)
				}
				if _, twice := change[name]; twice {
					return usageError("%s is there twice", name)
				}
				change[name] = settingValue(value)
			}
			return t.changeLimits(c, change)
		},
	}
}

func (t *tool) limitsResetCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "reset NAME...",
		Short: "Put limits back to what is configured",
		Args:  cobra.MinimumNArgs(1),
		RunE: func(c *cobra.Command, args []string) error {
			change := api.LimitsChange{}
			for _, arg := range args {
				change[settingName(arg)] = nil
			}
			return t.changeLimits(c, change)
		},
	}
}

func (t *tool) changeLimits(c *cobra.Command, change api.LimitsChange) error {
	client, err := t.connection.client(c)
	if err != nil {
		return err
	}
	defer client.Close()
	l, err := client.ChangeLimits(c.Context(), change)
	if err != nil {
		return asked(err)
	}
	return t.printLimits(c, l)
}

// cutSetting takes NAME=VALUE apart. The path in a route's name may have a = too.
func cutSetting(arg string) (name, value string, ok bool) {
	at := strings.IndexByte(arg, '=')
	if strings.HasPrefix(arg, routesPrefix) {
		at = strings.LastIndexByte(arg, '=')
	}
	if at < 0 {
		return "", "", false
	}
	return settingName(arg[:at]), arg[at+1:], true
}

// routesPrefix begins the names of routes' settings: routes./slow.rate.
const routesPrefix = "routes."

// settingName takes the flag's spelling for the file's. A route's path stays as it is.
func settingName(text string) string {
	if strings.HasPrefix(text, routesPrefix) {
		return text
	}
	return strings.ReplaceAll(text, "-", "_")
}

// settingValue types a value as a file would: a number, a boolean, or a text.
func settingValue(text string) any {
	if text == "true" || text == "false" {
		return text == "true"
	}
	if digits := strings.TrimPrefix(text, "-"); digits != "" && strings.Trim(digits, "0123456789") == "" && (digits == "0" || digits[0] != '0') {
		return json.Number(text)
	}
	return text
}

func (t *tool) printLimits(c *cobra.Command, l *api.Limits) error {
	return t.output.print(c.OutOrStdout(), l, func(w io.Writer) error {
		var rows [][]string
		for _, name := range slices.Sorted(maps.Keys(l.InForce)) {
			configured := ""
			if !reflect.DeepEqual(l.InForce[name], l.Configured[name]) {
				configured = shown(l.Configured[name])
			}
			rows = append(rows, []string{name, shown(l.InForce[name]), configured})
		}
		return table(w, []string{"NAME", "IN FORCE", "CONFIGURED OTHERWISE"}, rows)
	})
}

// shown gives a setting's value as a file would have it.
func shown(v any) string {
	switch v := v.(type) {
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = shown(item)
		}
		return strings.Join(items, ",")
	case float64:
		return fmt.Sprintf("%.0f", v) // settings are whole numbers
	}
	return fmt.Sprint(v)
}
