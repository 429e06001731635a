// An OPC UA server on node-opcua: a sorter PLC for the driver's tests, or a source of changes for a benchmark.
//
//   node server.js --nodes FILE [--port N] [--pki FOLDER] [--beat-ms N] [--boot-id N]
//   node server.js --tags N [--changing N] [--every-ms N] [--port N]
//
// With both --nodes and --tags the tags change beside the sorter. With --rounds the sorter prints the time from each
// scan in its ring to the assignment for it, in µs: "ROUND 1234".
// FILE is JSON: [{"node": "Status.HbPlc", "type": "uint16", "writable": false}, …]. With --pki the server also offers
// Basic256Sha256 (sign and encrypt), and makes its certificate in that folder. Prints "PORT n …" on stdout when it is
// ready; ends when stdin is closed. What the lines on stdin may be stands in sorter.js and load.js.
"use strict";

// stdout is for the one who started this; what node-opcua has to say goes to stderr.
for (const way of ["log", "info", "debug", "warn"]) console[way] = console.error;

const fs = require("node:fs");
const net = require("node:net");
const readline = require("node:readline");
const { parseArgs } = require("node:util");
const { MonitoredItem, OPCUAServer, Subscription } = require("node-opcua-server");
const { OPCUACertificateManager } = require("node-opcua-certificate-manager");
const { MessageSecurityMode, SecurityPolicy } = require("node-opcua-secure-channel");
const { buildSorter } = require("./sorter.js");
const { buildLoad } = require("./load.js");

const NAMESPACE = "urn:stellwerk:plc";
const FASTEST_MS = 10;

const { values: options } = parseArgs({
  options: {
    nodes: { type: "string" },
    port: { type: "string", default: "0" },
    pki: { type: "string" },
    rounds: { type: "boolean", default: false },
    "beat-ms": { type: "string", default: "200" },
    "boot-id": { type: "string", default: "1" },
    tags: { type: "string", default: "0" },
    changing: { type: "string", default: "0" },
    "every-ms": { type: "string", default: "100" },
  },
});

// node-opcua takes the port that it is told; 0 would be advertised as 0.
function freePort() {
  return new Promise((resolve, reject) => {
    const probe = net.createServer();
    probe.once("error", reject);
    probe.listen(0, "127.0.0.1", () => {
      const { port } = probe.address();
      probe.close(() => resolve(port));
    });
  });
}

function storeIn(folder) {
  return new OPCUACertificateManager({
    rootFolder: folder,
    automaticallyAcceptUnknownCertificate: true,
    disableFileWatchers: true,
  });
}

async function serve() {
  Subscription.minimumPublishingInterval = FASTEST_MS;
  MonitoredItem.minimumSamplingInterval = FASTEST_MS;
  const port = Number(options.port) || (await freePort());
  const folder = options.pki ?? fs.mkdtempSync(`${require("node:os").tmpdir()}/stellwerk-peer-`);
  const isSecure = options.pki !== undefined;
  const limits = { maxNodesPerRead: 1000, maxNodesPerWrite: 1000, maxMonitoredItemsPerCall: 1000 };
  const server = new OPCUAServer({
    port,
    hostname: "127.0.0.1",
    host: "127.0.0.1",
    securityModes: isSecure ? [MessageSecurityMode.None, MessageSecurityMode.SignAndEncrypt] : [MessageSecurityMode.None],
    securityPolicies: isSecure ? [SecurityPolicy.None, SecurityPolicy.Basic256Sha256] : [SecurityPolicy.None],
    allowAnonymous: true,
    serverCertificateManager: storeIn(`${folder}/server`),
    userCertificateManager: storeIn(`${folder}/users`),
    serverInfo: { applicationUri: "urn:stellwerk:peer", applicationName: { text: "Stellwerk peer" } },
    serverCapabilities: {
      maxMonitoredItemsPerSubscription: 100000,
      maxMonitoredItems: 100000,
      minSupportedSampleRate: FASTEST_MS,
      operationLimits: limits,
    },
  });
  await server.initialize();
  const space = server.engine.addressSpace;
  const namespace = space.registerNamespace(NAMESPACE);
  const plc = build(namespace, space.rootFolder.objects);
  await server.start();
  listen(plc);
  plc.start();
  const { version } = require("node-opcua-server/package.json");
  process.stdout.write(`PORT ${port} node-opcua-server ${version}\n`);
}

function build(namespace, objects) {
  const tags = Number(options.tags);
  const load = () =>
    buildLoad(namespace, objects, {
      tags,
      changing: Number(options.changing),
      everyMs: Number(options["every-ms"]),
    });
  if (!options.nodes) return load();
  const sorter = buildSorter(namespace, objects, {
    nodes: JSON.parse(fs.readFileSync(options.nodes, "utf8")),
    beatMs: Number(options["beat-ms"]),
    bootId: Number(options["boot-id"]),
    rounds: options.rounds,
  });
  if (tags > 0) sorter.beside(load());
  return sorter;
}

function listen(plc) {
  const lines = readline.createInterface({ input: process.stdin });
  lines.on("line", (line) => {
    const [word] = line.split(" ", 1);
    if (word === "die") process.exit(9);
    process.stdout.write(`${plc.obey(word, line.slice(word.length + 1))}\n`);
  });
  lines.on("close", () => process.exit(0));
}

serve().catch((problem) => {
  process.stderr.write(`${problem.stack}\n`);
  process.exit(2);
});
