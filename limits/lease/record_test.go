package lease

import (
	"errors"
	"reflect"
	"testing"
	"time"
)

func FuzzRecord(f *testing.F) {
	f.Add((&Record{Epoch: "e", Members: []Member{{ID: "a", Slots: 1, Limit: 3, Lease: LeastTime}, {ID: "b", Beat: 7, Wanted: 2, Limit: 3, Lease: time.Hour}}}).Encode())
	for _, seed := range []string{`{"v":1,"epoch":"e","young":true}`, `{"v":2,"epoch":"e"}`, `{"v":1,"epoch":"e","members":[{"id":"b","limit":1}]}`, `{"v":1,"epoch":"e","members":[{"id":"b","limit":1,"lease":5000000000},{"id":"a","limit":1,"lease":5000000000}]}`, `[]`, ``} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := Decode(b)
		if err != nil {
			if !errors.Is(err, ErrRecord) {
				t.Fatalf("%v is no ErrRecord", err)
			}
			return
		}
		again, err := Decode(r.Encode())
		if err != nil || len(r.Members) > 0 && !reflect.DeepEqual(r, again) {
			t.Fatalf("%+v became %+v, %v", r, again, err)
		}
	})
}

func TestFairShares(t *testing.T) {
	for _, c := range []struct {
		limit        int
		wanted, want []int
	}{
		{10, []int{3, 4}, []int{3, 4}},
		{10, []int{20, 20}, []int{5, 5}},
		{10, []int{20, 1, 20}, []int{5, 1, 4}},
		{10, []int{20, 0, 3}, []int{7, 0, 3}},
		{2, []int{5, 5, 5}, []int{1, 1, 0}},
		{100, []int{10, 60, 60, 60}, []int{10, 30, 30, 30}},
		{0, []int{1}, []int{0}},
	} {
		if got := fairShares(c.limit, c.wanted); !reflect.DeepEqual(got, c.want) {
			t.Errorf("%d among %v: %v, want %v", c.limit, c.wanted, got, c.want)
		}
	}
}
