// Runs a flow of Node-RED as far as docs/mqtt.md has one: mqtt in, function and debug nodes, over the
// client that Node-RED has. The flow comes from standard input; of its broker only the port is
// another, and the version where one is named.
const { readFileSync } = require("node:fs");
const mqtt = require("mqtt");

const [port, version] = process.argv.slice(2);
const nodes = new Map(JSON.parse(readFileSync(0, "utf8")).map((node) => [node.id, node]));

function pass(node, msg) {
  for (const id of node.wires[0]) receive(nodes.get(id), msg);
}

function receive(node, msg) {
  if (node.type === "debug") {
    process.stdout.write(JSON.stringify(msg) + "\n");
    return;
  }
  node.kept ??= new Map();
  const context = {
    get: (key) => node.kept.get(key),
    set: (key, value) => node.kept.set(key, value),
  };
  const result = new Function("msg", "context", node.func)(msg, context);
  if (result) pass(node, result);
}

function connect(broker) {
  const client = mqtt.connect({
    host: broker.broker,
    port: Number(port),
    clientId: broker.clientid,
    protocolVersion: Number(version || broker.protocolVersion),
    clean: broker.cleansession,
    keepalive: Number(broker.keepalive),
  });
  const sources = [...nodes.values()].filter((node) => node.broker === broker.id);
  client.on("connect", () => {
    for (const node of sources) client.subscribe(node.topic, { qos: Number(node.qos) });
  });
  client.on("message", (topic, payload, packet) => {
    const fits = (node) => new RegExp(`^${node.topic.replaceAll("+", "[^/]+")}$`).test(topic);
    for (const node of sources.filter(fits)) {
      const { qos, retain } = packet;
      pass(node, { topic, payload: JSON.parse(payload), qos, retain });
    }
  });
}

for (const node of nodes.values()) if (node.type === "mqtt-broker") connect(node);
