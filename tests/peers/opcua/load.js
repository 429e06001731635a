// A source of changes: Int32 variables Tag0.1 … Tag0.1000, Tag1.1 … of which the first `changing` change every
// `everyMs`, a counter Scan, and Divert, which can be written.
//
// Whoever sees Scan change writes its value to Divert; the time between is printed in µs on stdout: "ROUND 1234".
// Lines on stdin: print-log (JSON: ticks, late ticks, changes, rounds), die.
"use strict";

const { DataType, Variant } = require("node-opcua-variant");
const { StatusCodes } = require("node-opcua-status-code");

const OPEN_ROUNDS_MAX = 1000;
const GROUP = 1000;

// A profile repeats a signal by one number, up to GROUP.
const nameOf = (n) => `Tag${Math.floor(n / GROUP)}.${(n % GROUP) + 1}`;

class Load {
  constructor(namespace, objects, { tags, changing, everyMs }) {
    if (changing > tags) throw new Error(`${changing} tags are to change, but there are only ${tags}`);
    this.everyMs = everyMs;
    this.changing = changing;
    this.log = { ticks: 0, late_ticks: 0, changes: 0, rounds: 0 };
    this.openRounds = new Map();
    const folder = namespace.addFolder(objects, { browseName: "Load" });
    const add = (name, value, access) =>
      namespace.addVariable({
        componentOf: folder,
        nodeId: `s=${name}`,
        browseName: name,
        dataType: "Int32",
        minimumSamplingInterval: value instanceof Variant ? 0 : 1000,
        accessLevel: access,
        userAccessLevel: access,
        value,
      });
    const zero = () => new Variant({ dataType: DataType.Int32, value: 0 });
    this.tags = Array.from({ length: tags }, (_, n) => add(nameOf(n), zero(), "CurrentRead"));
    this.scan = add("Scan", zero(), "CurrentRead");
    this.diverted = 0;
    add(
      "Divert",
      {
        get: () => new Variant({ dataType: DataType.Int32, value: this.diverted }),
        set: (variant) => this.divert(variant.value),
      },
      "CurrentRead | CurrentWrite",
    );
  }

  start() {
    this.dueAt = performance.now();
    this.tick();
  }

  hold() {
    this.held = true;
    return this.log;
  }

  tick() {
    if (this.held) return;
    const { log } = this;
    log.ticks += 1;
    for (let n = 0; n < this.changing; n += 1)
      this.tags[n].setValueFromSource(new Variant({ dataType: DataType.Int32, value: log.ticks }));
    log.changes += this.changing;
    if (this.openRounds.size >= OPEN_ROUNDS_MAX) this.openRounds.clear();
    this.openRounds.set(log.ticks, process.hrtime.bigint());
    this.scan.setValueFromSource(new Variant({ dataType: DataType.Int32, value: log.ticks }));
    this.dueAt += this.everyMs;
    const leftMs = this.dueAt - performance.now();
    if (leftMs < 0) {
      // Not made up for: a burst would be another load than the one that was asked for.
      log.late_ticks += 1;
      this.dueAt = performance.now();
    }
    setTimeout(() => this.tick(), Math.max(0, leftMs));
  }

  divert(value) {
    const now = process.hrtime.bigint();
    const begun = this.openRounds.get(value);
    this.diverted = value;
    if (begun !== undefined) {
      this.openRounds.delete(value);
      this.log.rounds += 1;
      process.stdout.write(`ROUND ${(now - begun) / 1000n}\n`);
    }
    return StatusCodes.Good;
  }

  obey(word) {
    return word === "print-log" ? JSON.stringify(this.log) : `? ${word}`;
  }
}

exports.buildLoad = (namespace, objects, options) => new Load(namespace, objects, options);
