// The samples of the last ten minutes, as they come.

const length = 600;
const columns = ["time_ms", "inflight", "waiting", "limit", "concurrency", "seconds", "ended", "failed", "p50_seconds", "p95_seconds", "p99_seconds"];

export class History {
  constructor() {
    this.replace({ sequence: 0, throttled: {} });
  }

  // replace takes what /v1/history answers.
  replace(h) {
    this.sequence = h.sequence;
    for (const c of columns) this[c] = h[c] ?? [];
    this.throttled = h.throttled;
  }

  // add takes the sample of an event, and reports whether it is the next one, or
  // one that is known. Otherwise some are missing, or the sidecar is another.
  add(sample) {
    if (sample.sequence === this.sequence) return true;
    if (sample.sequence !== this.sequence + 1) return false;
    this.sequence = sample.sequence;
    for (const c of columns) this[c].push(c === "time_ms" ? Date.parse(sample.time) : sample[c]);
    const n = this.time_ms.length;
    for (const reason of Object.keys(sample.throttled)) this.throttled[reason] ??= new Array(n - 1).fill(0);
    for (const [reason, values] of Object.entries(this.throttled)) values.push(sample.throttled[reason] ?? 0);
    if (n > length) {
      for (const c of columns) this[c].shift();
      for (const [reason, values] of Object.entries(this.throttled)) {
        values.shift();
        if (values.every((v) => v === 0)) delete this.throttled[reason];
      }
    }
    return true;
  }

  // perSecond divides counts by the length of their seconds.
  perSecond(counts) {
    return counts.map((n, i) => n / this.seconds[i]);
  }

  // ages of the samples in seconds, at a moment of the sidecar's clock.
  ages(now) {
    return this.time_ms.map((t) => Math.max((now - t) / 1000, 0));
  }
}
