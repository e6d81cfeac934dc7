package lease

import (
	"cmp"
	"slices"
)

// fairShares divides what there is so that nobody gets more than wanted, and nobody
// who gets less than that gets less than anybody else: max-min fairness, by filling up
// from below (Bertsekas and Gallager, "Data Networks", 6.5.2). What cannot be divided
// goes to the first ones, so that all who compute it get the same, and all of it is
// given out.
func fairShares(limit int, wanted []int) []int {
	order := make([]int, len(wanted))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(wanted[a], wanted[b]) })
	shares := make([]int, len(wanted))
	left := limit
	for n, i := range order {
		rest := order[n:]
		if each := left / len(rest); wanted[i] <= each {
			shares[i] = wanted[i]
			left -= wanted[i]
			continue
		}
		for j, s := range equalShares(left, len(rest)) {
			// In order of place: those in rest want more than an equal share.
			shares[slices.Sorted(slices.Values(rest))[j]] = s
		}
		break
	}
	return shares
}

// equalShares divides what there is equally, the first getting what is left over.
func equalShares(limit, n int) []int {
	shares := make([]int, n)
	for i := range shares {
		shares[i] = limit / n
		if i < limit%n {
			shares[i]++
		}
	}
	return shares
}
