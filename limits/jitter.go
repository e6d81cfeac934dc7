package limits

// jitter is a short sequence of random numbers, by SplitMix64 (Steele, Lea, Flood,
// 2014): a step of it needs no lock and no memory.
type jitter uint64

const goldenGamma = 0x9e3779b97f4a7c15

// draw returns the next number from 0 to 1.
func (j *jitter) draw() float64 {
	*j += goldenGamma
	return float64(mix(uint64(*j))>>11) / (1 << 53)
}

func mix(z uint64) uint64 {
	z = (z ^ z>>30) * 0xbf58476d1ce4e5b9
	z = (z ^ z>>27) * 0x94d049bb133111eb
	return z ^ z>>31
}

// Seed makes what the Gate draws at random repeatable, for simulations. A new
// Gate has a seed that nobody knows.
func (g *Gate) Seed(seed uint64) { g.random.Store(seed) }

// jitter starts a sequence of its own.
func (g *Gate) jitter() jitter { return jitter(mix(g.random.Add(goldenGamma))) }
