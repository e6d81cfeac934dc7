package sibling

import (
	"reflect"
	"testing"
)

func TestOnlyAServingWeirServes(t *testing.T) {
	for _, test := range []struct {
		command []string
		want    bool
	}{
		{[]string{"/weir", "run"}, true},
		{[]string{"weir", "run", "--listen", ":8080", "--", "node"}, true},
		{[]string{"/weir", "drain"}, false},
		{[]string{"/weir", "health", "run"}, false},
		{[]string{"/weir"}, false},
		{nil, false},
	} {
		if got := serves(test.command); got != test.want {
			t.Errorf("serves(%q) = %t, want %t", test.command, got, test.want)
		}
	}
}

func TestOutermost(t *testing.T) {
	for _, test := range []struct {
		name string
		in   []process
		want []int
	}{
		{"none", nil, nil},
		{"one", []process{{pid: 1}}, []int{1}},
		{"nested", []process{{pid: 9, parent: 1}, {pid: 1, parent: 0}}, []int{1}},
		{"side by side", []process{{pid: 7, parent: 1}, {pid: 8, parent: 1}}, []int{7, 8}},
	} {
		var got []int
		for _, p := range outermost(test.in) {
			got = append(got, p.pid)
		}
		if !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: %v, want %v", test.name, got, test.want)
		}
	}
}
