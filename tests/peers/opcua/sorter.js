// A sorter PLC's OPC UA side, read from docs/plc-interface.md: heartbeat, mailbox with echoes, event ring.
//
// Lines on stdin, each answered by one line:
//   set NODE JSON    put a value into a node
//   event JSON       write an entry into the event ring: {"type": 1, "track_id": 7, "point": 1, "barcodes": "A;B", …}
//   beat MS          the heartbeat's period from now on; 0 stops it
//   reset            everything as after a start with boot id 1
//   print-log        JSON: what was run, how often, what was written
//   hold             the tags beside it stay as they are from now on; answers with JSON of what was changed until then
//   die              end at once
"use strict";

const { DataType, Variant } = require("node-opcua-variant");
const { StatusCodes } = require("node-opcua-status-code");

const TYPES = {
  bool: DataType.Boolean,
  int16: DataType.Int16,
  uint16: DataType.UInt16,
  int32: DataType.Int32,
  uint32: DataType.UInt32,
  float32: DataType.Float,
  string: DataType.String,
};
const ENTRIES = 32;
const LOG_MAX = 1000;
const ASSIGN = 10;
const RESULT = { ok: 1, invalid: 3, olderEpoch: 4, notThere: 6 };

function zeroOf(type) {
  if (type === "bool") return false;
  return type === "string" ? "" : 0;
}

class Sorter {
  constructor(namespace, objects, { nodes, beatMs, bootId, rounds = false }) {
    this.nodes = nodes;
    this.rounds = rounds ? new Map() : null;
    this.load = null;
    this.values = new Map();
    this.variables = new Map();
    this.types = new Map();
    this.beatMs = beatMs;
    const folder = namespace.addFolder(objects, { browseName: "Sorter" });
    for (const { node, type, writable } of nodes) this.add(namespace, folder, node, type, writable);
    this.reset(bootId);
  }

  reset(bootId) {
    this.accepted = new Map();
    this.scanned = new Set();
    this.log = { runs: [], repeats: 0, beats_heard: 0, evt_rd: [] };
    for (const { node, type, writable } of this.nodes) {
      if (writable) this.values.set(node, zeroOf(type));
      else this.put(node, zeroOf(type));
    }
    this.put("Status.BootId", bootId);
    this.put("Status.State", 6);
    this.put("Status.Mode", 1);
  }

  add(namespace, folder, node, type, writable) {
    this.values.set(node, zeroOf(type));
    this.types.set(node, TYPES[type]);
    const variable = namespace.addVariable({
      componentOf: folder,
      nodeId: `s=${node}`,
      browseName: node,
      dataType: DataType[TYPES[type]],
      minimumSamplingInterval: writable ? 1000 : 0,
      accessLevel: writable ? "CurrentRead | CurrentWrite" : "CurrentRead",
      userAccessLevel: writable ? "CurrentRead | CurrentWrite" : "CurrentRead",
      value: writable
        ? { get: () => this.variant(node), set: (variant) => this.written(node, variant.value) }
        : this.variant(node),
    });
    this.variables.set(node, variable);
  }

  variant(node) {
    return new Variant({ dataType: this.types.get(node), value: this.values.get(node) });
  }

  get(node) {
    return this.values.get(node);
  }

  put(node, value) {
    this.values.set(node, value);
    this.variables.get(node).setValueFromSource(this.variant(node));
  }

  beside(load) {
    this.load = load;
  }

  start() {
    this.beat();
    this.load?.start();
  }

  beat() {
    if (this.beatMs > 0) this.put("Status.HbPlc", (this.get("Status.HbPlc") + 1) % 65536);
    setTimeout(() => this.beat(), this.beatMs > 0 ? this.beatMs : 50);
  }

  // --- what the gateway writes ---

  written(node, value) {
    if (node === "Command.HbGw" && value !== this.get(node)) this.log.beats_heard += 1;
    this.values.set(node, value);
    if (node === "Event.Rd" && this.log.evt_rd.length < LOG_MAX) this.log.evt_rd.push(value);
    // The sequence number is the last of the Write call; the program looks at the command in its next scan.
    if (node === "Command.Seq") setImmediate(() => this.take());
    return StatusCodes.Good;
  }

  take() {
    const seq = this.get("Command.Seq");
    if (seq === 0) return;
    if (this.accepted.has(seq)) {
      this.log.repeats += 1;
      this.echo(seq, this.accepted.get(seq));
      return;
    }
    const epoch = this.get("Command.Epoch");
    if (epoch < this.get("Status.Epoch")) {
      this.echo(seq, RESULT.olderEpoch);
      return;
    }
    if (this.accepted.size >= LOG_MAX) throw new Error(`more than ${LOG_MAX} commands: this PLC is made for tests`);
    this.put("Status.Epoch", epoch);
    const result = this.run();
    this.accepted.set(seq, result);
    this.tellRound(this.get("Command.TrackId"));
    if (this.rounds !== null) {
      // A benchmark sends more than a log holds.
      this.accepted.delete(seq - LOG_MAX / 2);
      this.log.runs.length = 0;
    }
    this.log.runs.push({
      seq,
      epoch,
      code: this.get("Command.Code"),
      track_id: this.get("Command.TrackId"),
      lanes: [1, 2, 3, 4].map((n) => this.get(`Command.Lane${n}`)),
      deadline_ms: this.get("Command.DeadlineMs"),
      result,
    });
    this.echo(seq, result);
  }

  tellRound(track) {
    const begun = this.rounds?.get(track);
    if (begun === undefined) return;
    this.rounds.delete(track);
    process.stdout.write(`ROUND ${(process.hrtime.bigint() - begun) / 1000n}\n`);
  }

  run() {
    if (this.get("Command.Code") !== ASSIGN || this.get("Command.Lane1") === 0) return RESULT.invalid;
    return this.scanned.has(this.get("Command.TrackId")) ? RESULT.ok : RESULT.notThere;
  }

  echo(seq, result) {
    this.put("Status.AckSeq", seq);
    this.put("Status.Result", result);
    this.put("Status.DoneSeq", seq);
  }

  // --- what happens at the sorter ---

  event(entry) {
    const written = this.get("Event.Wr");
    const at = (written % ENTRIES) + 1;
    const fields = { Seq: written + 1, PlcMs: Math.floor(performance.now()) };
    const given = { type: "Type", track_id: "TrackId", point: "Point", lane: "Lane", result: "Result" };
    for (const [name, field] of Object.entries(given)) fields[field] = entry[name] ?? 0;
    fields.Barcodes = entry.barcodes ?? "";
    for (const [field, value] of Object.entries(fields)) this.put(`Event.${at}.${field}`, value);
    this.scanned.add(fields.TrackId);
    this.rounds?.set(fields.TrackId, process.hrtime.bigint());
    this.put("Event.Wr", written + 1);
  }

  obey(word, rest) {
    if (word === "print-log") return JSON.stringify({ ...this.log, beat_heard: this.get("Command.HbGw") });
    if (word === "hold") return JSON.stringify(this.load.hold());
    if (word === "reset") this.reset(1);
    else if (word === "event") this.event(JSON.parse(rest));
    else if (word === "beat") this.beatMs = Number(rest);
    else if (word === "set") {
      const gap = rest.indexOf(" ");
      this.put(rest.slice(0, gap), JSON.parse(rest.slice(gap + 1)));
    } else return `? ${word}`;
    return "OK";
  }
}

exports.buildSorter = (namespace, objects, options) => new Sorter(namespace, objects, options);
