import { element } from "./chart.js";
import { keep, set } from "./list.js";
import { change, get } from "./sidecar.js";

const $ = (id) => document.getElementById(id);
const shown = 20;

// Letters is the table of dead letters, and what redrives them.
export class Letters {
  constructor({ count, age, confirmed }) {
    Object.assign(this, { count, age, confirmed, known: -1, asked: 0, busy: false });
    $("letters").addEventListener("click", (e) => {
      const id = e.target.dataset?.id;
      if (id) this.redrive(() => this.one(id));
    });
    $("redrive-all").addEventListener("click", async () => {
      const n = this.count(this.known);
      if (await confirmed("Redrive all dead letters?", `${n} calls go back into the queue, each with as many attempts as a new one.`, "Redrive all")) this.redrive(() => this.all());
    });
  }

  // show asks for the table when the number has changed, and now and then.
  async show(a, signal) {
    const n = a.dead_letters;
    set($("dead-count"), n === 0 ? "none" : n > shown ? `the oldest ${shown} of ${this.count(n)}` : this.count(n));
    $("dead-table").hidden = $("redrive-all").hidden = n === 0;
    if (this.asking || this.busy || (n === this.known && Date.now() - this.asked < 5000)) return;
    this.known = n;
    this.asked = Date.now();
    if (n === 0) return;
    this.asking = true;
    try {
      const { calls } = await get(`v1/dead-letters?limit=${shown}`, signal);
      keep($("letters"), calls.length, row, (tr, i) => {
        const c = calls[i];
        const since = this.age((Date.now() - Date.parse(c.finished_at)) / 1000);
        [since, String(c.attempts), c.status_code ? String(c.status_code) : "–", `${c.method ?? ""} ${c.target ?? ""}`.trim() || c.id, c.error ?? c.state].forEach((v, j) => set(tr.children[j], v));
        const button = tr.lastElementChild.firstElementChild;
        button.dataset.id = c.id;
        button.setAttribute("aria-label", `Redrive ${c.id}`);
        tr.title = c.id;
      });
    } catch {
      this.known = -1; // the stream tells of what is wrong
    } finally {
      this.asking = false;
    }
  }

  async one(id) {
    await change("POST", `v1/dead-letters/${id}/redrive`, {});
    return `${id} is in the queue again.`;
  }

  // all goes on from answer to answer: each redrives as many as fit into some seconds.
  async all() {
    let done = 0;
    const failed = [];
    let cursor;
    do {
      const r = await change("POST", "v1/dead-letters/redrive", cursor ? { cursor } : {});
      done += r.redriven;
      failed.push(...(r.failed ?? []));
      cursor = r.next;
      set($("redrive-said"), `${this.count(done)} redriven${cursor ? " …" : "."}`);
    } while (cursor);
    if (failed.length > 0) throw new Error(`${this.count(done)} redriven; ${this.count(failed.length)} stay: ${failed[0].id}: ${failed[0].detail}`);
    return `${this.count(done)} redriven.`;
  }

  async redrive(work) {
    if (this.busy) return;
    this.busy = true;
    $("redrive-all").disabled = true;
    const said = $("redrive-said");
    delete said.dataset.bad;
    try {
      set(said, await work());
    } catch (err) {
      said.dataset.bad = "";
      set(said, err.message);
    } finally {
      this.busy = false;
      this.known = -1;
      $("redrive-all").disabled = false;
    }
  }
}

function row() {
  const cells = ["number", "number", "number", "path", "path"].map((c) => element("td", { class: c }));
  const button = element("button", { type: "button", class: "plain" });
  button.textContent = "Redrive";
  return element("tr", {}, ...cells, element("td", {}, button));
}
