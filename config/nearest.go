package config

import "strings"

// nearest returns the candidate that word was probably meant to be, "" if none
// is near. Case, dashes and underscores make no difference.
func nearest(word string, candidates []string) string {
	const longest = 64 // of a word that can be near a name; bounds the work
	if len(word) > longest {
		return ""
	}
	folded := fold(word)
	best, bestDistance := "", max(1, min(3, len(folded)/3))+1
	for _, c := range candidates {
		if d := distance(folded, fold(c)); d < bestDistance {
			best, bestDistance = c, d
		}
	}
	return best
}

// fold makes maxInflight, max-inflight and max_inflight one word.
func fold(s string) string {
	return strings.NewReplacer("-", "", "_", "").Replace(strings.ToLower(s))
}

// distance counts the letters to insert, delete, replace, or swap with their
// neighbour to make b of a (optimal string alignment).
func distance(a, b string) int {
	before, above, row := make([]int, len(b)+1), make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range row {
		row[j] = j
	}
	for i := 1; i <= len(a); i++ {
		before, above, row = above, row, before
		row[0] = i
		for j := 1; j <= len(b); j++ {
			cost := 1
			if a[i-1] == b[j-1] {
				cost = 0
			}
			row[j] = min(above[j]+1, row[j-1]+1, above[j-1]+cost)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], before[j-2]+1)
			}
		}
	}
	return row[len(b)]
}
